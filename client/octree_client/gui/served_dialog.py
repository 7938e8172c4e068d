"""A dialog that lists what daemons serve, to choose from. It asks them in a thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from octree_client import session as sessions
from octree_client.gui.open_dialog import KindChoice
from octree_client.session import Session
from octree_protocol.addresses import default_address
from octree_protocol.errors import OctreeError


class ServedDialog(QDialog):  # type: ignore[misc]
    """Choose images of the daemons that the window talks to, or of another one by its address."""

    _listed = Signal(object, str)

    def __init__(self, parent: QWidget, known: Sequence[Session]) -> None:
        super().__init__(parent)
        self.setWindowTitle("Add from a daemon")
        self.setMinimumSize(460, 380)
        self._known = list(known)
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 16, 18, 16)
        column.setSpacing(10)
        row = QHBoxLayout()
        self.field = QLineEdit(default_address())
        self.field.setAccessibleName("Address of a daemon")
        self.field.setToolTip("Address of a daemon: ipc:///… or tcp://…")
        self.ask = QPushButton("List")
        self.ask.setAccessibleName("List what it serves")
        self.ask.setAutoDefault(False)
        self.ask.clicked.connect(self._ask)
        self.field.returnPressed.connect(self._ask)
        row.addWidget(QLabel("Daemon"))
        row.addWidget(self.field, 1)
        row.addWidget(self.ask)
        column.addLayout(row)
        self.list = QListWidget()
        self.list.setAccessibleName("Images of daemons")
        self.list.setSelectionMode(QAbstractItemView.ExtendedSelection)
        self.list.itemDoubleClicked.connect(lambda _: self.accept())
        column.addWidget(self.list, 1)
        self.note = QLabel()
        self.note.setObjectName("hint")
        self.note.setWordWrap(True)
        column.addWidget(self.note)
        self.kind = KindChoice()
        buttons = QHBoxLayout()
        buttons.addWidget(QLabel("as"))
        buttons.addWidget(self.kind)
        buttons.addStretch(1)
        for text, call in (("Cancel", self.reject), ("Add", self.accept)):
            button = QPushButton(text)
            button.setAutoDefault(False)
            button.setDefault(text == "Add")
            button.clicked.connect(call)
            buttons.addWidget(button)
        column.addLayout(buttons)
        self._listed.connect(self._show_listed, Qt.QueuedConnection)
        self._asked = ""
        for session in self._known:
            self._fill(session.datasets(), session)
        self._tell()

    def chosen(self) -> list[tuple[Session | None, str]]:
        """(session, name) of what is selected; no session for those of the daemon at `address`."""
        return [item.data(Qt.UserRole) for item in self.list.selectedItems()]

    def address(self) -> str:
        """Of the daemon that was asked last."""
        return self._asked

    def _fill(self, names: Sequence[str], session: Session | None) -> None:
        for name in names:
            item = QListWidgetItem(name if session is not None else f"{name}   ({self._asked})")
            item.setData(Qt.UserRole, (session, name))
            self.list.addItem(item)

    def _tell(self, text: str = "") -> None:
        count = self.list.count()
        self.note.setText(text or (f"{count} image{'s' if count != 1 else ''}" if count else "Nothing is served yet."))

    def _ask(self) -> None:
        address = self.field.text().strip()
        self.ask.setEnabled(False)
        self._tell(f"Asking {address} …")
        listed = self._listed

        def ask() -> None:
            try:
                with sessions.connect(address) as session:
                    found: object = session.datasets()
            except (OctreeError, OSError, ValueError) as error:
                found = error
            try:
                listed.emit(found, address)
            except RuntimeError:
                pass  # the dialog is gone

        threading.Thread(target=ask, name="octree-served", daemon=True).start()

    def _show_listed(self, found: object, address: str) -> None:
        self.ask.setEnabled(True)
        if isinstance(found, BaseException):
            self._tell(str(found))
            return
        for row in reversed(range(self.list.count())):
            if self.list.item(row).data(Qt.UserRole)[0] is None:
                self.list.takeItem(row)
        self._asked = address
        self._fill(found, None)  # type: ignore[arg-type]
        self._tell()
