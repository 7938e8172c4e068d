"""A headless viewer to measure with: opened on a pyramid, warmed up, and flown over places that it has never seen."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench.data import CHUNK, EDGE

import octree_client
from octree_client.viewer import Viewer

SIZE = (1024, 768)

#: A frame at 60 Hz. Seconds.
STEP = 1.0 / 60.0

#: Places this far apart share no chunk, not even with what is prefetched around them.
_APART = 8 * CHUNK


@contextmanager
def viewer_on(
    path: Path, settings: dict[str, Any] | None = None, vram_bytes: int = 256 << 20, **options: Any
) -> Iterator[Viewer]:
    """A viewer of 1024 x 768 with a daemon of its own, its first picture final."""
    options = {name: value for name, value in options.items() if value}
    with octree_client.open(path, settings=settings, **options) as session:
        viewer = Viewer(session.dataset(), size=SIZE, visible=False, vram_bytes=vram_bytes)
        try:
            viewer.wait_until_final(30)
            yield viewer
        finally:
            viewer.close()


def places(seed: int) -> list[tuple[float, float]]:
    """Centres of views at full resolution that share no chunk with each other, in random order."""
    chance = random.Random(seed)
    found = [
        (y + chance.uniform(0, CHUNK), x + chance.uniform(0, CHUNK))
        for y in range(_APART // 2, EDGE - CHUNK, _APART)
        for x in range(_APART // 2, EDGE - CHUNK, _APART)
    ]
    chance.shuffle(found)
    return found


def fly(viewer: Viewer, centers: Iterator[tuple[float, float]], step: float = STEP, pixel_size: float = 1.0) -> None:
    """Move the camera to one centre after the other, as a dragging hand does: a move a step, frames as they come."""
    until = time.monotonic()
    for center in centers:
        viewer.move(replace(viewer.camera, center=center, pixel_size=pixel_size))
        until = max(until + step, time.monotonic())
        run_until(viewer, until)


def run_until(viewer: Viewer, moment: float, done: Callable[[], bool] = lambda: False) -> bool:
    """Let the viewer draw until `moment` (`time.monotonic`), or until `done`."""
    return viewer._driver.wait(done, max(0.0, moment - time.monotonic()))
