"""Images whose reads do what a test says, by files in a folder: the daemon's workers import this module.

A file ``<what>-<level>-<row>-<column>`` in the folder says what happens when a chunk is read:

- ``kill``, ``segv``: the process that reads it dies of that signal. With the text "once", the file is removed first.
- ``hang``: the read waits until the file is gone.
- ``fail``: the read raises an error with the file's text.
- ``missing``: nothing is stored there.

A file ``gate`` holds every read until it is gone. ``reads.txt`` gets a line for each read: when it began and ended,
level, row, column, process and thread. Knows nothing of daemons.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def voxels(level: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint16]:
    """What the image holds: no two chunks are alike, and no two levels."""
    return ((7 * rows + 3 * columns + 11 * (rows // 64) + 1000 * level) % 4001).astype(np.uint16)


def plane(level: int, shape: tuple[int, int]) -> NDArray[np.uint16]:
    """A whole level."""
    return voxels(level, np.arange(shape[0])[:, None], np.arange(shape[1])[None, :])


class ObedientLevel:
    """One level; see the module."""

    dtype = np.dtype("<u2")

    def __init__(self, folder: Path, level: int, shape: tuple[int, int], chunk: int) -> None:
        self.shape = shape
        self.chunks = (chunk, chunk)
        self._folder = folder
        self._level = level
        self._chunk = chunk

    def __getitem__(self, box: tuple[slice, slice]) -> NDArray[np.uint16] | None:
        began = time.monotonic()
        row, column = box[0].start // self._chunk, box[1].start // self._chunk
        place = f"{self._level}-{row}-{column}"
        try:
            return self._read(place, box)
        finally:
            line = f"{began:.6f} {time.monotonic():.6f} {self._level} {row} {column} {os.getpid()} "
            with (self._folder / "reads.txt").open("a") as file:
                file.write(line + threading.current_thread().name.replace(" ", "_") + "\n")

    def _read(self, place: str, box: tuple[slice, slice]) -> NDArray[np.uint16] | None:
        while (self._folder / "gate").exists():
            time.sleep(0.002)
        for name, number in (("kill", signal.SIGKILL), ("segv", signal.SIGSEGV)):
            if (order := self._folder / f"{name}-{place}").exists():
                if order.read_text() == "once":
                    order.unlink()
                os.kill(os.getpid(), number)
                time.sleep(60)
        while (self._folder / f"hang-{place}").exists():
            time.sleep(0.002)
        if (order := self._folder / f"fail-{place}").exists():
            raise ValueError(order.read_text())
        if (self._folder / f"missing-{place}").exists():
            return None
        rows, columns = np.arange(box[0].start, box[0].stop), np.arange(box[1].start, box[1].stop)
        return voxels(self._level, rows[:, None], columns[None, :])


def obedient(folder: str, edge: int = 512, chunk: int = 64, levels: int = 3) -> dict[str, Any]:
    """A square pyramid of such levels."""
    where = Path(folder)
    return {
        "levels": [ObedientLevel(where, n, (edge >> n, edge >> n), chunk) for n in range(levels)],
        "axes": "yx",
        "fill_value": 0,
    }


def graph() -> Any:
    """A dask array that says which process computed each of its chunks."""
    import dask.array

    def block() -> NDArray[np.uint32]:
        return np.full((64, 64), os.getpid(), np.uint32)

    zeros = dask.array.zeros((256, 256), chunks=64, dtype="u4")
    return zeros.map_blocks(lambda chunk: chunk + block(), dtype="u4", meta=np.empty((0, 0), np.uint32))


def broken() -> None:
    """A factory that does not work."""
    raise RuntimeError("the microscope is on fire")
