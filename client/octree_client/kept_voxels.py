"""Voxels of what is drawn, where the texture holds them only roughly. Pure (no I/O).

Integers of more than 24 bits, double precision and complex numbers are converted for the texture; who asks for a value
wants the one of the file. So their chunks are kept as they came, those in view before others, within a budget. Knows
nothing of tiles' contents, nor of who asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_client.cover import PlaneChunk
from octree_client.placing import Position

#: Chunks in view that are passed over for one that is not, at most.
_LOOKS = 64

_Key = tuple[Position, PlaneChunk]


class KeptVoxels:
    """Copies of planes of chunks.

    Parameters
    ----------
    budget
        Bytes that they take at most.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.nbytes = 0
        self._planes: dict[_Key, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._planes)

    def get(self, place: Position, chunk: PlaneChunk) -> NDArray[Any] | None:
        """The voxels of a chunk at a position; None if they are not kept."""
        return self._planes.get((place, chunk))

    def put(
        self, place: Position, chunk: PlaneChunk, plane: NDArray[Any], in_view: Callable[[Position, PlaneChunk], bool]
    ) -> None:
        """Keep a copy; for it goes what came first and is not in view, as far as that is soon found."""
        room = self.forget(place, chunk)
        if plane.nbytes > self.budget:
            return
        looks = _LOOKS
        while self.nbytes + plane.nbytes > self.budget:
            first = next(iter(self._planes))
            if looks and in_view(*first):
                looks -= 1
                self._planes[first] = self._planes.pop(first)  # lines up again
            else:
                room = self.forget(*first)
        if room is None or (room.shape, room.dtype) != (plane.shape, plane.dtype):
            room = np.empty_like(plane, order="C", subok=False)
        np.copyto(room, plane)  # into memory that was used before: to be given new pages takes longer than to copy
        self._planes[place, chunk] = room
        self.nbytes += plane.nbytes

    def forget(self, place: Position, chunk: PlaneChunk) -> NDArray[Any] | None:
        """Keep it no longer; returns its memory, if it was kept."""
        plane = self._planes.pop((place, chunk), None)
        if plane is not None:
            self.nbytes -= plane.nbytes
        return plane

    def validate(self) -> None:
        """Raise `AssertionError` if the books are wrong."""
        assert self.nbytes == sum(plane.nbytes for plane in self._planes.values()), "bytes do not add up"
        assert self.nbytes <= self.budget, "over the budget"
