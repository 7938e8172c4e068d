"""The chunks of an array in a remote store: files, or parts of shards, read with as few requests as it takes.

A shard's index is read once and kept; neighbouring chunks of a shard come with one request (`spans`). Knows nothing of
what the bytes mean, nor of how a store is spoken to (`remote_files`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.base import SourceError
from octree_loader.sources.remote_files import DistantFiles
from octree_loader.sources.shards import ABSENT, INDICES_BYTES, parse_index
from octree_loader.sources.spans import Request, Span, coalesce

Index = tuple[int, ...]

#: Encoded bytes that one call holds at most, unless a single chunk is longer.
_HELD_BYTES = 64 << 20


class RemoteChunks:
    """The chunks of one array, a file each; calling it is a `chunk_files.Fetch`.

    Parameters
    ----------
    stem
        All of a chunk's path before its numbers.
    """

    gathers = False

    def __init__(self, files: DistantFiles, stem: str, separator: str, nbytes_most: int) -> None:
        self._files = files
        self._stem = stem
        self._separator = separator
        self._nbytes_most = nbytes_most
        self._batch = max(1, _HELD_BYTES // nbytes_most)

    def __call__(self, index: Index) -> memoryview | None:
        """See `chunk_files.Fetch`."""
        return self._files.read(self._path(index), self._nbytes_most)

    def many(self, indices: Sequence[Index]) -> Iterator[tuple[Index, memoryview | None]]:
        """Several chunks, with their indices, several requests under way."""
        for first in range(0, len(indices), self._batch):
            batch = indices[first : first + self._batch]
            paths = [self._path(index) for index in batch]
            yield from zip(batch, self._files.read_many(paths, self._nbytes_most), strict=True)

    def _path(self, index: Index) -> str:
        return self._stem + self._separator.join(map(str, index))


class RemoteShards:
    """The chunks of one sharded array; calling it is a `chunk_files.Fetch`.

    Parameters
    ----------
    stem
        All of a shard's path before its numbers.
    chunks_per_shard
        Along each axis.
    at_end
        Where the index of a shard is.
    """

    gathers = True

    def __init__(
        self, files: DistantFiles, stem: str, separator: str, nbytes_most: int, chunks_per_shard: Index, at_end: bool
    ) -> None:
        self._files = files
        self._stem = stem
        self._separator = separator
        self._nbytes_most = nbytes_most
        self._per_shard = chunks_per_shard
        self._at_end = at_end
        self._index_bytes = 16 * math.prod(chunks_per_shard)
        self._strides = [math.prod(chunks_per_shard[axis + 1 :]) for axis in range(len(chunks_per_shard))]
        #: Of each shard its index, or what will be: who wants it meanwhile waits for the first one's request.
        self._indices: dict[Index, Future[NDArray[np.uint64] | None]] = {}
        self._changing = threading.Lock()

    def __call__(self, index: Index) -> memoryview | None:
        """See `chunk_files.Fetch`."""
        return next(self.many([index]))[1]

    def many(self, indices: Sequence[Index]) -> Iterator[tuple[Index, memoryview | None]]:
        """Several chunks, with their indices, in the order that costs least."""
        shards: dict[Index, list[Index]] = {}
        for index in indices:
            shard = tuple([i // n for i, n in zip(index, self._per_shard, strict=True)])
            shards.setdefault(shard, []).append(index)
        for shard, members in shards.items():
            yield from self._of_shard(shard, members)

    def _of_shard(self, shard: Index, indices: list[Index]) -> Iterator[tuple[Index, memoryview | None]]:
        path = self._stem + self._separator.join(map(str, shard))
        table = self._index_of(shard, path)
        if table is None:
            yield from ((index, None) for index in indices)
            return
        stored: list[Index] = []
        spans: list[Span] = []
        for index in indices:
            entry = sum([i % n * stride for i, n, stride in zip(index, self._per_shard, self._strides, strict=True)])
            offset, length = table[entry].tolist()
            if offset == ABSENT and length == ABSENT:
                yield index, None
                continue
            if length > self._nbytes_most or offset + length >= 1 << 63:
                raise SourceError(
                    f"{self._files.place(path)} is damaged: its index places chunk {index} at byte {offset}, "
                    f"{length} bytes long; write it again"
                )
            if length == 0:
                yield index, memoryview(b"")
                continue
            stored.append(index)
            spans.append(Span(offset, offset + length))
        requests = coalesce(spans)
        while requests:
            held = 0
            batch: list[Request] = []
            while requests and (not batch or held + requests[0].high - requests[0].low <= _HELD_BYTES):
                batch.append(requests.pop(0))
                held += batch[-1].high - batch[-1].low
            parts = self._files.read_parts(path, batch)
            for number, request in enumerate(batch):
                for member in request.members:
                    low, high = (bound - request.low for bound in spans[member])
                    yield stored[member], None if parts is None else parts[number][low:high]

    def _index_of(self, shard: Index, path: str) -> NDArray[np.uint64] | None:
        """The index of a shard, or None if there is no such file."""
        with self._changing:
            known = self._indices.get(shard)
            mine: Future[NDArray[np.uint64] | None] | None = None
            if known is None:
                if (len(self._indices) + 1) * (self._index_bytes + 256) > INDICES_BYTES:
                    self._indices.clear()
                known = mine = self._indices[shard] = Future()
        if mine is not None:
            table: NDArray[np.uint64] | None = None
            try:
                table = self._read_index(path)
                mine.set_result(table)
            except BaseException as error:
                mine.set_exception(error)
            finally:
                if table is None:  # what is missing or failed may be there the next time
                    with self._changing:
                        self._indices.pop(shard, None)
        return known.result()

    def _read_index(self, path: str) -> NDArray[np.uint64] | None:
        length = self._index_bytes + 4
        if self._at_end:
            data = self._files.read_end(path, length)
        else:
            parts = self._files.read_parts(path, [Request(0, length, (0,))])
            data = None if parts is None else parts[0]
        return None if data is None else parse_index(bytes(data), length, self._files.place(path))
