"""From mouse and keys to cameras: drags, zooms that glide, and where they end. Pure (no I/O); time is an argument.

Knows nothing of Qt, timers or chunks: it is told what the mouse did and when, and says where the camera is.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from typing import TYPE_CHECKING

from octree_client.camera import Camera, PlaneLevel, camera_on

if TYPE_CHECKING:
    from octree_client.canvas import MouseEvent

#: A notch of the wheel zooms by this factor: two notches an octave, so that 2**20 voxels are 20 notches away.
WHEEL_FACTOR = 2.0**0.5

#: A double click, and the keys + and -.
STEP_FACTOR = 2.0

#: A glide has covered 95 % of its way after three times this. Seconds.
_GLIDE_S = 0.04

#: A glide ends when less than this is left, as a logarithm of the factor: nobody sees it.
_REST = 1e-3

#: Wheels turn in whole notches; what comes in smaller parts is a trackpad, which is smooth by itself.
_NOTCH = 0.75

#: A voxel of level 0 is at most so many pixels wide.
_PIXELS_A_VOXEL = 256.0

#: The whole image is at least so large a part of the canvas.
_SMALLEST_SHARE = 1.0 / 16.0

#: A drag that marks less than this is a click. Pixels.
_LEAST_MARKED = 4.0

#: Part of the canvas that an arrow key moves over.
PAN_SHARE = 1.0 / 8.0


class Navigation:
    """Where the camera is, and where it glides to.

    Attributes
    ----------
    camera
        Now. Whoever moves the camera otherwise says so with `put`.
    finest, extent
        World units of the smallest voxel, and world (y0, x0, y1, x1) of everything: what bounds the zoom.
    marking
        Whether the next drag marks a rectangle to zoom to, instead of moving the image.
    marked
        That rectangle while it is being dragged: two corners (x, y) in pixels.
    """

    __slots__ = ("_anchor", "_at", "_drag", "_left", "camera", "extent", "finest", "marked", "marking")

    def __init__(self, camera: Camera, finest: float, extent: tuple[float, float, float, float]) -> None:
        self.finest, self.extent = finest, extent
        self.camera = camera
        self._left = 0.0  # logarithm of the factor that is still to be zoomed by
        self._anchor = (0.0, 0.0)
        self._at = 0.0
        self._drag: tuple[float, float] | None = None
        self.marking = False
        self.marked: tuple[tuple[float, float], tuple[float, float]] | None = None

    @property
    def gliding(self) -> bool:
        """Whether `step` has still something to do."""
        return self._left != 0.0

    @property
    def dragging(self) -> bool:
        """Whether the image is held by the mouse."""
        return self._drag is not None

    def put(self, camera: Camera) -> None:
        """The camera is here, for whatever reason; a glide goes on from here."""
        self.camera = camera

    def stop(self) -> None:
        """End a glide where it is."""
        self._left = 0.0

    def mouse(self, event: MouseEvent, now: float) -> bool:
        """Take in what the mouse did; returns whether the camera moved or began to glide."""
        kind = event.kind
        if self.marked is not None:
            return self._mark(event)
        if kind == "press" and event.button == "left" and (self.marking or "control" in event.modifiers):
            self.stop()
            self.marked = event.position, event.position
            return False
        if kind == "press" and event.button == "left":
            self._drag = event.position
            self.stop()
        elif kind == "release" and event.button == "left":
            self._drag = None
        elif kind == "move" and self._drag is not None:
            if "left" not in event.buttons:
                self._drag = None  # it was released where we did not see it
                return False
            moved = event.position[0] - self._drag[0], event.position[1] - self._drag[1]
            self._drag = event.position
            if moved != (0.0, 0.0):
                self.camera = self.camera.panned(moved)
                return True
        elif kind == "wheel" and event.delta[1]:
            factor = WHEEL_FACTOR ** event.delta[1]
            if abs(event.delta[1]) < _NOTCH:
                self.stop()
                self.camera = self._zoomed(factor, event.position)
                return True
            self.glide(factor, event.position, now)
            return True
        elif kind == "double" and event.button == "left":
            self._drag = event.position
            self.glide(1 / STEP_FACTOR if "shift" in event.modifiers else STEP_FACTOR, event.position, now)
            return True
        return False

    def _mark(self, event: MouseEvent) -> bool:
        """Drag the rectangle that is to be zoomed to; at its end the camera is there."""
        assert self.marked is not None
        start, _ = self.marked
        if event.kind == "move" and "left" in event.buttons:
            self.marked = start, event.position
            return False
        if event.kind not in ("move", "release"):
            return False
        self.marked, self.marking = None, False
        if event.kind == "move":
            return False  # it was released where we did not see it
        end = event.position
        if max(abs(end[0] - start[0]), abs(end[1] - start[1])) < _LEAST_MARKED:
            return False  # a click
        first, last = self.camera.world_at(start), self.camera.world_at(end)
        self.zoom_to((*first, *last))
        return True

    def unmark(self) -> bool:
        """Give up marking a rectangle; returns whether one was, or was to be, marked."""
        was = self.marking or self.marked is not None
        self.marking, self.marked = False, None
        return was

    def zoom_to(self, box: tuple[float, float, float, float]) -> Camera:
        """The camera that shows a rectangle of the world, two corners (y, x, y, x), as large as it can be."""
        self.stop()
        height, width = abs(box[2] - box[0]), abs(box[3] - box[1])
        size = max(width / max(self.camera.canvas[0], 1), height / max(self.camera.canvas[1], 1))
        smallest = self.finest / _PIXELS_A_VOXEL
        center = 0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3])
        self.camera = replace(self.camera, center=center, pixel_size=max(size, smallest))
        return self.camera

    def glide(self, factor: float, pixel: tuple[float, float], now: float) -> None:
        """Zoom in by `factor`, within the next tenth of a second; what is under `pixel` stays there."""
        if not self.gliding:
            self._at = now
        target = self._zoomed(exp(self._left) * factor, pixel)
        self._left = log(self.camera.pixel_size / target.pixel_size)
        self._anchor = pixel
        if abs(self._left) < _REST:
            self._left = 0.0

    def step(self, now: float) -> Camera:
        """Where the camera is `now`."""
        if self._left == 0.0:
            return self.camera
        part = self._left * (1.0 - exp(-max(0.0, now - self._at) / _GLIDE_S))
        self._at = max(now, self._at)
        if abs(self._left - part) < _REST:
            part = self._left
        self._left -= part
        self.camera = self.camera.zoomed(exp(part), self._anchor)
        return self.camera

    def panned(self, down: float, across: float) -> Camera:
        """The camera a part of the canvas further."""
        self.stop()
        width, height = self.camera.canvas
        self.camera = self.camera.panned((-round(across * width), -round(down * height)))
        return self.camera

    def one_to_one(self) -> Camera:
        """The camera at one voxel of level 0 a pixel; the middle stays."""
        self.stop()
        self.camera = replace(self.camera, pixel_size=self.finest)
        return self.camera

    def _zoomed(self, factor: float, pixel: tuple[float, float]) -> Camera:
        """Zoomed in by `factor`, but never out of what makes sense."""
        smallest = self.finest / _PIXELS_A_VOXEL
        largest = camera_on(self.extent, self.camera.canvas).pixel_size / _SMALLEST_SHARE
        # A camera that a script put outside may stay, but goes no further.
        smallest, largest = min(smallest, self.camera.pixel_size), max(largest, self.camera.pixel_size)
        size = min(max(self.camera.pixel_size / factor, smallest), largest)
        return self.camera.zoomed(self.camera.pixel_size / size, pixel)


def finest_scale(levels: tuple[PlaneLevel, ...]) -> float:
    """World units of a voxel of level 0 along its shorter edge."""
    return min(abs(levels[0].scale[0]), abs(levels[0].scale[1]))
