"""The viewer's layers as Qt's lists see them: rows from the top to the bottom, names that can be edited, drops.

Whatever is done here is done to the viewer's own list. Knows nothing of how rows look.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractListModel, QMimeData, QModelIndex, Qt
from qtpy.QtWidgets import QWidget

from octree_client.layer import ImageLayer
from octree_client.layer_text import layer_message
from octree_client.viewer import Viewer

_MIME = "application/x-octree-layer"


class LayerModel(QAbstractListModel):  # type: ignore[misc]
    """The viewer's layers for Qt, from the top to the bottom."""

    def __init__(self, viewer: Viewer, parent: QWidget) -> None:
        super().__init__(parent)
        self.viewer = viewer

    def layer(self, index: QModelIndex) -> ImageLayer | None:
        """The layer of a row."""
        count = len(self.viewer.layers)
        return self.viewer.layers[count - 1 - index.row()] if index.isValid() and index.row() < count else None

    def row_of(self, layer: ImageLayer) -> int:
        """The row of a layer."""
        return len(self.viewer.layers) - 1 - self.viewer.layers.index(layer)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Qt's hook."""
        return 0 if parent is not None and parent.isValid() else len(self.viewer.layers)

    def data(self, index: QModelIndex, role: int = Qt.DisplayRole) -> Any:
        """Qt's hook."""
        layer = self.layer(index)
        if layer is not None and role in (Qt.DisplayRole, Qt.EditRole):
            return layer.name
        if layer is not None and role == Qt.AccessibleTextRole:
            return f"{layer.name}, {layer.kind}, {layer_message(layer).text}"
        if layer is not None and role == Qt.ToolTipRole:
            reasons = sorted(set(layer.failures.values()))
            return "\n".join([layer.image.name, *reasons[:8]])
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.EditRole) -> bool:
        """Qt's hook: another name."""
        layer = self.layer(index)
        if layer is None or role != Qt.EditRole or not str(value).strip():
            return False
        layer.name = str(value).strip()
        return True

    def flags(self, index: QModelIndex) -> Any:
        """Qt's hook."""
        if not index.isValid():
            return Qt.ItemIsDropEnabled
        return Qt.ItemIsEnabled | Qt.ItemIsSelectable | Qt.ItemIsEditable | Qt.ItemIsDragEnabled

    def supportedDropActions(self) -> Any:
        """Qt's hook."""
        return Qt.MoveAction

    def mimeTypes(self) -> list[str]:
        """Qt's hook."""
        return [_MIME]

    def mimeData(self, indexes: list[QModelIndex]) -> QMimeData:
        """Qt's hook: a layer is its row."""
        found = QMimeData()
        found.setData(_MIME, str(indexes[0].row()).encode())
        return found

    def dropMimeData(self, data: QMimeData, _action: Any, row: int, _column: int, parent: QModelIndex) -> bool:
        """Qt's hook: a layer was dropped before `row`, or on `parent`."""
        if not data.hasFormat(_MIME):
            return False
        source = int(bytes(data.data(_MIME).data()).decode())
        target = row if row >= 0 else parent.row() if parent.isValid() else self.rowCount()
        self.move(source, target)
        return False  # it is moved already: Qt is to remove nothing

    def move(self, source: int, before: int) -> None:
        """Put the layer of row `source` before the row `before`."""
        count = len(self.viewer.layers)
        target = before - 1 if before > source else before
        if 0 <= source < count and target != source:
            self.viewer.layers.move(count - 1 - source, count - 1 - min(max(target, 0), count - 1))
