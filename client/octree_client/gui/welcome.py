"""What stands in a window without an image: where one may drop it, what opens one, and what was open before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout, QWidget

from octree_client import readout

#: So many of the things that were open are offered; all are in the menu.
_RECENT = 6

#: A place of more characters is shortened.
_PLACE = 60


class Welcome(QFrame):  # type: ignore[misc]
    """See the module. Hidden until it is told to be seen."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("welcome")
        self.setCursor(Qt.ArrowCursor)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(28, 24, 28, 24)
        self._column.setSpacing(4)
        self._label("Drop an image here", "welcomeTitle")
        self._recent: list[QWidget] = []
        self.recent: dict[str, QPushButton] = {}
        self.buttons: dict[str, QPushButton] = {}
        self.hide()

    def add(self, name: str, action: Any) -> None:
        """A button for an action of the window."""
        keys = action.shortcut().toString()
        text = action.text().replace("&", "")
        button = self._button(text + (f"   {keys}" if keys else ""))
        button.setAccessibleName(text.rstrip("…"))
        button.clicked.connect(action.trigger)
        self.buttons[name] = button

    def offer(self, places: Sequence[str], open_place: Callable[[str], None]) -> None:
        """Be seen, and offer what was open before."""
        for widget in self._recent:
            self._column.removeWidget(widget)
            widget.deleteLater()
        self._recent, self.recent = [], {}
        if places:
            self._recent.append(self._label("Recent", "welcomeHeading"))
        for place in places[:_RECENT]:
            button = self._button(readout.shortened(place, _PLACE))
            button.setToolTip(place)
            button.setAccessibleName(f"Open {place}")
            button.clicked.connect(lambda _=False, place=place: open_place(place))
            self._recent.append(button)
            self.recent[place] = button
        self.show()
        self.arrange()

    def arrange(self) -> None:
        """Stand in the middle."""
        stage = self.parentWidget()
        size = self.sizeHint().boundedTo(stage.size())
        self.setGeometry(
            (stage.width() - size.width()) // 2, (stage.height() - size.height()) // 2, size.width(), size.height()
        )
        self.raise_()

    def _label(self, text: str, name: str) -> QLabel:
        label = QLabel(text)
        label.setObjectName(name)
        label.setAlignment(Qt.AlignCenter)
        self._column.addWidget(label)
        return label

    def _button(self, text: str) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName("welcomeButton")
        button.setCursor(Qt.PointingHandCursor)
        button.setAutoDefault(False)
        self._column.addWidget(button)
        return button
