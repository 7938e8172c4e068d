"""Panning over what was never seen: what a frame costs us, and how much of it is there.

The camera moves 60 times a second. What is drawn is judged frame by frame, as it was on the screen.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.data import EDGE, pyramid, warm
from tests.bench.figures import Measurements, percentile
from tests.bench.flight import fly, viewer_on
from tests.bench.sections import Options

from octree_client.statistics import FrameRecord
from octree_client.viewer import Viewer

#: World units a step, for costs (2,400 pixels a second: tiles come all the time) and for what is on the screen (6,000
#: pixels a second: six canvases).
_STEADY, _SWIFT = 40.0, 100.0


def measure(options: Options) -> Measurements:
    """A long pan for the cost of frames, a pan of 60 steps for what is on the screen; each over rows of its own."""
    found = Measurements()
    path = pyramid("lz4")
    warm(path)
    for repetition in range(options.repeat):
        with viewer_on(path) as viewer:
            frames = _pan(viewer, 1500.0 + 2000.0 * repetition, 350, _STEADY)
            _costs(found, frames)
        with viewer_on(path) as viewer:
            frames = _pan(viewer, 9000.0 + 2000.0 * repetition, 60, _SWIFT)
            _shares(found, "", frames, 95.0)
        with viewer_on(path, delay_ms=50) as viewer:
            frames = _pan(viewer, 9000.0 + 2000.0 * repetition, 60, _SWIFT)
            _shares(found, "every read delayed by 50 ms: ", frames, None)
    return found


def _pan(viewer: Viewer, y: float, steps: int, stride: float) -> list[FrameRecord]:
    """Frames of a pan to the right and a little down; the place where it begins has been waited for."""
    start = 700.0
    viewer.set_view(center=(y, start), pixel_size=1.0)
    viewer.wait_until_final(30)
    viewer.frame_statistics.reset()

    def way() -> Iterator[tuple[float, float]]:
        for step in range(1, steps + 1):
            x = start + step * stride
            assert x < EDGE - 600
            yield y + 0.25 * step * stride % 900, x

    fly(viewer, way())
    return list(viewer.frame_statistics.frames)


def _costs(found: Measurements, frames: list[FrameRecord]) -> None:
    own = [frame.own for frame in frames]
    uploads = sum(frame.uploads for frame in frames)
    note = f"{len(frames)} frames, {uploads} chunks uploaded"
    found.add("own work a frame, p99", "ms", percentile(own, 0.99), 4.0, note=note)
    found.add("own work a frame, most", "ms", max(own), 8.0)
    found.add("own work a frame, p50", "ms", percentile(own, 0.5))
    cpu = [frame.cpu for frame in frames]
    note = f"most {max(cpu):.2f} ms; the rest other threads and processes had"
    found.add("of it processor time, p99", "ms", percentile(cpu, 0.99), note=note)
    for part in ("plan", "upload", "submit"):
        values = [getattr(frame, part) for frame in frames]
        found.add(f"of it {part}, p99", "ms", percentile(values, 0.99), note=f"p50 {percentile(values, 0.5):.2f} ms")


def _shares(found: Measurements, prefix: str, frames: list[FrameRecord], bound: float | None) -> None:
    share = 100.0 * sum(frame.final / frame.cells for frame in frames) / len(frames)
    blank = sum(frame.empty for frame in frames)
    found.add(f"{prefix}ideal share of the view, mean", "%", share, bound, ">=", note=f"{len(frames)} frames")
    found.add(f"{prefix}blank cells", "", blank, 0.0)
