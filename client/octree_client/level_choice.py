"""Which level fits the screen, and which one the tile cache can afford. Pure (no I/O).

Knows nothing of what is loaded. A level's cost is ``sum over both axes of log2(scale / pixel_size) ** 2``: how many
octaves its voxels are off the canvas' pixels. With ``p = log2(pixel_size)`` and the level's ``A = sum log2(scale)**2``
and ``B = sum log2(scale)`` that is ``A - 2 p B + 2 p**2``; the last term is the same for every level and left out, so
costs are straight lines in ``p``, and between two levels there is one midpoint where they cross.
"""

from __future__ import annotations

from math import log2

from octree_client.camera import PlaneLevel
from octree_client.plane_grid import Rect, count_cells, grids_of

#: How far past the midpoint between two levels, in octaves of the pixel size, one is left for the other.
HYSTERESIS_OCTAVES = 0.15

#: Costs closer than this are a tie, which the finer level wins.
_TIE = 1e-9

#: A level finer than the current one is afforded only if this much more than its cells would fit.
_AFFORD_MARGIN = 1.1


def choose_level(
    levels: tuple[PlaneLevel, ...], pixel_size: float, current: int | None = None, lock: int | None = None
) -> int:
    """The level whose voxels match the canvas' pixels best, with hysteresis.

    Parameters
    ----------
    pixel_size
        World units across one physical pixel, above zero.
    current
        The level that is shown now; it is left only `HYSTERESIS_OCTAVES` past the midpoint.
    lock
        A level that the user has chosen; it wins, cut to those that exist.
    """
    if lock is not None:
        return min(max(lock, 0), len(levels) - 1)
    octaves = grids_of(levels).octaves
    twice_p = 2.0 * log2(pixel_size)
    best, best_cost = 0, octaves[0][0] - twice_p * octaves[0][1]
    for level in range(1, len(octaves)):
        square, total = octaves[level]
        cost = square - twice_p * total
        if cost < best_cost - _TIE:
            best, best_cost = level, cost
    if current is None or best == current or not 0 <= current < len(octaves):
        return best
    square, total = octaves[current]
    # The difference of two costs grows by twice the difference of their B for every octave past the midpoint.
    margin = 2.0 * HYSTERESIS_OCTAVES * abs(octaves[best][1] - total)
    return best if square - twice_p * total - best_cost > margin else current


def tiles_needed(levels: tuple[PlaneLevel, ...], ideal: int, view: Rect, base: int = 0) -> int:
    """Tiles that a view of that size takes at most: ideal cells, the coverage under them, `base` pinned ones."""
    need = count_cells(levels, ideal, view) + base
    coverage = min(ideal + 2, len(levels) - 1)
    return need + count_cells(levels, coverage, view) if coverage > ideal else need


def affordable_level(
    levels: tuple[PlaneLevel, ...], ideal: int, view: Rect, capacity: int, base: int = 0, current: int | None = None
) -> int:
    """The finest level, not finer than `ideal`, whose visible cells fit into the tile cache with their coverage.

    So the picture gets coarser where the cache is too small, instead of thrashing. The count does not depend on
    where the view lies, and going back to a finer level than `current` needs a margin, so that neither panning nor a
    trembling zoom flips between two levels.

    Parameters
    ----------
    capacity
        Tiles that the cache may give away (`atlas.TileCache.capacity`).
    base
        Tiles that are pinned: ``len(base_chunks(levels))``.
    """
    for level in range(ideal, len(levels) - 1):
        need = tiles_needed(levels, level, view, base)
        if need * _AFFORD_MARGIN <= capacity or (need <= capacity and (current is None or level >= current)):
            return level
    return max(ideal, len(levels) - 1)


def whole_level(levels: tuple[PlaneLevel, ...], capacity: int) -> int:
    """The finest level whose chunks all fit into the tile cache: what is shown whole where the octree is off."""
    extent = grids_of(levels).extent
    for level in range(len(levels)):
        down, across = grids_of(levels).axes[level]
        rows, cols = down.indices(extent[0], extent[2]), across.indices(extent[1], extent[3])
        if (rows[1] - rows[0]) * (cols[1] - cols[0]) <= capacity:
            return level
    return len(levels) - 1
