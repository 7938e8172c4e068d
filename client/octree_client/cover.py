"""What to draw where: every visible cell of the ideal grid exactly once, from the best data in VRAM. Pure (no I/O).

Knows nothing of textures (a tile is a number), nor of what is on its way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from octree_client.camera import PlaneLevel
from octree_client.plane_grid import AxisGrid, PlaneGrids, Rect, grids_of, visible_cells
from octree_protocol.keys import CellStatus

#: (level, row, column): a chunk on the displayed axes, at the position of the axes that are not displayed.
PlaneChunk = tuple[int, int, int]

#: Which tile of the atlas holds a chunk.
Resident = Mapping[PlaneChunk, int]

#: The tile that is kept for the fill value: what a chunk that the store does not have is drawn from.
FILL_TILE = 0

_FINAL, _PROVISIONAL, _MISSING = CellStatus.FINAL, CellStatus.PROVISIONAL, CellStatus.MISSING
_FAILED, _EMPTY = CellStatus.FAILED, CellStatus.EMPTY


class Piece(NamedTuple):
    """A rectangle of the screen that is drawn from one tile.

    `chunk` is the chunk drawn from, at its own level, which need not be the ideal one; `rect` is world
    (y0, x0, y1, x1); `tile` is -1 where there is nothing to draw from (EMPTY, or FAILED without a stand-in).
    """

    chunk: PlaneChunk
    rect: tuple[float, float, float, float]
    tile: int
    status: CellStatus


def cover(
    levels: tuple[PlaneLevel, ...],
    ideal: int,
    view: Rect,
    resident: Resident,
    missing: Collection[PlaneChunk] = frozenset(),
    failed: Collection[PlaneChunk] = frozenset(),
    *,
    fill_tile: int = FILL_TILE,
    finest_below: int = 3,
) -> list[Piece]:
    """Cut the visible cells of the ideal level into pieces that are drawn from what is there.

    A cell is drawn from its own chunk; or from the fill value, if the store has no such chunk; or from the finer
    chunks of the nearest level where all that meet it are there; or, part by part, from the nearest coarser ones. The
    pieces of a cell tile it exactly, and follow each other in the list; cells that the view cuts are drawn whole, cut
    only by the image's edge.

    Parameters
    ----------
    resident, missing, failed
        Chunks in VRAM, chunks that the store does not have, and chunks that could not be read; of all levels, at
        the position that is shown. Sets or mappings.
    fill_tile
        What MISSING cells are drawn from.
    finest_below
        How many levels below the ideal one may stand in for it.
    """
    row0, col0, row1, col1 = visible_cells(levels, ideal, view)
    grids = grids_of(levels)
    down, across = grids.axes[ideal]
    xs = [across.border(col) for col in range(col0, col1 + 1)]
    columns = list(zip(range(col0, col1), xs, xs[1:], strict=False))
    pieces: list[Piece] = []
    append, get, new = pieces.append, resident.get, tuple.__new__
    stand_ins: _StandIns | None = None
    y1 = down.border(row0)
    for row in range(row0, row1):
        y0, y1 = y1, down.border(row + 1)
        for col, x0, x1 in columns:
            chunk = (ideal, row, col)
            tile = get(chunk)
            if tile is not None:
                append(new(Piece, (chunk, (y0, x0, y1, x1), tile, _FINAL)))
            elif chunk in missing:
                append(new(Piece, (chunk, (y0, x0, y1, x1), fill_tile, _MISSING)))
            else:
                if stand_ins is None:
                    stand_ins = _StandIns(grids, ideal, resident, finest_below, pieces)
                stand_ins.draw(chunk, (y0, x0, y1, x1), chunk in failed)
    return pieces


class _StandIns:
    """Draws the cells whose own chunk is not there; remembers for one call what neighbouring cells share."""

    __slots__ = ("_above", "_across", "_axes", "_below", "_down", "_finer", "_get", "_grids", "_pieces", "_up")

    def __init__(
        self, grids: PlaneGrids, ideal: int, resident: Resident, finest_below: int, pieces: list[Piece]
    ) -> None:
        self._grids = grids
        self._axes = grids.axes
        self._get = resident.get
        self._pieces = pieces
        self._finer = range(ideal - 1, max(ideal - finest_below, 0) - 1, -1)
        self._down: dict[int, _Line] = {}
        self._across: dict[int, _Line] = {}
        #: Best chunk for all that a chunk two levels up holds, and its tile: its cells share one search.
        self._above: dict[tuple[int, int], tuple[PlaneChunk, int] | None] = {}
        #: Cells in one of the next two levels' chunks, (down, across) each, where all levels' borders coincide.
        self._up: tuple[int, int, int, int] | None = None
        self._below: list[tuple[int, int, int]] = []
        factors = grids.factors
        if ideal + 2 < len(self._axes) and all(y and x for y, x in factors[self._finer.stop + 1 :]):
            (y1, x1), (y2, x2) = factors[ideal], factors[ideal + 1]
            self._up = y1, x1, y2, x2
            y, x = 1, 1
            for level in self._finer:
                y, x = y * factors[level][0], x * factors[level][1]
                self._below.append((level, y, x))

    def draw(self, chunk: PlaneChunk, rect: Rect, failed: bool) -> None:
        if self._up is None:
            self._draw_unaligned(chunk, rect, _FAILED if failed else _PROVISIONAL)
            return
        ideal, row, col = chunk
        status = _FAILED if failed else _PROVISIONAL
        get = self._get
        for level, y, x in self._below:
            # Where a view is cold, its first finer chunk is not there: one look settles it.
            if get((level, row * y, col * x)) is not None and self._draw_finer(level, rect, status):
                return
        y1, x1, y2, x2 = self._up
        row, col = row // y1, col // x1
        source = (ideal + 1, row, col)
        tile = get(source)
        if tile is None:
            key = row // y2, col // x2
            try:
                best = self._above[key]
            except KeyError:
                best = self._above[key] = self._best_of(ideal + 2, *key)
            if best is None:
                self._pieces.append(tuple.__new__(Piece, (chunk, rect, -1, _FAILED if failed else _EMPTY)))
                return
            source, tile = best
        self._pieces.append(tuple.__new__(Piece, (source, rect, tile, status)))

    def _best_of(self, level: int, row: int, col: int) -> tuple[PlaneChunk, int] | None:
        """The finest resident chunk that holds all of a chunk, where all levels' borders coincide."""
        tile = self._get((level, row, col))
        while tile is None:
            if level + 1 == len(self._axes):
                return None
            y, x = self._grids.factors[level]
            level, row, col = level + 1, row // y, col // x
            tile = self._get((level, row, col))
        return (level, row, col), tile

    def _draw_unaligned(self, chunk: PlaneChunk, rect: Rect, status: CellStatus) -> None:
        """Any pyramid: borders of one level may lie anywhere in the chunks of another."""
        ideal, row, col = chunk
        down = self._down.get(row)
        if down is None:
            down = self._down[row] = _Line(self._axes, 0, ideal, self._finer, rect[0], rect[2])
        across = self._across.get(col)
        if across is None:
            across = self._across[col] = _Line(self._axes, 1, ideal, self._finer, rect[1], rect[3])
        for level, first_row, first_col in zip(self._finer, down.finer, across.finer, strict=True):
            if self._get((level, first_row, first_col)) is not None and self._draw_finer(level, rect, status):
                return
        level = ideal
        for up_row, up_col in zip(down.chain, across.chain, strict=False):
            level += 1
            tile = self._get((level, up_row, up_col))
            if tile is not None:
                self._pieces.append(Piece((level, up_row, up_col), rect, tile, status))
                return
        self._draw_coarser(chunk, level + 1, rect, status)

    def _draw_finer(self, level: int, rect: Rect, status: CellStatus) -> bool:
        """Draw the cell from the chunks of a finer level, if all that meet it are there."""
        get = self._get
        down, across = self._axes[level]
        columns = across.cuts(rect[1], rect[3])
        found = []
        for row, y0, y1 in down.cuts(rect[0], rect[2]):
            for col, x0, x1 in columns:
                tile = get((level, row, col))
                if tile is None:
                    return False
                found.append(Piece((level, row, col), (y0, x0, y1, x1), tile, status))
        self._pieces.extend(found)
        return True

    def _draw_coarser(self, cell: PlaneChunk, level: int, rect: Rect, status: CellStatus) -> None:
        """Draw a part of a cell from `level` or, where that is not there, from the levels above it."""
        if level >= len(self._axes):
            nothing = _FAILED if status is _FAILED else _EMPTY
            self._pieces.append(Piece(cell, rect, -1, nothing))
            return
        down, across = self._axes[level]
        columns = across.cuts(rect[1], rect[3])
        for row, y0, y1 in down.cuts(rect[0], rect[2]):
            for col, x0, x1 in columns:
                tile = self._get((level, row, col))
                if tile is not None:
                    self._pieces.append(Piece((level, row, col), (y0, x0, y1, x1), tile, status))
                else:
                    self._draw_coarser(cell, level + 1, (y0, x0, y1, x1), status)


