"""Which canvas is to be had here: a window where one is wanted, EGL or a hidden widget else.

Knows the backends, and nothing of what is drawn; a canvas (`canvas`) knows neither.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from octree_client.canvas import Canvas, CanvasError, Handlers

Backend = Literal["qt", "egl"]


def open_canvas(
    size: tuple[int, int] = (1024, 768),
    visible: bool = False,
    title: str = "octree-view",
    handlers: Handlers | None = None,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    backend: Backend | None = None,
    parent: Any = None,
) -> Canvas:
    """Open a canvas.

    Parameters
    ----------
    size
        (width, height) in physical pixels.
    visible
        Whether there is to be a window. Without one, EGL is taken where it is to be had, else a widget that never
        shows.
    title
        Of the window.
    handlers
        Who is told; may be changed later through `Canvas.handlers`.
    background
        What a frame starts with.
    backend
        Insist on one.
    parent
        Widget to put the canvas into. Qt throws the context away, with all that is in it, when a widget moves to
        another window later.

    Raises
    ------
    CanvasError
        If there is no way to draw here; the text says what is missing.
    """
    handlers = handlers if handlers is not None else Handlers()
    wanted: tuple[Backend, ...] = (
        (backend,) if backend else (("qt",) if visible or parent is not None else ("egl", "qt"))
    )
    reasons = []
    for name in wanted:
        try:
            if name == "egl":
                from octree_client.canvas_egl import open_egl_canvas

                return open_egl_canvas(size, handlers, background)
            from octree_client.gui.canvas_qt import open_qt_canvas

            return open_qt_canvas(size, visible, title, handlers, background, parent)
        except (CanvasError, ImportError, OSError, RuntimeError) as error:
            reasons.append(f"{name}: {error}")
    cure = (
        "a display is needed (DISPLAY is " + (os.environ.get("DISPLAY") or "not set") + "), or a run without a window"
        if visible
        else "on Debian and Ubuntu, without a display: apt install libegl1 libgl1 libgl1-mesa-dri"
    )
    raise CanvasError(f"no canvas can be opened ({'; '.join(reasons)}): {cure}")
