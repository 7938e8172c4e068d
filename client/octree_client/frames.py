"""One frame of all layers: plan each, share the time for uploads among them, draw them bottom to top.

Within a frame of a canvas. Knows nothing of when a frame is due (`pacing`), nor of how layers are listed or named.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from vispy.gloo.context import get_current_canvas

from octree_client.camera import Camera
from octree_client.cover import NO_CELLS, ViewStatus
from octree_client.layer import ImageLayer
from octree_client.prefetch import Motion

#: Milliseconds of a frame that go into uploads at least, and at most.
_UPLOAD_LEAST_MS, _UPLOAD_MOST_MS = 0.5, 3.0


@dataclass(slots=True)
class FrameWork:
    """What a frame of all layers came to. Milliseconds and bytes."""

    plan_ms: float = 0.0
    upload_ms: float = 0.0
    rest_ms: float = 0.0
    """Of processor time: what came after the uploads."""
    submit_ms: float = 0.0
    uploads: int = 0
    nbytes: int = 0
    more: bool = False
    ahead: bool = False
    fading: bool = False
    status: ViewStatus = NO_CELLS


def draw_layers(
    layers: Sequence[ImageLayer],
    camera: Camera,
    motion: Motion,
    number: int,
    own_ms: float,
    rest_ms: float,
    pixel_ratio: float = 1.0,
) -> FrameWork:
    """Draw a frame.

    The layers that have something to upload share the time for it: each gets an equal part of what those before it
    have left. Whose turn is first changes from frame to frame, and at least one chunk of all is uploaded, so that a
    layer of large chunks neither stops nor holds the others back.

    Parameters
    ----------
    layers
        From the bottom to the top; those that are hidden may be among them.
    number
        Of the frame, rising.
    own_ms
        Milliseconds that the frame may take: what planning has left of them goes into uploads.
    rest_ms
        So many of them are needed after the uploads (`FrameWork.rest_ms` of frames before).
    pixel_ratio
        Physical pixels a logical one: what lines are thick in.
    """
    work = FrameWork()
    # Processor time: what a busy machine takes from us is no reason to upload less.
    began, cpu = time.perf_counter(), time.thread_time()
    context = get_current_canvas().context
    busy = []
    for layer in layers:
        layer.pager.wanting.hear()
        layer.pager.atlas.fit()
        if layer.pager.plan(camera, number):
            busy.append(layer)
    if busy:
        first = number % len(busy)
        busy = busy[first:] + busy[:first]
    planned = time.thread_time() if busy else cpu
    left = min(max(own_ms - (planned - cpu) * 1e3 - rest_ms, _UPLOAD_LEAST_MS), _UPLOAD_MOST_MS)
    for place, layer in enumerate(busy):
        frame = layer.pager.page(left / (len(busy) - place), work.uploads == 0, context)
        left = max(0.0, left - frame.spent_ms)
        work.uploads += frame.uploads
    paged = time.thread_time() if busy else cpu
    drawn = []
    for layer in layers:
        frame = layer.frame = layer.pager.settle(camera, motion)
        layer.follow_contrast()
        work.upload_ms += frame.upload_ms
        work.nbytes += frame.uploaded_bytes
        work.more |= frame.more
        work.ahead |= frame.ahead
        work.status = work.status.plus(frame.status)
        if layer.pager.active:
            drawn.append(layer)
    submitting = time.perf_counter()
    for place, layer in enumerate(drawn):
        layer.pager.atlas.visual.pixel_ratio = pixel_ratio
        layer.pager.submit(camera, place == 0)
        work.fading |= layer.frame.fading
    context.flush_commands()
    done = time.perf_counter()
    work.submit_ms = (done - submitting) * 1e3
    work.rest_ms = (time.thread_time() - paged) * 1e3
    work.plan_ms = max(0.0, (submitting - began) * 1e3 - work.upload_ms)
    return work


def page_between(layers: Sequence[ImageLayer], camera: Camera, motion: Motion, turn: int, own_ms: float) -> FrameWork:
    """Upload what lies in its slot. Between frames, within the canvas' context; nothing is drawn.

    Parameters
    ----------
    turn
        Its number, rising: whose turn is first changes.
    own_ms
        Milliseconds that it may take.

    Returns
    -------
    FrameWork
        `FrameWork.ahead`: there is more of it.
    """
    work = FrameWork()
    began = time.perf_counter()
    context = get_current_canvas().context
    first = turn % max(1, len(layers))
    left = own_ms
    for place, layer in enumerate([*layers[first:], *layers[:first]]):
        cpu = time.thread_time()
        frame = layer.pager.page_between(camera, motion, left / (len(layers) - place), context)
        left = max(0.0, left - (time.thread_time() - cpu) * 1e3)
        work.uploads += frame.uploads
        work.nbytes += frame.uploaded_bytes
        work.ahead |= frame.ahead
    work.upload_ms = (time.perf_counter() - began) * 1e3
    return work


def warm_layers(layers: Sequence[ImageLayer]) -> bool:
    """Have GL compile one thing that a layer may be drawn with next. Between frames, within the canvas' context.

    Returns
    -------
    bool
        Whether more is to be compiled.
    """
    drawn = [layer.pager for layer in layers if layer.pager.active]
    cold = [
        (pager.atlas.visual, one)
        for place, pager in enumerate(drawn)
        for one in pager.atlas.visual.cold(place == 0, pager.fading.seconds > 0.0)
    ]
    for visual, one in cold[:1]:
        visual.warm(one)
    return len(cold) > 1
