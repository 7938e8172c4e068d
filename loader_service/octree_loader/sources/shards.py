"""Shards: files that hold many chunks and an index of them, read a chunk at a time.

https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html: the index is at the file's end or
start, two little-endian uint64 a chunk (offset, length; all bits set where there is none), then a CRC-32C of it. Reads
those indices that the specification recommends and every writer writes; other shards are for `tensor`. Knows nothing of
what the chunks mean.
"""

from __future__ import annotations

import math
import os
import struct
import threading

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.base import SourceError
from octree_loader.sources.chunk_files import ChunkFiles, Index, encoded, read_failed

#: Indices of shards kept, in bytes, for each array: to read one costs as much as to read a chunk.
INDICES_BYTES = 16 << 20

#: The longest index that is read as a whole: a million chunks in one shard.
INDEX_BYTES = 16 << 20

ABSENT = (1 << 64) - 1


class ShardFiles:
    """The chunks of one sharded array.

    Parameters
    ----------
    files
        The files of the shards.
    chunks_per_shard
        Along each axis.
    at_end
        Where the index is.
    nbytes_most
        No encoded chunk may be longer.
    """

    def __init__(self, files: ChunkFiles, chunks_per_shard: Index, at_end: bool, nbytes_most: int) -> None:
        self._files = files
        self._per_shard = chunks_per_shard
        self._at_end = at_end
        self._nbytes_most = nbytes_most
        self._index_bytes = 16 * math.prod(chunks_per_shard)
        self._strides = [math.prod(chunks_per_shard[axis + 1 :]) for axis in range(len(chunks_per_shard))]
        #: Of each shard what the file was like (so that one written anew is noticed), and its index.
        self._indices: dict[Index, tuple[tuple[int, int, int], NDArray[np.uint64]]] = {}
        self._changing = threading.Lock()

    def fetch(self, index: Index) -> memoryview | None:
        """See `chunk_files.Fetch`."""
        shard = tuple([i // n for i, n in zip(index, self._per_shard, strict=True)])
        opened = self._files.open(shard)
        if opened is None:
            return None
        descriptor, path = opened
        try:
            status = os.fstat(descriptor)
            identity = (status.st_ino, status.st_size, status.st_mtime_ns)
            known = self._indices.get(shard)
            if known is None or known[0] != identity:
                known = self._remember(shard, identity, self._read_index(descriptor, status.st_size, path))
            entry = sum([i % n * stride for i, n, stride in zip(index, self._per_shard, self._strides, strict=True)])
            offset, length = known[1][entry].tolist()
            if offset == ABSENT and length == ABSENT:
                return None
            if length > self._nbytes_most or offset + length > status.st_size:
                raise SourceError(
                    f"{path} is damaged: its index places chunk {index} at byte {offset}, {length} bytes long; "
                    f"write it again"
                )
            view = encoded.of(length)[:length]
            got = os.preadv(descriptor, (view,), offset)
            while got < length and (more := os.preadv(descriptor, (view[got:],), offset + got)):
                got += more
        except OSError as error:
            raise read_failed(path, error) from error
        finally:
            os.close(descriptor)
        return view[:got]

    def _remember(
        self, shard: Index, identity: tuple[int, int, int], table: NDArray[np.uint64]
    ) -> tuple[tuple[int, int, int], NDArray[np.uint64]]:
        with self._changing:
            if (len(self._indices) + 1) * (self._index_bytes + 256) > INDICES_BYTES:
                self._indices.clear()
            self._indices[shard] = identity, table
        return identity, table

    def _read_index(self, descriptor: int, size: int, path: str) -> NDArray[np.uint64]:
        length = self._index_bytes + 4
        return parse_index(os.pread(descriptor, length, max(0, size - length) if self._at_end else 0), length, path)


def parse_index(data: bytes, length: int, path: str) -> NDArray[np.uint64]:
    """The index of a shard: (offset, length) of each chunk, in C order.

    Parameters
    ----------
    data
        What was read of it; must be `length` bytes, the checksum included.
    path
        Names the shard in errors.
    """
    import google_crc32c  # zarr needs it as well; plain arrays do not, and start without

    if len(data) != length:
        raise SourceError(
            f"{path} is truncated: its {len(data)} bytes are less than the index of a shard; write it again"
        )
    (checksum,) = struct.unpack("<I", data[-4:])
    if google_crc32c.value(data[:-4]) != checksum:
        raise SourceError(f"{path} is truncated or corrupt: the checksum of its index is wrong; write it again")
    return np.frombuffer(data, "<u8", count=length // 8).reshape(-1, 2)
