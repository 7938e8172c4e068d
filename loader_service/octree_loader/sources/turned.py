"""An array with its axes in another order than they are stored in: the axes of the screen last.

Whatever is read is read as it is stored, and turned on its way into the memory that wants it. Knows nothing of what
axes mean (`placement`) nor of files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.base import Box, LevelArray, Piece


class TurnedArray:
    """A `LevelArray` over another.

    Parameters
    ----------
    array
        With the axes as they are stored.
    order
        For each axis as it is shown, which of the stored ones it is.
    """

    def __init__(self, array: LevelArray, order: tuple[int, ...]) -> None:
        self.where = array.where
        self.dtype: np.dtype[Any] = array.dtype
        self.shape = tuple(array.shape[a] for a in order)
        self.storage_chunk = tuple(array.storage_chunk[a] for a in order)
        self.shard = None if array.shard is None else tuple(array.shard[a] for a in order)
        self.random_access = array.random_access
        self.gathers = bool(getattr(array, "gathers", False))
        self.fill_value = array.fill_value
        self._array = array
        self._order = order
        self._back = tuple(order.index(a) for a in range(len(order)))
        own = getattr(array, "sample", None)
        if own is not None:
            self.sample: Callable[[Sequence[NDArray[np.intp]]], NDArray[Any]] = lambda places: own(
                [places[a] for a in self._back]
            ).transpose(order)

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        inner = [Piece(self._stored(box), self._room(box)) for box, _ in pieces]
        present = self._array.read(inner)
        for (_, out), (_, data), there in zip(pieces, inner, present, strict=True):
            if there:
                np.copyto(out, data.transpose(self._order))
        return present

    def _stored(self, box: Box) -> Box:
        return tuple(box[a] for a in self._back)

    def _room(self, box: Box) -> NDArray[Any]:
        """Memory for a box as it is stored: readers fill arrays that lie in C order."""
        return np.empty([high - low for low, high in self._stored(box)], self.dtype)
