"""What refusing hostile data costs: processor time and memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
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


_IN_A_PROCESS = """
import sys
import numpy as np
from tests.refusals import cost_of
import octree_loader.sources.allowance as allowance
from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, SourceError, SourceSpec

location, words, *edges = sys.argv[1:]
allowance.SLACK_BYTES = 16 << 20
source = open_source(SourceSpec("image", location))
piece = Piece(tuple((0, int(n)) for n in edges), np.empty([int(n) for n in edges], source.dtype))

def refuse():
    try:
        source.read(0, [piece])
    except SourceError as error:
        assert words in str(error), error
    else:
        raise AssertionError("it was read")

print(cost_of(refuse).nbytes)
"""


def growth_of_a_process(location: str, shape: tuple[int, ...], words: str) -> int:
    """Bytes by which a new process grows when it is refused the corner of an image, with a slack of 16 MiB.

    In one that has run for a while, malloc has memory left that no limit counts again.
    """
    root = Path(__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    told = subprocess.run(
        [sys.executable, "-c", _IN_A_PROCESS, location, words, *map(str, shape)],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return int(told.stdout)
