"""What lies over the picture: figures, the list of keys, a word about the daemon. Drawn by Qt, so they cost no GL.

Knows nothing of viewers: each is told what to show. None takes the mouse from the picture below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QLabel, QWidget

from octree_client.gui.appearance import GAP, Theme
from octree_client.keys import rich_table
from octree_client.readout import Message

#: What has more to say than fits a line is at most so wide. Logical pixels.
_TIP_WIDTH = 380

#: A notice is read within so long. Milliseconds.
_NOTICE_MS = 4000


class Overlay(QLabel):  # type: ignore[misc]
    """A label over another widget, which it follows. `place` is (x, y): 0 left or top, 1 right or bottom."""

    def __init__(self, stage: QWidget, name: str, place: tuple[float, float]) -> None:
        super().__init__(stage)
        self.setObjectName(name)
        self.setAttribute(Qt.WA_TransparentForMouseEvents)
        self.setTextFormat(Qt.RichText if name in ("figures", "card") else Qt.PlainText)
        self._place = place
        self._stage = stage
        stage.installEventFilter(self)
        self.hide()

    def tell(self, text: str) -> None:
        """Show a text; an empty one hides the label."""
        if text == self.text() and self.isVisibleTo(self._stage) == bool(text):
            return
        self.setText(text)
        self.setVisible(bool(text))
        if text:
            self.put()

    def put(self) -> None:
        """Take the place that the text needs."""
        room = self._stage.rect().adjusted(GAP, GAP, -GAP, -GAP)
        self.setMaximumWidth(min(max(80, room.width()), _TIP_WIDTH if self.wordWrap() else 1 << 20))
        size = self.sizeHint().boundedTo(room.size())
        if self.wordWrap() and self.hasHeightForWidth():
            size.setWidth(self.maximumWidth())
            size.setHeight(min(self.heightForWidth(size.width()), room.height()))
        x = room.left() + round((room.width() - size.width()) * self._place[0])
        y = room.top() + round((room.height() - size.height()) * self._place[1])
        self.setGeometry(x, y, size.width(), size.height())
        self.raise_()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Qt's hook: the stage has another size."""
        if event.type() == QEvent.Type.Resize and watched is self._stage and self.isVisibleTo(self._stage):
            self.put()
        return False


class FiguresOverlay(Overlay):
    """What frames cost, as a table."""

    def __init__(self, stage: QWidget) -> None:
        super().__init__(stage, "figures", (1.0, 0.0))

    def tell_rows(self, rows: Sequence[tuple[str, str, str]], quiet: str) -> None:
        """Show rows of (name, median or value, 99th percentile); names and percentiles in the colour `quiet`."""
        cells = "".join(
            f"<tr><td style='color:{quiet}; padding-right:18px; white-space:pre'>{name}</td>"
            f"<td align='right' style='padding-right:10px; white-space:pre'>{first}</td>"
            f"<td align='right' style='color:{quiet}; white-space:pre'>{second}</td></tr>"
            for name, first, second in rows
        )
        self.tell(f"<table cellspacing='1'>{cells}</table>")
        self.put()


class KeyCard(Overlay):
    """The list of keys, in the middle."""

    def __init__(self, stage: QWidget) -> None:
        super().__init__(stage, "card", (0.5, 0.5))

    @property
    def is_open(self) -> bool:
        """Whether it is there to be read."""
        return bool(self.text())

    def toggle(self, theme: Theme) -> None:
        """Show it, or hide it."""
        self.tell("" if self.is_open else rich_table(theme.ink, theme.quiet, theme.accent))


class Banner(Overlay):
    """One sentence at the top that stays until it is over: the daemon is gone."""

    def __init__(self, stage: QWidget) -> None:
        super().__init__(stage, "banner", (0.5, 0.0))


class Notice(Overlay):
    """One sentence at the bottom that goes by itself: the screenshot is saved."""

    def __init__(self, stage: QWidget) -> None:
        super().__init__(stage, "notice", (0.5, 1.0))
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        # A method, no lambda: of one PyQt may let go before the timer, which fires into nothing then.
        self._timer.timeout.connect(self._read)

    def say(self, message: Message) -> None:
        """Show it for a while."""
        self.tell(message.text)
        self._timer.start(_NOTICE_MS)

    def _read(self) -> None:
        self.tell("")
