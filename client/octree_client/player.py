"""Carries out a play along an axis, and says which places of the axes are likely to be next.

Decided by `playing`; this keeps the timer, and remembers how one moved. Knows nothing of layers or pictures.
"""

from __future__ import annotations

import time

from psygnal import Signal

from octree_client.dims import Dims
from octree_client.driver import Driver
from octree_client.playing import Playback, PlayMode, neighbours


class Player:
    """Moves a position along an axis.

    Attributes
    ----------
    playback
        What is played, or None.
    changed
        Emits `playback` when a play begins or ends.
    """

    changed = Signal(object)

    def __init__(self, dims: Dims, driver: Driver) -> None:
        self.playback: Playback | None = None
        self._dims, self._driver = dims, driver
        self._axis = ""
        self._direction = 0
        self._before: dict[str, int] = {}
        dims.events.point_changed.connect(self._moved)

    def play(self, axis: str | None, fps: float, mode: PlayMode) -> None:
        """See `Viewer.play`."""
        dims = self._dims
        if axis is None:
            axis = self._usual_axis()
        if axis is None or axis not in dims.hidden:
            places = ", ".join(dims.hidden) or "none"
            raise ValueError(f"{axis or 'no axis'} cannot be played: the axes that are not displayed are {places}")
        now, count, index = time.monotonic(), dims.count(axis), dims.index(axis)
        # Played once from its end, nothing would move: it begins at the other one.
        start = 0 if mode == "once" and index == count - 1 else index
        self.playback = Playback(axis, count, start, now, fps, mode)
        self.changed.emit(self.playback)
        dims.set_index(axis, start)
        self._driver.call_at(self.playback.next_at(now), self._tick)

    def stop(self) -> None:
        """Stay there."""
        if self.playback is not None:
            self.playback = None
            self._driver.call_at(None)
            self.changed.emit(None)

    def following(self) -> list[dict[str, float]]:
        """Points that may be next, the likeliest first."""
        dims, playback = self._dims, self.playback
        axis = playback.axis if playback is not None else self._axis
        if axis not in dims.hidden:
            axis = self._usual_axis() or ""
        if not axis:
            return []
        if playback is not None and playback.axis == axis:
            places = playback.ahead(time.monotonic())
        else:
            places = neighbours(dims.index(axis), dims.count(axis), self._direction if axis == self._axis else 0)
        low, _, step = dims.ranges[axis]
        point = dims.point
        return [point | {axis: low + place * step} for place in places]

    def _usual_axis(self) -> str | None:
        return next((axis for axis in reversed(self._dims.hidden) if self._dims.count(axis) > 1), None)

    def _moved(self, axis: str, _world: float) -> None:
        index = self._dims.index(axis)
        before = self._before.get(axis)
        self._axis, self._before[axis] = axis, index
        self._direction = 0 if before is None else index - before

    def _tick(self) -> None:
        playback, dims = self.playback, self._dims
        if playback is None:
            return
        if playback.axis not in dims.hidden or dims.count(playback.axis) != playback.count:
            self.stop()  # the axis is displayed now, or another one
            return
        now = time.monotonic()
        dims.set_index(playback.axis, playback.index_at(now))
        following = playback.next_at(now)
        if following is None:
            self.stop()
        else:
            self._driver.call_at(following, self._tick)
