"""Requests that a view of a distant, sharded image costs, against one for each inner chunk that it shows.

A client wants what a window of 1024 x 768 shows at full resolution, at one random place after the other; the server
counts. Indices count as requests of ours, though not among those that we are compared with.
"""

from __future__ import annotations

import random
import threading

from tests.bench.data import sharded
from tests.bench.distant import serve_from_afar
from tests.bench.figures import Measurements
from tests.bench.sections import Options

import octree_client
from octree_client.transport.connection import Connection
from octree_protocol.geometry import Dataset
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Announce, Wanted

_EDGE = 8192
_SHARD = 4096
_WINDOW = (768, 1024)
_VIEWS = 20


def measure(options: Options) -> Measurements:
    """Inner chunks as large as tiles, and small ones."""
    found = Measurements()
    for inner in (256, 64):
        path = sharded(_EDGE, _SHARD, inner)
        for repetition in range(options.repeat):
            with (
                serve_from_afar(path) as distant,
                octree_client.open(distant.url, settings={"loader_defaults": {"delay_queue_ms": 0}}) as session,
            ):
                requests, alone = 0, 0
                chance = random.Random(repetition)
                for _ in range(_VIEWS):
                    corner = [chance.randrange(_EDGE - edge) for edge in _WINDOW]
                    distant.seen()
                    _show(session.connection, session.dataset().dataset, corner)
                    requests += distant.seen()[0]
                    alone += _cells(corner, inner)
            found.add(
                f"inner chunks of {inner}x{inner}: requests / inner chunks in view",
                "",
                requests / alone,
                0.2,
                note=f"{requests / _VIEWS:.1f} requests for {alone / _VIEWS:.0f} chunks, mean of {_VIEWS} views",
            )
    return found


def _cells(corner: list[int], edge: int) -> int:
    rows, columns = ((low + extent - 1) // edge - low // edge + 1 for low, extent in zip(corner, _WINDOW, strict=True))
    return rows * columns


def _show(connection: Connection, dataset: Dataset, corner: list[int]) -> None:
    """Want what a window shows, and wait until all is there."""
    edge = dataset.levels[0].chunk_shape[0]
    rows, columns = (
        range(low // edge, (low + extent - 1) // edge + 1) for low, extent in zip(corner, _WINDOW, strict=True)
    )
    missing = {ChunkKey(dataset.id, 0, (row, column)) for row in rows for column in columns}
    something = threading.Event()
    inbox = connection.open_view(something.set)
    connection.want(inbox, tuple(Wanted(key, 0, Tier.VISIBLE, number) for number, key in enumerate(missing)))
    while missing:
        assert something.wait(30), "nothing comes any more"
        something.clear()
        for event in inbox.take():
            if isinstance(event, Announce):
                assert not event.failed, event.failed[0]
                missing.difference_update(ready.key for ready in event.ready)
    connection.close_view(inbox)
