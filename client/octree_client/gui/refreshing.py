"""Brings the window up to what its viewer says: when, how often, and which parts of it.

Frames ask for it, as do gestures and commands; and while no frames come, a slow timer does, so that a connection that
is lost is told. Words are brought up by `Words`, small pictures by `LayerPictures`; knows nothing of what they say.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from octree_client.gui.layer_pictures import LayerPictures
from octree_client.viewer import Viewer

if TYPE_CHECKING:
    from octree_client.gui.window import ViewerWindow

#: Words and figures are brought up to date at most so often: nobody reads faster. Milliseconds.
_REFRESH_MS = 66

#: How often the connection is looked at while no frames come. Milliseconds.
_LOOK_MS = 500

#: How often it is looked which parts of the axes are loaded, since that looks at many chunks. Seconds.
_LOADED_S = 0.3


class Refreshing:
    """See the module.

    Attributes
    ----------
    timers
        One runs from a wish to be refreshed until it is granted, the other all the time while there is a viewer.
    """

    def __init__(self, window: ViewerWindow) -> None:
        self._window = window
        self._pictures = LayerPictures(window.stage.minimap, window.panel.rows)
        self._soon = self._timer(_REFRESH_MS, self.now)
        self._soon.setSingleShot(True)
        self._looking = self._timer(_LOOK_MS, self.soon)
        self.timers = (self._soon, self._looking)
        self._loaded_at = 0.0
        self._closed = False

    def _timer(self, milliseconds: int, call: Callable[[], None]) -> QTimer:
        timer = QTimer(self._window)
        timer.setInterval(milliseconds)
        timer.timeout.connect(call)
        return timer

    def begin(self) -> None:
        """There is a viewer now."""
        self._looking.start()
        self.soon()

    def close(self) -> None:
        """Whatever is asked for later is not done."""
        self._closed = True
        for timer in self.timers:
            timer.stop()
        self._pictures.close()

    def soon(self) -> None:
        """Say how things stand, soon; a rectangle that is being drawn follows the mouse at once."""
        if not self._soon.isActive() and not self._closed:
            self._soon.start()
        self._tell_marked()

    def now(self) -> None:
        """Bring everything up to what the viewer says."""
        window = self._window
        viewer = window.viewer
        if viewer is None or self._closed:
            return
        window.words.tell(viewer, window.gestures.cursor, window.showing.theme)
        playing = viewer.playing
        window.dims_bar.tell_playing(playing.axis if playing is not None else None)
        self._tell_loaded(viewer)
        if window.stage.minimap.isVisible() or window.panel.isVisible():
            self._pictures.follow(viewer)
        window.tick_actions()

    def _tell_loaded(self, viewer: Viewer) -> None:
        now, bar = time.monotonic(), self._window.dims_bar
        if bar.rows and now - self._loaded_at > _LOADED_S:
            self._loaded_at = now
            for axis in bar.rows:
                bar.tell_loaded(axis, viewer.loaded(axis))

    def _tell_marked(self) -> None:
        navigation, marked = self._window.gestures.navigation, self._window.stage.marked
        corners = None if navigation is None else navigation.marked
        if corners is not None or marked.isVisible():
            ratio = self._window.canvas.pixel_ratio
            marked.tell(None if corners is None else tuple((x / ratio, y / ratio) for x, y in corners))  # type: ignore[arg-type]
