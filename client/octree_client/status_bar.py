"""The line below the picture: where the cursor is and on what, what is loaded, connection, zoom. A thin widget.

Knows nothing of viewers: the window tells it texts.
"""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QStatusBar, QWidget

from octree_client.appearance import GAP, MOODS
from octree_client.readout import Message, begun

#: Characters of a message; what is cut off stands in its tool tip.
_LONGEST = 64


class StatusBar(QStatusBar):  # type: ignore[misc]
    """Fields of fixed places, so that nothing jumps while figures change."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeGripEnabled(False)
        self.setContentsMargins(GAP // 2, 0, GAP // 2, 0)
        self.position = self._field("y 000,000.00   x 000,000.00 µm")
        self.value = self._field("= 000,000 (level 0)")
        self.addWidget(QWidget(), 1)
        self.loading = self._field("● loading 00 of 00", permanent=True)
        self.level = self._field("level 0–0 → 0", permanent=True)
        self.connection = self._field("● connected", permanent=True)
        self.zoom = self._field("00,000 %", permanent=True, align=Qt.AlignRight)
        self.setMinimumHeight(30)

    def _field(self, widest: str, *, permanent: bool = False, align: Qt.AlignmentFlag = Qt.AlignLeft) -> QLabel:
        label = QLabel()
        label.setMinimumWidth(label.fontMetrics().horizontalAdvance(widest) + GAP)
        label.setAlignment(align | Qt.AlignVCenter)
        label.setTextFormat(Qt.RichText)
        (self.addPermanentWidget if permanent else self.addWidget)(label)
        return label

    def tell_cursor(self, position: str, value: str) -> None:
        """Where the cursor is, and what it is on; empty when it is nowhere."""
        _put(self.position, position.replace("  ", "&nbsp;&nbsp;"))
        _put(self.value, value)

    def tell_loading(self, message: Message) -> None:
        """How the cells in view stand."""
        _put_message(self.loading, message)

    def tell_connection(self, message: Message) -> None:
        """How the connection stands."""
        _put_message(self.connection, message)

    def tell_level(self, text: str) -> None:
        """Which levels are on the screen."""
        _put(self.level, text)

    def tell_zoom(self, text: str) -> None:
        """Pixels a voxel."""
        _put(self.zoom, text)


def _put_message(label: QLabel, message: Message) -> None:
    text = f"<span style='color:{MOODS[message.mood]}'>●</span>&nbsp; {escape(begun(message.text, _LONGEST))}"
    _put(label, text)
    label.setToolTip(message.text if len(message.text) > _LONGEST else "")


def _put(label: QLabel, text: str) -> None:
    if label.text() != text:  # setting the same text would lay it out anew
        label.setText(text)
