"""What to draw where: every visible cell of the ideal grid exactly once, from the best data in VRAM. Pure (no I/O).

Knows nothing of textures (a tile is a number), nor of what is on its way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from octree_client.camera import PlaneLevel
from octree_client.plane_grid import AxisGrid, Cut, PlaneGrids, Rect, grids_of, visible_cells
from octree_protocol.keys import CellStatus

#: (level, row, column): a chunk on the displayed axes, at the position of the axes that are not displayed.
PlaneChunk = tuple[int, int, int]

#: Which tile of the atlas holds a chunk.
Resident = Mapping[PlaneChunk, int]

#: The tile that is kept for the fill value: what a chunk that the store does not have is drawn from.
FILL_TILE = 0

_FINAL, _PROVISIONAL, _MISSING = CellStatus.FINAL, CellStatus.PROVISIONAL, CellStatus.MISSING
_FAILED, _EMPTY = CellStatus.FAILED, CellStatus.EMPTY


class ViewStatus(NamedTuple):
    """How the cells in view stand: how many are drawn from their own chunk, from another level, in the fill value,
    how many could not be read, and of how many there is nothing yet."""

    final: int = 0
    provisional: int = 0
    missing: int = 0
    failed: int = 0
    empty: int = 0

    @property
    def is_final(self) -> bool:
        """Nothing is to come any more."""
        return self.provisional == 0 and self.empty == 0

    @property
    def cells(self) -> int:
        """All of them."""
        return sum(self)

    def plus(self, other: ViewStatus) -> ViewStatus:
        """The cells of two views together."""
        return ViewStatus(*(a + b for a, b in zip(self, other, strict=True)))


#: No cells at all.
NO_CELLS = ViewStatus()


class Piece(NamedTuple):
    """A rectangle of the screen that is drawn from one tile.

    `chunk` is the chunk drawn from, at its own level, which need not be the ideal one; `rect` is world
    (y0, x0, y1, x1); `tile` is -1 where there is nothing to draw from (EMPTY, or FAILED without a stand-in).
    """

    chunk: PlaneChunk
    rect: tuple[float, float, float, float]
    tile: int
    status: CellStatus


def is_drawn(piece: Piece) -> bool:
    """Whether a layer above others draws it: where there is nothing yet, what lies below is seen; a failure is told."""
    return piece[2] >= 0 or piece[3] is _FAILED


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
    """Draws the cells whose own chunk is not there; remembers for one call what neighbouring cells share.

    Levels of which nothing is resident are left out from the start: a deep pyramid costs no more than a flat one.
    """

    __slots__ = ("_across", "_axes", "_below", "_coarser", "_down", "_finer", "_get", "_pieces", "_resident", "_up")

    def __init__(
        self, grids: PlaneGrids, ideal: int, resident: Resident, finest_below: int, pieces: list[Piece]
    ) -> None:
        self._axes = grids.axes
        self._resident = resident
        self._get = resident.get
        self._pieces = pieces
        there = {chunk[0] for chunk in resident}
        finest = max(ideal - finest_below, 0)
        self._finer = [level for level in range(ideal - 1, finest - 1, -1) if level in there]
        self._coarser = [level for level in range(ideal + 1, len(self._axes)) if level in there]
        self._down: dict[int, _Line] = {}
        self._across: dict[int, _Line] = {}
        #: Where all levels' borders coincide: for each finer level how many of its cells make an ideal one, and for
        #: each coarser one how many ideal ones make one of its own, (level, down, across).
        self._below: list[tuple[int, int, int]] = []
        self._up: list[tuple[int, int, int]] | None = None
        factors = grids.factors
        if all(y and x for y, x in factors[finest:]):
            self._up = []
            y, x = 1, 1
            for level in range(ideal - 1, finest - 1, -1):
                y, x = y * factors[level][0], x * factors[level][1]
                if level in there:
                    self._below.append((level, y, x))
            y, x = 1, 1
            for level in range(ideal + 1, len(self._axes)):
                y, x = y * factors[level - 1][0], x * factors[level - 1][1]
                if level in there:
                    self._up.append((level, y, x))

    def draw(self, chunk: PlaneChunk, rect: Rect, failed: bool) -> None:
        if self._up is None:
            self._draw_unaligned(chunk, rect, _FAILED if failed else _PROVISIONAL)
            return
        _, row, col = chunk
        status = _FAILED if failed else _PROVISIONAL
        get = self._get
        for level, y, x in self._below:
            # Where a view is cold, its first finer chunk is not there: one look settles it.
            if get((level, row * y, col * x)) is not None and self._draw_finer(level, rect, status):
                return
        for level, y, x in self._up:
            source = (level, row // y, col // x)
            tile = get(source)
            if tile is not None:
                self._pieces.append(tuple.__new__(Piece, (source, rect, tile, status)))
                return
        self._pieces.append(tuple.__new__(Piece, (chunk, rect, -1, _FAILED if failed else _EMPTY)))

    def _draw_unaligned(self, chunk: PlaneChunk, rect: Rect, status: CellStatus) -> None:
        """Any pyramid: borders of one level may lie anywhere in the chunks of another."""
        _, row, col = chunk
        down = self._down.get(row)
        if down is None:
            down = self._down[row] = _Line(self._axes, 0, rect[0], rect[2])
        across = self._across.get(col)
        if across is None:
            across = self._across[col] = _Line(self._axes, 1, rect[1], rect[3])
        get = self._get
        for level in self._finer:
            first = (level, down.cuts(level)[0][0], across.cuts(level)[0][0])
            if get(first) is not None and self._draw_finer(level, rect, status):
                return
        for place, level in enumerate(self._coarser):
            rows, cols = down.cuts(level), across.cuts(level)
            if len(rows) == 1 and len(cols) == 1:
                source = (level, rows[0][0], cols[0][0])
                tile = get(source)
                if tile is None:
                    continue
                self._pieces.append(tuple.__new__(Piece, (source, rect, tile, status)))
                return
            if any((level, r[0], c[0]) in self._resident for r in rows for c in cols):
                self._draw_parts(chunk, place, rows, cols, status)
                return
        self._draw_nothing(chunk, rect, status)

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

    def _draw_parts(self, cell: PlaneChunk, place: int, rows: list[Cut], cols: list[Cut], status: CellStatus) -> None:
        """Draw the parts of a cell that a coarser level cuts it into, where that level has something of it."""
        level = self._coarser[place]
        for row, y0, y1 in rows:
            for col, x0, x1 in cols:
                tile = self._get((level, row, col))
                if tile is not None:
                    self._pieces.append(tuple.__new__(Piece, ((level, row, col), (y0, x0, y1, x1), tile, status)))
                else:
                    self._draw_coarser(cell, place + 1, (y0, x0, y1, x1), status)

    def _draw_coarser(self, cell: PlaneChunk, place: int, rect: Rect, status: CellStatus) -> None:
        """Draw a part of a cell from the next coarser level that has something of it, from `place` on."""
        for above in range(place, len(self._coarser)):
            level = self._coarser[above]
            down, across = self._axes[level]
            rows, cols = down.cuts(rect[0], rect[2]), across.cuts(rect[1], rect[3])
            if any((level, r[0], c[0]) in self._resident for r in rows for c in cols):
                self._draw_parts(cell, above, rows, cols, status)
                return
        self._draw_nothing(cell, rect, status)

    def _draw_nothing(self, cell: PlaneChunk, rect: Rect, status: CellStatus) -> None:
        self._pieces.append(Piece(cell, rect, -1, _FAILED if status is _FAILED else _EMPTY))


class _Line:
    """How the other levels cut the cells of one row (or column), worked out when asked for."""

    __slots__ = ("_axes", "_axis", "_cuts", "_high", "_low")

    def __init__(self, axes: tuple[tuple[AxisGrid, AxisGrid], ...], axis: int, low: float, high: float) -> None:
        self._axes, self._axis, self._low, self._high = axes, axis, low, high
        self._cuts: dict[int, list[Cut]] = {}

    def cuts(self, level: int) -> list[Cut]:
        found = self._cuts.get(level)
        if found is None:
            found = self._cuts[level] = self._axes[level][self._axis].cuts(self._low, self._high)
        return found


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


def cell_statuses(levels: tuple[PlaneLevel, ...], ideal: int, pieces: Iterable[Piece]) -> ViewStatus:
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
    return ViewStatus(final, len(provisional - empty), missing, len(failed), len(empty))
