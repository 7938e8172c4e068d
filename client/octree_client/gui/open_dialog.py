"""A dialog that asks for a path, a URL or a link, and as what the image is to be shown; and that choice for others."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QDialog, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from octree_client.looks import LayerKind

#: What an image can be opened as, in the order of the choice; None is what it says itself.
KINDS: tuple[tuple[str, LayerKind | None], ...] = (
    ("what it says it is", None),
    ("an image", "image"),
    ("labels", "labels"),
)

#: The same as kinds of files, for dialogs of the system, which have room for nothing else.
FILTERS = ("All files (*)", "Open as an image (*)", "Open as labels (*)")


def kind_of_filter(chosen: str) -> LayerKind | None:
    """What somebody chose in a dialog of the system."""
    return dict(zip(FILTERS, (kind for _, kind in KINDS), strict=True)).get(chosen)


class KindChoice(QComboBox):  # type: ignore[misc]
    """As what images are opened."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Open as")
        self.setToolTip("Labels are whole numbers that name things; each has a colour of its own")
        self.addItems([text for text, _ in KINDS])

    @property
    def kind(self) -> LayerKind | None:
        """What is chosen."""
        return KINDS[int(self.currentIndex())][1]


class OpenDialog(QDialog):  # type: ignore[misc]
    """See the module. `place` and `kind` are what was asked for, once it is accepted."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open")
        self.setMinimumWidth(460)
        column = QVBoxLayout(self)
        column.setContentsMargins(18, 16, 18, 16)
        column.setSpacing(10)
        self.field = QLineEdit()
        self.field.setAccessibleName("Path, URL or link")
        self.field.setPlaceholderText("Path, URL or link (octree://…)")
        self.field.textChanged.connect(self._typed)
        column.addWidget(self.field)
        self.choice = KindChoice()
        self.open = QPushButton("Open")
        cancel = QPushButton("Cancel")
        row = QHBoxLayout()
        row.addWidget(QLabel("as"))
        row.addWidget(self.choice)
        row.addStretch(1)
        for button, call in ((cancel, self.reject), (self.open, self.accept)):
            button.setAutoDefault(False)
            button.clicked.connect(call)
            row.addWidget(button)
        self.open.setDefault(True)
        column.addLayout(row)
        self._typed()

    @property
    def place(self) -> str:
        """What was typed."""
        return str(self.field.text()).strip()

    @property
    def kind(self) -> LayerKind | None:
        """As what it is to be opened."""
        return self.choice.kind

    def _typed(self) -> None:
        self.open.setEnabled(bool(self.place))
