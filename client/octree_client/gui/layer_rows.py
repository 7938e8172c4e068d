"""The list of layers: the topmost first, with eye, picture, name and how far each is. A view of `Viewer.layers`.

Everything that the list does, it does to the viewer's list; what it shows, it reads there. Knows nothing of how layers
are loaded or drawn.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QAbstractItemView, QListView, QWidget

from octree_client.gui.appearance import Theme
from octree_client.gui.layer_delegate import ROW_HEIGHT, LayerDelegate
from octree_client.gui.layer_model import LayerModel
from octree_client.layer import ImageLayer
from octree_client.layer_text import layer_message, loaded_share
from octree_client.viewer import Viewer

#: Rows that are seen without scrolling.
_ROWS_LEAST, _ROWS_MOST = 1, 6


class LayerRows(QListView):  # type: ignore[misc]
    """The list as a widget."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layerList")
        self.setAccessibleName("Layers, the topmost first")
        self._delegate = LayerDelegate(self)
        self.setItemDelegate(self._delegate)
        self.setMouseTracking(True)
        self.setSelectionMode(QAbstractItemView.ExtendedSelection)
        self.setDragDropMode(QAbstractItemView.InternalMove)
        self.setDropIndicatorShown(True)
        self.setDragDropOverwriteMode(False)
        self.setEditTriggers(QAbstractItemView.DoubleClicked | QAbstractItemView.EditKeyPressed)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollPerPixel)
        self.setUniformItemSizes(True)
        self._viewer: Viewer | None = None
        self._told: tuple[Any, ...] = ()
        self._fit()

    def show_viewer(self, viewer: Viewer) -> None:
        """List a viewer's layers from now on."""
        self._viewer = viewer
        self.setModel(LayerModel(viewer, self))
        self.selectionModel().currentChanged.connect(self._chosen)
        events = viewer.layers.events
        for signal in (events.inserted, events.removed, events.moved):
            signal.connect(self._rebuild)
        events.changed.connect(self._layer_changed)
        events.active.connect(self._follow_active)
        self._rebuild()

    def leave(self) -> None:
        """List nothing any more."""
        if self._viewer is not None:
            events = self._viewer.layers.events
            for signal in (events.inserted, events.removed, events.moved):
                signal.disconnect(self._rebuild)
            events.changed.disconnect(self._layer_changed)
            events.active.disconnect(self._follow_active)
            self._viewer = None

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme."""
        self._delegate.theme = theme
        self.viewport().update()

    def tell_picture(self, layer: ImageLayer, picture: QImage) -> None:
        """The small picture of a layer."""
        self._delegate.pictures[id(layer)] = picture
        self.viewport().update()

    def refresh(self) -> None:
        """Paint again what has changed of how far the layers are."""
        if self._viewer is None:
            return
        now = tuple((layer_message(layer), loaded_share(layer.status())) for layer in self._viewer.layers)
        if now != self._told:
            self._told = now
            self.viewport().update()

    def chosen(self) -> list[ImageLayer]:
        """The layers that are selected, the topmost first."""
        model = self.model()
        if model is None:
            return []
        rows = sorted(self.selectionModel().selectedIndexes(), key=lambda index: index.row())
        return [layer for layer in (model.layer(index) for index in rows) if layer is not None]

    def rename(self) -> None:
        """Have somebody type another name for the layer that is chosen."""
        if self.currentIndex().isValid():
            self.edit(self.currentIndex())

    # --- what people do ----------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: Any) -> None:
        """Qt's hook: the eye is a button."""
        at = event.position().toPoint() if hasattr(event, "position") else event.pos()
        index = self.indexAt(at)
        layer = self.model().layer(index) if self.model() is not None else None
        if layer is not None and event.button() == Qt.LeftButton and at.x() < 34:
            layer.visible = not layer.visible
            return
        super().mousePressEvent(event)

    def keyPressEvent(self, event: Any) -> None:
        """Qt's hook: space shows and hides, Alt with an arrow moves."""
        model, current = self.model(), self.currentIndex()
        layer = model.layer(current) if model is not None else None
        if layer is not None and event.key() == Qt.Key_Space:
            layer.visible = not layer.visible
        elif layer is not None and event.modifiers() & Qt.AltModifier and event.key() in (Qt.Key_Up, Qt.Key_Down):
            row = current.row()
            model.move(row, row - 1 if event.key() == Qt.Key_Up else row + 2)
        else:
            super().keyPressEvent(event)

    def _chosen(self, current: QModelIndex, _before: QModelIndex) -> None:
        layer = self.model().layer(current)
        if self._viewer is not None and layer is not None:
            self._viewer.layers.active = layer

    # --- what the viewer says ----------------------------------------------------------------------------------------

    def _rebuild(self, *_: object) -> None:
        if self._viewer is None:
            return
        model = self.model()
        model.beginResetModel()
        model.endResetModel()
        alive = {id(layer) for layer in self._viewer.layers}
        self._delegate.pictures = {key: each for key, each in self._delegate.pictures.items() if key in alive}
        self._follow_active(self._viewer.layers.active)
        self._fit()

    def _follow_active(self, layer: ImageLayer | None) -> None:
        model = self.model()
        if model is None or layer is None or layer not in model.viewer.layers:
            return
        index = model.index(model.row_of(layer), 0)
        if self.currentIndex() != index:
            self.setCurrentIndex(index)

    def _layer_changed(self, *_: object) -> None:
        self.viewport().update()

    def _fit(self) -> None:
        rows = self.model().rowCount() if self.model() is not None else 0
        self.setFixedHeight(min(max(rows, _ROWS_LEAST), _ROWS_MOST) * ROW_HEIGHT + 2)
