"""The configuration: from a file and the command line to a `Config`, or to every mistake in them at once.

What each key means and may be stands in `config_models`. Knows nothing of what is done with it.
"""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from octree_loader.cluster.orders import Cluster, ClusterSettings
from octree_loader.config_mistakes import choices, describe, show
from octree_loader.config_models import Config, DatasetSettings, LoaderDefaults, PoolOverride
from octree_loader.transport.keys import SERVER_FILE, KeyUnusable, read_secret_key
from octree_protocol.addresses import AddressError, parse_address
from octree_protocol.curve_keys import key_folder
from octree_protocol.errors import OctreeError

__all__ = [
    "Config",
    "ConfigError",
    "DatasetSettings",
    "LoaderDefaults",
    "PoolConfig",
    "PoolOverride",
    "load_config",
    "print_schema",
    "resolve_cluster",
    "resolve_pools",
]

log = logging.getLogger("octree.config")

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_NAME = re.compile(r"[^/:?~]*")
_JSON_MISTAKE = "neither JSON ({}) nor a Python literal ({})"


#: Workers of a cluster that a pool has if it says nothing.
_CLUSTER_WORKERS = 4096


class ConfigError(OctreeError):
    """The configuration cannot be used. `mistakes` has one line for each thing that is wrong in it."""

    #: EX_CONFIG of sysexits.h.
    exit_code = 78

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = list(mistakes)
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__("\n  ".join([f"{count} in the configuration:", *self.mistakes]))


# --- what follows from it --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """One pool: `loader_defaults` and its own entry of `octree.loaders` put together.

    `backend` is ``processes``, ``threads``, ``synchronous`` or ``dask``; times are in milliseconds. `cluster_workers`
    is how many workers of a cluster the pool may have.
    """

    relative_level: int
    num_workers: int
    use_processes: bool
    auto_sync_ms: float
    delay_queue_ms: float
    backend: str
    cluster_workers: int = _CLUSTER_WORKERS


def resolve_pools(config: Config) -> tuple[PoolConfig, ...]:
    """The pools of a configuration, by rising relative level; never none.

    A chunk goes to the last one whose `relative_level` is not above its own, or to the first. With `force_synchronous`
    there is one, which loads in the daemon itself and never waits.
    """
    defaults = config.loader_defaults
    if defaults.force_synchronous:
        return (PoolConfig(0, 1, False, defaults.auto_sync_ms, 0.0, "synchronous"),)
    pools = []
    for relative_level, own in sorted((config.octree.loaders or {0: PoolOverride()}).items()):
        use_processes = defaults.use_processes if own.use_processes is None else own.use_processes
        backend = "processes" if use_processes else "threads"
        if own.backend is not None:
            backend = own.backend
        elif config.dask.scheduler is not None and own.use_processes is None:
            backend = "dask"
        pools.append(
            PoolConfig(
                relative_level,
                defaults.num_workers if own.num_workers is None else own.num_workers,
                use_processes,
                defaults.auto_sync_ms if own.auto_sync_ms is None else own.auto_sync_ms,
                defaults.delay_queue_ms if own.delay_queue_ms is None else own.delay_queue_ms,
                backend,
                own.num_workers if backend == "dask" and own.num_workers is not None else _CLUSTER_WORKERS,
            )
        )
    return tuple(pools)


def resolve_cluster(config: Config) -> Cluster | None:
    """The cluster that pools of a configuration load with, if any does.

    Raises
    ------
    ConfigError
        If the packages for it are not installed.
    """
    pools = {n: pool.cluster_workers for n, pool in enumerate(resolve_pools(config)) if pool.backend == "dask"}
    if not pools:
        return None
    dask = config.dask
    own = dask.scheduler in (None, "local")
    missing = [name for name in ("distributed", *(["cryptography"] if own else [])) if find_spec(name) is None]
    if missing:
        what = " and ".join(missing)
        raise ConfigError([f"dask.scheduler: needs {what}, not installed here: pip install 'octree-serve[cluster]'"])
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    settings = ClusterSettings(
        "" if own or dask.scheduler is None else dask.scheduler,
        dask.ca or "",
        dask.cert or "",
        dask.key or "",
        dask.workers or processors,
        dask.threads,
        dask.patience_ms * 1e-3,
    )
    return Cluster(settings, pools, dask.fallback)


def print_schema() -> str:
    """The JSON Schema of the configuration, with the meaning of every key, for people and their editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    return json.dumps(schema, indent=2)


