"""One file on another machine: read in parts, or through a stream for the libraries that parse a file's structure.

What is read is always of the file that was opened: one that has changed meanwhile is an error, never a mixture. Voxels
come by `RemoteFile.read_spans`, several requests under way; the stream is for headers and tables, keeps few blocks, and
reads ahead where it sees a pattern. Knows nothing of formats, and speaks to no store itself (`remote_files`).
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from octree_loader.sources.base import SourceError
from octree_loader.sources.readahead import BLOCK_BYTES, ReadAhead
from octree_loader.sources.remote_files import Beginning, RemoteFiles
from octree_loader.sources.spans import GAP_BYTES, Request, Span, coalesce

#: Of a server that does not send parts, files up to this length are kept in memory.
WHOLE_BYTES = 64 << 20

#: Of each file the beginning is read when it is found: it tells what the file is, and often all about it.
HEAD_BYTES = 128 << 10

#: Blocks that one stream keeps, 12 MiB: libraries go through the pages of a stack several times.
BLOCKS_KEPT = 192

#: Bytes that one call holds at most, unless a single span is longer.
HELD_BYTES = 64 << 20

#: Reads of a stream that are longer go past the blocks.
_LONG_BYTES = 2 << 20


def find_remote_file(files: RemoteFiles, path: str) -> RemoteFile | None:
    """The file at a path, or None if there is none (or none that may be read). One request."""
    beginning = files.read_beginning(path, HEAD_BYTES, WHOLE_BYTES)
    return None if beginning is None else RemoteFile(files, path, beginning)


class RemoteFile:
    """See `image_file.ImageFile`; safe to use from several threads.

    Parameters
    ----------
    files
        Where it lies.
    path
        In `files`.
    beginning
        Its first bytes, and what the file was like then.
    """

    def __init__(self, files: RemoteFiles, path: str, beginning: Beginning) -> None:
        self.where = files.place(path)
        self.name = path.rpartition("/")[2]
        self.size = beginning.identity.size
        self.files = files
        self._path = path
        self._identity = beginning.identity
        self._head = beginning.data

    def identity(self) -> str:
        """See `Identity.told`."""
        return self._identity.told()

    def head(self, nbytes: int) -> bytes:
        """The first bytes."""
        return bytes(self._head[:nbytes])

    def read_all(self, nbytes_most: int) -> memoryview:
        """All of it; longer files are refused before they come."""
        if self.size > nbytes_most:
            raise SourceError(f"{self.where} has {self.size} bytes: so much is not read as a whole")
        requests = range(0, self.size, _LONG_BYTES)
        parts = self.read_spans([Span(low, min(low + _LONG_BYTES, self.size)) for low in requests], gap=-1)
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))

    def read_spans(self, spans: Sequence[Span], gap: int = GAP_BYTES) -> list[memoryview]:
        """The bytes of each span. What lies close together comes with one request.

        Raises
        ------
        SourceError
            If the file ends before, has changed, or cannot be read.
        """
        for span in spans:
            if not 0 <= span.low <= span.high <= self.size:
                raise SourceError(
                    f"{self.where} is truncated: it has {self.size} bytes, and bytes {span.low} to {span.high} are "
                    f"wanted; copy it again"
                )
        found = [self._head[span.low : span.high] for span in spans]
        distant = [number for number, span in enumerate(spans) if span.high > len(self._head)]
        requests = coalesce([spans[number] for number in distant], gap) if distant else []
        parts = self._files_read(requests)
        for request, part in zip(requests, parts, strict=True):
            for member in request.members:
                number = distant[member]
                found[number] = part[spans[number].low - request.low : spans[number].high - request.low]
        return found

    def read_batches(self, spans: Sequence[Span]) -> Iterator[memoryview]:
        """The same, in the order of the spans, of which only so many are held at a time."""
        first = held = 0
        for number, span in enumerate(spans):
            held += span.high - span.low
            if number > first and held > HELD_BYTES:
                yield from self.read_spans(spans[first:number])
                first, held = number, span.high - span.low
        if spans:
            yield from self.read_spans(spans[first:])

    def beside(self, suffix: str, nbytes_most: int) -> memoryview | None:
        """See `image_file.ImageFile.beside`."""
        return self.files.read(os.path.splitext(self._path)[0] + suffix, nbytes_most)

    def stream(self) -> RemoteStream:
        """The file for a library that wants to seek and read; it is for one thread at a time."""
        return RemoteStream(self)

    def _files_read(self, requests: Sequence[Request]) -> list[memoryview]:
        if not requests:
            return []
        return self.files.read_same(self._path, self._identity, [Span(r.low, r.high) for r in requests])


class RemoteStream(io.RawIOBase):
    """A `RemoteFile` as Python's files are.

    Libraries swallow errors, and take a table that could not be read for one that is not there. So what goes wrong is
    remembered, a thread each, and raised by `watched`.
    """

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self.file = file
        #: A folder in which nothing can be: no library finds other files beside this one.
        self.name = f"/dev/null/{file.name}"
        self.mode = "rb"
        self._at = 0
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()
        self._ahead = ReadAhead()
        self._expected: list[tuple[int, memoryview]] = []
        self._failures = threading.local()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Raise what went wrong with a read of this thread inside of the block, whatever became of it there."""
        try:
            yield
        finally:
            failure: SourceError | None = self._failures.__dict__.pop("first", None)
            if failure is not None:
                try:
                    raise failure from None
                finally:
                    # Not for the garbage collector: it runs in any thread, and what a frame here holds of HDF5 can only
                    # be freed with that library's lock, whose holder may be waiting for that very thread.
                    del failure

    @contextlib.contextmanager
    def expecting(self, spans: Sequence[Span]) -> Iterator[None]:
        """Read these spans now, together: inside of the block, reads in them cost nothing."""
        parts = self.file.read_spans(spans)
        self._expected = [(span.low, part) for span, part in zip(spans, parts, strict=True)]
        try:
            yield
        finally:
            self._expected = []

    # --- what `io` wants ---------------------------------------------------------------------------------------------

    def readable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def tell(self) -> int:
        """See `io.IOBase`."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.file.size}[whence]
        if base + offset < 0:
            raise OSError(f"{self.file.where} has no place {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: object) -> int:
        """See `io.RawIOBase`."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # whatever is writable
        length = max(0, min(len(view), self.file.size - self._at))
        try:
            self._fill(view[:length], self._at)
        except SourceError as error:
            self._failures.__dict__.setdefault("first", error)
            raise
        self._at += length
        return length

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _fill(self, view: memoryview, at: int) -> None:
        if not view:
            return
        end = at + len(view)
        for low, data in self._expected:
            if low <= at and end <= low + len(data):
                view[:] = data[at - low : end - low]
                return
        if len(view) > _LONG_BYTES:
            view[:] = self.file.read_spans([Span(at, end)])[0]
            return
        wanted = range(at // BLOCK_BYTES, -(-end // BLOCK_BYTES))
        self._load([number for number in wanted if number not in self._blocks], at)
        for number in wanted:
            self._blocks.move_to_end(number)
            start = number * BLOCK_BYTES
            low, high = max(at, start), min(end, start + BLOCK_BYTES)
            view[low - at : high - at] = self._blocks[number][low - start : high - start]
        while len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)

    def _load(self, missing: list[int], at: int) -> None:
        if not missing:
            return
        size = self.file.size
        also = self._ahead.missed(max(at, missing[0] * BLOCK_BYTES), size)
        numbers = sorted({*missing, *(number for number in also if number not in self._blocks)})
        spans = [Span(number * BLOCK_BYTES, min(size, (number + 1) * BLOCK_BYTES)) for number in numbers]
        for number, data in zip(numbers, self.file.read_spans(spans, gap=0), strict=True):
            # A copy: a part of a longer answer would hold all of it.
            self._blocks[number] = memoryview(bytes(data))
