"""When frames are drawn, and what each cost: between a viewer's models and its canvas.

It is told that something changed or that the camera moved, asks the `pacing.FramePacer` when the next frame is due, has
the driver call back then, and draws. Knows nothing of what layers look like or of which axes are displayed.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from typing import TextIO

from octree_client import turnstile
from octree_client.camera import Camera
from octree_client.canvas import Canvas, Handlers
from octree_client.cover import ViewStatus
from octree_client.driver import Driver
from octree_client.frames import FrameWork, draw_layers, page_between, warm_layers
from octree_client.layer_list import LayerList
from octree_client.pacing import BetweenPacer, FramePacer
from octree_client.prefetch import Motion, MotionTracker
from octree_client.statistics import BetweenRecord, FrameRecord, FrameStatistics
from octree_client.warming import WarmingPacer
from octree_protocol.messages import ViewerSettings

#: Milliseconds of our own work that a frame should take at most: what planning and drawing take more of, where there
#: are many layers, uploads take less of. Of processor time; on a clock it is more, whatever else runs.
_OWN_MS = 2.8

#: The same of what is uploaded between two of them.
_BETWEEN_MS = 2.0

#: How much the last frame counts in the estimate of what is needed after the uploads: soon believed, slowly forgotten.
_MORE_COUNTS, _LESS_COUNTS = 0.5, 0.05


class FrameLoop:
    """Draws the layers as the camera sees them, as often as it is worth it.

    Parameters
    ----------
    canvas, driver
        What is drawn on, and what calls when a frame is due.
    layers
        From the bottom to the top.
    camera
        Where the view is at first.
    on_resize
        Called with the canvas' new (width, height).

    Attributes
    ----------
    camera
        Where the view is.
    statistics
        What the last frames cost.
    status
        How the visible cells stood in the last one.
    listeners
        Called after each frame.
    """

    def __init__(
        self,
        canvas: Canvas,
        driver: Driver,
        layers: LayerList,
        camera: Camera,
        on_resize: Callable[[tuple[int, int]], None],
    ) -> None:
        self.camera = camera
        self.statistics = FrameStatistics()
        self.status = ViewStatus()
        self.listeners: list[Callable[[], None]] = []
        self._canvas, self._driver, self._layers = canvas, driver, layers
        self._pacer = FramePacer()
        self._between = BetweenPacer()
        self._warming = WarmingPacer()
        self._motion = MotionTracker()
        self._number = self._turn = 0
        self._submitted: float | None = None
        self._in_frame = False
        self._shown = False
        self._rest_ms = 0.5
        self._closed = False
        self._log: TextIO | None = None
        driver.on_due = self._due
        driver.on_wake = self._woken
        canvas.handlers = Handlers(on_draw=self._draw, on_presented=self._presented, on_resize=on_resize)

    def follow(self, settings: ViewerSettings) -> None:
        """Take from a daemon's settings what concerns frames."""
        self._pacer = FramePacer(settings.auto_sync_ms)
        if settings.octree_log_path and self._log is None:
            self._log = open(settings.octree_log_path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115

    def changed(self, *_: object) -> None:
        """Something is to be drawn anew."""
        if self._in_frame:
            return  # what changes in a frame is drawn in it
        self._shown = False
        now = time.monotonic()
        self._pacer.changed(now)
        self._schedule(now)

    def stop_motion(self) -> None:
        """The camera is put somewhere else at once: that is no motion."""
        self._motion.stop()

    def move(self, camera: Camera) -> None:
        """The camera is here from now on; chunks are asked for at once, the frame follows."""
        now = time.monotonic()
        self._shown = False
        self.camera = camera
        self._motion.moved(camera, now)
        motion = self._motion.motion(now)
        for layer in self._layers:
            layer.pager.wanting.hear()
            layer.pager.aim(camera, motion)
        self._pacer.camera_moved(now, *self._awaited())
        self._schedule(now)

    def is_final(self) -> bool:
        """Whether the last frame showed everything as it is now, and nothing is to come."""
        return self._number > 0 and self._shown and self.status.is_final

    @property
    def is_warm(self) -> bool:
        """Whether GL has compiled all that one change of a look needs. It never does where nobody looks on."""
        return self._warming.is_warm

    def rendered(self) -> None:
        """The last frame was drawn for a picture: it never comes to the screen."""
        self._submitted = None

    def close(self) -> None:
        """Draw nothing any more."""
        self._closed = True
        self._driver.close()
        if self._log is not None:
            self._log.close()

    # --- what happens ------------------------------------------------------------------------------------------------

    def _awaited(self) -> tuple[int, float | None]:
        """What a frame may be held for: visible chunks of layers that load fast, and how long a load of them takes.

        Slow layers hold nobody up.
        """
        awaited, load_ms = 0, None
        for layer in self._layers:
            pager = layer.pager
            if pager.load_ms is not None and pager.load_ms < pager.connection.settings.auto_sync_ms:
                awaited += pager.wanting.awaited(pager.ideal)
                load_ms = max(load_ms or 0.0, pager.load_ms)
        return awaited, load_ms

    def _schedule(self, now: float) -> None:
        if not self._closed:
            due = [at for at in (self._pacer.next_frame_at(now), self._between.next_at()) if at is not None]
            self._driver.schedule(min(due) if due else self._warming.next_at())

    def _woken(self) -> None:
        """Something has come from a daemon."""
        news = [layer.pager.wanting.hear() for layer in self._layers]
        now = time.monotonic()
        if any(one.picture for one in news):
            self._shown = False
            self._pacer.chunks_announced(now, self._awaited()[0])
            self._schedule(now)
        elif self._number > 0 and any(one.ahead for one in news):
            self._between.heard(now)
            self._schedule(now)

    def _due(self) -> None:
        """A frame is due; or, while none is, something that prepares for others."""
        on_screen = self._is_on_screen()
        now = time.monotonic()
        frame_at = self._pacer.next_frame_at(now)
        if self._between.goes_first(now, frame_at):
            self._page_between()
        elif frame_at is None:
            if self._between.next_at() is not None:
                self._schedule(now)  # woken a hair too early
            elif on_screen:
                self._warm_up()
        elif on_screen:
            self._canvas.request_frame()
        else:
            self._canvas.draw_now(finish=True)
            self._presented()

    def _is_on_screen(self) -> bool:
        return self._canvas.native is not None and bool(self._canvas.native.isVisible())

    def _page_between(self) -> None:
        """What lies in its slot is uploaded without drawing: what may come into view changes nothing that is seen."""
        began, cpu, now = time.perf_counter(), time.thread_time(), time.monotonic()
        self._turn += 1
        motion = self._motion.motion(now)
        with turnstile.closed():
            work = self._canvas.between_frames(
                lambda: page_between(tuple(self._layers), self.camera, motion, self._turn, _BETWEEN_MS)
            )
        own, cpu = (time.perf_counter() - began) * 1e3, (time.thread_time() - cpu) * 1e3
        self.statistics.between.append(BetweenRecord(now, own, work.uploads, work.nbytes, cpu))
        ended = time.monotonic()
        self._between.paged(now, ended, work.ahead)
        self._schedule(ended)

    def _warm_up(self) -> None:
        """Nothing has been to be drawn for a while."""
        more = self._canvas.between_frames(lambda: warm_layers(tuple(self._layers)))
        now = time.monotonic()
        self._warming.warmed(now, more)
        self._schedule(now)

    def _presented(self) -> None:
        """The frame that was drawn last is on the screen; other parts of a window may get there without one."""
        if self._submitted is not None:
            self.statistics.presented((time.perf_counter() - self._submitted) * 1e3)
            self._submitted = None

    def _draw(self) -> None:
        """Draw a frame; called by the canvas, within its context. The garbage collector stays out of it."""
        collecting = gc.isenabled()
        gc.disable()
        self._in_frame = True
        try:
            with turnstile.closed():
                self._draw_frame()
        finally:
            self._in_frame = False
            if collecting:
                gc.enable()

    def _draw_frame(self) -> None:
        cpu, now = time.thread_time(), time.monotonic()
        self._number += 1
        motion: Motion = self._motion.motion(now)
        ratio = self._canvas.pixel_ratio * self.camera.canvas[0] / self._canvas.size[0]
        work = draw_layers(tuple(self._layers), self.camera, motion, self._number, _OWN_MS, self._rest_ms, ratio)
        done, cpu = time.perf_counter(), time.thread_time() - cpu
        status = self.status = work.status
        if work.uploads:
            more = work.rest_ms - self._rest_ms
            self._rest_ms += more * (_MORE_COUNTS if more > 0.0 else _LESS_COUNTS)
        record = FrameRecord(
            at=now,
            plan=work.plan_ms,
            upload=work.upload_ms,
            submit=work.submit_ms,
            draw=0.0,
            uploads=work.uploads,
            nbytes=work.nbytes,
            cells=status.cells,
            final=status.final + status.missing,
            empty=status.empty,
            cpu=cpu * 1e3,
        )
        self.statistics.add(record)
        if self._log is not None:
            self._write_log(self._log, record, work)
        self._shown = not (work.more or work.fading)
        ended = time.monotonic()
        self._pacer.frame_drawn(now, ended, whole=status.is_final, more=not self._shown)
        self._between.drawn(now, ended, work.more or work.ahead)
        self._warming.frame_drawn(now, self._shown and status.is_final and self._is_on_screen())
        self._schedule(ended)
        for listener in tuple(self.listeners):
            listener()
        self._submitted = done

    def _write_log(self, log: TextIO, record: FrameRecord, work: FrameWork) -> None:
        line = {
            "time": round(time.time(), 6),
            "frame": self._number,
            "level": self._layers[0].level if len(self._layers) else None,
            "center": self.camera.center,
            "pixel_size": self.camera.pixel_size,
            "cells": work.status._asdict(),
            "uploads": record.uploads,
            "own_ms": round(record.own, 3),
        }
        log.write(json.dumps(line) + "\n")
