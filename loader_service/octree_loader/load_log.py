"""The log of the loads: one line of JSON for each. Knows nothing of what decides about them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TextIO

from octree_loader.orders import Outcome
from octree_loader.scheduling.actions import Load
from octree_protocol.errors import OctreeError


class LoadLog:
    """One line of JSON for every load: when, what, where, how long, and what came of it.

    Parameters
    ----------
    path
        Appended to; None writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8", buffering=1)
            except OSError as error:
                raise OctreeError(f"loader_defaults.log_path: cannot write {path}: {error.strerror}") from None
        self.enabled = path is not None

    def write(self, load: Load | None, outcome: Outcome) -> None:
        """Add one load."""
        if self._file is None or load is None:
            return
        line = {
            "time": round(time.time(), 6),
            "dataset": load.dataset,
            "level": load.level,
            "chunks": [list(index) for index in load.indices],
            "pool": load.pool,
            "worker": load.worker,
            "ms": round(outcome.wall_ns * 1e-6, 3),
            "cpu_ms": round(outcome.cpu_ns * 1e-6, 3),
            "blocked_ms": round(outcome.blocked_ns * 1e-6, 3),
            "present": list(outcome.present),
        }
        if outcome.error:
            line["error"] = outcome.error
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
