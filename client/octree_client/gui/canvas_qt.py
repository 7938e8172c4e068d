"""A canvas that is a Qt widget: a window, part of one, or hidden.

Knows nothing of what is drawn, nor of the window around it: `QtCanvas.native` goes into a layout. Mouse and keys are
taken from Qt itself, because vispy drops mouse moves that are less than 10 ms apart.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import os
import sys
from typing import Any

import qtpy
from qtpy import QtCore, QtGui, QtWidgets
from vispy import app

from octree_client.canvas import Canvas, CanvasError, Handlers, KeyEvent, MouseEvent

_Qt: Any = QtCore.Qt
_Kind: Any = QtCore.QEvent.Type

_BUTTONS = (
    ("left", _Qt.MouseButton.LeftButton),
    ("right", _Qt.MouseButton.RightButton),
    ("middle", _Qt.MouseButton.MiddleButton),
)
_MODIFIERS = (
    ("shift", _Qt.KeyboardModifier.ShiftModifier),
    ("control", _Qt.KeyboardModifier.ControlModifier),
    ("alt", _Qt.KeyboardModifier.AltModifier),
    ("meta", _Qt.KeyboardModifier.MetaModifier),
)
_NAMED_KEYS = ["Home", "End", "Left", "Right", "Up", "Down", "PageUp", "PageDown", "Space", "Escape"]
_NAMED_KEYS += ["Return", "Enter", "Tab", "Backspace", "Delete", "Insert", *(f"F{number}" for number in range(1, 13))]
_KEYS = {getattr(_Qt.Key, f"Key_{name}"): name.lower() for name in _NAMED_KEYS}
_MOUSE_KINDS = {
    _Kind.MouseButtonPress: "press",
    _Kind.MouseButtonRelease: "release",
    _Kind.MouseButtonDblClick: "double",
    _Kind.MouseMove: "move",
    _Kind.Wheel: "wheel",
    _Kind.Leave: "leave",
}


class QtCanvas(Canvas):
    """A canvas that is a widget. In a window, its frames are drawn by Qt's event loop after `request_frame`."""

    def __init__(self, vispy_canvas: Any, handlers: Handlers, background: tuple[float, float, float]) -> None:
        super().__init__(vispy_canvas, handlers, background)
        self._widget = vispy_canvas.native
        vispy_canvas.events.draw.connect(self._paint)
        vispy_canvas.events.resize.connect(self._resized)
        self._widget.frameSwapped.connect(self._presented)
        self._filter = _EventFilter(self)
        self._widget.installEventFilter(self._filter)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in physical pixels."""
        if self.closed:
            raise CanvasError("the canvas is closed")
        width, height = self._vispy.physical_size
        return max(1, int(width)), max(1, int(height))

    @property
    def pixel_ratio(self) -> float:
        """Physical pixels a logical one on the screen where the widget is."""
        return float(self._widget.devicePixelRatioF())

    @property
    def native(self) -> Any:
        """The widget."""
        return self._widget

    def resize(self, size: tuple[int, int]) -> None:
        """Ask for another size; in a layout the layout decides."""
        ratio = self.pixel_ratio
        self._widget.resize(round(size[0] / ratio), round(size[1] / ratio))

    def request_frame(self) -> None:
        """Ask for a frame; Qt draws one for all that ask before its event loop comes to it."""
        super().request_frame()
        self._widget.update()

    def _paint(self, _: Any) -> None:
        """Qt wants a frame: its context is current and its buffer bound."""
        if self.closed:
            return
        self._call(self._paint_frame)

    def _paint_frame(self) -> None:
        self._draw_frame(*self.size)
        self.check_gl()

    def _presented(self) -> None:
        if not self.closed:
            self._call(self.handlers.on_presented)

    def _resized(self, _: Any) -> None:
        if not self.closed:
            self._call(self.handlers.on_resize, self.size)

    def _make_current(self) -> None:
        if not self._widget.isValid():
            raise CanvasError("the canvas has no OpenGL context yet: show the window that it is in first")
        self._vispy.set_current()

    def _release(self) -> None:
        self._widget.doneCurrent()

    def close(self) -> None:
        """Free everything that lives in this canvas' context, and the widget."""
        if not self.closed and not self._widget.isValid():
            self.closed = True  # never shown: there is nothing in it yet
            self._destroy()
        super().close()

    def _destroy(self) -> None:
        widget = self._widget
        widget.removeEventFilter(self._filter)
        self._vispy.close()
        widget.setParent(None)
        widget.deleteLater()
        QtCore.QCoreApplication.sendPostedEvents(widget, int(_Kind.DeferredDelete))
        # vispy's canvas is a cycle of references; collected here, it cannot fall into another canvas' frame and take
        # the current context away from it.
        self._vispy = self._widget = None
        gc.collect()
        release_current()


class _EventFilter(QtCore.QObject):  # type: ignore[misc]
    """Turns what the widget is told into our events."""

    def __init__(self, canvas: QtCanvas) -> None:
        super().__init__()
        self._canvas = canvas

    def eventFilter(self, _: Any, event: Any) -> bool:
        """Qt's hook; True keeps the event from the widget."""
        canvas, kind = self._canvas, event.type()
        if canvas.closed:
            return False
        if kind in _MOUSE_KINDS:
            if canvas.handlers.on_mouse is not None:
                canvas._call(canvas.handlers.on_mouse, _mouse_event(_MOUSE_KINDS[kind], event, canvas.pixel_ratio))
            event.accept()
            return True
        if kind in (_Kind.KeyPress, _Kind.KeyRelease):
            if canvas.handlers.on_key is not None:
                canvas._call(canvas.handlers.on_key, _key_event(kind == _Kind.KeyPress, event))
            event.ignore()  # the window around it may have use for the key too
            return True
        return False


