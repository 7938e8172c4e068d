"""What it costs to plan a frame, over a small dataset and over one of 10^9 chunks. Nothing is loaded or drawn."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from tests.bench.figures import Measurements, percentile
from tests.bench.flight import SIZE
from tests.bench.sections import Options

from octree_client.camera import Camera
from octree_client.pager import LayerPager
from octree_client.plane_grid import visible_cells
from octree_client.prefetch import Motion
from octree_client.transport.connection import Connection
from octree_client.transport.inbox import Inbox
from octree_protocol.geometry import Axis, Dataset, Level
from octree_protocol.messages import ViewerSettings, Wanted

_CHUNK = 256
_FRAMES = 400

#: Chunks along an edge of level 0: 10^4 and 10^9 of them in all.
_SMALL, _LARGE = 100, 31_623


class _NoDaemon:
    """Takes what a layer wants, and never answers."""

    settings = ViewerSettings()
    arena = None

    def open_view(self, wake: Callable[[], None]) -> Inbox:
        return Inbox(1, wake)

    def want(self, inbox: Inbox, entries: Sequence[Wanted]) -> None:
        """Nobody is there."""


def measure(options: Options) -> Measurements:
    """The same cameras, relative to the image, over both; in turn, so that noise meets both."""
    found = Measurements()
    for repetition in range(options.repeat):
        small = _plan(_SMALL, repetition)
        large = _plan(_LARGE, repetition)
        found.add("planning a frame, 10^9 chunks / 10^4 chunks", "", large / small, 1.1)
        found.add("planning a frame, 10^4 chunks, p50", "ms", small)
        found.add("planning a frame, 10^9 chunks, p50", "ms", large)
    return found


def _plan(edge: int, seed: int) -> float:
    """Median milliseconds of a frame's planning, half of the view resident, the camera moving."""
    layer = LayerPager(cast(Connection, _NoDaemon()), _dataset(edge), 256 << 20, 16384, lambda: None)
    levels, voxels = layer.levels, edge * _CHUNK
    chance = random.Random(seed)
    costs = []
    camera = Camera((voxels / 2, voxels / 2), 1.0, SIZE)
    for frame in range(1, _FRAMES + 1):
        if frame % 40 == 1:  # a new place: half of its cells and what covers them come to be resident
            center = chance.uniform(0.2, 0.8) * voxels, chance.uniform(0.2, 0.8) * voxels
            camera = Camera(center, 1.0, SIZE)
            for level in (0, 2):
                row0, col0, row1, col1 = visible_cells(levels, level, camera.view())
                for row in range(row0, row1):
                    for col in range(col0, col1):
                        if level or chance.random() < 0.5:
                            layer.atlas.tiles.assign((), (level, row, col), frame, set())
        camera = Camera((camera.center[0] + 3.0, camera.center[1] + 20.0), 1.0, SIZE)
        began = time.perf_counter()
        layer.plan(camera, frame)
        layer.settle(camera, Motion(180.0, 1200.0, 0.0))
        costs.append((time.perf_counter() - began) * 1e3)
    return percentile(costs, 0.5)


def _dataset(edge: int) -> Dataset:
    levels: list[Level] = []
    size, factor = edge * _CHUNK, 1.0
    while not levels or max(levels[-1].shape) > _CHUNK:
        shift = (factor - 1) / 2
        options: dict[str, Any] = {"scale": (factor, factor), "translation": (shift, shift)}
        levels.append(Level((size, size), (_CHUNK, _CHUNK), **options))
        size, factor = -(-size // 2), factor * 2
    return Dataset(0, f"{edge * edge}", (Axis("y"), Axis("x")), "<u2", tuple(levels))
