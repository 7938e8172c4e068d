"""How a row of the list of layers looks: eye, picture, name, colours, how far it is. Paints; changes nothing."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QModelIndex, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPainterPath, QPen
from qtpy.QtWidgets import QLineEdit, QStyle, QStyledItemDelegate, QWidget

from octree_client.colormaps import colormap_table
from octree_client.gui.appearance import DARK, Theme
from octree_client.gui.icons import pixmap
from octree_client.layer import ImageLayer
from octree_client.layer_text import layer_message, loaded_share

#: Logical pixels.
ROW_HEIGHT = 48


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
        return QSize(120, ROW_HEIGHT)

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
