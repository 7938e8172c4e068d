"""Reads the voxels of small pictures, in one thread, so that nobody waits for them. Imports neither Qt nor vispy."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger("octree.thumbnails")


class ThumbnailReader:
    """A thread that reads what it was told last, for each that wants a picture.

    Parameters
    ----------
    on_read
        Called in the thread with who wanted it, what it was told, and the values.
    """

    def __init__(self, on_read: Callable[[Hashable, Hashable, NDArray[Any]], None]) -> None:
        self._on_read = on_read
        self._todo: dict[Hashable, tuple[Hashable, Callable[[], Any]]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def read(self, who: Hashable, what: Hashable, values: Callable[[], Any]) -> None:
        """Have `values` called soon, instead of what `who` wanted before and has not been begun."""
        with self._changed:
            if self._closed:
                return
            self._todo[who] = (what, values)
            self._changed.notify()
            if self._thread is None:
                # A daemon thread: a read may wait for a store, and the process for nobody.
                self._thread = threading.Thread(target=self._run, name="octree-thumbnails", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Read nothing more, and tell nobody of what is being read."""
        with self._changed:
            self._closed = True
            self._todo.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._todo and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                who = next(iter(self._todo))
                what, values = self._todo.pop(who)
            try:
                found = np.asarray(values())
            except Exception as error:  # a picture that is missing is no reason to trouble anybody
                log.info("no small picture: %s", error)
                continue
            if not self._is_closed():
                self._on_read(who, what, found)

    def _is_closed(self) -> bool:
        with self._changed:
            return self._closed
