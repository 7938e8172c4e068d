"""What is drawn over the picture and tells about it: scale bar, axes, minimap, the rectangle being marked.

Painted by Qt, and only when they change, so they cost no GL. Each knows how to draw one thing and is told what.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QImage, QPainter, QPainterPath, QPen
from qtpy.QtWidgets import QWidget

from octree_client.gui.appearance import DARK, Theme
from octree_client.minimap import Box, Minimap
from octree_client.scale_bar import ScaleBar

#: Longest scale bar, and longest edge of the minimap. Logical pixels.
BAR_LONGEST = 180
MAP_LONGEST = 176

_PAD = 10


def glass(painter: QPainter, rect: QRectF, theme: Theme, radius: float = 8.0) -> None:
    """Paint the ground of what lies over the picture."""
    painter.setRenderHint(QPainter.Antialiasing)
    painter.setPen(QPen(_rgba(theme.glass_line), 1.0))
    painter.setBrush(_rgba(theme.glass))
    painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), radius, radius)


def _rgba(text: str) -> QColor:
    """A colour of a style sheet: ``#rrggbb`` or ``rgba(r, g, b, a)``."""
    if text.startswith("#"):
        return QColor(text)
    return QColor(*(int(part) for part in text[text.index("(") + 1 : -1].split(",")))


class Mark(QWidget):  # type: ignore[misc]
    """Something over the picture; takes no mouse unless it says so."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WA_TransparentForMouseEvents)
        self.theme = DARK
        self.hide()

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme."""
        self.theme = theme
        self.update()


class ScaleBarMark(Mark):
    """A scale bar with its length below."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("scaleBar")
        self.bar: ScaleBar | None = None

    def tell(self, bar: ScaleBar | None) -> None:
        """Show a bar; its pixels are logical ones."""
        if bar == self.bar:
            return
        self.bar = bar
        if bar is not None:
            text = self.fontMetrics().horizontalAdvance(bar.text)
            self.resize(round(max(bar.pixels, text)) + 2 * _PAD + 2, self.fontMetrics().height() + 2 * _PAD + 6)
        self.update()

    def paintEvent(self, _: Any) -> None:
        """Qt's hook."""
        if self.bar is None:
            return
        painter = QPainter(self)
        glass(painter, QRectF(self.rect()), self.theme, 6.0)
        ink = QColor(self.theme.glass_ink)
        painter.setPen(QPen(ink, 2.0, Qt.SolidLine, Qt.FlatCap))
        left = 0.5 * (self.width() - self.bar.pixels)
        right, y = left + self.bar.pixels, self.height() - _PAD + 1.0
        painter.drawLine(QPointF(left, y), QPointF(right, y))
        for x in (left + 1.0, right - 1.0):
            painter.drawLine(QPointF(x, y - 4.0), QPointF(x, y + 1.0))
        painter.setPen(ink)
        painter.drawText(QRectF(0, 5, self.width(), self.fontMetrics().height()), Qt.AlignCenter, self.bar.text)
        painter.end()


