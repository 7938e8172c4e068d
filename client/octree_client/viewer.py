"""A viewer: a camera, layers, and a canvas that they are drawn on. With a window or without.

It owns the frame: take in what came, plan, page, tell the daemon, draw. Knows nothing of widgets (`window`).
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray
from vispy.gloo.context import get_current_canvas

from octree_client.camera import Camera, fitting_camera
from octree_client.canvas import Canvas, Handlers, open_canvas
from octree_client.colormaps import colormap_table
from octree_client.driver import Driver, HeadlessDriver
from octree_client.layer import ImageLayer, LayerFrame
from octree_client.pacing import FramePacer
from octree_client.prefetch import Motion, MotionTracker
from octree_client.session import Image
from octree_client.statistics import FrameRecord, FrameStatistics
from octree_protocol.keys import CellStatus

#: Milliseconds of a frame that may go into paging.
_UPLOAD_MS = 4.0

#: Bytes of video memory for tiles, by default.
_VRAM_BYTES = 256 << 20

#: The same where the processor draws: there it is main memory, cleared before the first frame (half a millisecond a
#: MiB), and a second copy of what lies in the arena anyway.
_SOFTWARE_BYTES = 64 << 20

#: A thread that waits for the interpreter gets it at the latest after so many seconds: Python's own 5 ms would be a
#: third of a frame.
_SWITCH_SECONDS = 0.0005

#: Background of a canvas: a dark neutral grey, so that black data can be told from no data.
BACKGROUND = (0.106, 0.114, 0.129)


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """How the cells in view stand."""

    final: int
    provisional: int
    missing: int
    failed: int
    empty: int

    @property
    def is_final(self) -> bool:
        """Nothing is to come any more."""
        return self.provisional == 0 and self.empty == 0


class Viewer:
    """Shows an image.

    Parameters
    ----------
    image
        Of a session.
    size
        (width, height) of the canvas in pixels.
    visible
        Whether there is a window. Without one, frames are drawn while `render` or `wait_until_final` runs.
    vram_bytes
        Budget for tiles; if left out, 256 MiB, or 64 MiB where the processor draws.
    colormap
        Name of a colour map of the ``cmap`` catalogue.
    interpolation
        ``nearest`` or ``linear``.
    canvas, driver
        For who embeds the viewer in a window of his own.

    Examples
    --------
    >>> viewer = octree_client.Viewer(image, size=(1024, 768), visible=False)  # doctest: +SKIP
    >>> viewer.set_view(center=(5000, 5000), pixel_size=1.0)  # doctest: +SKIP
    >>> viewer.wait_until_final(timeout=10)  # doctest: +SKIP
    >>> picture = viewer.render()  # doctest: +SKIP
    """

    def __init__(
        self,
        image: Image,
        size: tuple[int, int] = (1024, 768),
        visible: bool = True,
        *,
        vram_bytes: int | None = None,
        colormap: str = "gray",
        interpolation: str = "linear",
        canvas: Canvas | None = None,
        driver: Driver | None = None,
    ) -> None:
        self.image = image
        self.session = image.session
        if canvas is None:
            if visible:
                from octree_client.application import qt_application

                qt_application()
            canvas = open_canvas(size, visible, f"{image.name} - octree-view", background=BACKGROUND)
        self.canvas = canvas
        self._driver: Driver = driver if driver is not None else _driver_for(canvas)
        self._driver.on_due = self._frame_due
        self._driver.on_wake = self._woken
        canvas.handlers = Handlers(on_draw=self._draw, on_presented=self._presented, on_resize=self._resized)
        if vram_bytes is None:
            vram_bytes = _SOFTWARE_BYTES if canvas.is_software else _VRAM_BYTES
        self.layer = ImageLayer(
            self.session.connection, image.dataset, vram_bytes, canvas.max_texture_size, self._driver.wake
        )
        self.frame_statistics = FrameStatistics()
        self.on_frame: list[Callable[[], None]] = []
        self._pacer = FramePacer(self.session.connection.settings.auto_sync_ms)
        self._motion = MotionTracker()
        self._frame = 0
        self._submitted: float | None = None
        self._last = LayerFrame()
        self._colormap = colormap
        self._auto_contrast = True
        self._closed = False
        self.camera: Camera = fitting_camera(self.layer.levels, canvas.size)
        self.layer.image.interpolation = interpolation  # type: ignore[assignment]
        self.colormap = colormap
        log_path = self.session.connection.settings.octree_log_path
        self._log: TextIO | None = open(log_path, "a", encoding="utf-8", buffering=1) if log_path else None  # noqa: SIM115
        sys.setswitchinterval(_SWITCH_SECONDS)
        self.layer.aim(self.camera, Motion())
        self._changed()

    # --- camera ------------------------------------------------------------------------------------------------------

    def set_view(self, center: tuple[float, float] | None = None, pixel_size: float | None = None) -> None:
        """Put the camera somewhere.

        Parameters
        ----------
        center
            World (y, x) in the middle of the canvas.
        pixel_size
            World units a screen pixel.
        """
        camera = self.camera
        if center is not None:
            if not all(np.isfinite(center)):
                raise ValueError(f"center must be two finite numbers, not {center}")
            camera = replace(camera, center=(float(center[0]), float(center[1])))
        if pixel_size is not None:
            if not 0.0 < pixel_size < float("inf"):
                raise ValueError(f"pixel_size must be above 0, not {pixel_size}")
            camera = replace(camera, pixel_size=float(pixel_size))
        self._motion.stop()
        self.move(camera)

    def home(self) -> None:
        """Show the whole image."""
        self._motion.stop()
        self.move(fitting_camera(self.layer.levels, self.canvas.size))

    def move(self, camera: Camera) -> None:
        """The camera is here from now on; chunks are asked for at once, the frame follows."""
        now = time.monotonic()
        self.camera = camera
        self._motion.moved(camera, now)
        self.layer.hear()
        self.layer.aim(camera, self._motion.motion(now))
        self._pacer.camera_moved(now, self.layer.awaited(), self.layer.load_ms)
        self._schedule(now)

    @property
    def position(self) -> tuple[int, ...]:
        """Voxel of level 0 that is shown on each axis that is not displayed."""
        return self.layer.position

    @position.setter
    def position(self, position: tuple[int, ...]) -> None:
        self.layer.position = position
        self.move(self.camera)

    # --- appearance --------------------------------------------------------------------------------------------------

    @property
    def contrast_limits(self) -> tuple[float, float]:
        """Data values of the colour map's ends. Setting them ends the automatic contrast; None brings it back."""
        return self.layer.image.contrast_limits

    @contrast_limits.setter
    def contrast_limits(self, limits: tuple[float, float] | None) -> None:
        self._auto_contrast = limits is None
        chosen = limits if limits is not None else self.layer.contrast.limits
        if chosen is not None:
            self.layer.image.contrast_limits = chosen
        self._changed()

    @property
    def auto_contrast(self) -> bool:
        """Whether the limits follow what the coarsest level holds."""
        return self._auto_contrast

    @property
    def gamma(self) -> float:
        """Exponent between the contrast limits."""
        return self.layer.image.gamma

    @gamma.setter
    def gamma(self, gamma: float) -> None:
        self.layer.image.gamma = gamma
        self._changed()

    @property
    def colormap(self) -> str:
        """Name of the colour map, of the ``cmap`` catalogue."""
        return self._colormap

    @colormap.setter
    def colormap(self, name: str) -> None:
        self.layer.image.colormap = colormap_table(name)
        self._colormap = name
        self._changed()

    @property
    def interpolation(self) -> str:
        """``nearest`` or ``linear``."""
        return self.layer.image.interpolation

    @interpolation.setter
    def interpolation(self, interpolation: str) -> None:
        self.layer.image.interpolation = interpolation  # type: ignore[assignment]
        self._changed()

    @property
    def opacity(self) -> float:
        """0 .. 1."""
        return self.layer.image.opacity

    @opacity.setter
    def opacity(self, opacity: float) -> None:
        self.layer.image.opacity = opacity
        self._changed()

    @property
    def overlay(self) -> bool:
        """Whether cells are tinted by status and level, with their outlines."""
        return self.layer.image.overlay

    @overlay.setter
    def overlay(self, overlay: bool) -> None:
        self.layer.image.overlay = overlay
        self._changed()

    # --- looking at it -----------------------------------------------------------------------------------------------

    def render(self) -> NDArray[np.uint8]:
        """What is on the screen now, drawn anew.

        Returns
        -------
        ndarray
            (h, w, 4) uint8, top row first.
        """
        picture = self.canvas.render()
        self._submitted = None  # it never comes to the screen
        return picture

    def wait_until_final(self, timeout: float = 10.0) -> None:
        """Wait until every visible cell is drawn from its own chunk, or is known to be missing or failed.

        Raises
        ------
        TimeoutError
            With how many cells are still to come, and what the connection has to say.
        """
        if not self._driver.wait(self.is_final, timeout):
            problem = self.session.connection.problem
            raise TimeoutError(f"not final after {timeout:g} s: {self.status()}" + (f"; {problem}" if problem else ""))

    def wait(self, seconds: float) -> None:
        """Let frames be drawn for a while."""
        self._driver.wait(lambda: False, seconds)

    def is_final(self) -> bool:
        """Whether the last frame showed the present camera, and nothing is to come."""
        return self._frame > 0 and self._pacer.next_frame_at(0.0) is None and self.status().is_final

    def status(self) -> ViewStatus:
        """How the visible cells stood in the last frame."""
        counts = self._last.statuses
        return ViewStatus(
            counts[CellStatus.FINAL],
            counts[CellStatus.PROVISIONAL],
            counts[CellStatus.MISSING],
            counts[CellStatus.FAILED],
            counts[CellStatus.EMPTY],
        )

    def failures(self) -> dict[tuple[int, int, int], str]:
        """Why chunks (level, row, column) could not be read."""
        return dict(self.layer.failures)

    def retry(self) -> int:
        """Ask again for what failed; returns how many chunks that is."""
        count = self.layer.retry()
        self.move(self.camera)
        return count

    def statistics(self) -> dict[str, Any]:
        """What the frames since the last reset cost, and what is in VRAM.

        Returns
        -------
        dict
            ``frames``: number; ``plan``, ``upload``, ``submit``, ``own``, ``draw``: `statistics.Spread` in ms;
            ``chunks``, ``bytes``: uploaded; ``tiles``, ``tiles_most``, ``vram_bytes``; ``per_frame``: the records.
        """
        frames = self.frame_statistics.frames
        return {
            "frames": len(frames),
            **self.frame_statistics.summary(),
            "chunks": sum(frame.uploads for frame in frames),
            "bytes": sum(frame.nbytes for frame in frames),
            "tiles": len(self.layer.tiles),
            "tiles_most": self.layer.tiles.capacity,
            "vram_bytes": self.layer.image.atlas.nbytes,
            "requests": self.layer.requests,
            "per_frame": list(frames),
        }

    def close(self) -> None:
        """Forget everything and close the canvas. The session stays."""
        if self._closed:
            return
        self._closed = True
        self._driver.close()
        self.layer.close()
        self.canvas.close()
        if self._log is not None:
            self._log.close()
        # vispy's canvases are cycles; collected inside another canvas' frame they would take its context away.
        gc.collect()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # --- the frame ---------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        now = time.monotonic()
        self._pacer.changed(now)
        self._schedule(now)

    def _schedule(self, now: float) -> None:
        if not self._closed:
            self._driver.schedule(self._pacer.next_frame_at(now))

    def _woken(self) -> None:
        """Something has come from the daemon."""
        if self.layer.hear():
            now = time.monotonic()
            self._pacer.chunks_announced(now, self.layer.awaited())
            self._schedule(now)

    def _frame_due(self) -> None:
        if self.canvas.native is not None and self.canvas.native.isVisible():
            self.canvas.request_frame()
        else:
            self.canvas.draw_now(finish=True)
            self._presented()

    def _presented(self) -> None:
        """The frame that was drawn last is on the screen; other parts of a window may get there without one."""
        if self._submitted is not None:
            self.frame_statistics.presented((time.perf_counter() - self._submitted) * 1e3)
            self._submitted = None

    def _resized(self, size: tuple[int, int]) -> None:
        if size != self.camera.canvas and min(size) > 0:
            self.move(replace(self.camera, canvas=size))

    def _draw(self) -> None:
        """Draw a frame; called by the canvas, within its context. The garbage collector stays out of it."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._draw_frame()
        finally:
            if collecting:
                gc.enable()

    def _draw_frame(self) -> None:
        began, cpu, now = time.perf_counter(), time.thread_time(), time.monotonic()
        self._frame += 1
        layer, context = self.layer, get_current_canvas().context
        layer.hear()

        def flush() -> None:
            context.glir.associate(layer.image.atlas.texture.glir)
            context.flush_commands()

        frame = layer.prepare(self.camera, self._motion.motion(now), self._frame, _UPLOAD_MS, flush)
        if self._auto_contrast and layer.contrast.limits is not None:
            layer.image.contrast_limits = layer.contrast.limits
        submitting = time.perf_counter()
        layer.submit(self.camera, frame.statuses)
        context.flush_commands()
        done, cpu = time.perf_counter(), time.thread_time() - cpu
        self._last = frame
        submit_ms = (done - submitting) * 1e3
        counts = frame.statuses
        other_ms = (submitting - began) * 1e3 - frame.plan_ms - frame.upload_ms
        record = FrameRecord(
            at=now,
            plan=frame.plan_ms + max(0.0, other_ms),
            upload=frame.upload_ms,
            submit=submit_ms,
            draw=0.0,
            uploads=frame.uploads,
            nbytes=frame.uploaded_bytes,
            cells=sum(counts.values()),
            final=counts[CellStatus.FINAL] + counts[CellStatus.MISSING],
            empty=counts[CellStatus.EMPTY],
            cpu=cpu * 1e3,
        )
        self.frame_statistics.add(record)
        if self._log is not None:
            self._write_log(record)
        self._pacer.frame_drawn(now, time.monotonic(), whole=self.status().is_final, more=frame.more)
        self._schedule(time.monotonic())
        for listener in self.on_frame:
            listener()
        self._submitted = done

    def _write_log(self, record: FrameRecord) -> None:
        assert self._log is not None
        status = self.status()
        line = {
            "time": round(time.time(), 6),
            "frame": self._frame,
            "level": self.layer.ideal,
            "center": self.camera.center,
            "pixel_size": self.camera.pixel_size,
            "cells": {name: getattr(status, name) for name in ViewStatus.__slots__},
            "uploads": record.uploads,
            "own_ms": round(record.own, 3),
        }
        self._log.write(json.dumps(line) + "\n")


def _driver_for(canvas: Canvas) -> Driver:
    if canvas.native is None:
        return HeadlessDriver()
    from octree_client.driver_qt import QtDriver

    return QtDriver()
