"""Voxels that lie plainly in a distant file, one after the other: a ``.npy`` file, an HDF5 dataset without chunks.

Read in bands: boxes that lie in one piece. Knows nothing of what stands around them in the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.base import Piece, SourceError
from octree_loader.sources.boxes import band_of, indices_of, overlap_of
from octree_loader.sources.remote_file import RemoteFile
from octree_loader.sources.spans import Span

Index = tuple[int, ...]


class PlainArray:
    """A `LevelArray`.

    Parameters
    ----------
    offset
        The first voxel's byte.
    stored_shape, stored
        Of what lies in the file, `stored` in its byte order.
    shape
        What is shown of it, from the origin on; None is all.
    fortran
        Whether the first axis varies fastest.
    """

    def __init__(
        self,
        where: str,
        file: RemoteFile,
        offset: int,
        stored_shape: Index,
        stored: np.dtype[Any],
        shape: Index | None = None,
        fortran: bool = False,
    ) -> None:
        self.where = where
        self.shape = stored_shape if shape is None else shape
        self.dtype: np.dtype[Any] = stored.newbyteorder("=")
        end = offset + math.prod(stored_shape) * stored.itemsize
        if end > file.size:
            raise SourceError(f"{where} is truncated: its file has {file.size} of {end} bytes; copy it again")
        turn = slice(None, None, -1 if fortran else 1)
        self._turn = turn
        self._whole = stored_shape[turn]
        self._band = band_of(self._whole, stored.itemsize)
        self.storage_chunk: Index = tuple(min(a, b) for a, b in zip(self._band[turn], self.shape, strict=True))
        self.shard: Index | None = None
        self.random_access = False
        self.fill_value = 0.0
        self._file = file
        self._offset = offset
        self._stored = stored

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        boxes = [piece.box[self._turn] for piece in pieces]
        wanted: dict[Index, list[int]] = {}
        for number, box in enumerate(boxes):
            for index in indices_of(box, self._band):
                wanted.setdefault(index, []).append(number)
        bands = [self._place(index) for index in wanted]
        spans = [span for span, _, _ in bands]
        for data, (_, origin, extent), numbers in zip(
            self._file.read_batches(spans), bands, wanted.values(), strict=True
        ):
            voxels: NDArray[Any] = np.frombuffer(data, self._stored).reshape(extent)
            for number in numbers:
                part = overlap_of(boxes[number], origin, extent)
                out = pieces[number].out
                target = out.T if self._turn.step == -1 else out
                np.copyto(target[part.in_box], voxels[part.in_chunk])
        return [True] * len(pieces)

    def _place(self, index: Index) -> tuple[Span, Index, Index]:
        """Of a band: its bytes, its first voxel, and its edges."""
        origin = tuple(i * edge for i, edge in zip(index, self._band, strict=True))
        extent = tuple(min(e, size - o) for e, size, o in zip(self._band, self._whole, origin, strict=True))
        voxel = 0
        for o, size in zip(origin, self._whole, strict=True):
            voxel = voxel * size + o
        low = self._offset + voxel * self._stored.itemsize
        return Span(low, low + math.prod(extent) * self._stored.itemsize), origin, extent
