"""Where the paths in a configuration lead: relative ones are made absolute, whoever wrote them.

Looks whether a file is there only where a source may be a file or a factory. Knows no meaning of a key.
"""

from __future__ import annotations

import os
import re
from typing import Any

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def anchor(raw: dict[str, Any], folder: str) -> None:
    """Make the paths in a file's content absolute."""
    for section, key in (
        ("loader_defaults", "log_path"),
        ("octree", "log_path"),
        ("memory", "directory"),
        ("memory", "cache_directory"),
        ("serve", "keys"),
        ("serve", "root"),
        ("dask", "ca"),
        ("dask", "cert"),
        ("dask", "key"),
    ):
        values = raw.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), str) and values[key]:
            values[key] = _absolute(values[key], folder)
    datasets = raw.get("datasets")
    if isinstance(datasets, dict):
        for name, dataset in datasets.items():
            if isinstance(dataset, str):
                datasets[name] = anchor_source(dataset, folder)
            elif isinstance(dataset, dict) and isinstance(dataset.get("source"), str):
                dataset["source"] = anchor_source(dataset["source"], folder)
    serve = raw.get("serve")
    if isinstance(serve, dict) and isinstance(serve.get("bind"), (list, tuple)):
        serve["bind"] = [anchor_address(url, folder) for url in serve["bind"]]


def _absolute(path: str, folder: str) -> str:
    return os.path.normpath(os.path.join(folder, os.path.expanduser(path)))


def anchor_source(source: str, folder: str) -> str:
    """A dataset's source with its path made absolute; URLs and factories stay what they are."""
    if not source or "://" in source:
        return source
    path = _absolute(source, folder)
    # A file may be called so too; then it is meant.
    return source if is_factory(source) and not os.path.lexists(path) else path


def anchor_address(url: Any, folder: str) -> Any:
    """An address with the path of its socket made absolute; whatever is no such address stays what it is."""
    scheme, separator, path = url.partition("://") if isinstance(url, str) else ("", "", "")
    if scheme == "ipc" and separator and path and path[0] not in "@*":
        # What names a folder must go on doing so, to be found out.
        return f"ipc://{_absolute(path, folder)}{'/' if path.endswith('/') else ''}"
    return url


def is_factory(source: str) -> bool:
    """Whether a source is ``module:factory``, or a file that is called so."""
    return _FACTORY.fullmatch(source) is not None
