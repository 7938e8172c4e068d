"""Chunks a second from a store 50 ms away: through the daemon, against the bare client library.

The library (obstore, in threads that only fetch and decode nothing) gets as many requests under way as the daemon had,
which the server counts. Server, daemon, workers and client share the same cores.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import obstore
from obstore.store import HTTPStore
from tests.bench.data import CHUNK, EDGE, pyramid
from tests.bench.distant import LATENCY_MS, Distant, serve_from_afar
from tests.bench.figures import Measurements
from tests.bench.sections import Options
from tests.bench.throughput import Demand

import octree_client

_CHUNKS = 4096

#: Workers, and so requests under way: 16 for each. The first is what was asked for; the second is the default, where
#: two cores are busy with decoding, and with being the server.
_WORKERS = {4: 0.8, 10: None}


def measure(options: Options) -> Measurements:
    """The daemon, then the library with as much under way, in turn."""
    found = Measurements()
    path = pyramid("zstd")
    with serve_from_afar(path) as distant:
        _bare(distant, 64)  # the server has read its files
        for _ in range(options.repeat):
            for workers, share in _WORKERS.items():
                served, most = _through_daemon(distant, workers)
                bare = _bare(distant, most)
                name = f"{16 * workers} under way"
                note = f"{LATENCY_MS} ms latency, {CHUNK}x{CHUNK}; {most} were seen under way by the server"
                found.add(f"{name}: daemon / bare library", "", served / bare, share, ">=", note)
                found.add(f"{name}: daemon", "chunks/s", served)
                found.add(f"{name}: bare library", "chunks/s", bare, note="fetched, not decoded")
    return found


def _bare(distant: Distant, under_way: int) -> float:
    store = HTTPStore.from_url(distant.url, client_options={"allow_http": True})
    across = EDGE // CHUNK
    names = [f"0/c/{i // across}/{i % across}" for i in range(_CHUNKS)]
    with ThreadPoolExecutor(under_way) as threads:
        began = time.perf_counter()
        for _ in threads.map(lambda name: obstore.get(store, name).bytes(), names):
            pass
        seconds = time.perf_counter() - began
    distant.seen()
    return _CHUNKS / seconds


def _through_daemon(distant: Distant, workers: int) -> tuple[float, int]:
    settings = {
        # No delay: nothing of this is forgotten, and a request that rests is not under way.
        "loader_defaults": {"num_workers": workers, "delay_queue_ms": 0},
        "octree": {"loaders": {"0": {}}},
        "memory": {"arena_bytes": 192 << 20},
    }
    with octree_client.open(distant.url, settings=settings) as session:
        image = session.dataset()
        # The workers are there, and know that they wait for this store.
        image.levels[1][:4096, :4096]
        time.sleep(2.0)
        distant.seen()
        served = Demand(session.connection, image.dataset.id, EDGE // CHUNK).run()
        return served, distant.seen()[1]
