"""Where a Zarr hierarchy lies: a folder, or a zip file. Reads metadata documents and encoded chunks by their names.

The danger that lives here is the file system: whatever the names in a stranger's metadata, and whatever links lie
among the files, nothing outside the folder is read. Knows nothing of what the documents or the chunks mean.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
import weakref
import zipfile
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from octree_loader.sources.base import SourceError

Index = tuple[int, ...]

#: Gives a chunk's encoded bytes, valid until the same thread's next call, or None where nothing is stored.
Fetch = Callable[[Index], memoryview | None]

#: Metadata documents are read as a whole. The largest honest ones (consolidated plates) have some hundred KiB.
DOCUMENT_BYTES = 4 << 20

#: Folders known to lie inside the root: a bound on memory, not a limit of anything else.
_KNOWN_FOLDERS = 1 << 16

#: Folders looked into, and names told, where a hierarchy has to be searched for its arrays.
_SEARCH_FOLDERS, _SEARCH_DEPTH = 256, 3

#: The same read may succeed later.
_TRANSIENT = {errno.EAGAIN, errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.EBUSY, errno.EMFILE, errno.ENFILE}

# Neither a link nor a pipe may hold us up: a link is looked into before it is followed, a pipe reads as empty.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


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

    def sizes(self, node: str, prefix: str, separator: str) -> Callable[[Index], int | None]:
        """How to get the encoded length of the chunks of the array at `node`: None where nothing is stored."""
        ...

    def folder(self, node: str) -> str | None:
        """The folder of a node for those who read files themselves, if there is one."""
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


def _parse(data: bytes, where: str) -> Any:
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
            if not _inside(path, self._root):
                raise SourceError(f"{where} is a link that leads out of the dataset: copy what it points to")
            descriptor = os.open(os.path.realpath(path), _OPEN_FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failed(where, error) from error
        with open(descriptor, "rb", buffering=0) as file:
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise SourceError(f"{where} is no file")
                data = b"".join(iter(lambda: file.read(1 << 20) if file.tell() <= DOCUMENT_BYTES else b"", b""))
            except OSError as error:
                raise _failed(where, error) from error
        return _parse(data, where)

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
        if not _inside(folder, self._root):
            raise SourceError(f"{name_in(self.where, node)} is a link that leads out of the dataset: copy the array")
        return folder

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
                    raise _vanished(folder) from None
                return None
            except OSError as error:
                raise _failed(path, error) from error
            if path not in known:
                if not _inside(path, self._root):
                    raise SourceError(f"{path} is a link that leads out of the dataset: copy what it points to")
                if len(known) >= _KNOWN_FOLDERS:
                    known.clear()
                known.add(path)
            if not stat.S_ISREG(found.st_mode):
                raise SourceError(f"{path} is no file")
            return found.st_size

        return size

    def chunks(self, node: str, prefix: str, separator: str, nbytes_most: int) -> Fetch:
        """See `Store.chunks`."""
        return ChunkFiles(self._root, self.folder(node), prefix, separator, nbytes_most).fetch


class _Buffer(threading.local):
    """One thread's buffer for encoded chunks: as long as the longest so far, so that reading allocates nothing."""

    def __init__(self) -> None:
        self.view = memoryview(b"")

    def of(self, nbytes: int) -> memoryview:
        """A buffer of at least that many bytes; numpy's are not touched until they are used."""
        if len(self.view) < nbytes:
            self.view = memoryview(np.empty(nbytes, np.uint8))  # type: ignore[arg-type]
        return self.view


_buffer = _Buffer()


class ChunkFiles:
    """The chunks of one array, a file each."""

    def __init__(self, root: str, folder: str, prefix: str, separator: str, nbytes_most: int) -> None:
        self._root = root
        self._folder = folder
        self._separator = separator
        self._nbytes_most = nbytes_most
        self._prefix = f"{folder}/{prefix}"
        # Everything of a name but its last number, by the other numbers: to build it costs more than to look it up.
        self._stems: dict[Index, str] = {}

    def fetch(self, index: Index) -> memoryview | None:
        """See `Fetch`."""
        stem = self._stems.get(index[:-1])
        path = f"{stem or self._stem(index)}{index[-1]}"
        try:
            descriptor = os.open(path, _OPEN_FLAGS)
        except OSError as error:
            resolved = self._resolve(path, error)
            if resolved is None:
                return None
            descriptor = resolved
        try:
            if stem is None:
                self._remember(index)
            view = _buffer.view
            if len(view) <= self._nbytes_most:
                view = _buffer.of(self._nbytes_most + 1)
            length = os.readv(descriptor, (view,))
            # A network's file system may give less than there is: only nothing at all is the end.
            while length <= self._nbytes_most and (more := os.readv(descriptor, (view[length:],))):
                length += more
        except OSError as error:
            raise _failed(path, error) from error
        finally:
            os.close(descriptor)
        if length > self._nbytes_most:
            raise SourceError(f"{path} is longer than any chunk of this array can be: it is damaged, write it again")
        return view[:length]

    def _stem(self, index: Index) -> str:
        return self._prefix + "".join(f"{i}{self._separator}" for i in index[:-1])

    def _remember(self, index: Index) -> None:
        """Take the folder of a chunk that was opened for a known one, unless a link led out of the dataset to it."""
        stem = self._stem(index)
        folder = os.path.dirname(stem)
        if folder != self._folder and not _inside(folder, self._root):
            raise SourceError(f"{folder} is a link that leads out of the dataset: copy what it points to")
        if len(self._stems) >= _KNOWN_FOLDERS:
            self._stems.clear()
        self._stems[index[:-1]] = stem

    def _resolve(self, path: str, error: OSError) -> int | None:
        """What to read of a chunk that did not open at once: nothing (None), or what a link in the root points to."""
        if error.errno == errno.ENOENT:
            # No chunk and no array any more are two things: an unmounted disk is not black.
            if not os.path.isdir(self._folder):
                raise _vanished(self._folder) from error
            return None
        if error.errno == errno.ELOOP and os.path.islink(path):
            if not _inside(path, self._root):
                raise SourceError(f"{path} is a link that leads out of the dataset: copy what it points to") from error
            try:
                return os.open(os.path.realpath(path), _OPEN_FLAGS)
            except FileNotFoundError:
                return None
            except OSError as second:
                raise _failed(path, second) from second
        raise _failed(path, error) from error


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
        return None if data is None else _parse(data, name_in(self.where, node, name))

    def children(self, node: str) -> list[str]:
        """See `Store.children`."""
        below = self._top + (f"{node}/" if node else "")
        inside = (name[len(below) :] for name in self._entries if name.startswith(below))
        return sorted({rest.split("/", 1)[0] for rest in inside if "/" in rest})

    def folder(self, node: str) -> str | None:  # noqa: ARG002
        """See `Store.folder`: there is none."""
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


def _inside(path: str, root: str) -> bool:
    """Whether `path`, with all its links followed, lies in `root` (which has none)."""
    resolved = os.path.realpath(path)
    return resolved == root or resolved.startswith(root if root.endswith("/") else root + "/")


def _vanished(folder: str) -> SourceError:
    return SourceError(f"{folder} has vanished since it was opened: is its disk still mounted?", transient=True)


def _failed(where: str, error: OSError) -> SourceError:
    return SourceError(f"{where} cannot be read: {error.strerror or error}", transient=error.errno in _TRANSIENT)