def _mouse_event(kind: str, event: Any, ratio: float) -> MouseEvent:
    if kind == "leave":
        return MouseEvent(kind, (-1.0, -1.0))
    at = event.position() if hasattr(event, "position") else event.localPos()
    buttons = frozenset(name for name, flag in _BUTTONS if event.buttons() & flag)
    button, delta = "", (0.0, 0.0)
    if kind == "wheel":
        angle = event.angleDelta()
        delta = (angle.x() / 120.0, angle.y() / 120.0)  # eighths of a degree; a notch is 15 degrees
    elif kind != "move":
        button = next((name for name, flag in _BUTTONS if event.button() == flag), "other")
    return MouseEvent(kind, (at.x() * ratio, at.y() * ratio), button, buttons, delta, _modifiers(event))


def _key_event(pressed: bool, event: Any) -> KeyEvent:
    text = event.text()
    name = _KEYS.get(event.key())
    if name is None:
        name = chr(event.key()).lower() if 32 < event.key() < 127 else text.lower()
    return KeyEvent("press" if pressed else "release", name, text, _modifiers(event))


def _modifiers(event: Any) -> frozenset[str]:
    held = event.modifiers()
    return frozenset(name for name, flag in _MODIFIERS if held & flag)


def release_current() -> None:
    """Let go of whatever context Qt holds in this thread: GLX and EGL refuse to take it over from each other."""
    context = QtGui.QOpenGLContext.currentContext()
    if context is not None:
        context.doneCurrent()


def check_display() -> None:
    """Raise `CanvasError` where Qt would end the process because it finds no screen, or is one that we do not know.

    Only for X11 on Linux, which is where displays are missing; asks the X server itself.
    """
    if qtpy.API_NAME not in ("PyQt5", "PyQt6"):
        raise CanvasError(
            f"Qt comes from {qtpy.API_NAME} in this process, and a window needs PyQt5 or PyQt6: set QT_API=pyqt5, and "
            f"import nothing of {qtpy.API_NAME} before"
        )
    if not sys.platform.startswith("linux") or QtWidgets.QApplication.instance() is not None:
        return
    if os.environ.get("QT_QPA_PLATFORM", "xcb").split(":")[0] != "xcb" or os.environ.get("WAYLAND_DISPLAY"):
        return
    if not os.environ.get("DISPLAY"):
        raise CanvasError("there is no display (DISPLAY is not set)")
    name = ctypes.util.find_library("xcb")
    if name is None:
        raise CanvasError("the X11 libraries are missing (apt install libxcb1 libxcb-cursor0 libxkbcommon-x11-0)")
    xcb = ctypes.CDLL(name)
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connection_has_error.argtypes = xcb.xcb_disconnect.argtypes = (ctypes.c_void_p,)
    connection = xcb.xcb_connect(None, None)
    failed = xcb.xcb_connection_has_error(connection)
    # A connection that works stays: an X server resets when its last client leaves, and turns Qt down meanwhile.
    if failed:
        xcb.xcb_disconnect(connection)
        raise CanvasError(f"the display {os.environ['DISPLAY']} cannot be reached")
    if not hasattr(QtCore, "QLibraryInfo"):
        return
    where = getattr(QtCore.QLibraryInfo, "path", None) or QtCore.QLibraryInfo.location
    place = getattr(QtCore.QLibraryInfo, "LibraryPath", QtCore.QLibraryInfo).PluginsPath
    plugin = os.path.join(where(place), "platforms", "libqxcb.so")
    if os.path.exists(plugin):
        try:
            ctypes.CDLL(plugin)
        except OSError as error:
            raise CanvasError(
                f"Qt's X11 plugin does not load: {error} (apt install libxcb-cursor0 libxcb-icccm4 libxcb-image0 "
                "libxcb-keysyms1 libxcb-render-util0 libxcb-xinerama0 libxcb-xkb1 libxkbcommon-x11-0)"
            ) from None


def open_qt_canvas(
    size: tuple[int, int],
    visible: bool,
    title: str,
    handlers: Handlers,
    background: tuple[float, float, float],
    parent: Any = None,
) -> QtCanvas:
    """Open a canvas that is a widget.

    With a `parent` nothing is shown: whoever owns the window shows it. Otherwise it is a window of its own, or, if not
    `visible`, a widget that Qt believes to be shown but never puts on the screen.

    Raises
    ------
    CanvasError
        If there is no display, or no OpenGL on it.
    """
    check_display()
    application = app.Application(qtpy.API_NAME.lower())
    qt_application = application.native
    ratio = float(qt_application.devicePixelRatio())  # a widget has none of its own before it is shown
    logical = (max(1, round(size[0] / ratio)), max(1, round(size[1] / ratio)))
    vispy_canvas = app.Canvas(
        title=title, size=logical, app=application, show=False, autoswap=False, vsync=visible, parent=parent, dpi=96
    )
    canvas = QtCanvas(vispy_canvas, handlers, background)
    release_current()
    if parent is None:
        if not visible:
            canvas.native.setAttribute(_Qt.WidgetAttribute.WA_DontShowOnScreen)
        canvas.native.show()
        qt_application.processEvents()
        if not canvas.native.isValid():
            canvas.close()
            raise CanvasError("the display has no OpenGL (apt install libgl1 libgl1-mesa-dri)")
        if canvas.pixel_ratio != ratio:
            canvas.resize(size)
            qt_application.processEvents()
    return canvas
