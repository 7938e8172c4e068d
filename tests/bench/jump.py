"""A jump to a place that was never seen: how long until it stands there in full resolution.

From before the camera moves until GL has finished the frame that has everything. The files lie in the page cache; no
chunk lies in the arena or in VRAM.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tests.bench.data import pyramid, warm
from tests.bench.figures import Measurements, percentile
from tests.bench.flight import places, run_until, viewer_on
from tests.bench.sections import Options

from octree_client.viewer import Viewer

_JUMPS = 30

#: A stand-in counts as coverage if it is at most so many levels coarser: 16 cells for one chunk.
_COVERAGE_ABOVE = 2


@dataclass(slots=True)
class Times:
    """Milliseconds from the camera's move, one a jump."""

    anything: list[float] = field(default_factory=list)
    covered: list[float] = field(default_factory=list)
    ideal: list[float] = field(default_factory=list)


def measure(options: Options) -> Measurements:
    """On the local disk, then with every read delayed by 50 ms; the seed's configuration, which is the default."""
    found = Measurements()
    path = pyramid("lz4")
    warm(path)
    for repetition in range(options.repeat):
        for delay in (0, 50):
            with viewer_on(path, delay_ms=delay) as viewer:
                times = _jump(viewer, repetition)
            where = f"reads delayed by {delay} ms" if delay else "local disk"
            _add(found, f"{where}: no cell blank", times.anything, None)
            _add(
                found,
                f"{where}: covered, at most {_COVERAGE_ABOVE} levels coarser",
                times.covered,
                80 if delay else None,
            )
            _add(found, f"{where}: all ideal chunks drawn", times.ideal, 200 if delay else 40)
    return found


def _add(found: Measurements, name: str, values: list[float], bound: float | None) -> None:
    note = f"p95 {percentile(values, 0.95):.0f} ms, slowest of {len(values)} jumps {max(values):.0f} ms"
    found.add(f"{name}, median of {len(values)} jumps", "ms", percentile(values, 0.5), bound, note=note)


def _jump(viewer: Viewer, seed: int) -> Times:
    times = Times()
    began = 0.0
    marks: dict[str, float] = {}

    def look() -> None:
        now = (time.perf_counter() - began) * 1e3
        pieces, ideal = viewer.layers[0].pieces, viewer.layers[0].level or 0
        if not viewer.status().empty:
            marks.setdefault("anything", now)
        if pieces and all(p.tile >= 0 and p.chunk[0] <= ideal + _COVERAGE_ABOVE for p in pieces):
            marks.setdefault("covered", now)

    viewer.on_frame.append(look)
    for center in places(seed)[:_JUMPS]:
        marks.clear()
        began = time.perf_counter()
        viewer.set_view(center=center, pixel_size=1.0)
        assert run_until(viewer, time.monotonic() + 30, viewer.is_final), viewer.status()
        times.ideal.append((time.perf_counter() - began) * 1e3)
        times.anything.append(marks["anything"])
        times.covered.append(marks["covered"])
        # What is prefetched around the place is loaded before the next jump begins, on a quiet machine.
        run_until(viewer, time.monotonic() + 0.15)
    viewer.on_frame.remove(look)
    return times
