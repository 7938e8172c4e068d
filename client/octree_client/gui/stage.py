"""The middle of the window: the canvas, and what lies over it. A thin widget that knows no viewer.

Its children over the canvas are put where they belong whenever the stage or they change size.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import QFrame, QGridLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from octree_client.gui.appearance import GAP, Theme
from octree_client.gui.icons import icon
from octree_client.gui.overlays import Banner, FiguresOverlay, Notice, Overlay
from octree_client.gui.stage_marks import AxesMark, MinimapMark, RectangleMark, ScaleBarMark
from octree_client.gui.welcome import Welcome


class ToolPill(QFrame):  # type: ignore[misc]
    """A column of buttons over the picture, each one an action of the window."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("tools")
        self.setCursor(Qt.ArrowCursor)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(4, 4, 4, 4)
        self._column.setSpacing(2)
        self.buttons: dict[str, QToolButton] = {}
        self._drawings: dict[str, str] = {}

    def add(self, action: Any, name: str, drawing: str) -> None:
        """A button for an action."""
        button = QToolButton()
        button.setFocusPolicy(Qt.TabFocus)
        button.setAccessibleName(action.text().replace("&", "").rstrip("…"))
        button.setIconSize(QSize(18, 18))
        button.setCheckable(action.isCheckable())
        button.clicked.connect(lambda _=False: action.trigger())
        if action.isCheckable():
            button.setChecked(action.isChecked())
            action.toggled.connect(button.setChecked)
        shortcut = action.shortcut().toString()
        button.setToolTip(action.text().replace("&", "") + (f"  ({shortcut})" if shortcut else ""))
        self._column.addWidget(button)
        self.buttons[name] = button
        self._drawings[name] = drawing

    def add_divider(self) -> None:
        """A line between two groups."""
        line = QFrame()
        line.setObjectName("divider")
        line.setFixedHeight(1)
        self._column.addWidget(line)

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme."""
        for name, button in self.buttons.items():
            button.setIcon(icon(self._drawings[name], theme.glass_ink, theme.accent_ink))
        self.adjustSize()


class Stage(QWidget):  # type: ignore[misc]
    """See the module. The canvas' widget is put in with `hold`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("stage")
        self.setAttribute(Qt.WA_StyledBackground)
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self.scale_bar = ScaleBarMark(self)
        self.axes = AxesMark(self)
        self.minimap = MinimapMark(self)
        self.marked = RectangleMark(self)
        self.tools = ToolPill(self)
        self.tools.hide()
        self.figures = FiguresOverlay(self)
        self.banner = Banner(self)
        self.notice = Notice(self)
        self.waiting = Overlay(self, "opening", (0.5, 0.5))
        self.tip = Overlay(self, "tip", (0.0, 0.0))
        self.tip.setWordWrap(True)
        self.welcome = Welcome(self)

    def hold(self, canvas: Any) -> None:
        """Put the canvas' widget in, below everything."""
        self._grid.addWidget(canvas, 0, 0)
        canvas.lower()

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme."""
        for mark in (self.scale_bar, self.axes, self.minimap, self.marked, self.tools):
            mark.dress(theme)

    def show_mark(self, mark: QWidget, on: bool) -> None:
        """Show one of the marks, or hide it."""
        if mark.isVisibleTo(self) != on:
            mark.setVisible(on)
        if on:
            self.arrange()

    def tell_tip(self, text: str, at: tuple[float, float]) -> None:
        """A word beside the mouse, at (x, y) in logical pixels; an empty one hides it."""
        self.tip.tell(text)
        if text:
            x = min(round(at[0]) + 16, self.width() - self.tip.width() - GAP)
            y = min(round(at[1]) + 18, self.height() - self.tip.height() - GAP)
            self.tip.move(max(GAP, x), max(GAP, y))

    def arrange(self) -> None:
        """Put everything where it belongs: tools and axes at the left, scale bar and map below."""
        width, height = self.width(), self.height()
        self.tools.move(GAP, GAP)
        self.scale_bar.move(GAP, height - self.scale_bar.height() - GAP)
        self.minimap.move(width - self.minimap.width() - GAP, height - self.minimap.height() - GAP)
        below = self.scale_bar.height() + GAP if self.scale_bar.isVisibleTo(self) else 0
        self.axes.move(GAP, height - below - self.axes.height() - GAP)
        # A low stage has no room for the axes below the tools: they go beside them.
        if self.tools.isVisibleTo(self) and self.axes.y() < self.tools.geometry().bottom() + GAP // 2:
            self.axes.move(self.tools.geometry().right() + GAP // 2, GAP)
        if self.tools.isVisibleTo(self) and self.scale_bar.y() < self.tools.geometry().bottom() + GAP // 2:
            self.scale_bar.move(self.tools.geometry().right() + GAP // 2, self.scale_bar.y())
        for mark in (self.scale_bar, self.axes, self.minimap, self.tools):
            if mark.isVisibleTo(self):
                mark.raise_()
        if self.welcome.isVisibleTo(self):
            self.welcome.arrange()

    def event(self, event: Any) -> bool:
        """Qt's hook: arranged anew when the stage, or one of the marks on it, has another size."""
        if event.type() in (QEvent.Type.Resize, QEvent.Type.LayoutRequest):
            self.arrange()
        return bool(super().event(event))
