"""A slider for each axis that is not displayed, below the picture: name, place, world value, play. A view of `Dims`.

Dragging sets the position and waits for nothing. Which part of an axis is loaded is painted below its slider.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import QRectF, QSignalBlocker, QSize, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSlider,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from octree_client.dims import Dims
from octree_client.gui.appearance import DARK, GAP, Theme
from octree_client.gui.icons import icon
from octree_client.loaded_parts import runs
from octree_client.readout import unit_sign

#: More sliders than this are not worth the picture's room: the rest is one place each, usually.
_ROWS_MOST = 5

PLAY_MODES = ("loop", "once", "back-and-forth")


class LoadedStrip(QWidget):  # type: ignore[misc]
    """Which places of an axis are loaded, as a line below its slider."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(3)
        self.theme: Theme = DARK
        self._count = 1
        self._runs: list[tuple[int, int, bool]] = []

    def tell(self, shares: NDArray[Any]) -> None:
        """Show how much of each place is there."""
        count, found = max(1, len(shares)), runs(shares)
        if (count, found) != (self._count, self._runs):
            self._count, self._runs = count, found
            self.update()

    @property
    def told(self) -> list[tuple[int, int, bool]]:
        """What is shown: (first, one past the last, whether whole)."""
        return self._runs

    def paintEvent(self, _: Any) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self.theme.line))
        whole, partly = QColor(self.theme.accent), QColor(self.theme.accent)
        partly.setAlpha(110)
        width = self.width() / self._count
        for first, last, is_whole in self._runs:
            left, right = first * width, max(last * width, first * width + 1.0)
            painter.fillRect(QRectF(left, 0, right - left, self.height()), whole if is_whole else partly)
        painter.end()


class _Row:
    """The widgets of one axis."""

    def __init__(self, axis: str, bar: DimsBar, grid: QGridLayout, number: int) -> None:
        self.axis = axis
        self.play = QToolButton()
        self.play.setObjectName("icon")
        self.play.setCheckable(True)
        self.play.setIconSize(QSize(16, 16))
        self.play.setFocusPolicy(Qt.TabFocus)
        self.play.setAccessibleName(f"Play along {axis}")
        self.play.setToolTip(f"Play along {axis}")
        self.play.clicked.connect(lambda on: bar.on_play(axis if on else None))
        self.name = QLabel(axis)
        self.name.setObjectName("fact")
        self.name.setMinimumWidth(18)
        self.slider = QSlider(Qt.Horizontal)
        self.slider.setFocusPolicy(Qt.TabFocus)
        self.slider.setAccessibleName(f"Place on {axis}, slider")
        self.slider.valueChanged.connect(lambda value: bar.go(axis, value))
        self.strip = LoadedStrip()
        self.number = QSpinBox()
        self.number.setObjectName("number")
        self.number.setKeyboardTracking(False)
        self.number.setButtonSymbols(QSpinBox.NoButtons)
        self.number.setFocusPolicy(Qt.StrongFocus)
        self.number.setAccessibleName(f"Place on {axis}")
        self.number.setAlignment(Qt.AlignRight)
        self.number.valueChanged.connect(lambda value: bar.go(axis, value))
        self.value = QLabel()
        self.value.setObjectName("key")
        middle = QVBoxLayout()
        middle.setSpacing(1)
        middle.addWidget(self.slider)
        middle.addWidget(self.strip)
        grid.addWidget(self.play, number, 0)
        grid.addWidget(self.name, number, 1)
        grid.addLayout(middle, number, 2)
        grid.addWidget(self.number, number, 3)
        grid.addWidget(self.value, number, 4)


