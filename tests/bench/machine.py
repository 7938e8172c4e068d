"""The machine that measures: what it is, and how much it disturbs. Without this, no figure can be judged."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.figures import percentile


class Noise(NamedTuple):
    """How much the machine disturbed a loop that only computes.

    Attributes
    ----------
    stretched
        How much longer than in the best case the same millisecond of work took, mean over all (1 is perfect).
    late_p99_ms, late_most_ms
        How late a sleep of 1 ms ended.
    load
        Mean number of processes that ran or wanted to, over the last minute.
    """

    stretched: float
    late_p99_ms: float
    late_most_ms: float
    load: float


def measure_noise(seconds: float = 1.0) -> Noise:
    """Measure for so long."""
    laps, late = [], []
    until = time.perf_counter() + seconds / 2
    while time.perf_counter() < until:
        began = time.perf_counter()
        sum(range(40_000))
        laps.append(time.perf_counter() - began)
    until = time.perf_counter() + seconds / 2
    while time.perf_counter() < until:
        began = time.perf_counter()
        time.sleep(0.001)
        late.append((time.perf_counter() - began - 0.001) * 1e3)
    return Noise(
        stretched=sum(laps) / len(laps) / min(laps),
        late_p99_ms=percentile(late, 0.99),
        late_most_ms=max(late),
        load=os.getloadavg()[0],
    )


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, kernel, Python."""
    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {
        "processor": model or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
