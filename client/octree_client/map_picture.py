"""The minimap's picture: read from a coarse level by a thread, coloured as on the screen."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtGui import QImage

from octree_client.colormaps import colormap_table
from octree_client.stage_marks import MAP_LONGEST, MinimapMark
from octree_client.thumbnail import coloured, thumbnail_level
from octree_client.thumbnail_reader import ThumbnailReader
from octree_client.viewer import Viewer

#: A slice is read when nobody has moved on for so long. Milliseconds.
_SETTLED_MS = 150


class MapPicture(QObject):  # type: ignore[misc]
    """Keeps the map's picture up to what is shown. `follow` may be called as often as one likes."""

    _read = Signal(object, object)

    def __init__(self, mark: MinimapMark) -> None:
        super().__init__(mark)
        self._mark = mark
        self._values: NDArray[Any] | None = None
        self._wanted: Hashable = None
        self._look: Hashable = None
        self._viewer: Viewer | None = None
        self._reader = ThumbnailReader(lambda _who, what, values: self._read.emit(what, values))
        self._read.connect(self._arrived, Qt.QueuedConnection)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLED_MS)
        self._timer.timeout.connect(self._ask)

    def close(self) -> None:
        """Read nothing more."""
        self._timer.stop()
        self._reader.close()
        self._viewer = None

    def follow(self, viewer: Viewer) -> None:
        """Have the picture show what the viewer shows."""
        self._viewer = viewer
        if viewer.layers[0].pager.position != self._wanted:
            self._wanted = viewer.layers[0].pager.position
            self._timer.start()
        self._colour()

    def _ask(self) -> None:
        if self._viewer is None:
            return
        image, position = self._viewer.layers[0].image, self._viewer.layers[0].pager.position
        axes = image.dataset.displayed()
        number, steps = thumbnail_level([level.shape for level in image.levels], axes, 2 * MAP_LONGEST)
        level = image.levels[number]
        finest = image.levels[0].shape
        index = tuple(min(at * level.shape[n] // finest[n], level.shape[n] - 1) for n, at in enumerate(position))
        self._reader.read(
            self, position, lambda: level[(*index, slice(None, None, steps[0]), slice(None, None, steps[1]))]
        )

    def _arrived(self, what: Hashable, values: NDArray[Any]) -> None:
        if self._viewer is not None and what == self._wanted:
            self._values, self._look = values, None
            self._colour()

    def _colour(self) -> None:
        viewer, values = self._viewer, self._values
        if viewer is None or values is None:
            return
        look = viewer.layers[0].contrast_limits, viewer.layers[0].gamma, viewer.layers[0].colormap
        if look == self._look:
            return
        self._look = look
        table = None if viewer.layers[0].image.rgb else colormap_table(viewer.layers[0].colormap)
        colours = np.ascontiguousarray(
            coloured(values, viewer.layers[0].contrast_limits, viewer.layers[0].gamma, table)
        )
        height, width = colours.shape[:2]
        self._mark.tell_picture(QImage(colours.tobytes(), width, height, 4 * width, QImage.Format_RGBA8888).copy())
