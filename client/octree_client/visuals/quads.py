"""Pieces of the screen to vertices. Pure (no I/O).

Everything that is large (world coordinates, voxels far from the origin) is subtracted here in float64; what becomes
float32 is small: clip coordinates within the canvas, and voxels from the corner of the piece's own chunk. Equal world
coordinates give bit-identical clip coordinates, so neighbouring pieces share their edge and a pixel belongs to one.

A piece also carries the tiles of its eight neighbours at its own level. Linear interpolation reaches at most one voxel
over a chunk's border, so that these are all that it can need, however the levels and chunks are shaped; and no table
has to be kept, grown or uploaded. Knows nothing of GL, nor of how pieces were chosen (`cover`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_client.camera import Camera, PlaneLevel
from octree_client.cover import Piece, PlaneChunk, Resident
from octree_client.fading import FadingPiece
from octree_protocol.keys import CellStatus

#: One vertex; every field is a vec4 of float32, pairs are (x, y).
#:
#: ``a_corner``  clip position, then the continuous voxel coordinates from the own chunk's corner
#: ``a_tile``    texel of the own tile's corner in the atlas, then how many voxels are left until the image
#:               or the next chunk ends, whichever is nearer
#: ``a_sides``   tiles of the neighbours above, left, right, below; -1 where there is none
#: ``a_corners`` tiles of the neighbours above left, above right, below left, below right; -1 where there is none
#: ``a_state``   nominal chunk shape of the level, level minus ideal level, `CellStatus`; `NO_DATA` is added to it
#:               where there is no tile to draw from
VERTEX = np.dtype(
    [(name, np.float32, 4) for name in ("a_corner", "a_tile", "a_sides", "a_corners", "a_state")],
)

#: One vertex of a piece that fades in: what stood there before follows. `b_corner` has how far it has faded in, 0 .. 1,
#: in place of the clip position, which is the same.
FADING_VERTEX = np.dtype(
    [(f"{half}{name[1:]}", np.float32, 4) for half in "ab" for name in VERTEX.names or ()],
)

#: Added to the status of a piece without a tile; and the status of what stood there before where nothing was drawn.
NO_DATA, NOTHING = 8, 16

#: Two triangles of the four vertices of a piece: upper left, upper right, lower left, lower right.
TRIANGLES = (0, 2, 1, 1, 2, 3)

_FLOATS = 20


#: Which of clip (y0, x0, y1, x1) and voxel (y0, x0, y1, x1) makes the (x, y) pairs of each corner.
_PICK = np.array([(1, 0, 5, 4), (3, 0, 7, 4), (1, 2, 5, 6), (3, 2, 7, 6)])


class LevelArrays:
    """The levels as one float64 table of shape (levels, 12), a row each: scale, translation (twice: for both corners of
    a rectangle), chunk and shape; all of them (down, across)."""

    __slots__ = ("table",)

    def __init__(self, levels: Sequence[PlaneLevel]) -> None:
        rows = [(*v.scale, *v.scale, *v.translation, *v.translation, *v.chunk, *v.shape) for v in levels]
        self.table = np.array(rows, np.float64)


def build_quads(
    pieces: Sequence[Piece],
    resident: Resident,
    levels: LevelArrays,
    ideal_level: int,
    camera: Camera,
    tile_shape: tuple[int, int],
    atlas_columns: int,
    neighbours: bool = True,
) -> NDArray[Any]:
    """The vertices of all pieces.

    Parameters
    ----------
    pieces
        What to draw; what lies outside the camera's view is clipped to its edge.
    resident
        Tiles by chunk, for the neighbours.
    levels
        Of the dataset.
    ideal_level
        What the level difference counts from.
    camera
        What clip positions are of: the view's, or a wider one (`wide_camera`).
    tile_shape
        (down, across) in texels.
    atlas_columns
        Tiles in a row of the atlas.
    neighbours
        Whether to look the neighbours up: nearest interpolation needs none.

    Returns
    -------
    ndarray
        Shape (4 * len(pieces),), dtype `VERTEX`.
    """
    count = len(pieces)
    if count == 0:
        return np.empty(0, VERTEX)
    # Few calls on few arrays: what a frame spends here is numpy's cost a call, not that of the numbers.
    given = np.array([(*chunk, tile, status, *rect) for chunk, rect, tile, status in pieces], np.float64)
    known = levels.table[given[:, 0].astype(np.intp)]
    chunk, tile = known[:, 8:10], given[:, 3]
    first = given[:, 1:3] * chunk

    y0, x0, y1, x1 = camera.view()
    rects = np.minimum(np.maximum(given[:, 5:], (y0, x0, y0, x0)), (y1, x1, y1, x1))
    (width, height), (y, x) = camera.canvas, camera.center
    across, down = 2.0 / (camera.pixel_size * width), -2.0 / (camera.pixel_size * height)
    corners = np.empty((count, 8))
    corners[:, :4] = (rects - (y, x, y, x)) * (down, across, down, across)
    corners[:, 4:] = (rects - known[:, 4:8]) / known[:, :4] + 0.5
    corners[:, 4:6] -= first
    corners[:, 6:] -= first

    same = np.empty((count, _FLOATS - 4), np.float32)
    row, column = np.divmod(np.maximum(tile, 0.0), atlas_columns)
    same[:, 0] = column * tile_shape[1]
    same[:, 1] = row * tile_shape[0]
    same[:, 3:1:-1] = np.minimum(2.0 * chunk, known[:, 10:] - first)
    same[:, 4:12] = _neighbour_tiles(pieces, resident) if neighbours else -1.0
    same[:, 13:11:-1] = chunk
    same[:, 14] = given[:, 0] - ideal_level
    same[:, 15] = given[:, 4] + NO_DATA * (tile < 0.0)
    out = np.empty((count, 4, _FLOATS), np.float32)
    out[:, :, :4] = corners[:, _PICK]
    out[:, :, 4:] = same[:, None]
    return out.reshape(-1).view(VERTEX)


def build_fading_quads(
    fading: Sequence[FadingPiece],
    resident: Resident,
    levels: LevelArrays,
    camera: Camera,
    tile_shape: tuple[int, int],
    atlas_columns: int,
    neighbours: bool = True,
) -> NDArray[Any]:
    """The vertices of pieces that fade in; parameters as of `build_quads`.

    Returns
    -------
    ndarray
        Shape (4 * len(fading),), dtype `FADING_VERTEX`.
    """
    if not fading:
        return np.empty(0, FADING_VERTEX)
    nothing = CellStatus.EMPTY
    before = [one.before or one.piece._replace(tile=-1, status=nothing) for one in fading]
    halves = [
        build_quads(pieces, resident, levels, 0, camera, tile_shape, atlas_columns, neighbours)
        .view(np.float32)
        .reshape(len(fading), 4, _FLOATS)
        for pieces in ([one.piece for one in fading], before)
    ]
    out = np.concatenate(halves, axis=2)
    out[:, :, _FLOATS] = np.array([[one.share] for one in fading], np.float32)
    out[[one.before is None for one in fading], :, -1] = NOTHING
    return out.reshape(-1).view(FADING_VERTEX)


def _neighbour_tiles(pieces: Sequence[Piece], resident: Resident) -> NDArray[Any]:
    """Tiles of the neighbours, shape (pieces, 8), in the order of ``a_sides`` and ``a_corners``."""
    missing: dict[PlaneChunk, int] = {
        piece.chunk: piece.tile for piece in pieces if piece.status is CellStatus.MISSING and piece.tile >= 0
    }
    # Chunks that the store does not have are interpolated to like all others, resident or drawn in the fill value.
    get = resident.get
    found: dict[PlaneChunk, tuple[int, ...]] = {}
    rows: list[tuple[int, ...]] = []
    for piece in pieces:
        chunk = piece[0]
        tiles = found.get(chunk)
        if tiles is None:
            if piece[2] < 0:
                tiles = _NONE
            else:
                level, row, column = chunk
                above, below, left, right = row - 1, row + 1, column - 1, column + 1
                around = (
                    (level, above, column),
                    (level, row, left),
                    (level, row, right),
                    (level, below, column),
                    (level, above, left),
                    (level, above, right),
                    (level, below, left),
                    (level, below, right),
                )
                if missing:
                    tiles = tuple([get(c, missing.get(c, -1)) for c in around])
                else:
                    tiles = tuple([get(c, -1) for c in around])
            found[chunk] = tiles
        rows.append(tiles)
    return np.fromiter(chain.from_iterable(rows), np.float32, 8 * len(rows)).reshape(-1, 8)


_NONE = (-1,) * 8


def triangle_indices(capacity: int) -> NDArray[np.uint32]:
    """Indices of the triangles of `capacity` pieces, shape (6 * capacity,)."""
    quads = np.arange(capacity, dtype=np.uint32)[:, None] * 4
    return (quads + np.array(TRIANGLES, np.uint32)).reshape(-1)
