"""Writes pictures to files, as PNG, atomically; in a thread for who must not wait. Imports neither Qt nor vispy."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from octree_protocol.errors import OctreeError


class PictureNotWritten(OctreeError):
    """A picture could not be written; the text names the file and the reason."""


def write_picture(picture: NDArray[np.uint8], path: Path) -> None:
    """Write (h, w, 4) uint8 to a PNG file, which is there whole or not at all. Raises `PictureNotWritten`."""
    from PIL import Image

    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # What lies below the image is opaque, so alpha says nothing.
        Image.fromarray(np.ascontiguousarray(picture[..., :3])).save(beside, "PNG")
        os.replace(beside, path)
    except (OSError, ValueError) as error:
        beside.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or str(error)
        raise PictureNotWritten(f"{path} cannot be written: {reason}") from None


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """(h, w, 4) uint8 as a PNG file, with its transparency."""
    from PIL import Image

    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG")
    return file.getvalue()


class PictureWriter:
    """Writes pictures in threads of its own; `on_written` is called there with the path, and the error or None."""

    def __init__(self, on_written: Callable[[Path, Exception | None], None]) -> None:
        self._on_written = on_written
        self._threads: list[threading.Thread] = []

    def write(self, picture: NDArray[np.uint8], path: Path) -> None:
        """Begin to write; returns at once."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=self._write, args=(picture, path), name="octree-picture")
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Tell nobody any more. What is being written is still finished: the process waits for it at its end."""
        self._on_written = lambda _path, _error: None

    def _write(self, picture: NDArray[np.uint8], path: Path) -> None:
        try:
            write_picture(picture, path)
        except PictureNotWritten as error:
            self._on_written(path, error)
        else:
            self._on_written(path, None)
