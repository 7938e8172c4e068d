"""What makes a viewer draw: somebody must call it when a frame is due, and wait for it when a script does.

`HeadlessDriver` has no event loop: frames are drawn while a script waits or renders. `driver_qt` has Qt's.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable


class Driver(ABC):
    """Calls `on_due` when a frame is due, and `on_wake` when the connection has something new; both in one thread."""

    def __init__(self) -> None:
        self.on_due: Callable[[], None] = lambda: None
        self.on_wake: Callable[[], None] = lambda: None

    @abstractmethod
    def schedule(self, at: float | None) -> None:
        """A frame is due at `at` (`time.monotonic`), or none is; replaces what was said before."""

    @abstractmethod
    def call_at(self, at: float | None, call: Callable[[], None] = lambda: None) -> None:
        """Call something at `at` (`time.monotonic`), besides frames; None: nothing. The last one said counts."""

    @abstractmethod
    def wake(self) -> None:
        """Have `on_wake` called soon. From any thread; never blocks."""

    @abstractmethod
    def wait(self, done: Callable[[], bool], timeout: float) -> bool:
        """Let frames be drawn until `done` or for `timeout` seconds; returns whether it is done."""

    @abstractmethod
    def close(self) -> None:
        """Call nobody any more."""


class HeadlessDriver(Driver):
    """Draws in the thread that waits, and only then."""

    def __init__(self) -> None:
        super().__init__()
        self._at: float | None = None
        self._call_at: float | None = None
        self._call: Callable[[], None] = lambda: None
        self._woken = threading.Event()

    def schedule(self, at: float | None) -> None:
        """See `Driver`."""
        self._at = at

    def call_at(self, at: float | None, call: Callable[[], None] = lambda: None) -> None:
        """See `Driver`."""
        self._call_at, self._call = at, call

    def wake(self) -> None:
        """See `Driver`."""
        self._woken.set()

    def wait(self, done: Callable[[], bool], timeout: float) -> bool:
        """See `Driver`."""
        until = time.monotonic() + timeout
        while True:
            if self._woken.is_set():
                self._woken.clear()
                self.on_wake()
            now = time.monotonic()
            if self._call_at is not None and self._call_at <= now:
                self._call_at = None
                self._call()
            if self._at is not None and self._at <= now:
                self._at = None
                self.on_due()
            if done():
                return True
            now = time.monotonic()
            if now >= until:
                return False
            due = min(at for at in (until, self._at, self._call_at) if at is not None)
            self._woken.wait(max(0.0, due - now))

    def close(self) -> None:
        """See `Driver`."""
        self._at = self._call_at = None
        self.on_due = self.on_wake = lambda: None
