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

#: Requests under way that the daemon must reach.
_UNDER_WAY = 64


def measure(options: Options) -> Measurements:
    """The daemon with its default configuration, then the library with as much under way, in turn."""
    found = Measurements()
    path = pyramid("zstd")
    with serve_from_afar(path) as distant:
        _bare(distant, 64)  # the server has read its files
        for _ in range(options.repeat):
            served, most = _through_daemon(distant)
            bare = _bare(distant, most)
            note = f"{LATENCY_MS} ms latency, chunks of {CHUNK}x{CHUNK}"
            found.add("daemon / bare library at as many under way", "", served / bare, 0.8, ">=", note)
            found.add("requests under way at once, most", "", most, _UNDER_WAY, ">=")
            found.add("daemon", "chunks/s", served)
            found.add("bare library", "chunks/s", bare, note="fetched, not decoded")
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


def _through_daemon(distant: Distant) -> tuple[float, int]:
    with octree_client.open(distant.url, settings={"memory": {"arena_bytes": 768 << 20}}) as session:
        image = session.dataset()
        # The workers are there, and know that they wait for this store.
        image.levels[1][:4096, :4096]
        time.sleep(2.0)
        distant.seen()
        served = Demand(session.connection, image.dataset.id, EDGE // CHUNK).run()
        return served, distant.seen()[1]
