"""Small pictures of the layers, for their list and the minimap: read from a coarse level by a thread, coloured here."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QRectF, Qt, QTimer, Signal
from qtpy.QtGui import QImage, QPainter

from octree_client.colormaps import colormap_table, label_table
from octree_client.gui.layer_rows import LayerRows
from octree_client.gui.stage_marks import MAP_LONGEST, MinimapMark
from octree_client.layer import ImageLayer
from octree_client.thumbnail import coloured, label_colours, thumbnail_index, thumbnail_level
from octree_client.thumbnail_reader import ThumbnailReader
from octree_client.viewer import Viewer

#: A slice is read when nobody has moved on for so long. Milliseconds.
_SETTLED_MS = 150

_MODES = {
    "translucent": QPainter.CompositionMode_SourceOver,
    "opaque": QPainter.CompositionMode_SourceOver,
    "additive": QPainter.CompositionMode_Plus,
    "minimum": QPainter.CompositionMode_Darken,
}


class _Picture:
    """What is known of one layer's picture."""

    __slots__ = ("asked", "image", "look", "values", "wanted")

    def __init__(self) -> None:
        self.wanted: Hashable = None
        self.asked: Hashable = None
        self.values: NDArray[Any] | None = None
        self.look: Hashable = None
        self.image: QImage | None = None


class LayerPictures(QObject):  # type: ignore[misc]
    """Keeps pictures up to what is shown. `follow` may be called as often as one likes."""

    _read = Signal(object, object, object)

    def __init__(self, mark: MinimapMark, rows: LayerRows) -> None:
        super().__init__(mark)
        self._mark, self._rows = mark, rows
        self._pictures: WeakKeyDictionary[ImageLayer, _Picture] = WeakKeyDictionary()
        self._viewer: Viewer | None = None
        self._composed: Hashable = None
        self._reader = ThumbnailReader(self._read.emit)
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
        """Have the pictures show what the viewer shows."""
        self._viewer = viewer
        for layer in viewer.layers:
            picture = self._pictures.setdefault(layer, _Picture())
            wanted = (layer.pager.plane, layer.pager.position)
            if wanted != picture.wanted:
                picture.wanted = wanted
                self._timer.start()
            self._colour(layer, picture)
        self._compose(viewer)

    def _ask(self) -> None:
        if self._viewer is None:
            return
        for layer in self._viewer.layers:
            picture = self._pictures.get(layer)
            if picture is None or picture.wanted == picture.asked:
                continue
            picture.asked = picture.wanted
            plane, position = layer.pager.plane, layer.pager.position
            image = layer.image
            number, step = thumbnail_level([level.shape for level in image.levels], plane, 2 * MAP_LONGEST)
            index = thumbnail_index(image.dataset, number, plane, position, step)
            level, swap = image.levels[number], plane[0] > plane[1]

            def read(level: Any = level, index: Any = index, swap: bool = swap) -> NDArray[Any]:
                values: NDArray[Any] = level[index]
                return values.swapaxes(0, 1) if swap else values

            self._reader.read(layer, (plane, position), read)

    def _arrived(self, layer: Any, what: Hashable, values: NDArray[Any]) -> None:
        picture = self._pictures.get(layer)
        if self._viewer is not None and picture is not None and what == picture.wanted:
            picture.values, picture.look = values, None
            self._colour(layer, picture)
            self._compose(self._viewer)

    def _colour(self, layer: ImageLayer, picture: _Picture) -> None:
        if picture.values is None:
            return
        look = layer.contrast_limits, layer.gamma, layer.colormap, layer.kind, layer.look.seed
        if look == picture.look:
            return
        picture.look = look
        if layer.kind == "labels":
            colours = label_colours(picture.values, label_table(layer.look.seed))
        else:
            table = None if layer.kind == "rgb" else colormap_table(layer.colormap)
            colours = coloured(picture.values, layer.contrast_limits, layer.gamma, table)
        colours = np.ascontiguousarray(colours)
        height, width = colours.shape[:2]
        picture.image = QImage(colours.tobytes(), width, height, 4 * width, QImage.Format_RGBA8888).copy()
        self._rows.tell_picture(layer, picture.image)

    def _compose(self, viewer: Viewer) -> None:
        """All visible layers over each other, for the minimap."""
        shown = []
        for layer in viewer.layers:
            picture = self._pictures.get(layer)
            if picture is not None and picture.image is not None and layer.pager.active:
                key = picture.image.cacheKey()
                shown.append((layer, picture.image, (key, layer.opacity, layer.blending, layer.extent)))
        extent = viewer.extent
        composed = extent, tuple(key for _, _, key in shown)
        if composed == self._composed:
            return
        self._composed = composed
        if not shown:
            self._mark.tell_picture(None)
            return
        y0, x0, y1, x1 = extent
        scale = 2 * MAP_LONGEST / max(y1 - y0, x1 - x0, 1e-300)
        size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
        whole = QImage(*size, QImage.Format_ARGB32_Premultiplied)
        whole.fill(Qt.black)
        painter = QPainter(whole)
        painter.setRenderHint(QPainter.SmoothPixmapTransform)
        for layer, image, _ in shown:
            top, left, bottom, right = layer.extent
            painter.setCompositionMode(_MODES[layer.blending])
            painter.setOpacity(1.0 if layer.blending == "opaque" else layer.opacity)
            rect = QRectF((left - x0) * scale, (top - y0) * scale, (right - left) * scale, (bottom - top) * scale)
            painter.drawImage(rect, image)
        painter.end()
        self._mark.tell_picture(whole)
