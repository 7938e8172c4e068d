"""The file that keeps what a viewer remembers: read once, written atomically, never a reason not to start."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from octree_client.remembered import Remembered, read_remembered, write_remembered

log = logging.getLogger("octree.remembered")

#: Larger than this it is not ours.
_MOST_BYTES = 1 << 20


def remembered_path() -> Path:
    """``$XDG_CONFIG_HOME/octree-serve/viewer.json``, or below ``~/.config``."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if home.startswith("/") else Path.home() / ".config"
    return folder / "octree-serve" / "viewer.json"


def recall(path: Path | None = None) -> Remembered:
    """What was remembered last; the defaults if there is nothing, or nothing that can be read."""
    try:
        path = path if path is not None else remembered_path()
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return Remembered()
    except (OSError, RuntimeError) as error:  # a RuntimeError: nobody knows where this user is at home
        log.warning("what the viewer remembers cannot be read: %s", error)
        return Remembered()
    return read_remembered(content) if len(content) <= _MOST_BYTES else Remembered()


def remember(remembered: Remembered, path: Path | None = None) -> bool:
    """Write it down, whole or not at all; returns whether that went well, which nobody needs."""
    try:
        path = path if path is not None else remembered_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(write_remembered(remembered))
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        log.warning("what the viewer remembers cannot be written: %s", error)
        return False
    return True
