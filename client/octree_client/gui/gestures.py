"""Mouse and keys that move the camera: hands gestures to `Navigation`, carries out glides, moves the `Viewer`."""

from __future__ import annotations

import time
from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, QTimer

from octree_client.canvas import Canvas, MouseEvent
from octree_client.navigation import PAN_SHARE, STEP_FACTOR, Navigation, finest_scale
from octree_client.viewer import Viewer

#: Between two steps of a glide. Milliseconds.
_GLIDE_MS = 8


class Gestures(QObject):  # type: ignore[misc]
    """What hand and keyboard do to the camera. Every command is harmless before there is a viewer.

    Attributes
    ----------
    cursor
        (x, y) in physical pixels of the canvas, or None while the mouse is elsewhere.
    changed
        Called when something has changed that words may be about: the cursor, a rectangle being marked.
    on_pick
        Called with the place of the world (y, x) that was clicked with Alt held.
    """

    def __init__(self, canvas: Canvas, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer: Viewer | None = None
        self.navigation: Navigation | None = None
        self.cursor: tuple[float, float] | None = None
        self.changed: Callable[[], None] = lambda: None
        self.on_pick: Callable[[float, float], None] = lambda _y, _x: None
        self._canvas = canvas
        self.timer = QTimer(self)
        self.timer.setInterval(_GLIDE_MS)
        self.timer.setTimerType(Qt.PreciseTimer)
        self.timer.timeout.connect(self._glide)

    def take(self, viewer: Viewer) -> None:
        """Move this viewer from now on."""
        self.viewer = viewer
        self.navigation = Navigation(viewer.camera, 1.0, viewer.extent)
        self._canvas.handlers.on_mouse = self.mouse

    def _put(self) -> Navigation | None:
        """The navigation, where the viewer is now and bounded by what it shows."""
        viewer, navigation = self.viewer, self.navigation
        if viewer is None or navigation is None:
            return None
        scales = [finest_scale(layer.levels) for layer in viewer.layers]
        navigation.finest, navigation.extent = min(scales, default=1.0), viewer.extent
        navigation.put(viewer.camera)
        return navigation

    def close(self) -> None:
        """Move nothing any more."""
        self.timer.stop()
        self.viewer = self.navigation = None

    # --- the mouse ---------------------------------------------------------------------------------------------------

    def mouse(self, event: MouseEvent) -> None:
        """The canvas' handler."""
        viewer, navigation = self.viewer, self._put()
        if viewer is None or navigation is None:
            return
        self.cursor = None if event.kind == "leave" else event.position
        if event.kind == "wheel" and "shift" in event.modifiers and viewer.dims.hidden:
            # With shift, some systems turn the wheel sideways.
            self.step_slice(-1 if event.delta[0] + event.delta[1] > 0 else 1)
            return
        if event.kind == "press" and "alt" in event.modifiers:
            self.on_pick(*viewer.camera.world_at(event.position))
            return
        if navigation.mouse(event, time.monotonic()):
            self._follow()
        if event.kind in ("press", "release", "double"):
            self.show_cursor()
        self.changed()

    def show_cursor(self) -> None:
        """Give the mouse the shape of what it would do."""
        dragging = self.navigation is not None and self.navigation.dragging
        self._canvas.native.setCursor(Qt.ClosedHandCursor if dragging else Qt.CrossCursor)

    def _follow(self) -> None:
        """The navigation has moved, or begins to glide."""
        if self.viewer is None or self.navigation is None:
            return
        if self.navigation.camera != self.viewer.camera:
            self.viewer.move(self.navigation.camera)
        if self.navigation.gliding and not self.timer.isActive():
            self.timer.start()

    def _glide(self) -> None:
        if self.viewer is not None and self.navigation is not None and self.navigation.gliding:
            self.navigation.put(self.viewer.camera)
            self.viewer.move(self.navigation.step(time.monotonic()))
        if self.navigation is None or not self.navigation.gliding:
            self.timer.stop()

    # --- commands ----------------------------------------------------------------------------------------------------

    def home(self) -> None:
        """Show the whole image."""
        if self.viewer is not None and self.navigation is not None:
            self.navigation.stop()
            self.viewer.home()

    def one_to_one(self) -> None:
        """One voxel of level 0 a physical pixel."""
        navigation = self._put()
        if self.viewer is not None and navigation is not None:
            active = self.viewer.layers.active
            if active is not None:
                navigation.finest = finest_scale(active.levels)
            navigation.one_to_one()
            self._follow()

    def zoom_rectangle(self) -> None:
        """The next drag marks a rectangle to zoom to; once more, and it does not."""
        if self.navigation is not None:
            self.navigation.marking = not self.navigation.marking
            self.changed()

    def unmark(self) -> bool:
        """Give up marking a rectangle; returns whether there was anything to give up."""
        given_up = self.navigation is not None and self.navigation.unmark()
        if given_up:
            self.changed()
        return given_up

    def look_at(self, y: float, x: float) -> None:
        """Bring a place of the world into the middle."""
        if self.viewer is not None and self.navigation is not None:
            self.navigation.stop()
            self.viewer.set_view((y, x))

    def zoom_in(self) -> None:
        """Twice as large."""
        self._zoom(STEP_FACTOR)

    def zoom_out(self) -> None:
        """Half as large."""
        self._zoom(1 / STEP_FACTOR)

    def pan_left(self) -> None:
        """Look further to the left."""
        self._pan(0.0, -PAN_SHARE)

    def pan_right(self) -> None:
        """Look further to the right."""
        self._pan(0.0, PAN_SHARE)

    def pan_up(self) -> None:
        """Look further up."""
        self._pan(-PAN_SHARE, 0.0)

    def pan_down(self) -> None:
        """Look further down."""
        self._pan(PAN_SHARE, 0.0)

    def previous_slice(self) -> None:
        """One back on the last axis that is not displayed."""
        self.step_slice(-1)

    def next_slice(self) -> None:
        """One on on the last axis that is not displayed."""
        self.step_slice(1)

    def previous_place(self) -> None:
        """One back on the axis before that."""
        self.step_slice(-1, 1)

    def next_place(self) -> None:
        """One on on the axis before that."""
        self.step_slice(1, 1)

    def step_slice(self, step: int, before: int = 0) -> None:
        """So many on on the last axis that can be moved along, or on one `before` it."""
        axes = self.movable_axes()
        if self.viewer is not None and axes:
            self.viewer.dims.step_by(axes[max(0, len(axes) - 1 - before)], step)
            self.changed()

    def movable_axes(self) -> list[str]:
        """The axes that are not displayed and have more than one place."""
        if self.viewer is None:
            return []
        dims = self.viewer.dims
        return [axis for axis in dims.hidden if dims.count(axis) > 1]

    # --- which plane -------------------------------------------------------------------------------------------------

    def show_xy(self) -> None:
        """y down, x across."""
        self._show_plane("y", "x")

    def show_xz(self) -> None:
        """z down, x across."""
        self._show_plane("z", "x")

    def show_yz(self) -> None:
        """y down, z across."""
        self._show_plane("y", "z")

    def swap_axes(self) -> None:
        """What is down goes across."""
        if self.viewer is not None and len(self.viewer.dims.axes) >= 2:
            self.viewer.dims.swap()
            self.changed()

    def _show_plane(self, down: str, across: str) -> None:
        if self.viewer is not None and {down, across} <= set(self.viewer.dims.axes):
            self.viewer.dims.set_displayed(down, across)
            self.changed()

    def _zoom(self, factor: float) -> None:
        navigation = self._put()
        if navigation is not None:
            width, height = self._canvas.size
            navigation.glide(factor, (0.5 * width, 0.5 * height), time.monotonic())
            self._follow()

    def _pan(self, down: float, across: float) -> None:
        navigation = self._put()
        if navigation is not None:
            navigation.panned(down, across)
            self._follow()
