"""Which chunks are wanted for a view. Pure (no I/O).

The result is the *whole* working set, each time: it says nothing of what was asked for before, and what is announced
but not yet drawn stays in it, so that its slot stays in place. What is in VRAM is not in it. Knows nothing of slots,
sockets or tiles. Finer chunks than the ideal ones are never wanted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from math import hypot
from typing import NamedTuple

from octree_client.camera import PlaneLevel
from octree_client.cover import Piece, PlaneChunk, Resident
from octree_client.plane_grid import AxisGrid, Rect, grids_of, visible_cells
from octree_client.slices import KeyTemplate
from octree_protocol import limits
from octree_protocol.keys import CellStatus, Tier
from octree_protocol.messages import ViewerSettings, Wanted

#: Chunks of a plane, with what is asked of them.
Planned = list[tuple[PlaneChunk, Wanted]]

#: A coverage chunk is so many levels above the ideal one: it stands in for 16 cells where levels halve.
COVERAGE_ABOVE = 2

#: The coarsest level is kept in VRAM, so that no cell is ever blank, if it has at most so many chunks.
BASE_CHUNKS = 4

#: Where all that is missing is there in less than this (two frames), coverage would come too late to be of use.
FAST_MS = 33.0

_VISIBLE, _PREFETCH = Tier.VISIBLE, Tier.PREFETCH
_FINAL, _MISSING, _FAILED = CellStatus.FINAL, CellStatus.MISSING, CellStatus.FAILED
_FARTHEST = (1 << 31) - 1


def base_chunks(levels: tuple[PlaneLevel, ...], most: int = BASE_CHUNKS) -> tuple[PlaneChunk, ...]:
    """The chunks of the coarsest level, which stay in VRAM; none if they are more than `most`."""
    top = len(levels) - 1
    row0, col0, row1, col1 = visible_cells(levels, top, grids_of(levels).extent)
    if (row1 - row0) * (col1 - col0) > most:
        return ()
    return tuple((top, row, col) for row in range(row0, row1) for col in range(col0, col1))


class WorkingSet(NamedTuple):
    """What is wanted of a plane: `visible` for what is seen now, `nearby` for what may come into view."""

    visible: Planned
    nearby: Planned

    @property
    def entries(self) -> list[Wanted]:
        """All of it, in order, as the daemon is told."""
        return [entry for _, entry in self.visible] + [entry for _, entry in self.nearby]


def working_set(
    template: KeyTemplate,
    levels: tuple[PlaneLevel, ...],
    ideal: int,
    view: Rect,
    pieces: Iterable[Piece],
    resident: Resident,
    missing: Collection[PlaneChunk] = frozenset(),
    failed: Collection[PlaneChunk] = frozenset(),
    *,
    load_ms: float | None = None,
    prefetch: Sequence[tuple[int, int]] = (),
    base: Sequence[PlaneChunk] = (),
    settings: ViewerSettings | None = None,
    parallel_loads: int = 2,
    fast_ms: float = FAST_MS,
    most: int = 2048,
) -> WorkingSet:
    """What the daemon is asked for, the most useful first.

    Base and coverage come first, because they are few and show much; then the ideal cells, the nearest to the view's
    centre first where they are more than `most`; then what may come into view.

    Parameters
    ----------
    template
        The dataset and the position that is shown.
    pieces
        What `cover.cover` made of the same levels, ideal level, view, `resident`, `missing` and `failed`.
    missing, failed
        Chunks that the store does not have or that cannot be read, of all levels, at this position. Not asked for
        again.
    load_ms
        How long a load of this dataset takes now; None while nobody knows.
    prefetch
        (row, column) of ideal cells that may come into view.
    base
        `base_chunks`, or nothing.
    settings
        With `force_synchronous`, or without `octree_enabled`, only ideal chunks in view are wanted.
    parallel_loads
        How many loads run at the same time.
    most
        So many at most; what is over stays unasked until there is room.
    """
    only_ideal = settings is not None and (settings.force_synchronous or not settings.octree_enabled)
    grids = grids_of(levels)
    down, across = grids.axes[ideal]
    center = 0.5 * (view[0] + view[2]), 0.5 * (view[1] + view[3])
    # The view's centre in units of ideal chunks; a cell's centre lies at (row + 1/2, col + 1/2).
    mid_row = (center[0] - down.origin) / down.step - 0.5
    mid_col = (center[1] - across.origin) / across.step - 0.5
    target = min(ideal + COVERAGE_ABOVE, len(levels) - 1)

    cells: dict[tuple[int, int], Wanted] = {}
    uncovered: list[Rect] = []
    row0, col0, row1, col1 = visible_cells(levels, ideal, view)
    origin_y, step_y, origin_x, step_x = down.origin, down.step, across.origin, across.step
    name = template.keys(ideal)
    for chunk, rect, tile, status in pieces:
        if status is _FINAL or status is _MISSING:
            continue
        if tile < 0 or chunk[0] > target:
            uncovered.append(rect)
        if status is _FAILED:
            continue
        # The piece lies inside its cell; one at the image's edge may be stretched beyond its own grid, hence the cut.
        row = int((0.5 * (rect[0] + rect[2]) - origin_y) // step_y)
        col = int((0.5 * (rect[1] + rect[3]) - origin_x) // step_x)
        if not (row0 <= row < row1 and col0 <= col < col1):
            row, col = min(max(row, row0), row1 - 1), min(max(col, col0), col1 - 1)
        if (row, col) not in cells:
            distance = int(16.0 * hypot(row - mid_row, col - mid_col))
            cells[row, col] = Wanted(name(row, col), 0, _VISIBLE, distance if distance < _FARTHEST else _FARTHEST)

    wanted: dict[PlaneChunk, Wanted] = {}
    key = template.key
    if not only_ideal:
        for chunk in base:
            if chunk[0] > ideal and chunk not in resident and chunk not in missing and chunk not in failed:
                wanted[chunk] = Wanted(key(chunk), chunk[0] - ideal, _VISIBLE, _distance(grids.axes, chunk, center))
        slow = load_ms is None or len(cells) * load_ms > fast_ms * max(parallel_loads, 1)
        if uncovered and target > ideal and slow:
            for chunk in _coverage(grids.axes, target, uncovered, resident, missing, failed):
                wanted[chunk] = Wanted(key(chunk), chunk[0] - ideal, _VISIBLE, _distance(grids.axes, chunk, center))

    room = max(0, min(most, limits.WANTS_PER_VIEW) - len(wanted))
    visible, nearby = list(wanted.items()), Planned()
    mine = [((ideal, row, col), one) for (row, col), one in cells.items()]
    if len(mine) > room:
        visible += sorted(mine, key=lambda one: one[1].priority)[:room]
        return WorkingSet(visible, nearby)
    visible += mine
    if only_ideal:
        return WorkingSet(visible, nearby)
    room -= len(cells)
    for row, col in prefetch:
        if room <= 0:
            break
        chunk = (ideal, row, col)
        if (row, col) in cells or chunk in resident or chunk in missing or chunk in failed:
            continue
        room -= 1
        distance = int(16.0 * hypot(row - mid_row, col - mid_col))
        nearby.append((chunk, Wanted(name(row, col), 0, _PREFETCH, min(distance, _FARTHEST))))
    if ideal == len(levels) - 1:
        # The base is of the ideal level itself: what of it lies outside the view is kept all the same.
        seen = {*cells, *prefetch}
        for chunk in base:
            if room > 0 and chunk[1:] not in seen and chunk not in resident:
                if chunk in missing or chunk in failed:
                    continue
                room -= 1
                nearby.append((chunk, Wanted(key(chunk), 0, _PREFETCH, _distance(grids.axes, chunk, center))))
    return WorkingSet(visible, nearby)


def _distance(axes: tuple[tuple[AxisGrid, AxisGrid], ...], chunk: PlaneChunk, center: tuple[float, float]) -> int:
    """Distance of a chunk's centre from the view's, in sixteenths of such a chunk."""
    level, row, col = chunk
    down, across = axes[level]
    dy = row + 0.5 - (center[0] - down.origin) / down.step
    dx = col + 0.5 - (center[1] - across.origin) / across.step
    return min(int(16.0 * hypot(dy, dx)), _FARTHEST)


def _coverage(
    axes: tuple[tuple[AxisGrid, AxisGrid], ...],
    target: int,
    uncovered: Iterable[Rect],
    resident: Resident,
    missing: Collection[PlaneChunk],
    failed: Collection[PlaneChunk],
) -> dict[PlaneChunk, None]:
    """The chunks to ask for so that every one of these rectangles gets a stand-in; each once, in order."""
    found: dict[PlaneChunk, None] = {}
    down, across = axes[target]
    row_memo: dict[tuple[float, float], range] = {}
    col_memo: dict[tuple[float, float], range] = {}
    for rect in uncovered:
        y0, x0, y1, x1 = rect
        rows = row_memo.get((y0, y1))
        if rows is None:
            rows = row_memo[y0, y1] = range(*down.indices(y0 + down.tolerance, y1 - down.tolerance))
        cols = col_memo.get((x0, x1))
        if cols is None:
            cols = col_memo[x0, x1] = range(*across.indices(x0 + across.tolerance, x1 - across.tolerance))
        for row in rows:
            for col in cols:
                chunk = (target, row, col)
                if chunk in found or chunk in resident:
                    continue
                if chunk in missing or chunk in failed:
                    if target + 1 < len(axes):
                        above = _coverage(axes, target + 1, (rect,), resident, missing, failed)
                        found.update(above)
                    continue
                found[chunk] = None
    return found