# --- from a file and the command line --------------------------------------------------------------------------------


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
        _anchor(raw, os.path.dirname(os.path.abspath(path)))
    _assign(raw, assignments, mistakes)
    if binds:
        serve = raw.setdefault("serve", {})
        if isinstance(serve, dict):
            serve["bind"] = [_anchor_address(url, os.getcwd()) for url in binds]
    config = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        mistakes += [describe(found) for found in error.errors()]
    mistakes += _look_across(raw)
    if mistakes or config is None:
        raise ConfigError(mistakes)
    return config


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
        found = _parse(text, twice)
    except ValueError as error:
        raise ConfigError([f"{name}: {error}"]) from None
    mistakes += [f"{name}: the key {key!r} stands twice in one object; keep one of the two" for key in twice]
    if not isinstance(found, dict):
        raise ConfigError([f"{name}: is {show(found)}; allowed is an object of sections, {choices(Config)}"])
    return found


def _parse(text: str, twice: list[str]) -> Any:
    """The value in a text of JSON, or else of a Python literal; `twice` gathers keys that an object has twice."""

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice.extend(key for position, key in enumerate(keys) if key in keys[:position])
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=collect)
    except json.JSONDecodeError as error:
        as_json = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        as_json = "nested too deeply"
    twice.clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(text.strip("\ufeff \t\r\n"), mode="eval")
            found = ast.literal_eval(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                twice += [str(key) for position, key in enumerate(keys) if key in keys[:position]]
    except SyntaxError as error:
        as_python = f"line {error.lineno}, column {error.offset}: {error.msg}"
    except (ValueError, TypeError) as error:
        as_python = str(error).partition(":")[0]
    except (RecursionError, MemoryError):
        as_python = "nested too deeply"
    else:
        return found
    raise ValueError(_JSON_MISTAKE.format(as_json, as_python))


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


# --- paths -----------------------------------------------------------------------------------------------------------


def _anchor(raw: dict[str, Any], folder: str) -> None:
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
                datasets[name] = _anchor_source(dataset, folder)
            elif isinstance(dataset, dict) and isinstance(dataset.get("source"), str):
                dataset["source"] = _anchor_source(dataset["source"], folder)
    serve = raw.get("serve")
    if isinstance(serve, dict) and isinstance(serve.get("bind"), (list, tuple)):
        serve["bind"] = [_anchor_address(url, folder) for url in serve["bind"]]


def _absolute(path: str, folder: str) -> str:
    return os.path.normpath(os.path.join(folder, os.path.expanduser(path)))


def _anchor_source(source: str, folder: str) -> str:
    if not source or "://" in source:
        return source
    path = _absolute(source, folder)
    # A file may be called so too; then it is meant.
    return source if _FACTORY.fullmatch(source) and not os.path.lexists(path) else path


def _anchor_address(url: Any, folder: str) -> Any:
    scheme, separator, path = url.partition("://") if isinstance(url, str) else ("", "", "")
    if scheme == "ipc" and separator and path and path[0] not in "@*":
        # What names a folder must go on doing so, to be found out.
        return f"ipc://{_absolute(path, folder)}{'/' if path.endswith('/') else ''}"
    return url


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
            unnamed.append(_anchor_source(source, os.getcwd()))
        elif name in named:
            mistakes.append(f"{text!r} on the command line: there is a dataset {name!r} already, {named[name]}")
        else:
            named[name] = _anchor_source(source, os.getcwd())
    datasets.update(named)
    for source in unnamed:
        datasets[_name_for(source, datasets)] = source


def _name_for(source: str, taken: dict[str, Any]) -> str:
    """A name for a source that was given none: its file's, less what says the format."""
    if _FACTORY.fullmatch(source):
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


# --- mistakes --------------------------------------------------------------------------------------------------------


def _look_across(raw: dict[str, Any]) -> list[str]:
    """Mistakes that no key has by itself. Looks at raw values, so that other mistakes hide none of these."""
    mistakes = []
    serve = raw.get("serve")
    binds = serve.get("bind") if isinstance(serve, dict) else None
    if isinstance(serve, dict) and isinstance(binds, (list, tuple)):
        for position, url in enumerate(binds):
            try:
                address = parse_address(url, binding=True)
            except AddressError:
                continue
            if url in binds[:position]:
                mistakes.append(f"serve.bind.{position}: {url!r} stands there twice")
            if address.scheme == "ipc":
                mistakes += [] if serve.get("insecure") is True else _open_folder(position, address.path)
            elif not address.loopback and serve.get("insecure") is not True:
                missing = missing_key(serve)
                if missing:
                    mistakes.append(
                        f"serve.bind.{position}: {url!r} can be reached from other machines and needs keys: {missing}; "
                        "or bind ipc:// and loopback addresses only, or set serve.insecure to true"
                    )
            elif serve.get("keys_on_loopback") is True and (missing := missing_key(serve)):
                mistakes.append(f"serve.bind.{position}: {url!r} needs keys (serve.keys_on_loopback): {missing}")
    health = _dig(raw, "serve", "health")
    if isinstance(serve, dict) and health and serve.get("health_exposed") is not True:
        try:
            reachable = not parse_address(f"tcp://{health}", binding=True).loopback
        except AddressError:
            reachable = False
        if reachable:
            mistakes.append(
                f"serve.health: {health!r} can be reached from other machines; allowed is a loopback address such as "
                "127.0.0.1:9777, or set serve.health_exposed to true"
            )
    for section, key in (("loader_defaults", "log_path"), ("octree", "log_path")):
        path = _dig(raw, section, key)
        if path and not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            mistakes.append(f"{section}.{key}: {path!r} lies in a folder that does not exist; make it, or give another")
        elif path and os.path.isdir(path):
            mistakes.append(f"{section}.{key}: {path!r} is a folder; allowed is a file, which is made if need be")
    root = _dig(raw, "serve", "root")
    if root and not os.path.isdir(root):
        mistakes.append(f"serve.root: {root!r} is not a folder that exists")
    mistakes += _look_at_cluster(raw)
    directory = _dig(raw, "memory", "directory")
    if directory and not os.path.isdir(directory):
        mistakes.append(f"memory.directory: {directory!r} is not a folder that exists")
    return mistakes


def missing_key(serve: dict[str, Any]) -> str:
    """Why the daemon's key cannot be had; "" if it can."""
    folder = serve.get("keys", key_folder())
    if not isinstance(folder, str):
        return ""  # a mistake of its own
    try:
        read_secret_key(os.path.join(folder, SERVER_FILE))
    except KeyUnusable as error:
        return str(error)
    return ""


def _open_folder(position: int, path: str) -> list[str]:
    """A socket is protected by the folder that it lies in, or one above: one that only we can enter."""
    folder = os.path.dirname(path)
    try:
        found = os.stat(folder)
        above = [folder, *map(str, PurePath(os.path.realpath(folder)).parents)]
        closed = any(status.st_uid == os.geteuid() and not status.st_mode & 0o011 for status in map(os.stat, above))
    except OSError as error:
        return [f"serve.bind.{position}: the folder {folder!r} cannot be used: {error.strerror}; make it (mode 0700)"]
    if found.st_uid != os.geteuid():
        return [f"serve.bind.{position}: the folder {folder!r} belongs to somebody else, who could listen in our place"]
    if not closed:
        return [
            f"serve.bind.{position}: the folder {folder!r} is open to others (mode {found.st_mode & 0o7777:04o}), and "
            "so are all above it; chmod 0700 it, or choose another"
        ]
    return []


def _look_at_cluster(raw: dict[str, Any]) -> list[str]:
    """Mistakes about the cluster of dask: whoever reaches one of its ports can run anything there, and then here."""
    scheduler = _dig(raw, "dask", "scheduler") or ""
    scheme, _, place = scheduler.partition("://")
    if scheme not in ("tcp", "tls"):
        return []
    try:
        loopback = parse_address(f"tcp://{place}").loopback
    except AddressError:
        return []
    mistakes = []
    if scheme == "tcp" and not loopback:
        mistakes.append(
            f"dask.scheduler: {scheduler!r} leads to another machine without TLS, where whoever listens can run "
            "anything on either side; allowed is tls://host:port, with dask.ca, dask.cert and dask.key"
        )
    for key in ("ca", "cert", "key"):
        path = _dig(raw, "dask", key)
        if path is None and scheme == "tls":
            mistakes.append(f"dask.{key}: is missing; {scheduler} needs it: the file (PEM) that dask was given, too")
        elif path is not None and not os.access(path, os.R_OK):
            mistakes.append(f"dask.{key}: {path!r} cannot be read")
    return mistakes


def _dig(raw: dict[str, Any], section: str, key: str) -> str | None:
    values = raw.get(section)
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, str) and "\0" not in value else None
