"""The line below the picture: where the cursor is and on what, what is loaded, connection, zoom. A thin widget.

Knows nothing of viewers: the window tells it texts.
"""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QStatusBar, QWidget

from octree_client.gui.appearance import GAP, Theme
from octree_client.readout import Message


class StatusBar(QStatusBar):  # type: ignore[misc]
    """Fields of fixed places, so that nothing jumps while figures change."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeGripEnabled(False)
        self.setContentsMargins(GAP // 2, 0, GAP // 2, 0)
        self.position = self._field("y 00,000.0   x 00,000.0 µm")
        self.value = self._field("= 00,000 at level 0")
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

    def tell_cursor(self, position: str, value: str, tip: str) -> None:
        """Where the cursor is, and what it is on; empty when it is nowhere."""
        _put(self.position, position.replace("  ", "&nbsp;&nbsp;"))
        _put(self.value, value)
        if self.value.toolTip() != tip:
            self.value.setToolTip(tip)

    def tell_loading(self, message: Message, theme: Theme) -> None:
        """How the cells in view stand."""
        others = (self.position, self.value, self.level, self.connection, self.zoom)
        taken = sum(max(field.minimumWidth(), field.sizeHint().width()) + GAP for field in others)
        _put_message(self.loading, message, theme, max(self.loading.minimumWidth(), self.width() - taken - 4 * GAP))

    def tell_connection(self, message: Message, theme: Theme) -> None:
        """How the connection stands."""
        _put_message(self.connection, message, theme, 300)

    def tell_level(self, text: str) -> None:
        """Which levels are on the screen."""
        _put(self.level, text)

    def tell_zoom(self, text: str) -> None:
        """Pixels a voxel."""
        _put(self.zoom, text)


def _put_message(label: QLabel, message: Message, theme: Theme, room: int) -> None:
    """A dot of the mood's colour and the text, cut at the end to the room; what is cut off stands in the tool tip."""
    metrics = label.fontMetrics()
    said = " ".join(message.text.split())
    shown = metrics.elidedText(said, Qt.ElideRight, room - metrics.horizontalAdvance("●  ") - GAP)
    text = f"<span style='color:{theme.mood(message.mood)}'>●</span>&nbsp; {escape(shown)}"
    _put(label, text)
    label.setToolTip(said if shown != said else "")


def _put(label: QLabel, text: str) -> None:
    if label.text() != text:  # setting the same text would lay it out anew
        label.setText(text)
