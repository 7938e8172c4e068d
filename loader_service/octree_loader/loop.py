"""Waits for descriptors and deadlines, and calls who asked for it. One thread; knows nothing of what it waits for."""

from __future__ import annotations

import os
import selectors
import threading
from collections import deque
from collections.abc import Callable


class Loop:
    """A selector whose registered data are callbacks, and a way for other threads to have something called here."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._calls: deque[Callable[[], None]] = deque()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._closed = threading.Event()
        self.selector.register(self._wake_read, selectors.EVENT_READ, self._run_calls)

    def call(self, function: Callable[[], None]) -> None:
        """Have `function` called in the loop's thread. May be called from any thread, and from a signal handler."""
        self._calls.append(function)
        if not self._closed.is_set():
            try:
                os.write(self._wake_write, b"\0")
            except BlockingIOError:
                pass  # the pipe is full of wake-ups already

    def wait(self, timeout: float | None) -> None:
        """Wait until something happens, at most `timeout` seconds, and call those whom it concerns."""
        for key, _ in self.selector.select(timeout):
            key.data()

    def _run_calls(self) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            pass
        while self._calls:
            self._calls.popleft()()

    def close(self) -> None:
        """Give the descriptors back."""
        self._closed.set()
        self.selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
