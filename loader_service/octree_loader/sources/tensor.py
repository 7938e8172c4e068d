"""Zarr arrays that are not read by hand: filters, rarer codecs (in shards too), a foreign byte order.

tensorstore reads them, several storage chunks under way at once; zarr-python reads what tensorstore cannot. Both come
in with the first such array and not before. Knows nothing of pyramids.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.allowance import memory_allowance
from octree_loader.sources.base import Box, LevelArray, Piece, SourceError
from octree_loader.sources.boxes import Gathering, Index, gather, indices_of, overlap_of, slices_of
from octree_loader.sources.codec_chain import chain_decoder, widest_bytes
from octree_loader.sources.codecs import encoded_bytes_most
from octree_loader.sources.direct import DirectArray
from octree_loader.sources.locations import shown_text
from octree_loader.sources.stores import Store, name_in
from octree_loader.sources.zarr_metadata import ArrayMetadata

#: Reads under way at once in one call: enough to hide a disk's latency, and each holds a decoded storage chunk.
READS_UNDER_WAY = 8

#: Threads of tensorstore for decoding and for files. The pools are our parallelism: more would take the cores from the
#: other workers.
DECODING_THREADS, FILE_THREADS = 1, 4

#: Requests to a distant store that one process has under way.
REQUESTS_UNDER_WAY = 32


def open_foreign_array(store: Store, node: str, metadata: ArrayMetadata) -> LevelArray:
    """Open an array with tensorstore, or with zarr-python where that cannot. Raises `SourceError`."""
    where = name_in(store.where, node)
    folder = store.folder(node)
    sizes = store.sizes(node, metadata.key_prefix, metadata.separator)
    if folder is not None:
        try:
            return TensorArray(where, metadata, sizes, _open_tensor(folder, metadata.zarr_format))
        except (ValueError, NotImplementedError, OverflowError):
            pass  # a codec that tensorstore does not have: numcodecs has more
    try:
        document: Any = store.document(node, "zarr.json" if metadata.zarr_format == 3 else ".zarray")
        decode = chain_decoder(document, metadata)
    except (LookupError, TypeError, ValueError, AttributeError):
        decode = None  # zarr-python says what is wrong
    if decode is not None:
        fetch = store.chunks(node, metadata.key_prefix, metadata.separator, widest_bytes(document, metadata))

        def name_chunk(index: Index) -> str:
            return name_in(where, metadata.key_prefix + metadata.separator.join(map(str, index)))

        return DirectArray(where, metadata, fetch, decode, name_chunk)
    try:
        return ZarrPythonArray(where, metadata, sizes, _open_zarr(store, node, metadata.zarr_format))
    except Exception as error:
        raise SourceError(
            f"{where} does not open with tensorstore nor with zarr-python: {type(error).__name__}: {error}; "
            f"write it again with another codec"
        ) from error


@functools.cache
def tensor_context() -> Any:
    """Where tensorstore keeps its limits and its memory: one for the process."""
    import tensorstore

    # No cache: the arena is the only one.
    return tensorstore.Context(
        {
            "cache_pool": {"total_bytes_limit": 0},
            "data_copy_concurrency": {"limit": DECODING_THREADS},
            "file_io_concurrency": {"limit": FILE_THREADS},
            # Distant stores: many under way; retries are few, since the scheduler tries again later.
            **{f"{kind}_request_concurrency": {"limit": REQUESTS_UNDER_WAY} for kind in ("http", "s3", "gcs")},
            **{f"{kind}_request_retries": {"max_retries": 2, "max_delay": "1s"} for kind in ("http", "s3", "gcs")},
        }
    )


def _open_tensor(folder: str, zarr_format: int) -> Any:
    import tensorstore

    specification = {
        "driver": "zarr3" if zarr_format == 3 else "zarr",
        "kvstore": {"driver": "file", "path": folder + "/"},
        "fill_missing_data_reads": False,
        "recheck_cached_metadata": False,
    }
    return tensorstore.open(specification, read=True, context=tensor_context()).result()


def _open_zarr(store: Store, node: str, zarr_format: int) -> Any:
    import zarr

    opened, path = store.for_zarr(node)
    with warnings.catch_warnings():
        # It warns of codecs that the specification does not name yet. Whoever wrote the file knows.
        warnings.simplefilter("ignore")
        return zarr.open_array(opened, path=path, mode="r", zarr_format=zarr_format)


class _ForeignArray:
    """What is the same whoever reads: the description, and a look at each file before it is trusted."""

    def __init__(self, where: str, metadata: ArrayMetadata, sizes: Callable[[Index], int | None], array: Any) -> None:
        self.where = where
        self.shape = metadata.shape
        self.dtype = metadata.dtype
        self.storage_chunk = metadata.chunk
        self.shard = metadata.shard
        self.random_access = False
        self.fill_value = float(metadata.fill.real)
        self._fill = metadata.fill
        self._array = array
        self._sizes = sizes
        self._file_shape = metadata.shard or metadata.chunk
        chunks = math.prod(a // b for a, b in zip(self._file_shape, metadata.chunk, strict=True))
        # A shard also has an index: 16 bytes a chunk, and a checksum.
        self._file_bytes_most = chunks * (encoded_bytes_most(metadata.chunk_bytes) + 16) + 4096

    def _has_files(self, box: Box) -> bool:
        """Whether any file is there that `box` is stored in."""
        found = False
        for index in indices_of(box, self._file_shape):
            size = self._sizes(index)
            if size is not None:
                found = True
                if size > self._file_bytes_most:
                    raise SourceError(
                        f"chunk {index} of {self.where} has {size} bytes, more than it can: it is damaged"
                    )
        return found


class TensorArray(_ForeignArray):
    """A `LevelArray` over an array that tensorstore has opened."""

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        stored = [False] * len(pieces)
        waiting = gather(pieces, self.storage_chunk)
        while waiting:
            batch, waiting = waiting[:READS_UNDER_WAY], waiting[READS_UNDER_WAY:]
            present = [
                (group, self._array[slices_of(group.box)].read()) for group in batch if self._has_files(group.box)
            ]
            for group, future in present:
                data = self._result(future)
                if data is None:
                    self._read_chunkwise(group, pieces, stored)
                    continue
                for number in group.members:
                    piece = pieces[number]
                    within = overlap_of(piece.box, [low for low, _ in group.box], data.shape)
                    np.copyto(piece.out, data[within.in_chunk])
                    stored[number] = True
        return stored

    def _read_chunkwise(self, group: Gathering, pieces: Sequence[Piece], stored: list[bool]) -> None:
        """Read a box of which some storage chunk is missing, one chunk at a time. A lone chunk is just missing."""
        indices = list(indices_of(group.box, self.storage_chunk))
        if len(indices) == 1:
            return
        number = group.members[0]  # only a piece that stands alone spans several chunks
        box, out = pieces[number]
        absent = []
        for index in indices:
            origin = [i * edge for i, edge in zip(index, self.storage_chunk, strict=True)]
            part = overlap_of(box, origin, self.storage_chunk)
            cut = tuple(
                slice(low + inner.start, low + inner.stop) for (low, _), inner in zip(box, part.in_box, strict=True)
            )
            data = self._result(self._array[cut].read())
            if data is None:
                absent.append(part.in_box)
            else:
                out[part.in_box] = data
                stored[number] = True
        for in_box in absent:
            out[in_box] = self._fill

    def _result(self, future: Any) -> NDArray[Any] | None:
        """What was read, or None if it is not stored."""
        try:
            data: NDArray[Any] = future.result()
        except ValueError as error:
            text = str(error)
            if text.startswith("NOT_FOUND"):
                return None
            transient = text.startswith(("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"))
            raise SourceError(f"{self.where} cannot be read: {shown_text(text[:500])}", transient=transient) from error
        return data


class ZarrPythonArray(_ForeignArray):
    """A `LevelArray` over an array that zarr-python has opened: the last resort, one read at a time."""

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        stored = [False] * len(pieces)
        for group in gather(pieces, self.storage_chunk):
            if not self._has_files(group.box):
                continue
            try:
                with memory_allowance(_bytes_of(group.box, self.storage_chunk, self.dtype), self.where):
                    data = np.asarray(self._array[slices_of(group.box)])
            except SourceError:
                raise
            except Exception as error:  # whatever the codec of a stranger raises
                raise SourceError(
                    f"{self.where} cannot be read at {group.box}: {type(error).__name__}: {error}"
                ) from error
            for number in group.members:
                piece = pieces[number]
                within = overlap_of(piece.box, [low for low, _ in group.box], data.shape)
                np.copyto(piece.out, data[within.in_chunk])
                stored[number] = True
        return stored


def _bytes_of(box: Box, chunk: Index, dtype: np.dtype[Any]) -> int:
    """Bytes of a box and of a storage chunk, decoded."""
    return (math.prod(high - low for low, high in box) + math.prod(chunk)) * dtype.itemsize
