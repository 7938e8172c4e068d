"""What is drawn at a place of the world, and its value. Reads what a pager holds, and changes nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from octree_client.cover import Piece
from octree_client.pager import LayerPager
from octree_protocol.errors import OctreeError
from octree_protocol.keys import CellStatus

#: Calls something with a canvas' context current, and returns what that returns.
BetweenFrames = Callable[[Callable[[], Any]], Any]


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


def value_at(pager: LayerPager, y: float, x: float, between_frames: BetweenFrames) -> Any:
    """The value of the voxel that is drawn at a place of the world; None where there is none, or nobody knows.

    From the arena; where its slot was given to another chunk, from the copy that is kept if the texture has it only
    roughly, or else from the texture: then GL is waited for.

    Parameters
    ----------
    between_frames
        Calls something within the context that the layer is drawn in.
    """
    found = chunk_at(pager, y, x)
    if found is None:
        return None
    piece, (row, col) = found
    if piece.status is CellStatus.MISSING:
        return pager.dataset.fill_value
    if piece.tile < 0:
        return None
    chunk = pager.levels[piece.chunk[0]].chunk
    voxel = row - piece.chunk[1] * chunk[0], col - piece.chunk[2] * chunk[1]
    value = _from_arena(pager, piece, voxel)
    if value is not None:
        return value
    atlas = pager.atlas
    if atlas.kept is not None:
        plane = atlas.kept.get(pager.position, piece.chunk)
        return None if plane is None else _item(plane[voxel])
    if atlas.tiles.resident(pager.position).get(piece.chunk) != piece.tile:
        return None  # given to another chunk since the last frame
    texture = atlas.visual.atlas
    try:
        return texture.kind.value_of(between_frames(lambda: texture.read(piece.tile, voxel)))
    except OctreeError:
        return None  # the canvas is closed


def _from_arena(pager: LayerPager, piece: Piece, voxel: tuple[int, int]) -> Any:
    arena, ready = pager.connection.arena, pager.heard.ready.get(pager.template.key(piece.chunk))
    if arena is None or ready is None or not arena.is_current(ready):
        return None
    try:
        value = _item(pager.template.cut(arena.array(ready), piece.chunk[0])[voxel])
    except OctreeError:
        return None  # thrown out of a cache just now
    return value if arena.is_current(ready) else None


def _item(voxel: Any) -> Any:
    """A number of Python's, or a tuple of them for a colour."""
    return tuple(voxel.tolist()) if voxel.ndim else voxel.item()
