"""One dataset of an HDF5 file as an array.

The bytes come through h5py. Chunks that are plain, deflated or shuffled are decoded here, within bounds and outside of
the library's lock; all others by the library. Knows nothing of Imaris, of BDV or of any layout (`hdf5`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.assembled import LevelArray
from octree_loader.sources.base import Piece, SourceError
from octree_loader.sources.boxes import gather, indices_of, overlap_of, slices_of
from octree_loader.sources.chunk_files import Fetch
from octree_loader.sources.codecs import Decoder, decoder_of, encoded_bytes_most
from octree_loader.sources.direct import DirectArray
from octree_loader.sources.zarr_metadata import STORAGE_CHUNK_BYTES, ArrayMetadata, check_shape, plain_dtype

Index = tuple[int, ...]

#: Numbers of HDF5's own filters: https://docs.hdfgroup.org/hdf5/v1_14/group___f_i_l_t_e_r.html
_DEFLATE, _SHUFFLE = 1, 2


def open_dataset(where: str, dataset: Any, shape: Index | None = None) -> LevelArray:
    """Open a dataset, or the part of it from the origin on that has `shape`. Raises `SourceError`."""
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
    decode = _decoder(dataset, stored, math.prod(chunk) * dtype.itemsize)
    if decode is None:
        return LibraryArray(where, dataset, shape, chunk, dtype, fill)
    metadata = ArrayMetadata(2, shape, chunk, None, dtype, fill, "none", "", ",")
    return DirectArray(where, metadata, _fetch(where, dataset, metadata), decode, lambda index: f"{index} of {where}")


def _decoder(dataset: Any, stored: np.dtype[Any], nbytes: int) -> Decoder | None:
    """How to decode the chunks here, or None where the library has to."""
    if dataset.chunks is None or not stored.isnative or stored.kind == "b":
        return None
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
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


class LibraryArray:
    """A `LevelArray` that HDF5 itself reads and decodes, one at a time in this process."""

    def __init__(
        self, where: str, dataset: Any, shape: Index, chunk: Index, dtype: np.dtype[Any], fill: np.generic
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

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        stored = [False] * len(pieces)
        if self.random_access:
            if self._dataset.id.get_offset() is None and self._dataset.id.get_storage_size() == 0:
                return stored
            for box, out in pieces:
                np.copyto(out, self._get(box))
            return [True] * len(pieces)
        for group in gather(pieces, self._chunk):
            if not self._is_stored(group.box):
                continue
            data = self._get(group.box)
            for number in group.members:
                piece = pieces[number]
                part = overlap_of(piece.box, [low for low, _ in group.box], data.shape)
                np.copyto(piece.out, data[part.in_chunk])
                stored[number] = True
        return stored

    def _is_stored(self, box: Any) -> bool:
        most = encoded_bytes_most(math.prod(self._chunk) * self.dtype.itemsize)
        found = False
        for index in indices_of(box, self._chunk):
            offset = tuple(i * edge for i, edge in zip(index, self._chunk, strict=True))
            try:
                information = self._dataset.id.get_chunk_info_by_coord(offset)
            except (OSError, RuntimeError, ValueError) as error:
                raise SourceError(f"chunk {index} of {self.where} cannot be found ({error}): it is damaged") from error
            if information.byte_offset is not None:
                found = True
                if information.size > most:
                    raise SourceError(f"chunk {index} of {self.where} has {information.size} bytes: it is damaged")
        return found

    def _get(self, box: Any) -> NDArray[Any]:
        try:
            return np.asarray(self._dataset[slices_of(box)])
        except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
            raise SourceError(
                f"{self.where} cannot be read at {box} ({error}): the file is damaged, or its filter is not installed; "
                f"pip install hdf5plugin has most of them"
            ) from error
