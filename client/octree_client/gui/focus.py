"""Where the keys go: a mark round the control that has them, the order in which Tab reaches all controls.

Qt's own mark is a dotted line that no theme shows well, and that style sheets take away; this one is drawn over every
control alike. Knows no viewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from qtpy.QtCore import QEvent, QRect, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QAbstractButton, QAbstractScrollArea, QApplication, QComboBox, QScrollArea, QWidget

from octree_client.gui.appearance import DARK, Theme

#: Between a control and its mark, and the mark's breadth. Logical pixels.
_AWAY, _BREADTH = 2, 2

#: What is scrolled to has so much room around it. Logical pixels.
_MARGIN = 12

#: What may move a control, or hide it.
_MOVING = (
    QEvent.Type.Move,
    QEvent.Type.Resize,
    QEvent.Type.Show,
    QEvent.Type.Hide,
    QEvent.Type.LayoutRequest,
)

_RETURN = (Qt.Key_Return, Qt.Key_Enter)


class FocusMark(QWidget):  # type: ignore[misc]
    """A ring round the control of a window that has the keys; none round the picture, which has them usually."""

    def __init__(self, window: QWidget, picture: QWidget) -> None:
        super().__init__(window)
        self.setObjectName("focusMark")
        self.setAttribute(Qt.WA_TransparentForMouseEvents)
        self._window, self._picture = window, picture
        self._theme = DARK
        #: The control, and all that it lies in: whatever of it moves, the mark goes with it.
        self._chain: list[QWidget] = []
        self.hide()
        QApplication.instance().focusChanged.connect(self._moved)

    @property
    def marked(self) -> QWidget | None:
        """The control that has the mark."""
        return self._chain[0] if self._chain else None

    def leave(self) -> None:
        """Follow nothing any more."""
        QApplication.instance().focusChanged.disconnect(self._moved)
        self._follow(None)

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme."""
        self._theme = theme
        self.update()

    def paintEvent(self, _: Any) -> None:
        """Qt's hook."""
        inset = _BREADTH / 2
        painter = QPainter(self)
        painter.setRenderHint(QPainter.Antialiasing)
        painter.setPen(QPen(QColor(self._theme.accent), _BREADTH))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(inset, inset, -inset, -inset), 6, 6)
        painter.end()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Qt's hook: the control, or something that it lies in, has moved; return does what space does."""
        if event.type() in _MOVING:
            self._put()
        elif event.type() == QEvent.Type.KeyPress and watched is self.marked and event.key() in _RETURN:
            return _operate(watched)
        return False

    def _moved(self, _before: QWidget | None, now: QWidget | None) -> None:
        outside = now is None or now is self._picture or now.window() is not self._window
        self._follow(None if outside else now)

    def _follow(self, control: QWidget | None) -> None:
        for widget in self._chain:
            if not _is_gone(widget):
                widget.removeEventFilter(self)
        self._chain = []
        while control is not None and control is not self._window:
            self._chain.append(control)
            control.installEventFilter(self)
            control = control.parentWidget()
        for widget in self._chain[1:]:
            if isinstance(widget, QScrollArea):  # Qt scrolls there only from inside
                widget.ensureWidgetVisible(self._chain[0], _MARGIN, _MARGIN)
        self._put()

    def _put(self) -> None:
        control = self.marked
        if control is None or not control.isVisible():
            self.hide()
            return
        away = _AWAY + _BREADTH
        corner = control.mapTo(self._window, control.rect().topLeft())
        ring = QRect(corner, control.size()).adjusted(-away, -away, away, away)
        for widget in self._chain[1:]:
            if isinstance(widget.parentWidget(), QAbstractScrollArea):  # what is scrolled away has no mark
                ring &= QRect(widget.mapTo(self._window, widget.rect().topLeft()), widget.size())
        self.setVisible(not ring.isEmpty())
        self.setGeometry(ring & self._window.rect())
        self.raise_()
        self.update()


def _operate(control: QWidget) -> bool:
    """Press a button, or open a list, of those that Qt leaves to space; returns whether it is one."""
    if isinstance(control, QAbstractButton):
        control.click()
    elif isinstance(control, QComboBox) and not control.isEditable():
        control.showPopup()
    else:
        return False
    return True


def _is_gone(widget: QWidget) -> bool:
    """Whether Qt has deleted a widget that Python still has."""
    try:
        widget.objectName()
    except RuntimeError:
        return True
    return False


def order_focus(controls: Sequence[QWidget]) -> None:
    """Have Tab go through these controls, one after the other."""
    for before, after in pairwise(controls):
        QWidget.setTabOrder(before, after)


def tab_stops(window: QWidget) -> Iterator[QWidget]:
    """The controls that Tab reaches now, in its order, from the one that has the keys, or the first."""
    first = window.focusWidget() or window
    widget = first
    while True:
        if widget is not window and widget.focusPolicy() & Qt.TabFocus and widget.isVisible() and widget.isEnabled():
            proxy = widget.focusProxy()
            if proxy is None:
                yield widget
        widget = widget.nextInFocusChain()
        if widget is first:
            return
