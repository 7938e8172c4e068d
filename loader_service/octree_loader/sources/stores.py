"""Where a Zarr hierarchy lies: a folder, or a zip file. Reads metadata documents and encoded chunks by their names.

The danger that lives here is the file system: whatever the names in a stranger's metadata, and whatever links lie
among the files, nothing outside the folder is read. Knows nothing of what the documents or the chunks mean.
"""

from __future__ import annotations

import json
import os
import stat
import weakref
import zipfile
from collections.abc import Callable
from typing import Any, Protocol

from octree_loader.sources.base import SourceError
from octree_loader.sources.chunk_files import (
    KNOWN_FOLDERS,
    OPEN_FLAGS,
    ChunkFiles,
    Fetch,
    Index,
    lies_in,
    read_failed,
    vanished,
)
from octree_loader.sources.shards import ShardFiles

#: Metadata documents are read as a whole. The largest honest ones (consolidated plates) have some hundred KiB.
DOCUMENT_BYTES = 4 << 20

#: Folders looked into, and names told, where a hierarchy has to be searched for its arrays.
_SEARCH_FOLDERS, _SEARCH_DEPTH = 256, 3


class Store(Protocol):
    """A hierarchy of documents and chunks. Node paths are relative (``""`` is the root), with ``/`` between."""

    where: str

    def document(self, node: str, name: str) -> Any | None:
        """The parsed JSON document `name` of a node, or None if there is none."""
        ...

    def children(self, node: str) -> list[str]:
        """Names of the nodes right below a node, sorted."""
        ...

    def chunks(self, node: str, prefix: str, separator: str, nbytes_most: int) -> Fetch:
        """How to get the chunks of the array at `node`; what is longer than `nbytes_most` is refused."""
        ...

    def shards(
        self, node: str, prefix: str, separator: str, nbytes_most: int, chunks_per_shard: Index, index_at_end: bool
    ) -> Fetch | None:
        """The same for chunks in shards, or None if this store has to be asked some other way."""
        ...

    def sizes(self, node: str, prefix: str, separator: str) -> Callable[[Index], int | None]:
        """How to get the encoded length of the chunks of the array at `node`: None where nothing is stored."""
        ...

    def folder(self, node: str) -> str | None:
        """The folder of a node for those who read files themselves, if there is one."""
        ...

    def kvstore(self, node: str) -> dict[str, Any] | None:
        """The folder of a node as tensorstore opens it, if it can."""
        ...

    def for_zarr(self, node: str) -> tuple[Any, str]:
        """The store as zarr-python opens it, and the path of a node in that."""
        ...


def name_in(where: str, node: str, name: str = "") -> str:
    """A place in a store, for an error."""
    return "/".join(part for part in (where, node, name) if part)


def check_node(where: str, node: str) -> str:
    """`node` as a clean relative path. Raises `SourceError` if it leaves the hierarchy."""
    parts = [part for part in node.split("/") if part not in ("", ".")]
    if node.startswith("/") or ".." in parts or "\0" in node or "\\" in node or len(node) > 1024:
        raise SourceError(f"{where} names an array at {node[:80]!r}: paths lead from the dataset downwards only")
    return "/".join(parts)


def parse_document(data: bytes, where: str) -> Any:
    """What a metadata document says; `where` names it. Raises `SourceError` if it is too long, or no JSON."""
    if len(data) > DOCUMENT_BYTES:
        raise SourceError(f"{where} is longer than {DOCUMENT_BYTES >> 20} MiB: no metadata are")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where} is no valid JSON ({error}): it is damaged, write it again") from None


