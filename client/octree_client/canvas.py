"""Canvases: places to draw frames, with or without a window, behind one small interface.

Two backends: `canvas_qt` (a widget) and `canvas_egl` (no display, no Qt); `canvas_opening` chooses. Knows nothing of
what is drawn.

GL is current only inside a frame: `render`, `draw_now`, a paint event, `close`. vispy collects what happens elsewhere
and executes it at the next flush, which is always in a frame of the canvas that it belongs to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from vispy import gloo
from vispy.gloo import gl
from vispy.gloo.context import set_current_canvas

from octree_protocol.errors import OctreeError

T = TypeVar("T")

#: Parts of the names that OpenGL gives itself where the processor draws.
_SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "software", "swiftshader", "basic render", "gdi generic", "swr")


class CanvasError(OctreeError):
    """No canvas to be had, or GL refused something."""


@dataclass(frozen=True, slots=True)
class MouseEvent:
    """What the mouse did.

    Attributes
    ----------
    kind
        ``press``, ``release``, ``move``, ``wheel``, ``double`` or ``leave``.
    position
        (x, y) in physical pixels from the upper left corner.
    button
        The one that changed: ``left``, ``right``, ``middle``, or nothing.
    buttons
        Those that are down.
    delta
        Of the wheel, in notches, (x, y); up and right are positive.
    modifiers
        Of ``shift``, ``control``, ``alt``, ``meta``.
    """

    kind: str
    position: tuple[float, float]
    button: str = ""
    buttons: frozenset[str] = frozenset()
    delta: tuple[float, float] = (0.0, 0.0)
    modifiers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """A key went down or up. `key` is its name in lower case (``home``, ``left``, ``f1``) or its character."""

    kind: str
    key: str
    text: str = ""
    modifiers: frozenset[str] = frozenset()


@dataclass(slots=True)
class Handlers:
    """Who is told what a canvas sees; each may be None, and may be set later.

    `on_draw` draws a frame; `on_presented` is called when it is on the screen; `on_resize` gets (width, height) in
    physical pixels; `on_error` gets what a handler raised where nobody could catch it (an event of the window).
    """

    on_draw: Callable[[], None] | None = None
    on_presented: Callable[[], None] | None = None
    on_resize: Callable[[tuple[int, int]], None] | None = None
    on_mouse: Callable[[MouseEvent], None] | None = None
    on_key: Callable[[KeyEvent], None] | None = None
    on_error: Callable[[BaseException], None] | None = None


class Canvas(ABC):
    """A place to draw frames.

    Attributes
    ----------
    handlers
        Who is told.
    background
        (r, g, b), 0 .. 1: what a frame starts with.
    error
        What a handler raised in an event of the window, until `render`, `draw_now`, `request_frame` or
        `raise_error` raises it.
    frame_requested
        Whether a frame has been asked for since the last one was drawn.
    frames
        Frames drawn so far.
    renderer
        What OpenGL calls itself.
    is_software
        Whether the processor draws.
    """

    def __init__(self, vispy_canvas: Any, handlers: Handlers, background: tuple[float, float, float]) -> None:
        self.handlers = handlers
        self.background = background
        self.error: BaseException | None = None
        self.frame_requested = False
        self.frames = 0
        self.closed = False
        self._vispy = vispy_canvas
        self._target: tuple[Any, Any] | None = None
        self._drawing = False
        self.max_texture_size = int(gl.glGetParameter(gl.GL_MAX_TEXTURE_SIZE))
        self.renderer = str(gl.glGetParameter(gl.GL_RENDERER))
        self.is_software = draws_in_software(self.renderer)

    # --- for everybody ---

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """(width, height) in physical pixels."""

    @property
    @abstractmethod
    def pixel_ratio(self) -> float:
        """Physical pixels a logical one, along an edge."""

    @property
    def native(self) -> Any:
        """The widget, or None where there is no window."""
        return None

    @abstractmethod
    def resize(self, size: tuple[int, int]) -> None:
        """Ask for another size in physical pixels."""

    def request_frame(self) -> None:
        """Ask for a frame: a window draws it when its event loop comes to it, elsewhere `frame_requested` is set."""
        self.raise_error()
        self.frame_requested = True

    def render(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Draw a frame off the screen and read it back.

        Parameters
        ----------
        size
            (width, height) in physical pixels; the canvas' own if left out.

        Returns
        -------
        ndarray
            (h, w, 4) uint8, top row first.

        Raises
        ------
        CanvasError
            If GL refused something.
        Exception
            Whatever `on_draw` raised, now or in an earlier event of the window.
        """
        width, height = size if size is not None else self.size
        with self._off_screen(width, height):
            self._draw_frame(width, height)
            pixels = gl.glReadPixels(0, 0, width, height, gl.GL_RGBA, gl.GL_UNSIGNED_BYTE)
            picture = np.frombuffer(pixels, np.uint8).reshape(height, width, 4)[::-1].copy()
            self.check_gl()
        return picture

    def draw_now(self, finish: bool = False) -> None:
        """Draw a frame off the screen without reading it back; `finish` waits until GL is done. Raises as `render`."""
        width, height = self.size
        with self._off_screen(width, height):
            self._draw_frame(width, height)
            if finish:
                gl.glFinish()

    def between_frames(self, action: Callable[[], T]) -> T:
        """Do something with GL outside of a frame: what is on the screen stays as it is.

        Raises
        ------
        CanvasError
            If the canvas is closed, or has no context yet.
        """
        if self.closed:
            raise CanvasError("the canvas is closed")
        if self._drawing:
            return action()
        with self._current():
            done = action()
            self._vispy.context.flush_commands()
        return done

    def deliver(self, event: MouseEvent | KeyEvent) -> None:
        """Hand an event to its handler, as if the window had seen it."""
        handler: Any = self.handlers.on_mouse if isinstance(event, MouseEvent) else self.handlers.on_key
        if handler is not None:
            handler(event)

    def check_gl(self) -> None:
        """Raise `CanvasError` if GL has noted an error since the last check. Within a frame."""
        codes: list[str] = []
        while (code := gl.glGetError()) and len(codes) < 16:
            codes.append(hex(code))
        if codes:
            raise CanvasError(f"OpenGL reported {', '.join(codes)} on {self.renderer}")

    def raise_error(self) -> None:
        """Raise what a handler raised where nobody could catch it, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Free everything that lives in this canvas' context, and its window. A second call does nothing."""
        if self.closed:
            return
        self.closed = True
        self.handlers = Handlers()
        with self._current():
            if self._target is not None:
                for item in self._target:
                    item.delete()
                self._target = None
            self._vispy.context.flush_commands()
        self._destroy()

    def __enter__(self) -> Canvas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- for the backends ---

    @abstractmethod
    def _make_current(self) -> None:
        """Make the context current, whatever was current before."""

    @abstractmethod
    def _release(self) -> None:
        """Leave no context current, so that another canvas' window system can have the thread."""

    @abstractmethod
    def _destroy(self) -> None:
        """Give back context and window."""

    @contextmanager
    def _current(self) -> Iterator[None]:
        """The context is current within, and vispy's commands go to it."""
        self._make_current()
        set_current_canvas(self._vispy)
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def _off_screen(self, width: int, height: int) -> Iterator[None]:
        if self.closed:
            raise CanvasError("the canvas is closed")
        self.raise_error()
        with self._current():
            if self._target is None or self._target[1].shape != (height, width):
                if self._target is not None:
                    for item in self._target:
                        item.delete()
                buffer = gloo.RenderBuffer((height, width), "color")
                self._target = (gloo.FrameBuffer(color=buffer), buffer)
            self._target[0].activate()
            try:
                yield
            except BaseException:
                with suppress(Exception):  # what was raised first says more
                    self._unbind_target()
                raise
            self._unbind_target()

    def _unbind_target(self) -> None:
        if self._target is not None:
            self._target[0].deactivate()
        self._vispy.context.flush_commands()

    def _draw_frame(self, width: int, height: int) -> None:
        """Clear, let `on_draw` draw, flush. The target is bound; what is raised goes to the caller."""
        if self._drawing:
            raise CanvasError("a frame was asked for while one was being drawn")
        self._drawing = True
        self.frame_requested = False
        try:
            context = self._vispy.context
            context.set_viewport(0, 0, width, height)
            context.set_state(depth_test=False, cull_face=False, blend=True, scissor_test=False)
            context.set_blend_equation("func_add")
            context.set_blend_func("src_alpha", "one_minus_src_alpha", "one", "one_minus_src_alpha")
            context.clear(color=(*self.background, 1.0), depth=False, stencil=False)
            context.flush_commands()
            if self.handlers.on_draw is not None:
                self.handlers.on_draw()
            context.flush_commands()
            self.frames += 1
        finally:
            self._drawing = False

    def _call(self, handler: Callable[..., None] | None, *arguments: Any) -> None:
        """Call a handler from an event of the window: toolkits end the process over an exception, so it is kept."""
        if handler is None:
            return
        try:
            handler(*arguments)
        except Exception as error:
            self._keep(error)

    def _keep(self, error: BaseException) -> None:
        self.error = self.error or error
        if self.handlers.on_error is not None:
            self.handlers.on_error(error)


def draws_in_software(renderer: str) -> bool:
    """Whether an OpenGL that calls itself so lets the processor draw."""
    return any(name in renderer.lower() for name in _SOFTWARE_RENDERERS)
