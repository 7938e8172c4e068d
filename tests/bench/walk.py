"""A long random walk: does anything grow that should not, and are the budgets kept?

Arena and atlas are chosen so small that they are full, and give away what they have, long before the first look.
What processes share (the arena) is counted once, and apart from what is their own.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
from tests.bench.data import EDGE, pyramid, warm
from tests.bench.figures import Measurements
from tests.bench.flight import STEP, fly, viewer_on
from tests.bench.sections import Options

from octree_client.viewer import Viewer

_ARENA = 96 << 20
_VRAM = 48 << 20

#: Seconds between two looks.
_LOOK_EVERY = 2.0

#: Growth that is noise: of an allocator that keeps its pages, and of caches that fill up to their bounds.
_FLAT_PERCENT = 3.0
_MIB = 1.0 / (1 << 20)


@dataclass(frozen=True, slots=True)
class Look:
    """Bytes and numbers at one moment. `workers` is the mean over them: they are started when they are needed."""

    viewer: float
    daemon: float
    workers: float
    worker_count: int
    shared: float
    descriptors: float


def measure(options: Options) -> Measurements:
    """Once, for as long as told; the first minute, or the first third if that is shorter, is not looked at."""
    found = Measurements()
    path = pyramid("lz4")
    warm(path)
    seconds = options.minutes * 60.0
    settings = {"memory": {"arena_bytes": _ARENA}, "loader_defaults": {"num_workers": 3}}
    with viewer_on(path, settings=settings, vram_bytes=_VRAM) as viewer:
        looks, most_wanted, before = _walk(viewer, seconds, min(60.0, seconds / 3))
        _judge(found, viewer, looks, most_wanted, before)
    return found


def _walk(viewer: Viewer, seconds: float, settle: float) -> tuple[list[Look], int, float]:
    """Returns the looks, the most bytes of the arena in use at any of them, and the size of /dev/shm's files."""
    began = time.monotonic()
    looks: list[Look] = []
    most = 0
    path = _way(random.Random(1))
    shared = 0.0
    while time.monotonic() - began < seconds:
        until = time.monotonic() + _LOOK_EVERY
        while time.monotonic() < until:
            center, size = next(path)
            fly(viewer, iter([center]), STEP, size)
        if time.monotonic() - began >= settle:
            looks.append(_look(viewer))
            arena = viewer.sessions[0].status().arena
            most = max(most, arena.wanted + arena.recent)
        else:
            shared = _shared_bytes(viewer)
    return looks, most, shared


def _way(chance: random.Random) -> Iterator[tuple[tuple[float, float], float]]:
    """Strolls and jumps, at all zooms, for ever: (centre, pixel size) a frame."""
    y = x = EDGE / 2
    heading, octave = 0.0, 0.0
    while True:
        if chance.random() < 0.01:
            y, x, octave = chance.uniform(0, EDGE), chance.uniform(0, EDGE), chance.uniform(-1.0, 4.0)
        heading += chance.gauss(0.0, 0.3)
        octave = min(max(octave + chance.gauss(0.0, 0.05), -1.0), 4.0)
        size = 2.0**octave
        y = min(max(y + 30 * size * math.sin(heading), 0.0), float(EDGE))
        x = min(max(x + 30 * size * math.cos(heading), 0.0), float(EDGE))
        yield (y, x), size


def _own_bytes(process: psutil.Process) -> float:
    """Resident memory without what is shared with others."""
    memory = process.memory_info()
    return float(memory.rss - memory.shared)


def _shared_bytes(viewer: Viewer) -> float:
    """Of the daemon's files in /dev/shm: their names have its number."""
    files = Path("/dev/shm").glob(f"octree-serve-*-{viewer.sessions[0].daemon_pid}-*")
    return float(sum(file.stat().st_size for file in files))


def _look(viewer: Viewer) -> Look:
    pid = viewer.sessions[0].daemon_pid
    assert pid is not None
    daemon = psutil.Process(pid)
    workers = daemon.children(recursive=True)
    own = [_own_bytes(worker) for worker in workers]
    me = psutil.Process(os.getpid())
    return Look(
        viewer=_own_bytes(me),
        daemon=_own_bytes(daemon),
        workers=sum(own) / max(len(own), 1),
        worker_count=len(own),
        shared=_shared_bytes(viewer),
        descriptors=me.num_fds() + daemon.num_fds() - 2.0 * len(own),
    )


def _judge(found: Measurements, viewer: Viewer, looks: list[Look], most: int, shared_before: float) -> None:
    third = max(1, len(looks) // 3)
    first, last = looks[:third], looks[-third:]
    for what in ("viewer", "daemon", "workers"):
        early, late = (median(getattr(look, what) for look in part) for part in (first, last))
        note = f"{early * _MIB:.1f} to {late * _MIB:.1f} MiB of its own, {len(looks)} looks"
        found.add(f"growth of {what}", "%", 100.0 * (late - early) / early, _FLAT_PERCENT, note=note)
    # A channel a worker is no leak; `descriptors` is without them.
    early, late = (median(look.descriptors for look in part) for part in (first, last))
    found.add("growth of descriptors", "", late - early, 0.0, note=f"{early:.0f}, workers' channels taken off")
    shared = max(look.shared for look in looks) - shared_before
    found.add("growth of /dev/shm", "MiB", shared * _MIB, 0.0, note=f"{shared_before * _MIB:.0f} MiB")
    found.add("arena in use / its budget", "%", 100.0 * most / _ARENA, 105.0)
    statistics = viewer.statistics()
    note = f"{statistics['tiles']} of {statistics['tiles_most']} tiles"
    found.add("atlas / its budget", "%", 100.0 * statistics["vram_bytes"] / _VRAM, 105.0, note=note)
