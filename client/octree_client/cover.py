"""What to draw where: every visible cell of the ideal grid exactly once, from the best data in VRAM. Pure (no I/O)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from octree_protocol.keys import CellStatus

#: (level, row, column): a chunk on the displayed axes, at the position of the axes that are not displayed.
PlaneChunk = tuple[int, int, int]

#: Which tile of the atlas holds a chunk.
Resident = Mapping[PlaneChunk, int]


class Piece(NamedTuple):
    """A rectangle of the screen that is drawn from one tile.

    `chunk` is the chunk drawn from, at its own level, which need not be the ideal one; `rect` is world
    (y0, x0, y1, x1); `tile` is -1 where there is nothing to draw from (EMPTY, or FAILED without a stand-in).
    """

    chunk: PlaneChunk
    rect: tuple[float, float, float, float]
    tile: int
    status: CellStatus
