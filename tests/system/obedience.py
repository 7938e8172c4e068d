"""The tests' side of `factories.obedient`: says what reads do, and reads what they did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Read(NamedTuple):
    """One line of ``reads.txt``."""

    began: float
    ended: float
    chunk: tuple[int, int, int]
    pid: int
    thread: str


class Obedience:
    """An image that obeys; `source` goes into a configuration."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.options = options

    @property
    def source(self) -> dict[str, Any]:
        return {
            "source": "tests.system.factories:obedient",
            "levels": "stored",
            "folder": str(self.folder),
            **self.options,
        }

    def order(self, what: str, level: int, row: int, column: int, text: str = "") -> Path:
        """Have something happen whenever that chunk is read."""
        file = self.folder / f"{what}-{level}-{row}-{column}"
        file.write_text(text)
        return file

    def shut(self) -> None:
        """Hold every read from now on."""
        (self.folder / "gate").write_text("")

    def open(self) -> None:
        """Let them go on."""
        (self.folder / "gate").unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        self.shut()
        try:
            yield
        finally:
            self.open()

    def reads(self) -> list[Read]:
        """All reads that ended, in that order."""
        file = self.folder / "reads.txt"
        found = []
        for line in file.read_text().splitlines() if file.exists() else []:
            began, ended, level, row, column, pid, thread = line.split()
            found.append(Read(float(began), float(ended), (int(level), int(row), int(column)), int(pid), thread))
        return found

    def forgive(self) -> None:
        """Take back every order, and forget the reads."""
        for file in self.folder.iterdir():
            file.unlink()
