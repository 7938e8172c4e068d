"""The single controls of the panels: slider, range, choice, switch, button, field; each with a name for screen readers.

The mouse leaves the keys with the picture: only what is typed into takes them when it is clicked. Tab reaches
everything, arrows, space and return operate it. Knows nothing of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from qtpy.QtCore import QEvent, QLocale, QSignalBlocker, Qt
from qtpy.QtGui import QColor, QDoubleValidator, QPainter, QPen
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)
from superqt import QDoubleRangeSlider, QLabeledDoubleSlider, QToggleSwitch

from octree_client.gui.appearance import DARK, GAP, Theme

#: Which way each key moves a slider: in single steps, in pages, or to an end.
_STEPS = {Qt.Key_Left: -1, Qt.Key_Down: -1, Qt.Key_Right: 1, Qt.Key_Up: 1}
_PAGES = {Qt.Key_PageDown: -1, Qt.Key_PageUp: 1}

_ENDS = (Qt.Key_Home, Qt.Key_End)

#: Steps of a key on a range: this part of it.
_RANGE_STEPS = 100


class Slider(QLabeledDoubleSlider):  # type: ignore[misc]
    """A slider with its value beside it, which can be typed. One stop of Tab; arrows move it.

    Parameters
    ----------
    name
        For screen readers.
    low, high, step
        What it can be set to; what an arrow moves it by. Ten of these make a page.
    call
        Called with the value that somebody sets.
    decimals
        Digits of the value.
    """

    def __init__(
        self, name: str, low: float, high: float, step: float, call: Callable[[float], None], decimals: int = 2
    ) -> None:
        super().__init__(Qt.Horizontal)
        self.setRange(low, high)
        self.setDecimals(decimals)
        self.setSingleStep(step)
        self.setPageStep(10 * step)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.TabFocus)
        self._slider.setFocusPolicy(Qt.NoFocus)
        self._slider.setAccessibleName(f"{name}, slider")
        self._label.setAccessibleName(f"{name}, value")
        self.valueChanged.connect(call)

    def setToolTip(self, text: str) -> None:
        """Of all its parts."""
        super().setToolTip(text)
        self._slider.setToolTip(text)

    def event(self, event: Any) -> bool:
        """Qt's hook: a key that moves it is not the window's."""
        return _claims(event) or bool(super().event(event))

    def keyPressEvent(self, event: Any) -> None:
        """Qt's hook; the library knows no keys."""
        key = event.key()
        if key in _STEPS:
            self.setValue(self.value() + _STEPS[key] * self.singleStep())
        elif key in _PAGES:
            self.setValue(self.value() + _PAGES[key] * self.pageStep())
        elif key in _ENDS:
            self.setValue(self.minimum() if key == Qt.Key_Home else self.maximum())
        else:
            super().keyPressEvent(event)


class LimitsSlider(QDoubleRangeSlider):  # type: ignore[misc]
    """Two handles on one line. Arrows move the one that is chosen, space chooses the other."""

    def __init__(self, name: str, call: Callable[[Sequence[float]], None]) -> None:
        super().__init__(Qt.Horizontal)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.TabFocus)
        self.chosen = 0
        self._theme = DARK
        self.valueChanged.connect(call)

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme, where a style sheet does not reach."""
        self._theme = theme
        # Its own blue is another one than the palette's; a property is forgotten in an inactive window, and a style
        # sheet as soon as the window gets another one.
        for state in ("active", "inactive", "disabled"):
            setattr(self._style, f"brush_{state}", theme.accent if state != "disabled" else theme.line)
        self.update()

    def event(self, event: Any) -> bool:
        """Qt's hook: a key that moves it is not the window's."""
        return _claims(event) or bool(super().event(event))

    def keyPressEvent(self, event: Any) -> None:
        """Qt's hook; the library knows no keys."""
        key = event.key()
        step = (self.maximum() - self.minimum()) / _RANGE_STEPS
        limits = list(self.value())
        if key == Qt.Key_Space:
            self.chosen = 1 - self.chosen
            self.update()
            return
        if key in _STEPS:
            limits[self.chosen] += _STEPS[key] * step
        elif key in _PAGES:
            limits[self.chosen] += _PAGES[key] * 10 * step
        elif key in _ENDS:
            limits[self.chosen] = self.minimum() if key == Qt.Key_Home else self.maximum()
        else:
            super().keyPressEvent(event)
            return
        low, high = limits
        low, high = (min(low, high), high) if self.chosen == 0 else (low, max(low, high))
        self.setValue((max(low, self.minimum()), min(high, self.maximum())))

    def paintEvent(self, event: Any) -> None:
        """Qt's hook: the handle that keys move is marked."""
        super().paintEvent(event)
        if self.hasFocus():
            painter = QPainter(self)
            painter.setRenderHint(QPainter.Antialiasing)
            painter.setBrush(QColor(self._theme.accent))
            painter.setPen(QPen(QColor(self._theme.raised), 1.0))
            painter.drawEllipse(self._handleRect(self.chosen).center(), 4, 4)
            painter.end()


