"""The window from scripts, IPython and Jupyter: `show` opens it and returns at once, `run` waits until it is closed.

There is one event loop a thread. Where somebody else runs it (``%gui qt``, an application that is there already), the
window lives in that one, and `run` returns at once. IPython and Jupyter are told to run one if they do not yet.
"""

from __future__ import annotations

import atexit
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octree_client import session as sessions
from octree_client.first_view import ViewOptions
from octree_client.gui.application import qt_application
from octree_client.links import is_link, read_link
from octree_client.locations import absolute
from octree_client.opening import Keep, Opened, Opening
from octree_client.places import Place, open_places, place_of
from octree_client.session import Image, Session

if TYPE_CHECKING:
    from octree_client.gui.window import ViewerWindow

#: How often `run` looks whether Ctrl-C was pressed. Milliseconds.
_LOOK_MS = 100

#: Windows that are open: Qt destroys one that nobody holds.
_open_windows: list[ViewerWindow] = []


def show(
    image: Image | Session | str | Path | NDArray[Any] | None = None,
    *,
    size: tuple[int, int] | None = None,
    timeout: float = 60.0,
) -> ViewerWindow:
    """Open a window; return when it shows its image.

    In IPython and Jupyter, Qt's event loop is switched on (``%gui qt``) if none runs yet.

    Parameters
    ----------
    image
        What it shows: an image, the first one of a session, or a path, URL, array, link or daemon's address: these are
        opened while the window says so, in a daemon of the window's own unless they name another. Nothing, and it waits
        for something to be dropped on it, or for ``window.viewer.open``.
    size
        (width, height) in logical pixels.
    timeout
        Seconds until the image must be open.

    Returns
    -------
    ViewerWindow
        Its ``viewer`` has ``layers``, ``dims`` and ``camera``.

    Raises
    ------
    CanvasError
        Without a display, or OpenGL on it.
    DaemonDied, ConnectionFailed, DatasetUnavailable, links.BadLink
        If the image cannot be opened; the window closes.
    TimeoutError
        If the image is not open, or the window not on the screen, in time.

    Examples
    --------
    >>> viewer = octree_client.show("image.zarr").viewer  # doctest: +SKIP
    >>> viewer.dims.set_index("z", 40)  # doctest: +SKIP
    """
    from octree_client.gui.canvas_qt import check_display

    check_display()
    application = qt_application()
    _switch_on_event_loop()
    from octree_client.gui.window import ViewerWindow

    options = ViewOptions(link=read_link(image)) if isinstance(image, str) and is_link(image) else ViewOptions()
    opening = _opening_of(image, options)
    window = ViewerWindow(opening, size, options)
    _open_windows.append(window)
    window.closed.connect(lambda: _open_windows.remove(window) if window in _open_windows else None)
    if isinstance(opening, Opening):
        window.closed.connect(opening.close)
    try:
        window.show()
        until = time.monotonic() + timeout
        while window.viewer is None and window.opening_error is None and time.monotonic() < until:
            application.processEvents()
            time.sleep(0.002)  # the X server and the window manager have something to do too
        if window.opening_error is not None:
            raise window.opening_error
        if window.viewer is None:
            raise TimeoutError(f"{getattr(opening, 'what', 'the window')} is not open after {timeout:g} s")
        application.processEvents()  # it is shown whole, and is on the screen
    except BaseException:
        window.close()
        raise
    return window


def run() -> None:
    """Run Qt's event loop until the last window is closed; nothing, where somebody else runs it.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C was pressed; the windows stay.
    """
    from qtpy.QtCore import QTimer

    from octree_client.gui.driver_qt import interruptible

    application = qt_application()
    if not _open_windows or _is_looped():
        return
    watch = QTimer()
    watch.timeout.connect(lambda: None)  # Python handles signals when it comes to run
    watch.start(_LOOK_MS)
    with interruptible(application.exit):  # in Qt 6, `quit` would close the windows
        application.exec_()
    watch.stop()


def _opening_of(
    image: Image | Session | str | Path | NDArray[Any] | None, options: ViewOptions
) -> Opening | Image | None:
    """What a window is to be opened with."""
    if isinstance(image, Session):
        return image.dataset()
    if isinstance(image, np.ndarray):
        array = image
        return Opening("an array", lambda keep: _opened_array(array, keep))
    if image is None or isinstance(image, Image):
        return image
    if options.link is not None:
        places = tuple(place_of(layer) for layer in options.link.layers)
    elif str(image).startswith(("ipc://", "tcp://")):
        places = (Place(address=str(image)),)
    else:
        places = (Place(absolute(image)),)
    return Opening(places[0].source or places[0].address, lambda keep: open_places(places, keep))


def _opened_array(array: NDArray[Any], keep: Keep) -> Opened:
    return Opened((keep(sessions.open(array)).dataset(),))


def _shell() -> Any:
    """IPython's shell, at a prompt or in a kernel; None where there is none."""
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()


def _is_looped() -> bool:
    """Whether an event loop runs already, or IPython runs one between its prompts."""
    from qtpy.QtCore import QThread

    if QThread.currentThread().loopLevel() > 0:
        return True
    shell = _shell()
    return shell is not None and (getattr(shell, "active_eventloop", None) or "").startswith("qt")


def _switch_on_event_loop() -> None:
    """Have IPython run Qt's event loop between its prompts, or a kernel between its cells: else a window is dead."""
    import qtpy

    shell = _shell()
    if shell is None or _is_looped():
        return
    try:
        shell.enable_gui("qt6" if qtpy.API_NAME.endswith("6") else "qt5")
    except Exception as error:  # another loop is on, or IPython cannot
        print(f"The window is alive only while code runs ({error}); %gui qt switches Qt's event loop on")


@atexit.register
def _close_windows() -> None:
    """Close what is open, in good order: Python takes modules apart in no order that Qt could live with."""
    if not _open_windows:
        return
    from octree_client.gui.desktop import destroy

    for window in tuple(_open_windows):
        window.close()
        destroy(window)
