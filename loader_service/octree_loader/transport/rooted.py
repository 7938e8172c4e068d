"""Paths that clients name, under the one folder that they may: what each resolves to, if to anything there.

A path is resolved by the operating system, every link of it, before it is compared with the folder. What is not there,
what leads out, and what is no path at all look the same to who asked. Knows nothing of datasets.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

#: Longer paths are not looked at.
_LONGEST = 1024

#: Paths that wait to be looked at; a slow file system must not let them pile up.
_WAITING_MOST = 256

#: Told the path below the root, and the real path; or None twice.
Found = Callable[[str | None, str | None], None]


def resolve_below(root: str, path: str) -> tuple[str, str] | None:
    """Where a path under a folder leads.

    Returns
    -------
    tuple or None
        The resolved path relative to the resolved root, and the resolved path. None if there is nothing there, or not
        below the root.
    """
    if not path or len(path) > _LONGEST or any(ord(c) < 0x20 or ord(c) == 0x7F for c in path):
        return None
    try:
        real_root = os.path.realpath(root, strict=True)
        real = os.path.realpath(os.path.join(real_root, path), strict=True)
    except (OSError, ValueError):
        return None
    if os.path.commonpath([real_root, real]) != real_root or real == real_root:
        return None
    return os.path.relpath(real, real_root), real


class RootFolder:
    """Resolves paths in a thread, one by one: the file system may take its time.

    Parameters
    ----------
    root
        The folder.
    call
        Has a function called in the daemon's own thread.
    """

    def __init__(self, root: str, call: Callable[[Callable[[], None]], None]) -> None:
        self.root = root
        self._call = call
        self._asked: queue.SimpleQueue[tuple[str, Found]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def find(self, path: str, found: Found) -> None:
        """Resolve a path and tell `found`, in the daemon's own thread."""
        if self._asked.qsize() >= _WAITING_MOST:
            found(None, None)
            return
        self._asked.put((path, found))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="octree-root", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            path, found = self._asked.get()
            name, real = resolve_below(self.root, path) or (None, None)
            self._call(lambda found=found, name=name, real=real: found(name, real))  # type: ignore[misc]
