"""The panel of what the system does: frame times as a plot, working set, queues, rates, arena and video memory.

The daemon is asked by a thread, once a second, and only while the panel is seen. Nothing here runs in a frame.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QAbstractButton, QDockWidget, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from octree_client.gui.appearance import DARK, GAP, Theme
from octree_client.system_text import (
    Bar,
    Rows,
    arena_bar,
    dataset_rows,
    pool_rows,
    rate_lines,
    tiles_bar,
    working_set_rows,
)
from octree_client.transport.connection import Connection, ConnectionState
from octree_client.viewer import Viewer
from octree_protocol.errors import OctreeError
from octree_protocol.messages import Status

#: The viewer is looked at, and the daemon asked, so often. Milliseconds.
_LOOK_MS, _ASK_MS = 250, 1000

#: Frames in the plot.
_FRAMES = 300

#: The height that it has at first. Logical pixels.
_HEIGHT = 216

#: From these widths on there is room for four columns, for two, for one. Logical pixels.
_WIDE, _HALF_WIDE, _LEAST_WIDE = 1060, 760, 400

#: Above this the plot is cut: a hiccup is to be seen, not to make all else flat. Milliseconds.
_PLOT_MS = 34.0

#: A frame of a 60 Hz screen. Milliseconds.
_REFRESH_MS = 16.7


class SystemPanel(QDockWidget):  # type: ignore[misc]
    """See the module. `show_viewer` says whose."""

    _answered = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__("System", parent)
        self.setObjectName("systemDock")
        self.setAllowedAreas(Qt.BottomDockWidgetArea | Qt.TopDockWidgetArea | Qt.LeftDockWidgetArea)
        self.status: Status | None = None
        self._viewer: Viewer | None = None
        self._theme = DARK
        self._asking = False
        self._plot: Any = None
        self._curves: dict[str, Any] = {}
        self.scroll = _Scroll(self._arrange)
        body = self.scroll.widget()
        self._grid = QGridLayout(body)
        self._grid.setContentsMargins(GAP + 4, GAP, GAP + 4, GAP)
        self._grid.setHorizontalSpacing(2 * GAP)
        self._grid.setVerticalSpacing(GAP)
        self.setWidget(self.scroll)
        self.rates = _Table(numbers=False)
        self.cells = _Table()
        self.pools = _Table()
        self.datasets = _Table()
        self.arena, self.tiles = _BarView(), _BarView()
        self._plot_place = QWidget()
        self._columns: list[QWidget] = [
            self._plot_place,
            _column(("FRAMES AND REQUESTS", self.rates)),
            _column(("CELLS", self.cells), ("SHARED MEMORY", self.arena), ("VIDEO MEMORY", self.tiles)),
            _column(("POOLS", self.pools), ("DATASETS", self.datasets)),
        ]
        self._across = 0
        self._arrange(_WIDE)
        self._name_buttons()
        self._look_timer, self._ask_timer = QTimer(self), QTimer(self)
        self._look_timer.setInterval(_LOOK_MS)
        self._ask_timer.setInterval(_ASK_MS)
        self._look_timer.timeout.connect(self.refresh)
        self._ask_timer.timeout.connect(self._ask)
        self._answered.connect(self._heard, Qt.QueuedConnection)
        self.visibilityChanged.connect(self._seen)
        self.hide()

    def _name_buttons(self) -> None:
        """Qt's own buttons in the title have short names, and are for the mouse alone."""
        found = (self.findChild(QAbstractButton, f"qt_dockwidget_{name}button") for name in ("float", "close"))
        self._buttons = [button for button in found if button is not None]
        for button in self._buttons:
            button.setFocusPolicy(Qt.TabFocus)
            button.setAccessibleDescription("The panel of the system")

    def controls_in_order(self) -> list[QWidget]:
        """What Tab goes through."""
        return [*self._buttons, self.scroll]

    def _arrange(self, width: int) -> None:
        """As many columns side by side as there is room for; the rest below them."""
        across = 4 if width >= _WIDE else 2 if width >= _HALF_WIDE else 1
        if across == self._across:
            return
        self._across = across
        for number, part in enumerate(self._columns):
            self._grid.addWidget(part, number // across, number % across)
        for column in range(len(self._columns)):
            self._grid.setColumnStretch(column, 0 if column >= across else 3 if column == 0 and across == 4 else 2)

    def show_viewer(self, viewer: Viewer) -> None:
        """Be about a viewer from now on."""
        self._viewer = viewer
        self._seen(self.isVisible())

    def leave(self) -> None:
        """Be about nothing any more."""
        self._look_timer.stop()
        self._ask_timer.stop()
        self._viewer = None

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme."""
        self._theme = theme
        for part in (self.rates, self.cells, self.pools, self.datasets, self.arena, self.tiles):
            part.dress(theme)
        if self._plot is not None:
            self._dress_plot()

    @property
    def is_working(self) -> bool:
        """Whether anything is looked at or asked for."""
        return bool(self._look_timer.isActive() or self._ask_timer.isActive())

    # --- while it is seen --------------------------------------------------------------------------------------------

    def _seen(self, seen: bool) -> None:
        if seen and self._viewer is not None:
            if self._plot is None:
                self._make_plot()
            self._look_timer.start()
            self._ask_timer.start()
            self._ask()
            self.refresh()
        else:
            self._look_timer.stop()
            self._ask_timer.stop()

    def _make_plot(self) -> None:
        """Made when it is first seen: pyqtgraph takes half a second to import."""
        import pyqtgraph

        plot = self._plot = pyqtgraph.PlotWidget()
        plot.setMenuEnabled(False)
        plot.setMouseEnabled(False, False)
        plot.hideButtons()
        plot.setLabel("left", "ms a frame")
        plot.getAxis("bottom").setStyle(showValues=False)
        plot.setYRange(0, 20)
        plot.setXRange(0, _FRAMES, padding=0)
        plot.setMinimumSize(220, 120)
        self._curves = {
            name: plot.plot([], stepMode="center", fillLevel=0.0 if name == "own" else None)
            for name in ("own", "upload", "draw")
        }
        self._curves["limit"] = plot.addLine(y=_REFRESH_MS)
        legend = plot.addLegend(offset=(8, 2), verSpacing=-8)
        legend.addItem(self._curves["own"], "own work")
        legend.addItem(self._curves["upload"], "of it uploads")
        legend.addItem(self._curves["draw"], "until on the screen")
        plot.setAccessibleName("What frames cost")
        plot.setFocusPolicy(Qt.NoFocus)
        plot.plotItem.setContentsMargins(0, 4, 4, 8)
        self._grid.replaceWidget(self._plot_place, plot)
        self._plot_place.deleteLater()
        self._columns[0] = plot
        self._dress_plot()

    def _dress_plot(self) -> None:
        import pyqtgraph

        theme, plot = self._theme, self._plot
        plot.setBackground(theme.sunk)
        for side in ("left", "bottom"):
            plot.getAxis(side).setPen(theme.line)
            plot.getAxis(side).setTextPen(theme.quiet)
            plot.getAxis(side).setStyle(tickLength=-4)
        fill = QColor(theme.accent)
        fill.setAlpha(110)
        self._curves["own"].setPen(pyqtgraph.mkPen(theme.accent, width=1))
        self._curves["own"].setFillBrush(fill)
        self._curves["upload"].setPen(pyqtgraph.mkPen(theme.busy, width=1))
        self._curves["draw"].setPen(pyqtgraph.mkPen(theme.faint, width=1))
        self._curves["limit"].setPen(pyqtgraph.mkPen(theme.bad, width=1, style=Qt.DashLine))
        legend = plot.plotItem.legend
        legend.setLabelTextColor(theme.quiet)
        for _, label in legend.items:
            label.setText(label.text, color=theme.quiet)

    def refresh(self) -> None:
        """Bring everything up to what the viewer says."""
        viewer = self._viewer
        if viewer is None:
            return
        records = viewer.frame_statistics.frames
        frames = [records[n] for n in range(-min(_FRAMES, len(records)), 0)]
        if self._plot is not None and frames:
            edges = np.arange(len(frames) + 1) + (_FRAMES - len(frames))
            for name in ("own", "upload", "draw"):
                self._curves[name].setData(edges, [getattr(frame, name) for frame in frames])
            self._plot.setYRange(0, min(_PLOT_MS, max(20.0, 1.1 * max(max(f.own, f.draw) for f in frames))), padding=0)
        pieces = [piece for layer in viewer.layers for piece in layer.pieces]
        self.cells.tell(working_set_rows(pieces))
        self.rates.tell(rate_lines(self.status, frames))
        self.tiles.tell(tiles_bar(*viewer.video_memory()))

    def _ask(self) -> None:
        """Ask the daemon of the active layer, in a thread: it may take its time, or never answer."""
        viewer = self._viewer
        if viewer is None or self._asking or not len(viewer.layers):
            return
        layer = viewer.layers.active or viewer.layers[0]
        connection = layer.image.session.connection
        if connection.state is not ConnectionState.OPEN:
            return
        self._asking = True
        threading.Thread(target=self._ask_in_thread, args=(connection,), name="octree-status", daemon=True).start()

    def _ask_in_thread(self, connection: Connection) -> None:
        try:
            found: Status | None = connection.status()
        except OctreeError:
            found = None
        try:
            self._answered.emit(found)
        except RuntimeError:
            pass  # the window is gone

    def _heard(self, status: Status | None) -> None:
        self._asking = False
        if status is not None:
            self.status = status
            self.pools.tell(pool_rows(status))
            self.datasets.tell(dataset_rows(status))
            self.arena.tell(arena_bar(status))


class _Scroll(QScrollArea):  # type: ignore[misc]
    """What is scrolled up and down, never sideways; `arrange` is told the width that there is."""

    def __init__(self, arrange: Callable[[int], None]) -> None:
        super().__init__()
        self._arrange = arrange
        self.setObjectName("panelScroll")
        self.setAccessibleName("Figures of the system")
        self.setFocusPolicy(Qt.TabFocus)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.setMinimumSize(_LEAST_WIDE, 120)
        body = QWidget()
        body.setObjectName("systemPanel")
        body.setAttribute(Qt.WA_StyledBackground)
        self.setWidget(body)

    def sizeHint(self) -> QSize:
        """Qt's hook."""
        return QSize(_HALF_WIDE, _HEIGHT)

    def resizeEvent(self, event: Any) -> None:
        """Qt's hook."""
        self._arrange(self.viewport().width())
        super().resizeEvent(event)


def _column(*parts: tuple[str, QWidget]) -> QWidget:
    """Parts below each other, each with its title."""
    found = QWidget()
    column = QVBoxLayout(found)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(4)
    for title, part in parts:
        column.addWidget(_heading(title))
        column.addWidget(part)
        column.addSpacing(4)
    column.addStretch(1)
    return found


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("heading")
    return label


class _Table(QWidget):  # type: ignore[misc]
    """Rows of short texts. The labels stay; only texts that changed are laid out anew."""

    def __init__(self, *, numbers: bool = True) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(GAP)
        self._grid.setVerticalSpacing(1)
        self._numbers = numbers
        self._labels: dict[tuple[int, int], QLabel] = {}

    def tell(self, rows: Rows) -> None:
        """Show other rows; the first is a head, where these are numbers."""
        seen = set()
        for y, row in enumerate(rows):
            for x, text in enumerate(row):
                seen.add((y, x))
                label = self._labels.get((y, x))
                if label is None:
                    label = self._labels[y, x] = QLabel()
                    label.setObjectName("key" if x == 0 or (self._numbers and y == 0) else "fact")
                    label.setAlignment(Qt.AlignLeft if x == 0 or not self._numbers else Qt.AlignRight)
                    self._grid.addWidget(label, y, x)
                    self._grid.setColumnStretch(x, 1)
                if label.text() != text:
                    label.setText(text)
                label.setVisible(True)
        for place, label in self._labels.items():
            if place not in seen:
                label.setVisible(False)

    def texts(self) -> list[str]:
        """What is shown."""
        return [label.text() for label in self._labels.values() if label.isVisibleTo(self)]

    def dress(self, _theme: Theme) -> None:
        """The style sheet does it."""


class _BarView(QWidget):  # type: ignore[misc]
    """A bar with a text below."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = Bar((), "")
        self._theme = DARK
        self.setFixedHeight(28)

    def tell(self, bar: Bar) -> None:
        """Show another one."""
        if bar != self.bar:
            self.bar = bar
            self.update()

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme."""
        self._theme = theme
        self.update()

    def paintEvent(self, _: Any) -> None:
        """Qt's hook."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.Antialiasing)
        painter.setPen(Qt.NoPen)
        painter.setBrush(QColor(self._theme.line))
        painter.drawRoundedRect(QRectF(0, 2, self.width(), 6), 3, 3)
        left = 0.0
        for share, strength in self.bar.parts:
            colour = QColor(self._theme.accent)
            colour.setAlphaF(strength)
            painter.setBrush(colour)
            width = min(share, 1.0) * self.width()
            painter.drawRoundedRect(QRectF(left, 2, max(width, 2.0 if share else 0.0), 6), 3, 3)
            left += width
        painter.setPen(QColor(self._theme.quiet))
        painter.drawText(QRectF(0, 11, self.width(), 17), Qt.AlignLeft | Qt.AlignVCenter, self.bar.text)
        painter.end()
