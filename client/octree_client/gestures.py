"""Mouse and keys that move the camera: hands gestures to `Navigation`, carries out glides, moves the `Viewer`."""

from __future__ import annotations

import time
from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, QTimer

from octree_client.canvas import Canvas, MouseEvent
from octree_client.navigation import PAN_SHARE, STEP_FACTOR, Navigation
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
    """

    def __init__(self, canvas: Canvas, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer: Viewer | None = None
        self.navigation: Navigation | None = None
        self.cursor: tuple[float, float] | None = None
        self.changed: Callable[[], None] = lambda: None
        self._canvas = canvas
        self.timer = QTimer(self)
        self.timer.setInterval(_GLIDE_MS)
        self.timer.setTimerType(Qt.PreciseTimer)
        self.timer.timeout.connect(self._glide)

    def take(self, viewer: Viewer) -> None:
        """Move this viewer from now on."""
        self.viewer = viewer
        self.navigation = Navigation(viewer.layers[0].levels, viewer.camera)
        self._canvas.handlers.on_mouse = self.mouse

    def close(self) -> None:
        """Move nothing any more."""
        self.timer.stop()
        self.viewer = self.navigation = None

    # --- the mouse ---------------------------------------------------------------------------------------------------

    def mouse(self, event: MouseEvent) -> None:
        """The canvas' handler."""
        viewer, navigation = self.viewer, self.navigation
        if viewer is None or navigation is None:
            return
        self.cursor = None if event.kind == "leave" else event.position
        if event.kind == "wheel" and "shift" in event.modifiers and viewer.dims.hidden:
            # With shift, some systems turn the wheel sideways.
            self.step_slice(-1 if event.delta[0] + event.delta[1] > 0 else 1)
            return
        navigation.put(viewer.camera)
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
        if self.viewer is not None and self.navigation is not None:
            self.navigation.put(self.viewer.camera)
            self.navigation.one_to_one()
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

    def step_slice(self, step: int) -> None:
        """So many on on the last axis that is not displayed and has more than one place."""
        if self.viewer is None or not self.viewer.dims.hidden:
            return
        # The last axis with more than one place: channels and times of one are not worth a key.
        dims = self.viewer.dims
        axis = next((axis for axis in reversed(dims.hidden) if dims.count(axis) > 1), dims.hidden[0])
        dims.step_by(axis, step)
        self.changed()

    def _zoom(self, factor: float) -> None:
        if self.viewer is not None and self.navigation is not None:
            width, height = self._canvas.size
            self.navigation.put(self.viewer.camera)
            self.navigation.glide(factor, (0.5 * width, 0.5 * height), time.monotonic())
            self._follow()

    def _pan(self, down: float, across: float) -> None:
        if self.viewer is not None and self.navigation is not None:
            self.navigation.put(self.viewer.camera)
            self.navigation.panned(down, across)
            self._follow()
