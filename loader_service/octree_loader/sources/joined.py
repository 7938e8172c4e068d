"""Many arrays of one shape as one array with more axes in front: planes of a stack, channels that lie apart.

The parts are opened when something of them is read, and only so many stay open. Knows nothing of files.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.base import LevelArray, Piece, SourceError
from octree_loader.sources.zarr_metadata import check_shape

Index = tuple[int, ...]

#: Parts that stay open: what one view and its neighbours need.
OPEN_PARTS = 32


class JoinedArray:
    """A `LevelArray` of shape ``leading + part``.

    Parameters
    ----------
    leading
        Number of parts along each of the axes in front.
    like
        A part that tells what all are like; one that differs fails when it is read, and harms no other.
    open_part
        Gives the part at an index of the axes in front, or None where there is none.
    """

    def __init__(
        self, where: str, leading: Index, like: LevelArray, open_part: Callable[[Index], LevelArray | None]
    ) -> None:
        self.where = where
        self.dtype: np.dtype[Any] = like.dtype
        self.shape = (*leading, *like.shape)
        check_shape(self.shape, where)
        self.random_access = like.random_access
        # A part is opened by itself, whatever its voxels cost.
        self.storage_chunk = self.shape if like.random_access else (*(1,) * len(leading), *like.storage_chunk)
        self.gathers = bool(getattr(like, "gathers", False))
        self.shard: Index | None = None
        if self.gathers and like.shard is not None:
            self.shard = (*(1,) * len(leading), *like.shard)
        self.fill_value = like.fill_value
        self._leads = len(leading)
        self._part = tuple(like.shape)
        self._open_part = open_part
        self._parts: dict[Index, LevelArray | None] = {}
        self._changing = threading.Lock()

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        leads = self._leads
        wanted: dict[Index, list[tuple[int, Piece]]] = {}
        for number, (box, out) in enumerate(pieces):
            for lead in product(*(range(low, high) for low, high in box[:leads])):
                view: NDArray[Any] = out[tuple(i - low for i, (low, _) in zip(lead, box, strict=False))]
                wanted.setdefault(lead, []).append((number, Piece(box[leads:], view)))
        stored = [False] * len(pieces)
        absent: list[tuple[int, Piece]] = []
        for lead, users in wanted.items():
            part = self._part_at(lead)
            inner = [piece for _, piece in users]
            present = [False] * len(users) if part is None else part.read(inner)
            for (number, piece), there in zip(users, present, strict=True):
                if there:
                    stored[number] = True
                else:
                    absent.append((number, piece))
        for number, piece in absent:
            if stored[number]:
                piece.out[...] = self.fill_value
        return stored

    def _part_at(self, lead: Index) -> LevelArray | None:
        with self._changing:
            if lead in self._parts:
                part = self._parts.pop(lead)
                self._parts[lead] = part  # the most recently used stands last
                return part
            part = self._open_part(lead)
            if part is not None and (part.shape != self._part or part.dtype != self.dtype):
                raise SourceError(
                    f"{part.where} has the shape {part.shape} and holds {part.dtype}, where the others have "
                    f"{self._part} and hold {self.dtype}: take it away, or write it like them"
                )
            if len(self._parts) >= OPEN_PARTS:
                self._parts.pop(next(iter(self._parts)))
            self._parts[lead] = part
            return part
