"""A canvas without display, window or Qt: an EGL context without a surface on any screen.

Knows nothing of what is drawn. vispy's EGL backend is used as it is, but for what it leaves behind: the context.
"""

from __future__ import annotations

import gc
import os
from typing import Any

from vispy import app

from octree_client.canvas import Canvas, CanvasError, Handlers

_application: Any = None


def _egl() -> tuple[Any, Any]:
    """vispy's application for EGL, and the module that holds its display. Raises `CanvasError` without EGL."""
    global _application
    if _application is None:
        # Read once, when libEGL opens its display. Not left behind: a window system of this process, or of one that
        # it starts, must not believe that there is no screen.
        before = os.environ.get("EGL_PLATFORM")
        os.environ["EGL_PLATFORM"] = before or "surfaceless"
        try:
            from vispy.app.backends import _egl as module

            if not module.available:
                raise CanvasError(f"EGL does not work here: {module.why_not}")
            _application = app.Application("egl")
        finally:
            if before is None:
                del os.environ["EGL_PLATFORM"]
    return _application, _application.backend_module


class EglCanvas(Canvas):
    """A canvas without a window; a frame is drawn by `render` or `draw_now` alone."""

    _size: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self._size

    @property
    def pixel_ratio(self) -> float:
        """1: nothing scales it."""
        return 1.0

    def resize(self, size: tuple[int, int]) -> None:
        """Take another size at once."""
        if size != self._size:
            self._size = (int(size[0]), int(size[1]))
            if self.handlers.on_resize is not None:
                self.handlers.on_resize(self._size)

    def _make_current(self) -> None:
        _release_qt()
        self._vispy.set_current()

    def _release(self) -> None:
        _, module = _egl()
        module.egl.eglMakeCurrent(module._EGL_DISPLAY, None, None, None)

    def _destroy(self) -> None:
        _, module = _egl()
        backend = self._vispy._backend
        context = backend._native_context
        self._vispy.close()
        if backend in module._VP_EGL_ALL_WINDOWS:
            module._VP_EGL_ALL_WINDOWS.remove(backend)
        library = module.egl._lib
        library.eglDestroyContext.argtypes = (module.egl.c_void_p, module.egl.c_void_p)
        library.eglDestroyContext(module._EGL_DISPLAY, context)
        # vispy's canvas is a cycle of references; collected here, it cannot fall into another canvas' frame.
        self._vispy = None
        gc.collect()


def _release_qt() -> None:
    """Let go of a context that Qt holds in this thread: EGL and GLX refuse to take it over from each other."""
    import sys

    qt = sys.modules.get("octree_client.gui.canvas_qt")
    if qt is not None:
        qt.release_current()


def open_egl_canvas(size: tuple[int, int], handlers: Handlers, background: tuple[float, float, float]) -> EglCanvas:
    """Open a canvas without a window. Raises `CanvasError` where there is no EGL."""
    application, module = _egl()
    _release_qt()
    # The surface is never drawn into, frames have a buffer of their own size; EGL only wants to have one.
    vispy_canvas = app.Canvas(app=application, size=(16, 16), show=False, autoswap=False, dpi=96)
    canvas = EglCanvas(vispy_canvas, handlers, background)
    canvas._size = (int(size[0]), int(size[1]))
    module.egl.eglMakeCurrent(module._EGL_DISPLAY, None, None, None)
    return canvas