class DimsBar(QFrame):  # type: ignore[misc]
    """See the module.

    Attributes
    ----------
    on_play
        Called with the axis that is to be played, or None to stop.
    on_play_changed
        Called with frames a second and the mode, when somebody changes them.
    on_rebuilt
        Called when there are other sliders.
    rows
        By axis.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("dims")
        self.rows: dict[str, Any] = {}
        self.on_play: Callable[[str | None], None] = lambda _axis: None
        self.on_play_changed: Callable[[float, str], None] = lambda _fps, _mode: None
        self.on_rebuilt: Callable[[], None] = lambda: None
        self._dims: Dims | None = None
        self._theme = DARK
        self._playing: str | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(GAP, GAP // 2, GAP, GAP // 2)
        row.setSpacing(GAP)
        self._grid_place = row
        self._grid_widget = QWidget()
        row.addWidget(self._grid_widget, 1)
        self.fps = QDoubleSpinBox()
        self.fps.setObjectName("number")
        self.fps.setRange(0.5, 120.0)
        self.fps.setDecimals(0)
        self.fps.setSuffix(" /s")
        self.fps.setButtonSymbols(QDoubleSpinBox.NoButtons)
        self.fps.setAlignment(Qt.AlignRight)
        self.fps.setToolTip("Frames a second while playing")
        self.fps.setFocusPolicy(Qt.StrongFocus)
        self.fps.setAccessibleName("Frames a second while playing")
        self.mode = QComboBox()
        self.mode.addItems(["loop", "once", "back and forth"])
        self.mode.setToolTip("What happens at the end")
        self.mode.setFocusPolicy(Qt.TabFocus)
        self.mode.setAccessibleName("What happens at the end of a play")
        self.fps.valueChanged.connect(self._play_changed)
        self.mode.currentIndexChanged.connect(self._play_changed)
        how = QVBoxLayout()
        how.setSpacing(4)
        self._how = QWidget()
        how_row = QHBoxLayout(self._how)
        how_row.setContentsMargins(0, 0, 0, 0)
        how_row.setSpacing(GAP // 2)
        how_row.addWidget(self.fps)
        how_row.addWidget(self.mode)
        row.addWidget(self._how, 0, Qt.AlignTop)
        self.hide()

    # --- whose -------------------------------------------------------------------------------------------------------

    def show_dims(self, dims: Dims) -> None:
        """Be of these dimensions from now on."""
        self._dims = dims
        dims.events.ranges_changed.connect(self._rebuild)
        dims.events.displayed_changed.connect(self._rebuild)
        dims.events.point_changed.connect(self._moved)
        self._rebuild()

    def leave(self) -> None:
        """Be of none any more."""
        if self._dims is not None:
            events = self._dims.events
            events.ranges_changed.disconnect(self._rebuild)
            events.displayed_changed.disconnect(self._rebuild)
            events.point_changed.disconnect(self._moved)
            self._dims = None

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme."""
        self._theme = theme
        for row in self.rows.values():
            row.strip.theme = theme
            row.strip.update()
        self._draw_buttons()

    def controls_in_order(self) -> list[QWidget]:
        """What Tab goes through."""
        rows = [widget for row in self.rows.values() for widget in (row.play, row.slider, row.number)]
        return [*rows, self.fps, self.mode]

    def set_play(self, fps: float, mode: str) -> None:
        """How it is played."""
        blockers = [QSignalBlocker(self.fps), QSignalBlocker(self.mode)]
        self.fps.setValue(fps)
        self.mode.setCurrentIndex(PLAY_MODES.index(mode) if mode in PLAY_MODES else 0)
        for blocker in blockers:
            blocker.unblock()

    def tell_playing(self, axis: str | None) -> None:
        """Which axis is being played."""
        if axis != self._playing:
            self._playing = axis
            self._draw_buttons()

    def tell_loaded(self, axis: str, shares: NDArray[Any]) -> None:
        """How much of each place of an axis is loaded, 0 .. 1."""
        row = self.rows.get(axis)
        if row is not None:
            row.strip.tell(shares)

    def go(self, axis: str, index: int) -> None:
        """Somebody moved the slider of an axis."""
        if self._dims is not None:
            self._dims.set_index(axis, index)

    # --- what the dimensions say -------------------------------------------------------------------------------------

    def _rebuild(self, *_: object) -> None:
        dims = self._dims
        if dims is None:
            return
        axes = [axis for axis in dims.hidden if dims.count(axis) > 1][-_ROWS_MOST:]
        if list(self.rows) != axes:
            # A layout cannot be taken from a widget that has it: another widget has another one.
            fresh = QWidget()
            grid = QGridLayout(fresh)
            grid.setContentsMargins(0, 0, 0, 0)
            grid.setHorizontalSpacing(GAP)
            grid.setVerticalSpacing(4)
            grid.setColumnStretch(2, 1)
            self.rows = {axis: _Row(axis, self, grid, number) for number, axis in enumerate(axes)}
            self._grid_place.replaceWidget(self._grid_widget, fresh)
            self._grid_widget.deleteLater()
            self._grid_widget = fresh
            self.dress(self._theme)
            self.on_rebuilt()
        for axis, row in self.rows.items():
            count = dims.count(axis)
            blockers = [QSignalBlocker(row.slider), QSignalBlocker(row.number)]
            row.slider.setRange(0, count - 1)
            row.slider.setPageStep(max(1, count // 10))
            row.number.setRange(0, count - 1)
            row.number.setSuffix(f" / {count - 1:,}")
            for blocker in blockers:
                blocker.unblock()
            widest = max(
                (self._value_text(axis, place) for place in (0, count - 1)),
                key=row.value.fontMetrics().horizontalAdvance,
            )
            row.value.setMinimumWidth(row.value.fontMetrics().horizontalAdvance(widest) + GAP // 2)
            self._moved(axis, 0.0)
        self.setVisible(bool(axes))

    def _moved(self, axis: str, _world: float) -> None:
        row = self.rows.get(axis)
        if row is None or self._dims is None:
            return
        index = self._dims.index(axis)
        for widget in (row.slider, row.number):
            if widget.value() != index:
                blocker = QSignalBlocker(widget)
                widget.setValue(index)
                blocker.unblock()
        text = self._value_text(axis, index)
        if row.value.text() != text:
            row.value.setText(text)

    def _value_text(self, axis: str, index: int) -> str:
        assert self._dims is not None
        low, _, step = self._dims.ranges[axis]
        unit = unit_sign(self._dims.units.get(axis, ""))
        return f"{low + index * step:,.6g} {unit}".rstrip()

    def _draw_buttons(self) -> None:
        for axis, row in self.rows.items():
            on = axis == self._playing
            row.play.setChecked(on)
            row.play.setIcon(icon("pause" if on else "play", self._theme.ink))

    def _play_changed(self, *_: object) -> None:
        self.on_play_changed(self.fps.value(), PLAY_MODES[self.mode.currentIndex()])
