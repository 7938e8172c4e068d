"""The configuration: from a file and the command line to a `Config`, or to every mistake in them at once.

What each key means and may be stands in `models`. Knows nothing of what is done with it.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from octree_loader.config.across import look_across
from octree_loader.config.mistakes import ConfigError, choices, describe, show
from octree_loader.config.models import Config
from octree_loader.config.paths import anchor, anchor_address, anchor_source, is_factory
from octree_loader.config.text import parse

log = logging.getLogger("octree.config")

_NAME = re.compile(r"[^/:?~]*")


def load_config(
    path: str | os.PathLike[str] | None = None, assignments: Sequence[str] = (), binds: Sequence[str] = ()
) -> Config:
    """The configuration of a daemon.

    Parameters
    ----------
    path
        A file of JSON, or of a Python literal such as napari's ``DEFAULT_OCTREE_CONFIG``; None for the defaults.
        Relative paths in it are relative to its folder.
    assignments
        ``NAME=SOURCE`` or ``SOURCE`` from the command line, added to the file's datasets; a name of theirs replaces it.
        A source without a name is called after its file. Relative paths are relative to the working directory.
    binds
        Addresses from the command line, instead of the file's.

    Raises
    ------
    ConfigError
        With every mistake.
    """
    mistakes: list[str] = []
    raw: dict[str, Any] = {}
    if path is not None:
        raw = _read(path, mistakes)
        _rename_async(raw, mistakes)
        anchor(raw, os.path.dirname(os.path.abspath(path)))
    _assign(raw, assignments, mistakes)
    if binds:
        serve = raw.setdefault("serve", {})
        if isinstance(serve, dict):
            serve["bind"] = [anchor_address(url, os.getcwd()) for url in binds]
    config = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        mistakes += [describe(found) for found in error.errors()]
    mistakes += look_across(raw)
    if mistakes or config is None:
        raise ConfigError(mistakes)
    return config


def print_schema() -> str:
    """The JSON Schema of the configuration, with the meaning of every key, for people and their editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    return json.dumps(schema, indent=2)


def _read(path: str | os.PathLike[str], mistakes: list[str]) -> dict[str, Any]:
    name = os.fspath(path)
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except OSError as error:
        raise ConfigError([f"{name}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{name}: is not text in UTF-8 (byte {error.start})"]) from None
    twice: list[str] = []
    try:
        found = parse(text, twice)
    except ValueError as error:
        raise ConfigError([f"{name}: {error}"]) from None
    mistakes += [f"{name}: the key {key!r} stands twice in one object; keep one of the two" for key in twice]
    if not isinstance(found, dict):
        raise ConfigError([f"{name}: is {show(found)}; allowed is an object of sections, {choices(Config)}"])
    return found


def _rename_async(raw: dict[str, Any], mistakes: list[str]) -> None:
    """`auto_async_ms`, as the table of napari's guide has it, is `auto_sync_ms`, as its example has it."""
    octree = raw.get("octree")
    loaders = octree.get("loaders") if isinstance(octree, dict) else None
    places = [("loader_defaults", raw.get("loader_defaults"))]
    if isinstance(loaders, dict):
        places += [(f"octree.loaders.{key}", own) for key, own in loaders.items()]
    for where, section in places:
        if not isinstance(section, dict) or "auto_async_ms" not in section:
            continue
        value = section.pop("auto_async_ms")
        if "auto_sync_ms" in section:
            mistakes.append(f"{where}.auto_async_ms: means auto_sync_ms, which is given too; keep auto_sync_ms")
        else:
            log.warning("%s.auto_async_ms: taken for auto_sync_ms; please rename it", where)
            section["auto_sync_ms"] = value


# --- the command line ------------------------------------------------------------------------------------------------


def _assign(raw: dict[str, Any], assignments: Sequence[str], mistakes: list[str]) -> None:
    if not assignments:
        return
    datasets = raw.setdefault("datasets", {})
    if not isinstance(datasets, dict):
        return
    named: dict[str, str] = {}
    unnamed: list[str] = []
    for text in assignments:
        name, separator, source = text.partition("=")
        if not separator or not _NAME.fullmatch(name):  # the = of a path or of a URL's query
            name, source = "", text
        if (separator and not name and source != text) or not source:
            mistakes.append(f"{text!r} on the command line: allowed are NAME=SOURCE and SOURCE")
        elif not name:
            unnamed.append(anchor_source(source, os.getcwd()))
        elif name in named:
            mistakes.append(f"{text!r} on the command line: there is a dataset {name!r} already, {named[name]}")
        else:
            named[name] = anchor_source(source, os.getcwd())
    datasets.update(named)
    for source in unnamed:
        datasets[_name_for(source, datasets)] = source


def _name_for(source: str, taken: dict[str, Any]) -> str:
    """A name for a source that was given none: its file's, less what says the format."""
    if is_factory(source):
        stem = source.rpartition(":")[2].rpartition(".")[2]
    else:
        path = re.split(r"[?#]", source.rpartition("://")[2])[0] if "://" in source else source
        stem = os.path.basename(path.rstrip("/"))
        stem = (os.path.splitext(stem)[0] or stem).removesuffix(".ome")
    # Not what `Config` would refuse: nobody chose this name.
    stem = "".join(c if c.isprintable() else "_" for c in stem)[:200] or "image"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name
