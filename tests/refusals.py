"""What refusing hostile data costs: processor time and memory. Knows nothing of what is refused."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: What the specification grants, in seconds. Of the processor's time: what else the machine does is not ours.
REFUSAL_SECONDS = 0.1


class Cost(NamedTuple):
    """Bytes by which this process grew at the most, and seconds of the processor that the fastest of the runs took."""

    nbytes: int
    seconds: float


def cost_of(work: Callable[[], object], runs: int = 3) -> Cost:
    """Do something several times and measure it. What it imports does not count: that is done by the first run."""
    gc.collect()  # what other tests left is not given back meanwhile
    seconds, grown = [], []
    for _ in range(runs):
        Path("/proc/self/clear_refs").write_text("5")  # the highest resident size so far is now the present one
        before = _highest_resident()
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
        grown.append(_highest_resident() - before)
    return Cost(max(grown), min(seconds))


def _highest_resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