def _claims(event: Any) -> bool:
    """Whether Qt asks if a key is the slider's own, rather than a command of the window, and it is."""
    if event.type() != QEvent.Type.ShortcutOverride or event.modifiers() & ~Qt.KeypadModifier:
        return False
    if event.key() in _STEPS or event.key() in _PAGES or event.key() in _ENDS:
        event.accept()
        return True
    return False


class PercentField(QDoubleSpinBox):  # type: ignore[misc]
    """A share in percent, with a word after it: ``0.1 % dark``."""

    def __init__(self, name: str, word: str, most: float, call: Callable[[float], None]) -> None:
        super().__init__()
        self.setObjectName("number")
        self.setAccessibleName(name)
        self.setDecimals(3)
        self.setRange(0.0, most)
        self.setSuffix(f" % {word}")
        self.setButtonSymbols(QDoubleSpinBox.NoButtons)
        self.setKeyboardTracking(False)
        self.setLocale(QLocale.c())
        self.setStepType(QDoubleSpinBox.AdaptiveDecimalStepType)
        self.setMinimumWidth(90)
        self.valueChanged.connect(call)

    def textFromValue(self, value: float) -> str:
        """Qt's hook: no zeros at the end."""
        return f"{value:g}"


def small_button(text: str, name: str, tip: str, *, checkable: bool = False) -> QPushButton:
    """A button with a word on it."""
    found = QPushButton(text)
    found.setObjectName("small")
    found.setAccessibleName(name)
    found.setToolTip(tip)
    found.setCheckable(checkable)
    found.setFocusPolicy(Qt.TabFocus)
    return found


def switch(text: str, name: str, call: Callable[[bool], None]) -> QToggleSwitch:
    """Something that is on or off."""
    found = QToggleSwitch(text)
    found.setAccessibleName(name)
    found.setFocusPolicy(Qt.TabFocus)
    found.toggled.connect(call)
    return found


def choice(name: str, texts: Sequence[str], call: Callable[[str], None]) -> QComboBox:
    """One of a few words."""
    found = QComboBox()
    found.setAccessibleName(name)
    found.setFocusPolicy(Qt.TabFocus)
    found.addItems(list(texts))
    found.currentTextChanged.connect(call)
    return found


def number_field(name: str, align: Qt.AlignmentFlag, call: Callable[[], None]) -> QLineEdit:
    """A number that is typed; `call` when it is finished. Return gives the keys back."""
    field = QLineEdit()
    field.setObjectName("field")
    field.setAccessibleName(name)
    field.setAlignment(align)
    field.setMinimumWidth(60)
    validator = QDoubleValidator(field)
    validator.setLocale(QLocale.c())
    field.setValidator(validator)
    field.editingFinished.connect(call)
    field.returnPressed.connect(field.clearFocus)
    return field


def rows_of(part: QWidget) -> QGridLayout:
    """The layout of a part whose rows are a word and a control."""
    grid = QGridLayout(part)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(GAP)
    grid.setVerticalSpacing(GAP // 2 + 2)
    grid.setColumnStretch(1, 1)
    return grid


def add_row(grid: QGridLayout, row: int, name: str, widget: QWidget) -> QLabel:
    """A row of such a layout."""
    label = QLabel(name)
    label.setObjectName("key")
    label.setMinimumWidth(68)
    grid.addWidget(label, row, 0)
    grid.addWidget(widget, row, 1)
    return label


@contextmanager
def quiet(*widgets: QWidget) -> Iterator[None]:
    """Within, the widgets tell nobody what they are set to."""
    blockers = [QSignalBlocker(widget) for widget in widgets]
    try:
        yield
    finally:
        for blocker in blockers:
            blocker.unblock()
