"""The disk cache of made levels: a folder a dataset, and in it a normal OME-Zarr 0.5 of these levels.

A chunk appears under its name when it is whole, never before, so workers of several daemons may write the same one,
and one that is killed harms nothing. What is known to be missing is noted beside the image (``absent``), since an
absent chunk means "not made yet". Knows nothing of how chunks are made.

    <cache>/<key>/lock     held, shared, by every daemon that uses the folder; its time of change is the last use
    <cache>/<key>/image    the OME-Zarr: levels by their number, blosc lz4, chunks as they are cut for the screen
    <cache>/<key>/absent   an empty file for each missing chunk
    <cache>/<key>/partial  files that are being written
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from octree_loader.liveness import HeldLock
from octree_loader.sources.base import Piece, SourceError
from octree_loader.sources.locations import is_remote
from octree_protocol.geometry import Dataset

log = logging.getLogger("octree.cache")

Index = tuple[int, ...]

#: Entries of a dataset's folder that are looked at to see whether it has changed.
ENTRIES_LOOKED_AT = 4096

#: Folders of data that last as long as the daemon.
_ONCE = "once-"

_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", "attributes.json", "info")


def default_directory() -> str:
    """Where made levels are kept if nobody says otherwise: the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(base if os.path.isabs(base) else os.path.expanduser("~/.cache"), "octree-serve")


# --- which folder ----------------------------------------------------------------------------------------------------


def fingerprint(
    location: str, options: Mapping[str, Any], levels: Sequence[Any], dtype: str, identity: str = ""
) -> str:
    """What a dataset is now: another text once it has changed, "" where that cannot be told.

    Of a file its length and time of change; of a folder that of its first `ENTRIES_LOOKED_AT` entries, from the top
    down, and what its metadata say; of both, and of what is far away, their `identity` (`base.SourceDescription`). What
    a factory makes and what lies in memory has none.
    """
    if is_remote(location):
        place = location if identity else ""
    else:
        place = os.path.realpath(os.path.expanduser(location.removeprefix("file://")))
        if not os.path.exists(place) or place.startswith("/dev/shm/"):
            place = ""
    if not place:
        return ""
    said = json.dumps([place, dict(options), repr(levels), dtype, identity], sort_keys=True, default=str)
    seen = hashlib.sha256(said.encode())
    try:
        if not is_remote(location):
            _look(place, seen)
    except OSError:
        return ""
    return seen.hexdigest()


def _look(path: str, seen: Any) -> None:
    found = os.stat(path)
    seen.update(f"{found.st_size} {found.st_mtime_ns} {found.st_ino}".encode())
    folders = deque([path] if os.path.isdir(path) else [])
    left = ENTRIES_LOOKED_AT
    while folders and left > 0:
        folder = folders.popleft()
        with os.scandir(folder) as scanned:
            entries = sorted((entry for entry, _ in zip(scanned, range(left), strict=False)), key=lambda e: e.name)
        left -= max(1, len(entries))
        for entry in entries:
            found = entry.stat()
            seen.update(f"{entry.name} {found.st_size} {found.st_mtime_ns}".encode())
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.name in _METADATA and found.st_size < 1 << 20:
                with open(entry.path, "rb") as file:
                    seen.update(file.read())


