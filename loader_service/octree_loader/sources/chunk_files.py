"""The chunks of an array, a file each, read into one buffer a thread.

The danger that lives here is the file system: whatever links lie among the files, nothing outside the dataset's folder
is read, and neither a pipe nor an endless file holds us up. Knows nothing of what the bytes mean.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import numpy as np

from octree_loader.sources.base import SourceError

Index = tuple[int, ...]

#: Gives a chunk's encoded bytes, valid until the same thread's next call, or None where nothing is stored.
Fetch = Callable[[Index], memoryview | None]

#: Folders known to lie inside the root: a bound on memory, not a limit of anything else.
KNOWN_FOLDERS = 1 << 16

#: The same read may succeed later.
_TRANSIENT = {errno.EAGAIN, errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.EBUSY, errno.EMFILE, errno.ENFILE}

# Neither a link nor a pipe may hold us up: a link is looked into before it is followed, a pipe reads as empty.
OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class _Buffer(threading.local):
    """One thread's buffer for encoded chunks: as long as the longest so far, so that reading allocates nothing."""

    def __init__(self) -> None:
        self.view = memoryview(b"")

    def of(self, nbytes: int) -> memoryview:
        """A buffer of at least that many bytes; numpy's are not touched until they are used."""
        if len(self.view) < nbytes:
            self.view = memoryview(np.empty(nbytes, np.uint8))  # type: ignore[arg-type]
        return self.view


#: Where this thread has the encoded bytes of the chunk that it reads.
encoded = _Buffer()


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
        opened = self.open(index)
        if opened is None:
            return None
        descriptor, path = opened
        try:
            view = encoded.view
            if len(view) <= self._nbytes_most:
                view = encoded.of(self._nbytes_most + 1)
            length = os.readv(descriptor, (view,))
            # A network's file system may give less than there is: only nothing at all is the end.
            while length <= self._nbytes_most and (more := os.readv(descriptor, (view[length:],))):
                length += more
        except OSError as error:
            raise read_failed(path, error) from error
        finally:
            os.close(descriptor)
        if length > self._nbytes_most:
            raise SourceError(f"{path} is longer than any chunk of this array can be: it is damaged, write it again")
        return view[:length]

    def open(self, index: Index) -> tuple[int, str] | None:
        """The descriptor, to be closed, and the path of a file, or None if there is none."""
        stem = self._stems.get(index[:-1])
        path = f"{stem or self._stem(index)}{index[-1]}"
        try:
            descriptor = os.open(path, OPEN_FLAGS)
        except OSError as error:
            resolved = self._resolve(path, error)
            if resolved is None:
                return None
            descriptor = resolved
        if stem is None:
            try:
                self._remember(index)
            except SourceError:
                os.close(descriptor)
                raise
        return descriptor, path

    def _stem(self, index: Index) -> str:
        return self._prefix + "".join(f"{i}{self._separator}" for i in index[:-1])

    def _remember(self, index: Index) -> None:
        """Take the folder of a chunk that was opened for a known one, unless a link led out of the dataset to it."""
        stem = self._stem(index)
        folder = os.path.dirname(stem)
        if folder != self._folder and not lies_in(folder, self._root):
            raise SourceError(f"{folder} is a link that leads out of the dataset: copy what it points to")
        if len(self._stems) >= KNOWN_FOLDERS:
            self._stems.clear()
        self._stems[index[:-1]] = stem

    def _resolve(self, path: str, error: OSError) -> int | None:
        """What to read of a chunk that did not open at once: nothing (None), or what a link in the root points to."""
        if error.errno == errno.ENOENT:
            # No chunk and no array any more are two things: an unmounted disk is not black.
            if not os.path.isdir(self._folder):
                raise vanished(self._folder) from error
            return None
        if error.errno == errno.ELOOP and os.path.islink(path):
            if not lies_in(path, self._root):
                raise SourceError(f"{path} is a link that leads out of the dataset: copy what it points to") from error
            try:
                return os.open(os.path.realpath(path), OPEN_FLAGS)
            except FileNotFoundError:
                return None
            except OSError as second:
                raise read_failed(path, second) from second
        raise read_failed(path, error) from error


def lies_in(path: str, root: str) -> bool:
    """Whether `path`, with all its links followed, lies in `root` (which has none)."""
    resolved = os.path.realpath(path)
    return resolved == root or resolved.startswith(root if root.endswith("/") else root + "/")


def vanished(folder: str) -> SourceError:
    return SourceError(f"{folder} has vanished since it was opened: is its disk still mounted?", transient=True)


def read_failed(where: str, error: OSError) -> SourceError:
    return SourceError(f"{where} cannot be read: {error.strerror or error}", transient=error.errno in _TRANSIENT)
