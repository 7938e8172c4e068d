"""What the scheduler writes down. Pure (no I/O): values that only `scheduler`, `wanting` and `ending` change."""

from __future__ import annotations

from collections.abc import Sequence

from octree_loader.scheduling.actions import Client, PoolSpec
from octree_loader.scheduling.arena import Arena
from octree_loader.scheduling.chunk import Chunk, ChunkState, View
from octree_loader.scheduling.dataset_book import DatasetBook
from octree_loader.scheduling.delay import ViewQueue
from octree_loader.scheduling.outbox import Outbox
from octree_loader.scheduling.placement import Pool, Task
from octree_protocol.keys import ChunkKey


class Books:
    """All that is known of datasets, chunks, clients and workers.

    Attributes
    ----------
    pools
        Sorted by relative level.
    pool_of_relative
        Which pool a relative level goes to.
    chunks
        All that are wanted, under way, or in the arena.
    tasks
        The loads under way.
    deaths
        How many workers died over a chunk.
    let_go_of
        Tasks in a cluster that were let go of since the last decision.
    """

    __slots__ = (
        "arena",
        "chunks",
        "datasets",
        "deaths",
        "forgotten_loading",
        "forgotten_waiting",
        "let_go_of",
        "outboxes",
        "pool_of_relative",
        "pools",
        "tasks",
        "views",
    )

    def __init__(self, arena: Arena, pools: Sequence[PoolSpec]) -> None:
        self.arena = arena
        self.pools = [Pool(number, spec) for number, spec in enumerate(pools)]
        self.pool_of_relative = {
            relative: max([p.number for p in self.pools if p.spec.relative_level <= relative], default=0)
            for relative in range(-128, 129)
        }
        self.datasets: dict[int, DatasetBook] = {}
        self.chunks: dict[ChunkKey, Chunk] = {}
        self.views: dict[tuple[Client, int], View] = {}
        self.outboxes: dict[Client, Outbox] = {}
        self.tasks: dict[int, Task] = {}
        self.deaths: dict[ChunkKey, int] = {}
        self.let_go_of: list[int] = []
        self.forgotten_waiting = 0
        self.forgotten_loading = 0

    def outbox(self, client: Client) -> Outbox:
        """The one of a client, from now until it leaves."""
        outbox = self.outboxes.get(client)
        if outbox is None:
            outbox = self.outboxes[client] = Outbox()
        return outbox

    def wait_again(self, chunk: Chunk, now: float, rank: int = 0) -> None:
        """Put a chunk whose load came to nothing back in line for all who want it, by default ahead of its tier."""
        self.arena.discard(chunk.slot)
        chunk.slot = -1
        if not chunk.views:
            del self.chunks[chunk.key]
            return
        chunk.state = ChunkState.WAITING
        for view in chunk.views:
            number = next(iter(view.queues), None)
            if number is None:
                number = 0
                view.queues[0] = ViewQueue()
                self.pools[0].views.append(view)
            view.queues[number].delay(max(now, chunk.not_before), rank, chunk)

    def validate(self) -> None:
        """Raise `AssertionError` if any two parts of the books contradict each other."""
        self.arena.validate()
        waiting, loading, ready = ChunkState.WAITING, ChunkState.LOADING, ChunkState.READY
        for key, chunk in self.chunks.items():
            assert chunk.key == key
            assert (chunk.slot >= 0) == (chunk.state in (loading, ready)), (key, chunk.state, chunk.slot)
            assert chunk.views or chunk.state in (loading, ready), f"{key} is kept for no one"
            assert len(set(map(id, chunk.views))) == len(chunk.views)
            for view in chunk.views:
                assert view.wanted.get(key) is chunk
        for view in self.views.values():
            assert self.outboxes[view.client] is view.outbox
            queued = {id(c) for q in view.queues.values() for _, c in q.ready}
            queued |= {id(c) for q in view.queues.values() for _, _, c in q.delayed}
            for key, chunk in view.wanted.items():
                assert view in chunk.views
                assert self.chunks[key] is chunk
                assert chunk.state is not waiting or id(chunk) in queued, f"{key} waits in no queue"
        under_way = [c for t in self.tasks.values() for c in t.chunks]
        assert len(under_way) == len({id(c) for c in under_way})
        assert {c.key for c in under_way} == {k for k, c in self.chunks.items() if c.state is loading}
        for number, task in self.tasks.items():
            assert task.worker.tasks[number] is task
            assert task.pool.workers[task.worker.number] is task.worker
        assert sum(len(w.tasks) for p in self.pools for w in p.workers.values()) == len(self.tasks)
        slots = [c.slot for c in self.chunks.values() if c.slot >= 0]
        assert len(slots) == len(set(slots)), "two chunks in one slot"
        for pool in self.pools:
            assert all(pool.number in view.queues for view in pool.views)
            ours = [w for w in pool.workers.values() if not w.stopping] if pool.offer is None else []
            assert len(ours) <= pool.spec.workers_most
