"""The delay queue of a view: nothing leaves early, and what leaves comes in the order of its rank."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from octree_loader.scheduling.chunk import Chunk
from octree_loader.scheduling.delay import ViewQueue
from octree_protocol.keys import ChunkKey

ENTRIES = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1000)), max_size=30)


def chunks(entries: list[tuple[float, int]]) -> list[tuple[float, int, Chunk]]:
    return [(due, rank, Chunk(ChunkKey(0, 0, (n,)), (16,), 16, 0.0)) for n, (due, rank) in enumerate(entries)]


@settings(deadline=None, max_examples=200)
@given(ENTRIES, ENTRIES, st.lists(st.floats(0, 100), max_size=5))
def test_at_each_moment_the_due_are_ready_and_the_others_are_not(
    ready: list[tuple[float, int]], delayed: list[tuple[float, int]], moments: list[float]
) -> None:
    queue = ViewQueue()
    entries = chunks(delayed)
    queue.replace([(rank, chunk) for _, rank, chunk in chunks(ready)], list(entries))
    for now in sorted(moments):
        queue.promote(now)
        assert all(due > now for due, _, _ in queue.delayed)
        assert {id(chunk) for due, _, chunk in entries if due <= now} <= {id(chunk) for _, chunk in queue.ready}
        assert [rank for rank, _ in queue.ready] == sorted((rank for rank, _ in queue.ready), reverse=True)
        assert len(queue) == len(ready) + len(delayed)
        assert queue.next_due() == min((due for due, _, _ in entries if due > now), default=None)


def test_a_new_want_forgets_what_it_does_not_name() -> None:
    queue = ViewQueue()
    queue.replace([], chunks([(1.0, 5), (2.0, 6)]))
    queue.replace([], chunks([(3.0, 7)]))
    assert len(queue) == 1
    assert queue.next_due() == 3.0


def test_what_is_put_back_waits_among_the_others() -> None:
    queue = ViewQueue()
    early, late, between = chunks([(1.0, 1), (9.0, 2), (5.0, 3)])
    queue.replace([], [early, late])
    queue.delay(*between)
    assert [due for due, _, _ in queue.delayed] == [9.0, 5.0, 1.0]
