"""Qt's event loop as a viewer's driver: a precise timer for frames, a queued signal for what the connection says."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, Qt, QTimer, Signal

from octree_client.driver import Driver

#: Between two looks at Qt's events, where no event loop can run. Seconds.
_TURN_SECONDS = 0.002


@contextmanager
def interruptible(end_loop: Callable[[], None]) -> Iterator[list[int]]:
    """Within, Ctrl-C ends an event loop, and is raised after it: raised in a slot it would end the process.

    Gives a list that is empty until then. Only where nobody else handles it. Python must get to run meanwhile: some
    timer calls it now and then.
    """
    asked: list[int] = []

    def note(number: int, _frame: object) -> None:
        asked.append(number)
        end_loop()

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    if asked:
        raise KeyboardInterrupt


class _Waker(QObject):  # type: ignore[misc]
    woken = Signal()


class QtDriver(Driver):
    """Draws in Qt's thread, whenever its event loop runs."""

    def __init__(self) -> None:
        super().__init__()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.PreciseTimer)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._due)
        self._call: Callable[[], None] = lambda: None
        self._call_timer = QTimer()
        self._call_timer.setTimerType(Qt.PreciseTimer)
        self._call_timer.setSingleShot(True)
        self._call_timer.timeout.connect(lambda: self._call())
        self._waker = _Waker()
        self._waker.woken.connect(self._wake, Qt.QueuedConnection)
        self._pending = False

    def schedule(self, at: float | None) -> None:
        """See `Driver`."""
        if at is None:
            self._timer.stop()
        else:
            self._timer.start(max(0, round((at - time.monotonic()) * 1e3)))

    def call_at(self, at: float | None, call: Callable[[], None] = lambda: None) -> None:
        """See `Driver`."""
        self._call = call
        if at is None:
            self._call_timer.stop()
        else:
            self._call_timer.start(max(0, round((at - time.monotonic()) * 1e3)))

    def wake(self) -> None:
        """See `Driver`."""
        if not self._pending:  # one queued signal is enough for whatever has come
            self._pending = True
            self._waker.woken.emit()

    def _wake(self) -> None:
        self._pending = False
        self.on_wake()

    def _due(self) -> None:
        self.on_due()

    def wait(self, done: Callable[[], bool], timeout: float) -> bool:
        """See `Driver`. Runs an event loop of its own meanwhile, so that the window stays alive; Ctrl-C ends it."""
        if done():
            return True
        loop = QEventLoop()
        watch = QTimer()
        watch.setInterval(5)
        until = time.monotonic() + timeout

        def look() -> None:
            if done() or time.monotonic() >= until:
                loop.quit()

        watch.timeout.connect(look)
        watch.start()
        with interruptible(loop.quit) as interrupted:
            while not (interrupted or done() or time.monotonic() >= until):
                # A kernel of Jupyter quits the application to hear what has come: that ends this loop before its
                # time, and lets no other begin.
                if loop.exec_() == -1:
                    QCoreApplication.processEvents()
                    time.sleep(_TURN_SECONDS)
        watch.stop()
        return done()

    def close(self) -> None:
        """See `Driver`."""
        self._timer.stop()
        self._call_timer.stop()
        self._waker.woken.disconnect()
        self.on_due = self.on_wake = lambda: None
