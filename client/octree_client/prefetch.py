"""How the camera moves, and which cells may come into view next. Pure (no I/O).

Knows nothing of what is loaded. Time is an argument, in seconds.
"""

from __future__ import annotations

from math import hypot, log2
from typing import NamedTuple

from octree_client.camera import Camera, PlaneLevel
from octree_client.plane_grid import CellRange, Rect, grids_of, visible_cells

#: A movement of this long ago counts half.
HALF_LIFE_S = 0.05

#: Slower than this many canvas widths a second is standing still.
_STILL = 0.02


class Motion(NamedTuple):
    """How the camera moves: world units a second down and across, and octaves of the pixel size a second."""

    down: float = 0.0
    across: float = 0.0
    zoom: float = 0.0


class MotionTracker:
    """Estimates the camera's motion from where it was: an exponential mean over time with `HALF_LIFE_S`."""

    __slots__ = ("_camera", "_half_life", "_motion", "_time")

    def __init__(self, half_life_s: float = HALF_LIFE_S) -> None:
        self._half_life = half_life_s
        self._camera: Camera | None = None
        self._time = 0.0
        self._motion = Motion()

    def moved(self, camera: Camera, now: float) -> None:
        """The camera is here now."""
        before, passed = self._camera, now - self._time
        if before is None:
            self._camera, self._time = camera, now
            return
        if passed <= 0.0:
            return  # a second event of the same instant: the next one includes its way
        weight = 1.0 - 0.5 ** (passed / self._half_life)
        down, across, zoom = self._motion
        down += weight * ((camera.center[0] - before.center[0]) / passed - down)
        across += weight * ((camera.center[1] - before.center[1]) / passed - across)
        zoom += weight * (log2(camera.pixel_size / before.pixel_size) / passed - zoom)
        self._motion = Motion(down, across, zoom)
        self._camera, self._time = camera, now

    def motion(self, now: float) -> Motion:
        """The motion now: since the last event, the camera has stood still."""
        rest: float = 0.5 ** (max(0.0, now - self._time) / self._half_life)
        down, across, zoom = self._motion
        return Motion(down * rest, across * rest, zoom * rest)

    def stop(self) -> None:
        """The camera was put somewhere else at once: that was no motion."""
        self._camera, self._motion = None, Motion()

    def validate(self) -> None:
        """Raise `AssertionError` if there is a motion without a camera."""
        assert self._camera is not None or self._motion == Motion(), "moving, but nobody knows what"


def is_still(camera: Camera, motion: Motion) -> bool:
    """Whether the motion is too slow to run ahead of."""
    width, height = camera.canvas
    per_second = hypot(motion.down, motion.across) / (max(width, height) * camera.pixel_size)
    return per_second < _STILL and abs(motion.zoom) < _STILL


def predicted_view(camera: Camera, motion: Motion, look_ahead_s: float) -> Rect:
    """World (y0, x0, y1, x1) of the canvas after so many seconds of the same motion.

    At most one canvas away and twice or half the size: nobody knows more than that.
    """
    y0, x0, y1, x1 = camera.view()
    height, width = y1 - y0, x1 - x0
    dy = min(max(motion.down * look_ahead_s, -height), height)
    dx = min(max(motion.across * look_ahead_s, -width), width)
    grow = 0.5 * (2.0 ** min(max(motion.zoom * look_ahead_s, -1.0), 1.0) - 1.0)
    return y0 + dy - grow * height, x0 + dx - grow * width, y1 + dy + grow * height, x1 + dx + grow * width


def prefetch_range(
    levels: tuple[PlaneLevel, ...], ideal: int, view: Rect, ahead: Rect | None, most: int = 32
) -> CellRange:
    """The rectangle of cells of the ideal level that holds those in view and what may come next.

    Parameters
    ----------
    ahead
        Where the view will be (`predicted_view`): the cells on the way there, and one beyond on the sides that it
        moves to. None while the camera stands still: the ring of cells around the view.
    most
        No more rows and columns beside the view than so many cells can fill: what follows from the range costs the
        same however fast the camera moves.

    Returns
    -------
    tuple of int
        (row0, col0, row1, col1), half open; all zero if nothing of the image is in view.
    """
    row0, col0, row1, col1 = visible_cells(levels, ideal, view)
    if row1 == 0 or most <= 0:
        return row0, col0, row1, col1
    grids = grids_of(levels)
    down, across = grids.axes[ideal]
    if ahead is None:
        first_row, first_col, last_row, last_col = row0 - 1, col0 - 1, row1 + 1, col1 + 1
    else:
        first_row = down.index_at(ahead[0]) - 1 if ahead[0] < view[0] else row0
        last_row = down.index_at(ahead[2]) + 2 if ahead[2] > view[2] else row1
        first_col = across.index_at(ahead[1]) - 1 if ahead[1] < view[1] else col0
        last_col = across.index_at(ahead[3]) + 2 if ahead[3] > view[3] else col1
    deep_rows, deep_cols = most // (col1 - col0) + 1, most // (row1 - row0) + 1
    # A cell that lies wholly beyond the image's end (a level that was rounded up) is no cell.
    inside = visible_cells(levels, ideal, grids.extent)
    return (
        max(first_row, row0 - deep_rows, inside[0]),
        max(first_col, col0 - deep_cols, inside[1]),
        min(last_row, row1 + deep_rows, inside[2]),
        min(last_col, col1 + deep_cols, inside[3]),
    )


def prefetch_cells(seen: CellRange, around: CellRange, most: int = 32) -> list[tuple[int, int]]:
    """Cells that may come into view next, the nearest to the view first; none that is visible.

    Parameters
    ----------
    seen, around
        What is in view, and the larger range that is looked ahead to (`prefetch_range`).
    most
        So many at most.

    Returns
    -------
    list of tuple of int
        (row, column).
    """
    row0, col0, row1, col1 = seen
    first_row, first_col, last_row, last_col = around
    mid_row, mid_col = 0.5 * (row0 + row1 - 1), 0.5 * (col0 + col1 - 1)
    found: list[tuple[float, float, int, int]] = []
    for row in range(first_row, last_row):
        away = row0 - row if row < row0 else max(0, row - row1 + 1)
        off_mid = abs(row - mid_row)
        if away:
            columns = [*range(first_col, last_col)]
        else:
            columns = [*range(first_col, min(col0, last_col)), *range(max(col1, first_col), last_col)]
        for col in columns:
            aside = col0 - col if col < col0 else max(0, col - col1 + 1)
            found.append((away + aside, off_mid + abs(col - mid_col), row, col))
    found.sort()
    return [(row, col) for _, _, row, col in found[:most]]