class CacheRoot:
    """All cached datasets of a user, as one daemon sees them.

    Parameters
    ----------
    directory
        Made if it is not there.
    nbytes_most
        What the datasets that nobody uses may take, with those that are in use, is at most this; 0 keeps nothing.
    """

    def __init__(self, directory: str, nbytes_most: int) -> None:
        self.directory = os.path.abspath(os.path.expanduser(directory))
        self.nbytes_most = nbytes_most
        self._locks: dict[str, HeldLock] = {}
        self._guard = threading.Lock()
        self._trimming: threading.Timer | None = None

    def claim(self, key: str, dataset: Dataset, kept: range) -> str:
        """The folder for the made levels `kept` of a dataset; it stays while this daemon runs.

        Returns "" where there is none: nothing may be kept, or the disk does not let us.
        """
        if not self.nbytes_most or not kept:
            return ""
        folder = os.path.join(self.directory, key[:32] if key else f"{_ONCE}{secrets.token_hex(8)}")
        try:
            with self._guard:
                if folder not in self._locks:
                    self._locks[folder] = self._hold(folder)
                    _write_metadata(folder, dataset, kept)
            return folder
        except OSError as error:
            log.warning("made levels of %s are not kept: %s: %s", dataset.name, folder, error.strerror or str(error))
            return ""

    def _hold(self, folder: str) -> HeldLock:
        path = os.path.join(folder, "lock")
        while True:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                continue  # somebody removed the folder in between
            with contextlib.suppress(BlockingIOError):
                # Nobody else is here: what lies in `partial` was being written when its writer died.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(os.path.join(folder, "partial"), ignore_errors=True)
            lock = HeldLock(descriptor, wait=True, shared=True)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(path), os.fstat(lock.descriptor)):
                    break
            lock.close()
        os.utime(path)
        for name in ("partial", "absent", "image"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        return lock

    def trim_later(self, seconds: float = 5.0) -> None:
        """Have `trim` done in a thread of its own, when whoever starts us has got their first picture."""
        self._trimming = threading.Timer(seconds, self.trim)
        self._trimming.name, self._trimming.daemon = "octree-trim", True
        self._trimming.start()

    def trim(self) -> list[str]:
        """Remove what is over the limit: of the datasets that no daemon uses, those used longest ago. Returns them."""
        try:
            names = os.listdir(self.directory)
        except OSError:
            return []
        known, removed = [], []
        for name in names:
            folder = os.path.join(self.directory, name)
            if re.fullmatch(r"(once-)?[0-9a-f]{16,64}(\.gone)?", name):
                with contextlib.suppress(OSError):
                    lock = os.path.join(folder, "lock")
                    used = os.stat(lock).st_mtime if os.path.exists(lock) else 0.0
                    known.append((0.0 if name.startswith(_ONCE) or name.endswith(".gone") else used, folder))
        sizes = {folder: _disk_bytes(folder) for _, folder in known}
        total = sum(sizes.values())
        for used, folder in sorted(known):
            if (used == 0.0 or total > self.nbytes_most) and folder not in self._locks and _remove(folder):
                total -= sizes[folder]
                removed.append(folder)
        return removed

    def close(self) -> None:
        """Let go of all folders; what was to last as long as the daemon is removed."""
        if self._trimming is not None:
            self._trimming.cancel()
        for folder, lock in self._locks.items():
            lock.close()
            if os.path.basename(folder).startswith(_ONCE):
                _remove(folder)
        self._locks.clear()


def _disk_bytes(folder: str) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
    return total


def _remove(folder: str) -> bool:
    """Remove a folder unless a daemon holds it."""
    try:
        lock = HeldLock(
            os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        )
    except OSError:
        return False
    try:
        gone = folder if folder.endswith(".gone") else f"{folder}.gone"
        os.rename(folder, gone)  # from here on nobody finds it
        shutil.rmtree(gone, ignore_errors=True)
        return True
    except OSError:
        return False
    finally:
        lock.close()


# --- what stands in it -----------------------------------------------------------------------------------------------


def _write_metadata(folder: str, dataset: Dataset, kept: range) -> None:
    image = os.path.join(folder, "image")
    if os.path.exists(os.path.join(image, "zarr.json")):
        return
    dtype = np.dtype(dataset.dtype)
    for number in kept:
        level = dataset.levels[number]
        fill: Any = dataset.fill_value
        if dtype.kind in "iub":
            fill = bool(fill) if dtype.kind == "b" else int(fill)
        elif not np.isfinite(fill):
            fill = "NaN" if np.isnan(fill) else "Infinity" if fill > 0 else "-Infinity"
        codec = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": dtype.itemsize, "blocksize": 0}
        _write_document(
            os.path.join(image, str(number)),
            {
                "zarr_format": 3,
                "node_type": "array",
                "shape": level.shape,
                "data_type": dtype.name,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": level.chunk_shape}},
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                "fill_value": fill,
                "codecs": [
                    {"name": "bytes", "configuration": {"endian": "little"}},
                    {"name": "blosc", "configuration": codec},
                ],
                "dimension_names": [axis.name for axis in dataset.axes],
                "attributes": {},
            },
        )
    axes = []
    for axis in dataset.axes:
        kind = {"type": axis.kind} if axis.kind in ("space", "time", "channel") else {}
        axes.append({"name": axis.name, **kind, **({"unit": axis.unit} if axis.unit else {})})
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": dataset.levels[number].scale},
                {"type": "translation", "translation": dataset.levels[number].translation},
            ],
        }
        for number in kept
    ]
    multiscale = {"name": dataset.name, "axes": axes, "datasets": datasets}
    _write_document(
        image,
        {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"ome": {"version": "0.5", "multiscales": [multiscale]}},
        },
    )


