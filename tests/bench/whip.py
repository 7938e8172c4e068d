"""A camera that is thrown about: how much of what is forgotten before it is there is read all the same?"""

from __future__ import annotations

import random

from tests.bench.data import EDGE, pyramid, warm
from tests.bench.figures import Measurements
from tests.bench.flight import fly, viewer_on
from tests.bench.sections import Options

from octree_client.viewer import Viewer

_FRAMES = 1000


def measure(options: Options) -> Measurements:
    """Every read delayed by 50 ms, the camera somewhere else in every frame."""
    found = Measurements()
    path = pyramid("lz4")
    warm(path)
    for repetition in range(options.repeat):
        with viewer_on(path, delay_ms=50) as viewer:
            _whip(found, viewer, repetition)
    return found


def _whip(found: Measurements, viewer: Viewer, seed: int) -> None:
    chance = random.Random(seed)
    before = viewer.sessions[0].status()
    drawn = viewer.frame_statistics.count
    fly(viewer, ((chance.uniform(500, EDGE - 500), chance.uniform(600, EDGE - 600)) for _ in range(_FRAMES)))
    drawn = viewer.frame_statistics.count - drawn
    after = viewer.sessions[0].status()
    never = after.requests_forgotten - before.requests_forgotten
    begun = after.requests_forgotten_loading - before.requests_forgotten_loading
    note = f"{drawn} frames; {never:,} forgotten before they began, {begun:,} while they were read"
    found.add("stale requests that never start", "%", 100.0 * never / (never + begun), 95.0, ">=", note=note)
    started = after.requests_started - before.requests_started
    found.add("reads begun", "", started, note=f"of {never + started:,} requests")
