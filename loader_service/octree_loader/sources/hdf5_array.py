"""One dataset of an HDF5 file as an array.

The bytes come through h5py. Chunks that are plain, deflated, shuffled or have a checksum are decoded here, within
bounds and outside of the library's lock; all others by the library, which may take so much memory and no more. Knows
nothing of Imaris, of BDV or of any layout (`hdf5`).
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.allowance import memory_allowance
from octree_loader.sources.base import LevelArray, Piece, SourceError
from octree_loader.sources.boxes import gather, indices_of, overlap_of, slices_of
from octree_loader.sources.chunk_files import Fetch
from octree_loader.sources.codecs import Decoder, decoder_of, encoded_bytes_most
from octree_loader.sources.direct import DirectArray
from octree_loader.sources.image_file import watched
from octree_loader.sources.plain_array import PlainArray
from octree_loader.sources.remote_file import RemoteStream
from octree_loader.sources.spans import Span
from octree_loader.sources.zarr_metadata import STORAGE_CHUNK_BYTES, ArrayMetadata, check_shape, plain_dtype

Index = tuple[int, ...]

#: Numbers of HDF5's own filters: https://docs.hdfgroup.org/hdf5/v1_14/group___f_i_l_t_e_r.html
_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3

#: Chunks of a file far away that are read together, along each axis of the screen.
GATHERED = 8


def open_dataset(
    where: str, dataset: Any, shape: Index | None = None, stream: RemoteStream | None = None
) -> LevelArray:
    """Open a dataset, or the part of it from the origin on that has `shape`. Raises `SourceError`.

    `stream` is that of a file far away: what the library reads of it costs a round trip each time, so it only says
    where the bytes are.
    """
    stored = np.dtype(dataset.dtype)
    dtype = plain_dtype(stored, where)
    whole = tuple(int(edge) for edge in dataset.shape)
    shape = whole if shape is None else shape
    check_shape(shape, where)
    if len(shape) != len(whole) or any(a > b for a, b in zip(shape, whole, strict=True)):
        raise SourceError(f"{where} has the shape {whole}, and its metadata say {shape}: it is damaged")
    if dataset.is_virtual or dataset.external:
        raise SourceError(f"{where} only points to other files: open those, or copy it into one file")
    chunk = whole if dataset.chunks is None else tuple(int(edge) for edge in dataset.chunks)
    if dataset.chunks is not None and math.prod(chunk) * dtype.itemsize > STORAGE_CHUNK_BYTES:
        raise SourceError(
            f"{where} has chunks of {math.prod(chunk) * dtype.itemsize / 2**30:.4g} GiB, which no worker can decode: "
            f"write it again with chunks of a few MiB"
        )
    fill: np.generic = np.asarray(dataset.fillvalue).astype(dtype)[()]  # type: ignore[assignment]  # a scalar
    # Where there is a user block, libraries differ in where they count from.
    known = stream is not None and not dataset.file.userblock_size
    if known and dataset.chunks is None and (offset := dataset.id.get_offset()) is not None:
        return PlainArray(where, stream.file, offset, whole, stored, shape)  # type: ignore[union-attr]
    decode = _decoder(dataset, stored, math.prod(chunk) * dtype.itemsize)
    if decode is None or (stream is not None and not known):
        return LibraryArray(where, dataset, shape, chunk, dtype, fill, stream if known else None, stream)
    metadata = ArrayMetadata(2, shape, chunk, None, dtype, fill, "none", "", ",")
    fetch: Fetch = _fetch(where, dataset, metadata)
    if stream is not None:
        metadata = replace(metadata, shard=row_of(chunk))
        fetch = RemoteChunks(where, dataset, metadata, stream)
    return DirectArray(where, metadata, fetch, decode, lambda index: f"{index} of {where}")


def row_of(chunk: Index) -> Index:
    """Chunks that are read together if they are wanted together, along the axes of the screen: they lie near."""
    return (*chunk[:-2], *(edge * GATHERED for edge in chunk[-2:]))


def _decoder(dataset: Any, stored: np.dtype[Any], nbytes: int) -> Decoder | None:
    """How to decode the chunks here, or None where the library has to."""
    if dataset.chunks is None or not stored.isnative or stored.kind == "b":
        return None
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    if filters[-1:] == [_FLETCHER32]:
        return _checked(_unfiltered(filters[:-1], stored, nbytes))
    return _unfiltered(filters, stored, nbytes)


def _checked(decode: Decoder | None) -> Decoder | None:
    """Chunks behind a checksum, which HDF5 puts last."""
    if decode is None:
        return None
    inner = decode
    import numcodecs

    verify = numcodecs.Fletcher32().decode

    def check(encoded: memoryview, out: NDArray[Any]) -> None:
        if len(encoded) < 4:
            raise ValueError(f"is truncated: {len(encoded)} bytes are less than a checksum")
        inner(memoryview(verify(encoded)), out)

    return check


def _unfiltered(filters: list[int], stored: np.dtype[Any], nbytes: int) -> Decoder | None:
    if filters == []:
        return decoder_of("none", nbytes)
    if filters == [_DEFLATE] or (filters == [_SHUFFLE, _DEFLATE] and stored.itemsize == 1):
        return decoder_of("zlib", nbytes)
    if filters == [_SHUFFLE, _DEFLATE]:
        inflate = decoder_of("zlib", nbytes)
        kept = threading.local()

        def decode(encoded: memoryview, out: NDArray[Any]) -> None:
            shuffled: NDArray[np.uint8] | None = getattr(kept, "array", None)
            if shuffled is None:
                shuffled = kept.array = np.empty(nbytes, np.uint8)
            inflate(encoded, shuffled)
            # Byte 0 of all voxels stands first, then byte 1 of all, ...
            out.reshape(-1).view(np.uint8).reshape(-1, stored.itemsize)[...] = shuffled.reshape(stored.itemsize, -1).T

        return decode
    return None


def _fetch(where: str, dataset: Any, metadata: ArrayMetadata) -> Fetch:
    most = encoded_bytes_most(metadata.chunk_bytes)
    identity = dataset.id

    def fetch(index: Index) -> memoryview | None:
        offset = tuple([i * edge for i, edge in zip(index, metadata.chunk, strict=True)])
        try:
            found = identity.get_chunk_info_by_coord(offset)
            if found.byte_offset is None or not found.size:
                return None
            if found.size > most:
                raise SourceError(f"chunk {index} of {where} has {found.size} bytes, more than it can: it is damaged")
            mask, data = identity.read_direct_chunk(offset)
        except (OSError, RuntimeError, ValueError) as error:
            raise SourceError(f"chunk {index} of {where} cannot be read ({error}): copy the file again") from error
        if mask:
            raise SourceError(f"chunk {index} of {where} is stored without its filters: write the file again")
        return memoryview(data)

    return fetch


class RemoteChunks:
    """The chunks of a dataset in a file far away; calling it is a `chunk_files.Fetch`."""

    gathers = True

    def __init__(self, where: str, dataset: Any, metadata: ArrayMetadata, stream: RemoteStream) -> None:
        self._where = where
        self._identity = dataset.id
        self._chunk = metadata.chunk
        self._most = encoded_bytes_most(metadata.chunk_bytes)
        self._stream = stream

    def __call__(self, index: Index) -> memoryview | None:
        """See `chunk_files.Fetch`."""
        return next(self.many([index]))[1]

    def many(self, indices: Sequence[Index]) -> Iterator[tuple[Index, memoryview | None]]:
        """Several chunks, with their indices."""
        stored: list[Index] = []
        spans: list[Span] = []
        for index in indices:
            with self._stream.watched():
                span = span_of(self._where, self._identity, self._chunk, index, self._most)
            if span is None:
                yield index, None
            else:
                stored.append(index)
                spans.append(span)
        yield from zip(stored, self._stream.file.read_batches(spans), strict=True)


def span_of(where: str, identity: Any, chunk: Index, index: Index, most: int, masked: bool = False) -> Span | None:
    """Where a chunk lies in its file, or None where it is not stored. `masked`: it may lack some of its filters."""
    try:
        found = identity.get_chunk_info_by_coord(tuple([i * edge for i, edge in zip(index, chunk, strict=True)]))
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceError(f"chunk {index} of {where} cannot be found ({error}): it is damaged") from error
    if found.byte_offset is None or not found.size:
        return None
    if found.size > most:
        raise SourceError(f"chunk {index} of {where} has {found.size} bytes, more than it can: it is damaged")
    if found.filter_mask and not masked:
        raise SourceError(f"chunk {index} of {where} is stored without its filters: write the file again")
    return Span(found.byte_offset, found.byte_offset + found.size)


class LibraryArray:
    """A `LevelArray` that HDF5 itself reads and decodes, one at a time in this process.

    `ahead` is the stream of a file far away, into which what the library will want is read beforehand; `stream` the
    same, also where that cannot be.
    """

    def __init__(
        self,
        where: str,
        dataset: Any,
        shape: Index,
        chunk: Index,
        dtype: np.dtype[Any],
        fill: np.generic,
        ahead: RemoteStream | None = None,
        stream: RemoteStream | None = None,
    ) -> None:
        self.where = where
        self.shape = shape
        self.dtype = dtype
        self.random_access = dataset.chunks is None
        self.storage_chunk = (
            shape if self.random_access else tuple(min(a, b) for a, b in zip(chunk, shape, strict=True))
        )
        self.shard: Index | None = None
        self.fill_value = float(fill.real)
        self._dataset = dataset
        self._chunk = chunk
        self._ahead = ahead
        self._stream = stream
        # What is read beforehand is for one read; locally the library's own lock does.
        self._reading = contextlib.nullcontext() if stream is None else threading.Lock()

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        with self._reading, watched(self._stream):
            return self._read(pieces)

    def _read(self, pieces: Sequence[Piece]) -> list[bool]:
        stored = [False] * len(pieces)
        if self.random_access:
            if self._dataset.id.get_offset() is None and self._dataset.id.get_storage_size() == 0:
                return stored
            for box, out in pieces:
                np.copyto(out, self._get(box))
            return [True] * len(pieces)
        for group in gather(pieces, self._chunk):
            spans = self._spans(group.box)
            if not spans:
                continue
            with contextlib.nullcontext() if self._ahead is None else self._ahead.expecting(spans):
                data = self._get(group.box)
            for number in group.members:
                piece = pieces[number]
                part = overlap_of(piece.box, [low for low, _ in group.box], data.shape)
                np.copyto(piece.out, data[part.in_chunk])
                stored[number] = True
        return stored

    def _spans(self, box: Any) -> list[Span]:
        most = encoded_bytes_most(math.prod(self._chunk) * self.dtype.itemsize)
        spans = (
            span_of(self.where, self._dataset.id, self._chunk, index, most, masked=True)
            for index in indices_of(box, self._chunk)
        )
        return [span for span in spans if span is not None]

    def _get(self, box: Any) -> NDArray[Any]:
        # Filters may be anybody's: the box and a chunk is what it takes at the most.
        nbytes = (math.prod(high - low for low, high in box) + math.prod(self._chunk)) * self.dtype.itemsize
        allowance = nullcontext() if self.random_access else memory_allowance(nbytes, f"{self.where} at {box}")
        try:
            with allowance:
                return np.asarray(self._dataset[slices_of(box)])
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise SourceError(
                f"{self.where} cannot be read at {box} ({error}): the file is damaged, or its filter is not installed; "
                f"pip install hdf5plugin has most of them"
            ) from error