def _write_document(folder: str, document: Any) -> None:
    os.makedirs(folder, exist_ok=True)
    partial = os.path.join(folder, f".zarr.json.{secrets.token_hex(4)}")
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
    os.replace(partial, os.path.join(folder, "zarr.json"))


class LevelCache:
    """Chunks of the levels `kept` of one dataset, in the folder that a daemon claimed. Safe from several threads."""

    def __init__(self, folder: str, dataset: Dataset, kept: range) -> None:
        self.kept = kept
        self._folder = folder
        self._dataset = dataset
        self._dtype = np.dtype(dataset.dtype)
        self._arrays: dict[int, Any] = {}
        self._made_folders: set[str] = set()
        self._broken = False

    def has(self, level: int, index: Index) -> bool:
        """Whether a chunk has been made."""
        return os.path.exists(self._path("image", level, index)) or os.path.exists(self._path("absent", level, index))

    def read(self, level: int, index: Index, out: NDArray[Any]) -> bool | None:
        """Fill `out` with a chunk. False if it is known to be missing, None if it has not been made."""
        array = self._arrays.get(level)
        try:
            if array is None:
                from octree_loader.sources.stores import FolderStore
                from octree_loader.sources.zarr_array import open_array

                array, _ = open_array(FolderStore(os.path.join(self._folder, "image")), str(level))
                self._arrays[level] = array
            if array.read([Piece(self._dataset.levels[level].chunk_extent(index), out)])[0]:
                return True
        except SourceError as error:
            log.warning("%s; it is made anew", str(error))
            return None
        return False if os.path.exists(self._path("absent", level, index)) else None

    def write(self, level: int, index: Index, voxels: NDArray[Any] | None) -> bool:
        """Keep a chunk, or that it is missing (None). Returns whether it is kept now."""
        if self._broken or level not in self.kept:
            return False
        path = self._path("absent" if voxels is None else "image", level, index)
        partial = os.path.join(self._folder, "partial", secrets.token_hex(8))
        try:
            folder = os.path.dirname(path)
            if folder not in self._made_folders:
                os.makedirs(folder, exist_ok=True)
                self._made_folders.add(folder)
            data = b"" if voxels is None else self._encoded(level, voxels)
            with open(partial, "xb", buffering=0) as file:
                if file.write(data) != len(data):
                    raise OSError("the disk is full")
            os.replace(partial, path)
            return True
        except OSError as error:
            self._broken = True
            log.warning("made levels of %s are not kept any more: %s", self._dataset.name, str(error))
            with contextlib.suppress(OSError):
                os.unlink(partial)
            return False

    def _encoded(self, level: int, voxels: NDArray[Any]) -> bytes:
        shape = self._dataset.levels[level].chunk_shape
        if voxels.shape != shape:
            whole = np.full(shape, self._dataset.fill_value, self._dtype)
            whole[tuple(slice(n) for n in voxels.shape)] = voxels
            voxels = whole
        whole = np.ascontiguousarray(voxels, self._dtype)
        encoded: bytes = blosc.compress(whole, b"lz4", 5, blosc.SHUFFLE, 0)
        return encoded

    def _path(self, what: str, level: int, index: Index) -> str:
        return f"{self._folder}/{what}/{level}/c/" + "/".join(map(str, index))
