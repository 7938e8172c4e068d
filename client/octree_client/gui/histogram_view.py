"""A histogram with the contrast limits in it. A thin widget that knows no layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

from octree_client.gui.appearance import DARK, Theme

_HEIGHT = 56

#: The slider below it begins and ends so far from the edges: half a handle. Logical pixels.
_INSET = 6.0


class HistogramView(QWidget):  # type: ignore[misc]
    """Bars over a span of values, logarithmic in height; what lies between the limits is in the accent's colour."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(_HEIGHT)
        self.setToolTip("How often each value occurs in what is loaded of a coarse level")
        self.theme: Theme = DARK
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self._edges: NDArray[np.float64] = np.zeros(0)
        self._span = (0.0, 1.0)
        self._limits = (0.0, 1.0)
        self._gamma = 1.0

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme."""
        self.theme = theme
        self.update()

    def tell(self, counts: NDArray[np.int64], edges: NDArray[np.float64]) -> None:
        """Show other values."""
        if not (np.array_equal(counts, self._counts) and np.array_equal(edges, self._edges)):
            self._counts, self._edges = counts, edges
            self.update()

    def tell_limits(self, span: tuple[float, float], limits: tuple[float, float], gamma: float) -> None:
        """Show other limits, over the span that the slider below has."""
        if (span, limits, gamma) != (self._span, self._limits, self._gamma):
            self._span, self._limits, self._gamma = span, limits, gamma
            self.update()

    def _x(self, value: Any) -> Any:
        low, high = self._span
        return _INSET + (value - low) / max(high - low, 1e-300) * (self.width() - 2 * _INSET)

    def paintEvent(self, _: Any) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.Antialiasing)
        theme, height = self.theme, float(self.height())
        painter.fillRect(self.rect(), QColor(theme.sunk))
        if self._counts.size and self._counts.max() > 0:
            xs = np.clip(self._x(self._edges), -10.0, self.width() + 10.0)
            tops = height - 2.0 - np.log1p(self._counts) / np.log1p(self._counts.max()) * (height - 8.0)
            outline = QPolygonF([QPointF(float(xs[0]), height)])
            for left, right, top in zip(xs[:-1].tolist(), xs[1:].tolist(), tops.tolist(), strict=True):
                outline.append(QPointF(left, top))
                outline.append(QPointF(right, top))
            outline.append(QPointF(float(xs[-1]), height))
            painter.setPen(Qt.NoPen)
            painter.setBrush(QColor(theme.line))
            painter.drawPolygon(outline)
            low, high = (float(self._x(value)) for value in sorted(self._limits))
            painter.save()
            painter.setClipRect(QRectF(low, 0, max(1.0, high - low), height))
            fill = QColor(theme.accent)
            fill.setAlpha(150)
            painter.setBrush(fill)
            painter.drawPolygon(outline)
            painter.restore()
        low, high = (float(self._x(value)) for value in self._limits)
        shares = np.linspace(0.0, 1.0, 33)
        curve = QPolygonF(
            [QPointF(low + (high - low) * s, height - 3.0 - (height - 8.0) * s**self._gamma) for s in shares.tolist()]
        )
        painter.setBrush(Qt.NoBrush)
        ink = QColor(theme.ink)
        ink.setAlpha(150)
        painter.setPen(QPen(ink, 1.2))
        painter.drawPolyline(curve)
        painter.setPen(QPen(QColor(theme.line), 1.0))
        painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        painter.end()
