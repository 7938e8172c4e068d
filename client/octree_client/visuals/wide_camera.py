"""A camera around a view: what vertices are made for, so that a view within it moves without making them anew.
Pure (no I/O).

Vertices stand in the clip coordinates of the wide camera, 32 bits each: a 2**-24 part of some thousand pixels. Where
the view is within it, is told by two numbers an axis. Knows nothing of pieces or GL.
"""

from __future__ import annotations

from dataclasses import replace

from octree_client.camera import Camera

#: The wide camera's canvas is so many of the view's: one on each side of it.
_CANVASES = 3

#: A view that is zoomed in further than this has a wide camera of its own: pixels of the wide one are its scale.
_ZOOM = 2.0


def wide_camera(camera: Camera, before: Camera | None = None) -> Camera:
    """A camera that sees all that this one does, and what lies around it: the one before as long as that will do."""
    width, height = (_CANVASES * edge for edge in camera.canvas)
    if before is not None and before.canvas == (width, height) and before.pixel_size < _ZOOM * camera.pixel_size:
        y0, x0, y1, x1 = camera.view()
        top, left, bottom, right = before.view()
        if top <= y0 and left <= x0 and y1 <= bottom and x1 <= right:
            return before
    return replace(camera, canvas=(width, height))


def place_in(wide: Camera, camera: Camera) -> tuple[float, float, float, float]:
    """Where a view is in a wide camera.

    Returns
    -------
    tuple of float
        (scale x, scale y, x, y): clip coordinates of the view are those of the wide camera, times the scale, plus
        (x, y).
    """
    width, height = camera.canvas
    zoom = wide.pixel_size / camera.pixel_size
    return (
        zoom * wide.canvas[0] / width,
        zoom * wide.canvas[1] / height,
        (wide.center[1] - camera.center[1]) * 2.0 / (camera.pixel_size * width),
        (camera.center[0] - wide.center[0]) * 2.0 / (camera.pixel_size * height),
    )
