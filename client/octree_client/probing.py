"""What is drawn at a place of the world, and its value. Reads what a pager holds, and changes nothing of it."""

from __future__ import annotations

from typing import Any

from octree_client.cover import Piece
from octree_client.pager import LayerPager
from octree_protocol.errors import OctreeError
from octree_protocol.keys import CellStatus


def chunk_at(pager: LayerPager, y: float, x: float) -> tuple[Piece, tuple[int, int]] | None:
    """The piece drawn at a place of the world, and the voxel (down, across) of its level there; None outside."""
    for piece in pager.pieces:
        y0, x0, y1, x1 = piece.rect
        if y0 <= y < y1 and x0 <= x < x1:
            level = pager.levels[piece.chunk[0]]
            row = min(max(int(level.world_to_voxel(0, y) // 1), 0), level.shape[0] - 1)
            col = min(max(int(level.world_to_voxel(1, x) // 1), 0), level.shape[1] - 1)
            return piece, (row, col)
    return None


def value_at(pager: LayerPager, y: float, x: float) -> Any:
    """The value drawn at a place of the world, if its bytes still lie in the arena; None if nobody knows."""
    found, arena = chunk_at(pager, y, x), pager.connection.arena
    if found is None or arena is None:
        return None
    piece, (row, col) = found
    if piece.status is CellStatus.MISSING:
        return pager.dataset.fill_value
    ready = pager.heard.ready.get(pager.template.key(piece.chunk))
    if piece.tile < 0 or ready is None or not arena.is_current(ready):
        return None
    chunk = pager.levels[piece.chunk[0]].chunk
    try:
        plane = pager.template.cut(arena.array(ready), piece.chunk[0])
    except OctreeError:
        return None  # thrown out of a cache just now
    value = plane[row - piece.chunk[1] * chunk[0], col - piece.chunk[2] * chunk[1]]
    value = tuple(int(v) for v in value) if pager.dataset.rgb else value.item()
    return value if arena.is_current(ready) else None
