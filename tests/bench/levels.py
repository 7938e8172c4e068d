"""Levels that are not stored: how fast voxels are halved, and how soon a flat array is on the screen.

Libraries are measured side by side on one core. tensorstore follows the same rules (half to even); OpenCV's area
resampling does not for integers, and stands there to be compared with where it is installed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import psutil
import tensorstore
from numpy.typing import NDArray
from tests.bench.figures import Measurements
from tests.bench.flight import SIZE
from tests.bench.sections import Options

import octree_client
from octree_client.viewer import Viewer
from octree_loader.downsample import downsample

_EDGE = 16384
_LAZY_EDGE = 65536

#: Blocks as workers take them: several chunks, and what they become.
_SHAPES = {"2x2": (2048, 2048), "2x2x2": (64, 256, 256)}


def measure(options: Options) -> Measurements:
    """Halving, then the flat array."""
    found = Measurements()
    for _ in range(options.repeat):
        for name, shape in _SHAPES.items():
            for dtype in (np.uint8, np.uint16, np.float32):
                _halving(found, name, (np.random.default_rng(0).random(shape) * 250).astype(dtype))
    y = np.arange(_EDGE, dtype=np.float32)
    array = (9000 + 5000 * np.sin(y / 311)[:, None] * np.cos(y / 197)[None]).astype(np.uint16)
    for _ in range(options.repeat):
        _flat(found, f"flat {_EDGE} x {_EDGE} uint16 in memory", array, {}, bound=300)
        # Its averages take all of it to be computed: minutes.
        lazy = f"lazy {_LAZY_EDGE} x {_LAZY_EDGE} dask array"
        _flat(found, lazy, "tests.bench.lazy:waves", {"edge": _LAZY_EDGE}, to_the_end=False)
    return found


def _halving(found: Measurements, name: str, array: NDArray[Any]) -> None:
    axes = tuple(range(array.ndim))
    stored = tensorstore.array(array, context=tensorstore.Context({"data_copy_concurrency": {"limit": 1}}))
    halves: tuple[slice, ...] = (slice(0, None, 2),) * array.ndim
    pairs = [n for edge in array.shape for n in (edge // 2, 2)]

    ways: dict[str, Callable[[], Any]] = {
        "tensorstore": lambda: tensorstore.downsample(stored, [2] * array.ndim, "mean").read().result(),
        "numpy": lambda: array.reshape(pairs).mean(axis=tuple(range(1, 2 * array.ndim, 2))),
    }
    speed = {way: array.nbytes / _best(run) / 1e9 for way, run in ways.items()}
    ours = array.nbytes / _best(lambda: downsample(array, axes)) / 1e9
    assert downsample(array, axes).shape == array[halves].shape
    fastest = max(speed, key=speed.__getitem__)
    note = f"{ours:.2f} GB/s, " + ", ".join(f"{way} {one:.2f}" for way, one in speed.items()) + _opencv(array)
    found.add(f"halving {name} {array.dtype}, of {fastest}'s speed", "", ours / speed[fastest], 0.8, ">=", note)


def _opencv(array: NDArray[Any]) -> str:
    try:
        import cv2  # type: ignore[import-not-found]
    except ImportError:
        return ""
    if array.ndim != 2:
        return ""
    cv2.setNumThreads(1)
    size = (array.shape[1] // 2, array.shape[0] // 2)
    taken = _best(lambda: cv2.resize(array, size, interpolation=cv2.INTER_AREA))
    return f", opencv (rounds half up) {array.nbytes / taken / 1e9:.2f}"


def _best(run: Callable[[], Any]) -> float:
    run()
    times = []
    for _ in range(5):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def _flat(
    found: Measurements,
    name: str,
    source: Any,
    options: Mapping[str, Any],
    bound: float | None = None,
    to_the_end: bool = True,
) -> None:
    settings = {"memory": {"cache_bytes": "4GiB"}}
    with octree_client.open(source, settings=settings, **options) as session:
        image = session.dataset()
        began = time.perf_counter()
        with Viewer(image, size=SIZE, visible=False) as viewer:
            made = time.perf_counter()
            marks: dict[str, float] = {}

            def look() -> None:
                status = viewer.status()
                now = time.perf_counter()
                marks.setdefault("frame", now)
                if not status.empty and "covered" not in marks:
                    marks["covered"] = now
                    marks["processor"] = _processor_time(session.daemon_pid)

            viewer.on_frame.append(look)
            until = made + 60
            while "covered" not in marks and time.perf_counter() < until:
                viewer.wait(0.01)
            if to_the_end:
                viewer.wait_until_final(60)
            final = time.perf_counter()
        first = (marks["frame"] - made) * 1e3
        note = f"making the viewer took {(made - began) * 1e3:.0f} ms, its first frame came after {first:.0f} ms"
        covered = (marks["covered"] - made) * 1e3
        found.add(f"{name}: nothing blank, after the viewer was made", "ms", covered, bound, note=note)
        if to_the_end:
            found.add(f"{name}: final, after the viewer was made", "ms", (final - made) * 1e3)
        note = "of the daemon and all its workers, since they were started"
        found.add(f"{name}: processor time until nothing is blank", "ms", marks["processor"] * 1e3, note=note)


def _processor_time(pid: int | None) -> float:
    """Seconds that a process and those below it have computed."""
    daemon = psutil.Process(pid)
    total = 0.0
    for process in (daemon, *daemon.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            # Those that have ended are in their parents' books.
            total += times.user + times.system + times.children_user + times.children_system
    return total
