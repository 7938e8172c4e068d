"""Batches: how many loads are one task of dask."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octree_loader.cluster.batches import (
    BATCH_BYTES,
    BATCH_LOADS,
    BATCH_SECONDS,
    BATCH_WAITING,
    LoadTimes,
    next_batch,
)
from octree_loader.cluster.orders import ClusterLoad
from octree_loader.orders import LoadOrder


def load(number: int = 0, level: int = 0, concurrent: bool = False) -> ClusterLoad:
    return ClusterLoad(0, 0, 1, LoadOrder(number, 0, level, concurrent, ((0, 0),), (4096,)))


def times(*seconds: float) -> LoadTimes:
    """Of levels 0, 1, ..."""
    known = LoadTimes()
    for level, one in enumerate(seconds):
        known.observe(0, level, one)
    return known


def no_bytes(load: ClusterLoad) -> int:  # noqa: ARG001
    return 0


def test_a_load_of_which_nothing_is_known_goes_by_itself() -> None:
    assert next_batch([load()] * 8, LoadTimes(), no_bytes) == 1


def test_small_loads_travel_together_and_slow_ones_alone() -> None:
    assert next_batch([load()] * 500, times(0.0001), no_bytes) == BATCH_LOADS
    assert next_batch([load()] * 500, times(0.001), no_bytes) == 12
    assert next_batch([load()] * 500, times(0.02), no_bytes) == 1


def test_loads_that_wait_do_so_side_by_side() -> None:
    assert next_batch([load(concurrent=True)] * 500, times(2.0), no_bytes) == BATCH_WAITING
    assert next_batch([load(), load(concurrent=True)], times(0.0001), no_bytes) == 1


def test_what_comes_back_as_bytes_is_not_too_much_at_once() -> None:
    assert next_batch([load()] * 500, times(0.0001), lambda _: BATCH_BYTES // 3) == 3
    assert next_batch([load()] * 500, times(0.0001), lambda _: 2 * BATCH_BYTES) == 1


def test_the_average_follows_what_is_observed() -> None:
    known = times(0.001)
    for _ in range(50):
        known.observe(0, 0, 0.1)
    expected = known.expected(0, 0)
    assert expected is not None
    assert 0.09 < expected < 0.1
    assert known.expected(1, 0) is None


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, BATCH_BYTES)), min_size=1, max_size=200),
    st.lists(st.floats(1e-6, 1.0), max_size=3),
)
def test_batches_are_whole_in_order_and_within_bounds(
    wanted: list[tuple[int, bool, int]], seconds: list[float]
) -> None:
    known = times(*seconds)
    loads = [load(number, level, concurrent) for number, (level, concurrent, _) in enumerate(wanted)]
    left = list(loads)
    while left:
        count = next_batch(left, known, lambda one: wanted[one.order.task][2])
        assert 1 <= count <= min(len(left), BATCH_LOADS)
        batch, left = left[:count], left[count:]
        assert len({one.order.concurrent for one in batch}) == 1
        if count > 1:
            assert sum(wanted[one.order.task][2] for one in batch) <= BATCH_BYTES
            if not batch[0].order.concurrent:
                assert sum(known.expected(0, one.order.level) or 1.0 for one in batch) <= BATCH_SECONDS * 1.001
