"""A pyramid that is not complete yet: what of it is written, and who writes it. Knows nothing of voxels."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from octree_protocol.errors import OctreeError


class PyramidError(OctreeError):
    """A pyramid cannot be written. The text says why, and the cure."""


class Journal:
    """Which blocks of an unfinished pyramid are done: a file inside it, so that the two live and die together."""

    def __init__(self, partial: Path, identity: str | None) -> None:
        self._path = partial / ".blocks-done"
        self._done: set[tuple[int, ...]] = set()
        self.resumed = False
        try:
            first, *lines = self._path.read_text().split("\n")
            self.resumed = identity is not None and json.loads(first) == identity
            # The last line may be cut off; split leaves "" after a whole one.
            self._done = {tuple(json.loads(line)) for line in lines[:-1]} if self.resumed else set()
        except (OSError, ValueError):
            pass
        self._identity = identity

    def __contains__(self, index: tuple[int, ...]) -> bool:
        return index in self._done

    def add(self, index: tuple[int, ...]) -> None:
        """A block is written, on all levels down to the plan's depth."""
        if not self._path.exists():
            self._path.write_text(json.dumps(self._identity) + "\n")
        with self._path.open("a") as file:
            file.write(json.dumps(index) + "\n")

    def remove(self) -> None:
        """The pyramid is complete."""
        self._path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, final: Path) -> Iterator[None]:
    """Keeps a second writer out; the lock goes with the process that holds it, however that ends."""
    file: IO[str]
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PyramidError(f"another process is writing {final} now: wait for it, or end it") from None
        yield
        path.unlink(missing_ok=True)