class AxesMark(Mark):
    """Which axis goes which way."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("axesMark")
        self.names = ("", "")
        self.resize(QSize(64, 64))

    def tell(self, down: str, across: str) -> None:
        """Show two names."""
        if (down, across) != self.names:
            self.names = down, across
            self.update()

    def paintEvent(self, _: Any) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        glass(painter, QRectF(self.rect()), self.theme, 6.0)
        ink = QColor(self.theme.glass_ink)
        pen = QPen(ink, 1.6, Qt.SolidLine, Qt.RoundCap, Qt.RoundJoin)
        painter.setPen(pen)
        origin = QPointF(17.0, 17.0)
        across, down = QPointF(42.0, 17.0), QPointF(17.0, 42.0)
        for end, head in ((across, ((-5, -4), (-5, 4))), (down, ((-4, -5), (4, -5)))):
            painter.drawLine(origin, end)
            for dx, dy in head:
                painter.drawLine(end, end + QPointF(dx, dy))
        font = QFont(self.font())
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(QRectF(43, 7, 20, 20), Qt.AlignCenter, self.names[1][:2])
        painter.drawText(QRectF(7, 43, 20, 20), Qt.AlignCenter, self.names[0][:2])
        painter.end()


class MinimapMark(Mark):
    """The whole image small, and the view's rectangle; a click or a drag moves the view there."""

    moved = Signal(float, float)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("minimap")
        self.setAttribute(Qt.WA_TransparentForMouseEvents, False)
        self.setCursor(Qt.PointingHandCursor)
        self.setToolTip("Drag to look elsewhere  (M hides the map)")
        self.map: Minimap | None = None
        self.view: Box | None = None
        self.picture: QImage | None = None
        self._grabbed = (0.0, 0.0)
        self._dragging = False

    def tell(self, extent: Box, view: Box) -> None:
        """Show a view (world y0, x0, y1, x1) of an extent."""
        if self.map is None or self.map.extent != extent:
            self.map = Minimap.fitting(extent, MAP_LONGEST)
            self.resize(round(self.map.size[0]) + 2, round(self.map.size[1]) + 2)
        if view != self.view:
            self.view = view
            self.update()

    def tell_picture(self, picture: QImage | None) -> None:
        """Show a picture below the rectangle."""
        self.picture = picture
        self.update()

    def paintEvent(self, _: Any) -> None:
        """Qt's hook."""
        if self.map is None or self.view is None:
            return
        painter = QPainter(self)
        whole = QRectF(self.rect())
        glass(painter, whole, self.theme, 5.0)
        clip = QPainterPath()
        clip.addRoundedRect(whole.adjusted(1, 1, -1, -1), 4.0, 4.0)
        painter.setClipPath(clip)
        painter.setRenderHint(QPainter.SmoothPixmapTransform)
        if self.picture is not None:
            painter.drawImage(whole.adjusted(1, 1, -1, -1), self.picture)
        left, top, width, height = self.map.rectangle(self.view)
        rect = QRectF(left + 1.0, top + 1.0, width, height)
        outside = QPainterPath()
        outside.addRect(whole)
        inside = QPainterPath()
        inside.addRect(rect)
        painter.fillPath(outside.subtracted(inside), QColor(10, 11, 13, 110))
        painter.setPen(QPen(QColor(self.theme.accent), 1.6))
        painter.setBrush(Qt.NoBrush)
        painter.drawRect(rect.adjusted(0.5, 0.5, -0.5, -0.5))
        painter.end()

    def mousePressEvent(self, event: Any) -> None:
        """Qt's hook: take hold of the rectangle, or put its middle here."""
        if self.map is None or self.view is None or event.button() != Qt.LeftButton:
            return
        x, y = _place(event)
        left, top, width, height = self.map.rectangle(self.view)
        self._dragging = True
        if left <= x <= left + width and top <= y <= top + height:
            self._grabbed = x - (left + 0.5 * width), y - (top + 0.5 * height)
        else:
            self._grabbed = 0.0, 0.0
            self._go(x, y)

    def mouseMoveEvent(self, event: Any) -> None:
        """Qt's hook."""
        if self._dragging:
            self._go(*_place(event))

    def mouseReleaseEvent(self, _: Any) -> None:
        """Qt's hook."""
        self._dragging = False

    def _go(self, x: float, y: float) -> None:
        if self.map is not None:
            self.moved.emit(*self.map.world_at((x - self._grabbed[0], y - self._grabbed[1])))


def _place(event: Any) -> tuple[float, float]:
    at = event.position() if hasattr(event, "position") else event.localPos()
    return at.x() - 1.0, at.y() - 1.0


class RectangleMark(Mark):
    """The rectangle that is being dragged. It covers the stage, and so is only there while it is needed."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("marked")

    def tell(self, corners: tuple[tuple[float, float], tuple[float, float]] | None) -> None:
        """Show a rectangle of two corners (x, y) in logical pixels of the stage; None hides it."""
        if corners is None:
            self.hide()
            return
        (x0, y0), (x1, y1) = corners
        left, top = min(x0, x1), min(y0, y1)
        self.setGeometry(round(left), round(top), max(2, round(abs(x1 - x0))), max(2, round(abs(y1 - y0))))
        self.show()
        self.raise_()

    def paintEvent(self, _: Any) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        accent = QColor(self.theme.accent)
        fill = QColor(accent)
        fill.setAlpha(46)
        painter.setPen(QPen(accent, 1.0))
        painter.setBrush(fill)
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()
