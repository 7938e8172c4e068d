"""A window's life: opened, shown, ended by its user or by a signal; and what the process ends with.

Knows how Qt, signals and exceptions go together, and nothing of what the window shows.
"""

from __future__ import annotations

import gc
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from octree_client.exit_codes import EXIT_BUG
from octree_client.first_view import ViewOptions
from octree_client.opening import Opening


@contextmanager
def signals_noted() -> Iterator[list[int]]:
    """Within, Ctrl-C and SIGTERM are written down, and nothing more: whoever has an event loop looks.

    Handlers are called anywhere, and an exception that one raises gets lost in callbacks of Qt and in imports; and in
    the middle of a frame nothing may be closed.
    """
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_window(opening: Opening | None, size: tuple[int, int] | None, options: ViewOptions, asked: list[int]) -> int:
    """Show a window until it is closed; returns the exit status.

    Parameters
    ----------
    opening
        Of what it shows at first; None for an empty window.
    asked
        Of `signals_noted`: as soon as there is something in it, the window closes.

    Raises
    ------
    CanvasError
        Without a display.
    Exception
        Whatever kept the image from being opened.
    """
    from octree_client.canvas import CanvasError
    from octree_client.gui.application import qt_application
    from octree_client.gui.canvas_qt import check_display

    try:
        check_display()
    except CanvasError as error:
        raise CanvasError(f"{error}; --screenshot FILE needs none, ssh -X brings one along") from None
    application = qt_application()
    from octree_client.gui.window import ViewerWindow

    window = ViewerWindow(opening, size, options)
    window.closed.connect(application.quit)
    window.failed.connect(window.close)
    with _quit_on_signals(window, asked), _bugs_close(window) as bugs:
        window.show()
        application.exec_()
    refusal = window.opening_error
    destroy(window)
    if refusal is not None:
        raise refusal
    return EXIT_BUG if bugs else 0


def destroy(window: Any) -> None:
    """Have Qt destroy a window now, with all that is in it.

    Left to the end of the process, its widgets would go in whatever order Python takes its modules apart, some after
    the application object: that ends with a segmentation fault, now and then.
    """
    from qtpy.QtCore import QCoreApplication, QEvent

    window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.DeferredDelete)
    QCoreApplication.processEvents()
    gc.collect()


@contextmanager
def _quit_on_signals(window: Any, asked: list[int]) -> Iterator[None]:
    """Within, the window closes when a signal is noted.

    Qt's event loop runs no Python while nothing happens, so a signal's handler would never be called: the signal wakes
    the loop through a socket (https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd).
    """
    from qtpy.QtCore import QSocketNotifier, QTimer

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    notifier = QSocketNotifier(ours.fileno(), QSocketNotifier.Read)

    def look(*_: object) -> None:
        try:
            ours.recv(4096)
        except BlockingIOError:
            pass  # another notification has read it, or this is the first look
        if asked:
            window.close()

    notifier.activated.connect(look)
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    QTimer.singleShot(0, look)  # what came before
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        notifier.setEnabled(False)
        ours.close()
        theirs.close()


@contextmanager
def _bugs_close(window: Any) -> Iterator[list[BaseException]]:
    """Within, an exception that nobody caught closes the window in good order: PyQt would abort the process."""
    from qtpy.QtCore import QTimer

    bugs: list[BaseException] = []
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        bugs.append(error)
        before(kind, error, trace)
        QTimer.singleShot(0, window.close)  # not here: it may be the middle of a frame

    sys.excepthook = hook
    try:
        yield bugs
    finally:
        sys.excepthook = before
