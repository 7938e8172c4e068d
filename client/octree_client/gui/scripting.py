"""The window from scripts, IPython and Jupyter: `show` opens it and returns at once, `run` waits until it is closed.

There is one event loop a thread. Where somebody else runs it (``%gui qt``, an application that is there already), the
window lives in that one, and `run` returns at once.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octree_client.gui.application import qt_application
from octree_client.session import Image, Session

if TYPE_CHECKING:
    from octree_client.gui.window import ViewerWindow

#: How long a window may take to be on the screen. Seconds.
_SHOWN_SECONDS = 20.0

#: Windows that are open: Qt destroys one that nobody holds.
_open_windows: list[ViewerWindow] = []


def show(image: Image | Session | str | Path | None = None, *, size: tuple[int, int] | None = None) -> ViewerWindow:
    """Open a window and return as soon as it has a viewer.

    Parameters
    ----------
    image
        What it shows: an image, the first one of a session, or a path or URL, which is opened meanwhile in a daemon of
        the window's own. Nothing, and it waits for something to be dropped on it.
    size
        (width, height) in logical pixels.

    Returns
    -------
    ViewerWindow
        Its ``viewer`` has ``layers``, ``dims`` and ``camera``.

    Raises
    ------
    CanvasError
        Without a display, or OpenGL on it.
    TimeoutError
        If the window does not come to the screen.

    Examples
    --------
    >>> viewer = octree_client.show("image.zarr").viewer  # doctest: +SKIP
    >>> viewer.dims.set_index("z", 40)  # doctest: +SKIP
    """
    from octree_client.gui.canvas_qt import check_display

    check_display()
    application = qt_application()
    from octree_client.gui.window import ViewerWindow

    window = ViewerWindow(
        image.dataset() if isinstance(image, Session) else image if isinstance(image, Image) else None, size
    )
    _open_windows.append(window)
    window.closed.connect(lambda: _open_windows.remove(window) if window in _open_windows else None)
    window.show()
    until = time.monotonic() + _SHOWN_SECONDS
    while window.viewer is None and window.opening_error is None and time.monotonic() < until:
        application.processEvents()
        time.sleep(0.002)  # the X server and the window manager have something to do too
    if window.opening_error is not None:
        window.close()
        raise window.opening_error
    if window.viewer is None:
        window.close()
        raise TimeoutError(f"the window is not on the screen after {_SHOWN_SECONDS:g} s")
    if isinstance(image, (str, Path)):
        window.adding.add(str(image))
    return window


def run() -> None:
    """Run Qt's event loop until the last window is closed; nothing, where somebody else runs it."""
    application = qt_application()
    if _open_windows and not _is_looped():
        application.exec_()


def _is_looped() -> bool:
    """Whether an event loop runs already, or IPython runs one between its prompts."""
    from qtpy.QtCore import QThread

    if QThread.currentThread().loopLevel() > 0:
        return True
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return bool(shell is not None and (getattr(shell, "active_eventloop", None) or "").startswith("qt"))
