"""The bytes of TIFF files: of this machine, mapped or read where they lie, or of another one.

Knows nothing of pages.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.base import SourceError
from octree_loader.sources.chunk_files import lies_in, read_failed
from octree_loader.sources.remote_file import RemoteStream
from octree_loader.sources.spans import Span

#: Files beside the first one (an OME-TIFF may lie in many) that are open at the same time.
OPEN_FILES = 16


class Place(NamedTuple):
    """Bytes of a file; `what` they are, for an error."""

    path: str
    offset: int
    length: int
    what: str


class Files(Protocol):
    """The files that an image lies in."""

    #: Whether they can be mapped into memory.
    maps: bool

    def read(self, places: Sequence[Place]) -> Iterator[bytes | memoryview]:
        """The bytes at each place, all of them."""
        ...

    def mapped(self, path: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """A part of a file as an array; valid as long as the file is not cut."""
        ...

    def may_read(self, path: str) -> bool:
        """Whether a file that a page is said to lie in may be read."""
        ...

    def watched(self) -> contextlib.AbstractContextManager[None]:
        """See `image_file.watched`, of the stream that tifffile reads."""
        ...


class LocalFiles:
    """`Files` of this machine: descriptors, read with `os.pread`: no thread waits for another's seek."""

    maps = True

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: dict[str, _File] = {path: _File(path)}
        self._changing = threading.Lock()

    def read(self, places: Sequence[Place]) -> Iterator[bytes]:
        """See `Files.read`."""
        return (self._of(place.path).read(place.offset, place.length, place.what) for place in places)

    def mapped(self, path: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """See `Files.mapped`."""
        return self._of(path).mapped(offset, shape, dtype)

    def may_read(self, path: str) -> bool:
        """See `Files.may_read`: what lies beside the first one, or below."""
        return lies_in(path, os.path.dirname(os.path.realpath(self._path)))

    def watched(self) -> contextlib.AbstractContextManager[None]:
        """See `Files.watched`."""
        return contextlib.nullcontext()

    def _of(self, path: str) -> _File:
        """An open file."""
        with self._changing:
            found = self._open.get(path)
            if found is None:
                if len(self._open) > OPEN_FILES:
                    self._open.pop(next(p for p in self._open if p != self._path))
                found = self._open[path] = _File(path)
            return found


class _File:
    """One open file; closed when nobody reads from it any more."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise read_failed(path, error) from error
        weakref.finalize(self, os.close, self.descriptor)
        self._map: mmap.mmap | None = None

    def read(self, offset: int, length: int, what: str) -> bytes:
        """So many bytes, all of them."""
        try:
            data = os.pread(self.descriptor, length, offset)
            while len(data) < length and (more := os.pread(self.descriptor, length - len(data), offset + len(data))):
                data += more
        except OverflowError:
            data = b""
        except OSError as error:
            raise read_failed(self.path, error) from error
        if len(data) < length:
            raise SourceError(
                f"{what} of {self.path} is truncated: {len(data)} of its {length} bytes are there; copy the file again"
            )
        return data

    def mapped(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """A part of the file as an array; valid as long as the file is not cut."""
        end = offset + math.prod(shape) * dtype.itemsize
        # To read a mapped file beyond its end kills the process, so the end is looked at first.
        length = os.fstat(self.descriptor).st_size
        if end > length:
            raise SourceError(f"{self.path} is truncated: it has {length} of {end} bytes; copy it again")
        if self._map is None or len(self._map) < end:
            self._map = mmap.mmap(self.descriptor, length, prot=mmap.PROT_READ)
        return np.ndarray(shape, dtype, self._map, offset)


class RemoteFiles:
    """`Files` of another machine: one, which tifffile reads through `stream`."""

    maps = False

    def __init__(self, stream: RemoteStream) -> None:
        self._stream = stream

    def read(self, places: Sequence[Place]) -> Iterator[memoryview]:
        """See `Files.read`."""
        return self._stream.file.read_batches([Span(p.offset, p.offset + p.length) for p in places])

    def mapped(self, path: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """See `Files.mapped`: there is nothing to map."""
        raise NotImplementedError

    def may_read(self, path: str) -> bool:
        """See `Files.may_read`."""
        return path == self._stream.name

    def watched(self) -> contextlib.AbstractContextManager[None]:
        """See `Files.watched`."""
        return self._stream.watched()
