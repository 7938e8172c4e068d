"""The list of layers: the topmost first, with eye, picture, name and how far each is. A view of `Viewer.layers`.

Everything that the list does, it does to the viewer's list; what it shows, it reads there. Knows nothing of how layers
are loaded or drawn.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractListModel, QMimeData, QModelIndex, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPainterPath, QPen
from qtpy.QtWidgets import QAbstractItemView, QLineEdit, QListView, QStyle, QStyledItemDelegate, QWidget

from octree_client.colormaps import colormap_table
from octree_client.gui.appearance import DARK, Theme
from octree_client.gui.icons import pixmap
from octree_client.layer import ImageLayer
from octree_client.layer_text import layer_message, loaded_share
from octree_client.viewer import Viewer

_ROW_HEIGHT = 48
_MIME = "application/x-octree-layer"

#: Rows that are seen without scrolling.
_ROWS_LEAST, _ROWS_MOST = 1, 6


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
        if layer is not None and role in (Qt.DisplayRole, Qt.EditRole, Qt.AccessibleTextRole):
            return layer.name
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


class LayerDelegate(QStyledItemDelegate):  # type: ignore[misc]
    """Paints a row."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.theme: Theme = DARK
        self.pictures: dict[int, QImage] = {}
        self._eyes: dict[tuple[str, str, float], Any] = {}
        self._stripes: dict[str, QImage] = {}

    def sizeHint(self, _option: Any, _index: QModelIndex) -> QSize:
        """Qt's hook."""
        return QSize(120, _ROW_HEIGHT)

    def paint(self, painter: QPainter, option: Any, index: QModelIndex) -> None:
        """Qt's hook."""
        layer = index.model().layer(index)
        if layer is None:
            return
        theme, row = self.theme, QRectF(option.rect)
        painter.save()
        painter.setRenderHint(QPainter.Antialiasing)
        painter.setRenderHint(QPainter.SmoothPixmapTransform)
        if option.state & QStyle.State_Selected:
            painter.fillRect(row, QColor(theme.accent_ground))
            painter.fillRect(QRectF(row.left(), row.top(), 3, row.height()), QColor(theme.accent))
        elif option.state & QStyle.State_MouseOver:
            painter.fillRect(row, QColor(theme.hover))
        ratio = painter.device().devicePixelRatioF()
        eye = self._eye("eye" if layer.visible else "eye-off", theme.ink if layer.visible else theme.faint, ratio)
        painter.drawPixmap(round(row.left()) + 10, round(row.center().y()) - 8, eye)
        if not layer.visible:
            painter.setOpacity(0.55)
        self._paint_picture(painter, QRectF(row.left() + 36, row.top() + 7, 34, 34), layer)
        left, right = row.left() + 80, row.right() - 10
        name_font = option.font
        painter.setFont(name_font)
        painter.setPen(QColor(theme.ink))
        metrics = QFontMetrics(name_font)
        stripe_width = 0 if layer.kind != "image" else 34
        name_room = right - left - (stripe_width + 8 if stripe_width else 0)
        painter.drawText(
            QRectF(left, row.top() + 6, name_room, 18),
            Qt.AlignLeft | Qt.AlignVCenter,
            metrics.elidedText(layer.name, Qt.ElideMiddle, round(name_room)),
        )
        if stripe_width:
            self._paint_stripe(painter, QRectF(right - stripe_width, row.top() + 11, stripe_width, 8), layer)
        message = layer_message(layer)
        small = QFont(option.font)
        small.setPointSizeF(max(7.0, small.pointSizeF() * 0.86))
        painter.setFont(small)
        painter.setPen(Qt.NoPen)
        painter.setBrush(QColor(theme.mood(message.mood)) if layer.visible else QColor(theme.faint))
        painter.drawEllipse(QRectF(left, row.top() + 30, 6, 6))
        painter.setPen(QColor(theme.quiet))
        painter.drawText(
            QRectF(left + 12, row.top() + 24, right - left - 12, 18),
            Qt.AlignLeft | Qt.AlignVCenter,
            QFontMetrics(small).elidedText(message.text, Qt.ElideRight, round(right - left - 12)),
        )
        share = loaded_share(layer.status())
        if layer.visible and share < 1.0:
            painter.fillRect(
                QRectF(row.left() + 3, row.bottom() - 2, (row.width() - 3) * share, 2), QColor(theme.accent)
            )
        painter.restore()

    def _eye(self, name: str, colour: str, ratio: float) -> Any:
        key = name, colour, ratio
        if key not in self._eyes:
            self._eyes[key] = pixmap(name, colour, 16, ratio)
        return self._eyes[key]

    def _paint_picture(self, painter: QPainter, rect: QRectF, layer: ImageLayer) -> None:
        picture = self.pictures.get(id(layer))
        path = QPainterPath()
        path.addRoundedRect(rect, 4, 4)
        painter.fillPath(path, QColor(self.theme.picture))
        painter.save()
        painter.setClipPath(path)
        if picture is not None and not picture.isNull():
            size = min(picture.width(), picture.height())
            source = QRectF((picture.width() - size) / 2, (picture.height() - size) / 2, size, size)
            painter.drawImage(rect, picture, source)
        painter.restore()
        painter.setPen(QPen(QColor(self.theme.line), 1.0))
        painter.setBrush(Qt.NoBrush)
        painter.drawPath(path)

    def _paint_stripe(self, painter: QPainter, rect: QRectF, layer: ImageLayer) -> None:
        stripe = self._stripes.get(layer.colormap)
        if stripe is None:
            table = colormap_table(layer.colormap)[:: max(1, len(colormap_table(layer.colormap)) // 64)].copy()
            stripe = QImage(table.tobytes(), len(table), 1, 4 * len(table), QImage.Format_RGBA8888).copy()
            self._stripes[layer.colormap] = stripe
        path = QPainterPath()
        path.addRoundedRect(rect, 3, 3)
        painter.save()
        painter.setClipPath(path)
        painter.drawImage(rect, stripe)
        painter.restore()

    def createEditor(self, parent: QWidget, _option: Any, _index: QModelIndex) -> QWidget:
        """Qt's hook: a field for the name."""
        field = QLineEdit(parent)
        field.setObjectName("field")
        return field

    def updateEditorGeometry(self, editor: QWidget, option: Any, _index: QModelIndex) -> None:
        """Qt's hook."""
        editor.setGeometry(option.rect.adjusted(76, 3, -6, -20))


class LayerRows(QListView):  # type: ignore[misc]
    """The list as a widget."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layerList")
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
        self.setFixedHeight(min(max(rows, _ROWS_LEAST), _ROWS_MOST) * _ROW_HEIGHT + 2)
