"""What a cluster of dask costs: chunks a second with two of its workers, beside two processes of our own.

Both on this machine, with the same daemon and client. Small chunks come from a local pyramid; loads of 20 ms either
wait that long for their store or compute that long.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.bench.data import CHUNK, EDGE, pyramid, warm
from tests.bench.figures import Measurements
from tests.bench.sections import Options
from tests.bench.throughput import Demand

import octree_client

#: Both of them have two workers.
_OWN = {"loader_defaults": {"num_workers": 2}, "octree": {"loaders": {"0": {}}}}
_DASK = {**_OWN, "dask": {"scheduler": "local", "workers": 2}}

_LOAD_SECONDS = 0.02


def measure(options: Options) -> Measurements:
    """Cluster and processes in turn, so that a change of the machine's mood meets both."""
    found = Measurements()
    path = pyramid("lz4")
    warm(path)
    waiting = {"source": str(path), "delay_ms": 1000 * _LOAD_SECONDS}
    computing = {"source": "tests.bench.dask:computing", "levels": "stored"}
    for _ in range(options.repeat):
        small = chunks_a_second(str(path), _DASK, 4096)
        own = chunks_a_second(str(path), _OWN, 4096)
        found.add("256x256 from a local pyramid, in batches", "chunks/s", small, 2000, ">=")
        found.add("256x256, two processes of our own", "chunks/s", own)
        for name, source, count in (("wait", waiting, 4096), ("compute", computing, 512)):
            dask, own = (chunks_a_second(source, settings, count) for settings in (_DASK, _OWN))
            found.add(f"loads that {name} 20 ms: dask / two processes of our own", "", dask / own, 0.8, ">=")
            found.add(f"loads that {name} 20 ms: dask", "chunks/s", dask)
    return found


def chunks_a_second(source: Any, settings: dict[str, Any], count: int) -> float:
    """Into a client's view of the arena."""
    memory = {"memory": {"arena_bytes": 192 << 20}}
    with octree_client.open(datasets={"image": source}, settings={**settings, **memory}) as session:
        image = session.dataset()
        image.levels[1][: 4 * CHUNK, : 4 * CHUNK]  # the workers are there
        until = time.monotonic() + 30
        while sum(pool.workers for pool in session.status().pools) < 2 and time.monotonic() < until:
            image.levels[1][: 8 * CHUNK, : 8 * CHUNK]
        time.sleep(3.0)  # and have prepared the arena's pages
        return Demand(session.connection, image.dataset.id, EDGE // CHUNK, first=4096 - count).run()


class _Computing:
    """An image of which every chunk takes 20 ms of processor."""

    dtype = np.dtype("<u2")
    chunks = (CHUNK, CHUNK)

    def __init__(self, edge: int) -> None:
        self.shape = (edge, edge)

    def __getitem__(self, box: tuple[slice, slice]) -> NDArray[np.uint16]:
        until = time.thread_time() + _LOAD_SECONDS
        voxels = np.arange(CHUNK * CHUNK, dtype=np.uint16).reshape(CHUNK, CHUNK)
        while time.thread_time() < until:
            voxels = voxels[::-1] + 1
        return voxels[: box[0].stop - box[0].start, : box[1].stop - box[1].start]


def computing() -> list[_Computing]:
    """A factory of such images."""
    return [_Computing(EDGE), _Computing(EDGE // 2)]