class _Line:
    """What the cells of one row (or column) share.

    Attributes
    ----------
    finer
        For each finer level the first chunk that meets the line.
    chain
        The chunk that holds all of the line at the next level, the one above that, and so on, as long as one does.
    """

    __slots__ = ("chain", "finer")

    def __init__(
        self,
        axes: tuple[tuple[AxisGrid, AxisGrid], ...],
        axis: int,
        ideal: int,
        finer: range,
        low: float,
        high: float,
    ) -> None:
        self.finer = [axes[level][axis].cuts(low, high)[0][0] for level in finer]
        self.chain: list[int] = []
        for level in range(ideal + 1, len(axes)):
            grid = axes[level][axis]
            first, stop = grid.indices(low + grid.tolerance, high - grid.tolerance)
            if stop - first != 1:
                break
            self.chain.append(first)


def touched_tiles(pieces: Iterable[Piece]) -> set[int]:
    """The tiles that the pieces are drawn from: what must not be given to another chunk now."""
    tiles = {piece[2] for piece in pieces}
    tiles.discard(-1)
    return tiles


def spare_tiles(pieces: Iterable[Piece], ideal: int) -> list[int]:
    """Tiles in use only as stand-ins, in the order in which they may be given up for an ideal chunk in view.

    The finest first, because they show the least of the screen. Only needed where a cache is so small that all of it
    is in use, else the picture could never become final.
    """
    found = {piece[2]: piece[0][0] for piece in pieces if piece[2] >= 0 and piece[0][0] != ideal}
    return sorted(found, key=found.__getitem__)


def cell_statuses(levels: tuple[PlaneLevel, ...], ideal: int, pieces: Iterable[Piece]) -> Counter[CellStatus]:
    """How many visible cells are final, provisional, missing, failed and empty.

    A cell of several parts counts once, as its worst part: a cell that is partly EMPTY is EMPTY.
    """
    down, across = grids_of(levels).axes[ideal]
    final = missing = 0
    provisional: set[tuple[int, int]] = set()
    failed: set[tuple[int, int]] = set()
    empty: set[tuple[int, int]] = set()
    for chunk, rect, _, status in pieces:
        if status is _FINAL:
            final += 1
            continue
        if status is _MISSING:
            missing += 1
            continue
        if chunk[0] == ideal:
            cell = chunk[1], chunk[2]
        else:
            cell = down.index_at(0.5 * (rect[0] + rect[2])), across.index_at(0.5 * (rect[1] + rect[3]))
        (provisional if status is _PROVISIONAL else empty if status is _EMPTY else failed).add(cell)
    counts: Counter[CellStatus] = Counter()
    counts[_FINAL], counts[_MISSING], counts[_FAILED] = final, missing, len(failed)
    counts[_EMPTY], counts[_PROVISIONAL] = len(empty), len(provisional - empty)
    return +counts
