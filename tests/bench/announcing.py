"""From the worker's last byte to the client that asked: how long a chunk lies in its slot before anyone knows.

Both ends read the machine's monotonic clock: `Ready.filled_ns` when the worker is done, and the thread that asked when
it has the announcement in its hands.
"""

from __future__ import annotations

import threading
import time

from tests.bench.control import Relay
from tests.bench.data import CHUNK, EDGE, pyramid, warm
from tests.bench.figures import Measurements, percentile
from tests.bench.sections import Options

import octree_client
from octree_client.transport.connection import Connection
from octree_client.transport.inbox import Lost
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Announce, Wanted

_RATE = 1000
_CHUNKS = 3000


def measure(options: Options) -> Measurements:
    """One new chunk wanted every millisecond, of a daemon that runs for some seconds and has prepared its arena."""
    found = Measurements()
    path = pyramid("lz4")
    warm(path)
    for _ in range(options.repeat):
        with octree_client.open(path, settings={"memory": {"arena_bytes": 192 << 20}}) as session:
            image = session.dataset()
            image.levels[1][:2048, :2048]  # workers are started
            time.sleep(3.0)
            with Relay(_RATE) as control:
                rate, latencies = latencies_at(session.connection, image.dataset.id, _RATE, range(_CHUNKS))
        bare = [percentile(control.latencies, share) for share in (0.5, 0.99)]
        ours = [percentile(latencies, share) for share in (0.5, 0.99)]
        note = "at the same time, three processes that only pass a stamp on: {:.2f} ms"
        found.add("slot filled to client sees it, p50", "ms", ours[0], 0.3, note=note.format(bare[0]))
        found.add("slot filled to client sees it, p99", "ms", ours[1], 3.0, note=note.format(bare[1]))
        found.add("the same hops without us, p50", "ms", bare[0], note="what the machine does by itself")
        found.add("the same hops without us, p99", "ms", bare[1], note="what the machine does by itself")
        found.add("p99 of ours / without us", "", ours[1] / bare[1])
        found.add("chunks a second meanwhile", "/s", rate, note=f"{_RATE} are asked for")
    return found


def latencies_at(connection: Connection, dataset: int, asked_rate: float, numbers: range) -> tuple[float, list[float]]:
    """Want one of some chunks after the other, so many a second: chunks a second that came, milliseconds of each."""
    across = EDGE // CHUNK
    something = threading.Event()
    inbox = connection.open_view(something.set)
    wanted: dict[ChunkKey, Wanted] = {}
    latencies: list[float] = []
    asked = 0
    began = time.perf_counter()
    while len(latencies) < len(numbers):
        due = min(len(numbers), int((time.perf_counter() - began) * asked_rate) + 1)
        if due > asked:
            for number in numbers[asked:due]:
                key = ChunkKey(dataset, 0, (number // across, number % across))
                wanted[key] = Wanted(key, 0, Tier.VISIBLE, 0)
            asked = due
            connection.want(inbox, tuple(wanted.values()))
        next_at = began + asked / asked_rate if asked < len(numbers) else time.perf_counter() + 1.0
        assert time.perf_counter() - began < 60, f"only {len(latencies)} of {len(numbers)} chunks came"
        if not something.wait(max(0.0, next_at - time.perf_counter())):
            continue
        something.clear()
        for event in inbox.take():
            assert not isinstance(event, Lost), event.reason
            if isinstance(event, Announce):
                now = time.monotonic_ns()
                latencies += [
                    (now - ready.filled_ns) * 1e-6 for ready in event.ready if wanted.pop(ready.key, None) is not None
                ]
                if asked == len(numbers):  # what has come must not keep the rest out of the arena
                    connection.want(inbox, tuple(wanted.values()))
    seconds = time.perf_counter() - began
    connection.close_view(inbox)
    return len(numbers) / seconds, latencies
