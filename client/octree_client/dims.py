"""Which two axes of the world are displayed, and where one is on the others. Pure (no I/O).

Knows nothing of datasets, layers or cameras: it is told which axes there are (`Dims.tell_axes`), and tells whoever
listens what changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psygnal import Signal, SignalGroup

from octree_client.placing import WorldAxis

#: What is displayed while there are no axes.
_NO_AXES = ("y", "x")


class DimsEvents(SignalGroup):
    """What changed: ``point_changed`` has the axis and its world coordinate, ``displayed_changed`` the two axes."""

    point_changed = Signal(str, float)
    displayed_changed = Signal(str, str)
    ranges_changed = Signal()


class Dims:
    """The axes of a viewer's world.

    Attributes
    ----------
    axes
        Names, in order.
    kinds, units
        Of each axis, as `octree_protocol.geometry.Axis` has them.
    ranges
        World coordinates of the first and the last voxel centre, and the step from one to the next, of each axis.
    events
        `DimsEvents`.
    """

    def __init__(self) -> None:
        self.axes: tuple[str, ...] = ()
        self.kinds: dict[str, str] = {}
        self.units: dict[str, str] = {}
        self.ranges: dict[str, tuple[float, float, float]] = {}
        self.events = DimsEvents()
        self._point: dict[str, float] = {}
        self._displayed = _NO_AXES

    def __repr__(self) -> str:
        places = ", ".join(f"{axis}={self._point[axis]:g}" for axis in self.hidden)
        return f"<dims {' '.join(self.axes)}, displayed {' '.join(self._displayed)}{': ' if places else ''}{places}>"

    @property
    def displayed(self) -> tuple[str, str]:
        """The axes that are drawn down and across."""
        return self._displayed

    @property
    def hidden(self) -> tuple[str, ...]:
        """The axes that are not displayed, in order."""
        return tuple(axis for axis in self.axes if axis not in self._displayed)

    @property
    def point(self) -> dict[str, float]:
        """World coordinate of the position on each axis that is not displayed."""
        return {axis: self._point[axis] for axis in self.hidden}

    @property
    def full_point(self) -> dict[str, float]:
        """`point`, and for the displayed axes where one would be if they were not."""
        return dict(self._point)

    # --- position ----------------------------------------------------------------------------------------------------

    def set_point(self, axis: str, world: float) -> None:
        """Go to the voxel centre next to a world coordinate. Raises `ValueError` if there is no such axis."""
        low, high, step = self._range(axis)
        if world >= high:
            self.set_index(axis, self.count(axis) - 1)
        else:  # not a number is no place, and compares false: the first
            self.set_index(axis, round((world - low) / step) if world > low else 0)

    def set_index(self, axis: str, index: int) -> None:
        """Go to a place of an axis, counted from 0; the nearest there is."""
        low, high, step = self._range(axis)
        index = min(max(int(index), 0), self.count(axis) - 1)
        world = high if index == self.count(axis) - 1 else low + index * step
        if world != self._point.get(axis):
            self._point[axis] = world
            self.events.point_changed.emit(axis, world)

    def step_by(self, axis: str, steps: int) -> None:
        """Go so many places on; back if it is negative."""
        self.set_index(axis, self.index(axis) + steps)

    def index(self, axis: str) -> int:
        """The place on an axis, counted from 0."""
        low, _, step = self._range(axis)
        return round((self._point[axis] - low) / step)

    def count(self, axis: str) -> int:
        """How many places an axis has."""
        low, high, step = self._range(axis)
        return round((high - low) / step) + 1

    def _range(self, axis: str) -> tuple[float, float, float]:
        if axis not in self.ranges:
            raise ValueError(f"there is no axis {axis!r}; the axes are {', '.join(self.axes) or 'none yet'}")
        return self.ranges[axis]

    # --- what is displayed -------------------------------------------------------------------------------------------

    def set_displayed(self, down: str, across: str) -> None:
        """Choose the axes that are drawn down and across. Raises `ValueError` unless they are two of the axes."""
        for axis in (down, across):
            self._range(axis)
        if down == across:
            raise ValueError(f"two axes are displayed, not {down!r} twice")
        if (down, across) != self._displayed:
            self._displayed = (down, across)
            self.events.displayed_changed.emit(down, across)

    def swap(self) -> None:
        """What is drawn down is drawn across, and the other way round."""
        down, across = self._displayed
        self.set_displayed(across, down)

    transpose = swap

    # --- what there is -----------------------------------------------------------------------------------------------

    def tell_axes(self, axes: Sequence[WorldAxis], at: Mapping[str, float] | None = None) -> None:
        """These are the axes from now on; the position on those that were there stays, within what they are now.

        Parameters
        ----------
        at
            World coordinates to begin with on axes that are new; their middle if left out.
        """
        names = tuple(axis.name for axis in axes)
        ranges = {axis.name: (axis.low, axis.high, axis.step) for axis in axes}
        changed = names != self.axes or ranges != self.ranges
        self.axes, self.ranges = names, ranges
        self.kinds = {axis.name: axis.kind for axis in axes}
        self.units = {axis.name: axis.unit for axis in axes}
        for axis in names:
            low, high, step = ranges[axis]
            before = self._point.get(axis)
            if before is None:
                before = at[axis] if at is not None and axis in at else low + (self.count(axis) // 2) * step
            self._point[axis] = min(max(low + round((before - low) / step) * step, low), high)
        if any(axis not in names for axis in self._displayed):
            self._displayed = _usual_plane(axes)
        if changed:
            self.events.ranges_changed.emit()

    def validate(self) -> None:
        """Raise `AssertionError` if a position is none of an axis, or what is displayed is not there."""
        for axis in self.axes:
            assert 0 <= self.index(axis) < self.count(axis), f"{axis} is at {self._point[axis]}"
        if len(self.axes) >= 2:
            assert set(self._displayed) <= set(self.axes), f"{self._displayed} of {self.axes}"


def _usual_plane(axes: Sequence[WorldAxis]) -> tuple[str, str]:
    """The last two axes of space; the last two at all, where there are not as many."""
    space = [axis.name for axis in axes if axis.kind == "space"]
    names = space if len(space) >= 2 else [axis.name for axis in axes]
    return (names[-2], names[-1]) if len(names) >= 2 else _NO_AXES