class FolderStore:
    """A hierarchy in a folder of the local file system."""

    def __init__(self, path: str) -> None:
        self.where = path
        self._root = os.path.realpath(path)

    def document(self, node: str, name: str) -> Any | None:
        """See `Store.document`."""
        where = name_in(self.where, node, name)
        path = os.path.join(self._root, node, name)
        try:
            if not lies_in(path, self._root):
                raise SourceError(f"{where} is a link that leads out of the dataset: copy what it points to")
            descriptor = os.open(os.path.realpath(path), OPEN_FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise read_failed(where, error) from error
        with open(descriptor, "rb", buffering=0) as file:
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise SourceError(f"{where} is no file")
                data = b"".join(iter(lambda: file.read(1 << 20) if file.tell() <= DOCUMENT_BYTES else b"", b""))
            except OSError as error:
                raise read_failed(where, error) from error
        return parse_document(data, where)

    def children(self, node: str) -> list[str]:
        """See `Store.children`."""
        try:
            with os.scandir(os.path.join(self._root, node)) as entries:
                return sorted(entry.name for entry, _ in zip(entries, range(4096), strict=False) if entry.is_dir())
        except OSError:
            return []

    def folder(self, node: str) -> str:
        """See `Store.folder`."""
        folder = os.path.realpath(os.path.join(self._root, node))
        if not lies_in(folder, self._root):
            raise SourceError(f"{name_in(self.where, node)} is a link that leads out of the dataset: copy the array")
        return folder

    def kvstore(self, node: str) -> dict[str, Any]:
        """See `Store.kvstore`."""
        return {"driver": "file", "path": f"{self.folder(node)}/"}

    def for_zarr(self, node: str) -> tuple[Any, str]:
        """See `Store.for_zarr`."""
        from zarr.storage import LocalStore

        return LocalStore(self.folder(node), read_only=True), ""

    def sizes(self, node: str, prefix: str, separator: str) -> Callable[[Index], int | None]:
        """See `Store.sizes`."""
        folder = self.folder(node)
        known: set[str] = set()

        def size(index: Index) -> int | None:
            path = f"{folder}/{prefix}{separator.join(map(str, index))}"
            try:
                found = os.stat(path)
            except FileNotFoundError:
                if not os.path.isdir(folder):
                    raise vanished(folder) from None
                return None
            except OSError as error:
                raise read_failed(path, error) from error
            if path not in known:
                if not lies_in(path, self._root):
                    raise SourceError(f"{path} is a link that leads out of the dataset: copy what it points to")
                if len(known) >= KNOWN_FOLDERS:
                    known.clear()
                known.add(path)
            if not stat.S_ISREG(found.st_mode):
                raise SourceError(f"{path} is no file")
            return found.st_size

        return size

    def chunks(self, node: str, prefix: str, separator: str, nbytes_most: int) -> Fetch:
        """See `Store.chunks`."""
        return ChunkFiles(self._root, self.folder(node), prefix, separator, nbytes_most).fetch

    def shards(
        self, node: str, prefix: str, separator: str, nbytes_most: int, chunks_per_shard: Index, index_at_end: bool
    ) -> Fetch | None:
        """See `Store.shards`."""
        files = ChunkFiles(self._root, self.folder(node), prefix, separator, nbytes_most)
        return ShardFiles(files, chunks_per_shard, index_at_end, nbytes_most).fetch


class ZippedStore:
    """A hierarchy in a zip file."""

    def __init__(self, path: str) -> None:
        self.where = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise SourceError(f"{path} is no valid zip file ({error}): it is damaged, write it again") from error
        weakref.finalize(self, self._zip.close)
        self._entries = {entry.filename: entry for entry in self._zip.infolist()}
        # Some writers put the whole folder into the file, not what is in it.
        documents = (".zgroup", ".zattrs", ".zarray", "zarr.json")
        tops = {name.split("/", 1)[0] for name in self._entries}
        nested = len(tops) == 1 and not any(name in self._entries for name in documents)
        self._top = f"{next(iter(tops))}/" if nested else ""

    def document(self, node: str, name: str) -> Any | None:
        """See `Store.document`."""
        data = self._read(name_in("", node, name), DOCUMENT_BYTES)
        return None if data is None else parse_document(data, name_in(self.where, node, name))

    def children(self, node: str) -> list[str]:
        """See `Store.children`."""
        below = self._top + (f"{node}/" if node else "")
        inside = (name[len(below) :] for name in self._entries if name.startswith(below))
        return sorted({rest.split("/", 1)[0] for rest in inside if "/" in rest})

    def folder(self, node: str) -> str | None:  # noqa: ARG002
        """See `Store.folder`: there is none."""
        return None

    def kvstore(self, node: str) -> dict[str, Any] | None:  # noqa: ARG002
        """See `Store.kvstore`: the file would be opened once for each array."""
        return None

    def for_zarr(self, node: str) -> tuple[Any, str]:
        """See `Store.for_zarr`."""
        from zarr.storage import ZipStore

        store = ZipStore(self.where, mode="r")
        weakref.finalize(self, store.close)
        return store, (self._top + node).rstrip("/")

    def sizes(self, node: str, prefix: str, separator: str) -> Callable[[Index], int | None]:
        """See `Store.sizes`."""
        stem = self._top + (f"{node}/" if node else "") + prefix

        def size(index: Index) -> int | None:
            entry = self._entries.get(stem + separator.join(map(str, index)))
            return None if entry is None else entry.file_size

        return size

    def chunks(self, node: str, prefix: str, separator: str, nbytes_most: int) -> Fetch:
        """See `Store.chunks`."""
        stem = (f"{node}/" if node else "") + prefix

        def fetch(index: Index) -> memoryview | None:
            data = self._read(stem + separator.join(map(str, index)), nbytes_most)
            return None if data is None else memoryview(data)

        return fetch

    def shards(self, *_: Any, **__: Any) -> Fetch | None:
        """See `Store.shards`: there is no reading a part of a compressed file."""
        return None

    def _read(self, name: str, nbytes_most: int) -> bytes | None:
        entry = self._entries.get(self._top + name)
        if entry is None:
            return None
        where = name_in(self.where, name)
        if entry.file_size > nbytes_most:
            raise SourceError(f"{where} is longer than it can be ({entry.file_size} bytes): it is damaged")
        try:
            return self._zip.read(entry)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
            raise SourceError(f"{where} cannot be read ({error}): the zip file is damaged") from error


def find_arrays(store: Store, node: str = "", most: int = 8) -> list[str]:
    """Paths of the first arrays below a node, breadth first: for telling what there is to open instead."""
    found: list[str] = []
    budget = _SEARCH_FOLDERS
    level = [node]
    for _ in range(_SEARCH_DEPTH + 1):
        following: list[str] = []
        for path in level:
            budget -= 1
            if budget < 0 or len(found) >= most:
                return found
            if _is_array(store, path):
                found.append(path)
            else:
                following.extend(name_in("", path, child) for child in store.children(path))
        level = following
    return found


def _is_array(store: Store, node: str) -> bool:
    try:
        document = store.document(node, "zarr.json")
        if document is not None:
            return isinstance(document, dict) and document.get("node_type") == "array"
        return store.document(node, ".zarray") is not None
    except SourceError:
        return False
