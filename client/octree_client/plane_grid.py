"""The chunk borders of every level in world units, with each level's constants worked out once. Pure (no I/O).

Knows nothing of what is loaded or drawn. All borders that anybody cuts a picture at come from `AxisGrid.border`, so
that two rectangles that share a border share the same float64, bit by bit. Nothing here grows with the number of
chunks: a border is computed when it is asked for.
"""

from __future__ import annotations

from math import log2

from octree_client.camera import PlaneLevel, image_extent

#: Half-open rectangle of chunk indices: first row, first column, one past the last row, one past the last column.
CellRange = tuple[int, int, int, int]

#: World (y0, x0, y1, x1).
Rect = tuple[float, float, float, float]

#: A part of an interval: the cell it lies in, where it begins, where it ends.
Cut = tuple[int, float, float]

#: Borders of different levels that lie closer together than this share of a voxel of level 0 are one border: rounding
#: moves them by less (2**-13 voxels at 2**40 voxels from the origin), and no eye sees more.
_SAME_BORDER = 1.0 / 1024.0


class AxisGrid:
    """The chunk borders of one level along one axis.

    The first and the last cell reach to the image's own ends, which are level 0's, however many voxels the level
    has itself: a level that was rounded up or down by a part of a voxel leaves no gap and sticks out nowhere.
    """

    __slots__ = ("chunk", "count", "end", "origin", "scale", "start", "step", "tolerance", "translation")

    def __init__(self, level: PlaneLevel, axis: int, start: float, end: float, tolerance: float) -> None:
        self.chunk = level.chunk[axis]
        self.count = level.grid[axis]
        self.scale = level.scale[axis]
        self.translation = level.translation[axis]
        self.start, self.end, self.tolerance = start, end, tolerance
        self.origin = level.voxel_to_world(axis, 0)
        self.step = self.chunk * self.scale

    def border(self, index: int) -> float:
        """World coordinate where cell `index` begins and cell ``index - 1`` ends."""
        if index <= 0:
            return self.start
        if index >= self.count:
            return self.end
        value = self.translation + (index * self.chunk - 0.5) * self.scale
        if value <= self.start + self.tolerance:
            return self.start
        if value >= self.end - self.tolerance:
            return self.end
        return value

    def index_at(self, world: float) -> int:
        """The cell that a place in the image lies in; the nearest one for a place outside."""
        index = int((world - self.origin) // self.step)
        if index >= self.count:
            return self.count - 1
        return index if index > 0 else 0

    def indices(self, low: float, high: float) -> tuple[int, int]:
        """Half-open range of the cells that share more than a point with ``[low, high)``; (0, 0) if there is none."""
        low, high = max(low, self.start), min(high, self.end)
        if not low < high:
            return 0, 0
        first = self.index_at(low)
        while self.border(first + 1) <= low:
            first += 1
        while self.border(first) > low:
            first -= 1
        last = max(first, self.index_at(high))
        while self.border(last) >= high:
            last -= 1
        while self.border(last + 1) < high:
            last += 1
        return first, last + 1

    def most_cells(self, length: float) -> int:
        """How many cells an interval of that length meets at most, wherever it lies."""
        return min(self.count, int(min(length, self.end - self.start) // self.step) + 2)

    def cuts(self, low: float, high: float) -> list[Cut]:
        """An interval of the image cut at this level's borders: (cell, low, high) of each part, in order.

        The parts' outer ends are `low` and `high` themselves. A border within the tolerance of an end cuts nothing
        off, so that rounding makes no slivers.
        """
        first, stop = self.indices(low + self.tolerance, high - self.tolerance)
        if stop == 0:
            return [(self.index_at(0.5 * (low + high)), low, high)]
        if stop - first == 1:
            return [(first, low, high)]
        parts = []
        begin = low
        for index in range(first, stop - 1):
            end = self.border(index + 1)
            parts.append((index, begin, end))
            begin = end
        parts.append((stop - 1, begin, high))
        return parts


class PlaneGrids:
    """What is worked out once for a dataset's levels.

    Attributes
    ----------
    axes
        For each level its `AxisGrid` down and across.
    extent
        World (y0, x0, y1, x1) of the image.
    octaves
        For each level (sum over both axes of log2(scale) squared, sum of log2(scale)); see `level_choice`.
    factors
        For each level but the last, down and across: how many of its cells a cell of the next level is made of, where
        their borders coincide all over the image; 0 where they do not.
    """

    __slots__ = ("axes", "extent", "factors", "octaves")

    def __init__(self, levels: tuple[PlaneLevel, ...]) -> None:
        y0, x0, y1, x1 = self.extent = image_extent(levels)
        near_y, near_x = (s * _SAME_BORDER for s in levels[0].scale)
        self.axes = tuple((AxisGrid(v, 0, y0, y1, near_y), AxisGrid(v, 1, x0, x1, near_x)) for v in levels)
        logs = [(log2(v.scale[0]), log2(v.scale[1])) for v in levels]
        self.octaves = tuple((a * a + b * b, a + b) for a, b in logs)
        self.factors = tuple(
            (_factor(fine[0], coarse[0]), _factor(fine[1], coarse[1]))
            for fine, coarse in zip(self.axes, self.axes[1:], strict=False)
        )


def _factor(fine: AxisGrid, coarse: AxisGrid) -> int:
    """How many cells of `fine` make a cell of `coarse`; 0 unless every coarse border is a fine one."""
    if coarse.count == 1:
        return fine.count  # whatever its chunk is: the level has no border within the image
    factor = round(coarse.step / fine.step)
    if factor < 1 or -(-fine.count // factor) != coarse.count:
        return 0
    drift = abs(coarse.origin - fine.origin) + abs(coarse.step - factor * fine.step) * coarse.count
    # Half of the tolerance, because `AxisGrid.cuts` compares rounded numbers with the whole of it.
    return factor if drift <= 0.5 * fine.tolerance else 0


_MEMO_MOST = 64
_memo: dict[int, tuple[tuple[PlaneLevel, ...], PlaneGrids]] = {}


def grids_of(levels: tuple[PlaneLevel, ...]) -> PlaneGrids:
    """The grids of these levels, made at the first call for this very tuple and remembered.

    Remembered by identity, because hashing a dozen levels several times a frame costs more than planning it. The memo
    holds on to the tuple, so that its identity is not given to another one meanwhile.
    """
    known = _memo.get(id(levels))
    if known is not None:
        return known[1]
    grids = PlaneGrids(levels)
    if len(_memo) >= _MEMO_MOST:
        _memo.clear()
    _memo[id(levels)] = (levels, grids)
    return grids


def visible_cells(levels: tuple[PlaneLevel, ...], level: int, view: Rect) -> CellRange:
    """The chunks of a level that meet a view.

    Parameters
    ----------
    level
        Index into `levels`.
    view
        World (y0, x0, y1, x1).

    Returns
    -------
    tuple of int
        (row0, col0, row1, col1), half open; all zero if the view lies beside the image.
    """
    down, across = grids_of(levels).axes[level]
    row0, row1 = down.indices(view[0], view[2])
    col0, col1 = across.indices(view[1], view[3])
    if row1 == 0 or col1 == 0:
        return 0, 0, 0, 0
    return row0, col0, row1, col1


def count_cells(levels: tuple[PlaneLevel, ...], level: int, view: Rect) -> int:
    """How many chunks of a level a view of that size meets at most, wherever it lies.

    It does not depend on where the view is, so that what is decided by it does not change while panning.
    """
    down, across = grids_of(levels).axes[level]
    return down.most_cells(view[2] - view[0]) * across.most_cells(view[3] - view[1])
