"""How many loads are one task of dask. Pure (no I/O).

A task costs the cluster 1 to 2 ms of processor, however little it does, so small loads travel together; but a batch
that is begun is done to its end before anyone hears of it, so it is not large either. And a task that lies ready at a
worker cannot be changed any more, so there are few of them; what else there is waits, and is cut when its turn comes.
Knows neither dask nor workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from octree_loader.cluster.orders import ClusterLoad

#: Work in a batch of several loads, at most. Seconds.
BATCH_SECONDS = 0.012

#: Loads in a batch, at most: those that wait for their store do so side by side.
BATCH_LOADS, BATCH_WAITING = 64, 32

#: Voxels in a batch that come back as bytes, at most.
BATCH_BYTES = 16 << 20

#: Tasks that a worker has beyond one for each of its threads, so that it never waits for the next.
TASKS_AHEAD = 2

#: Weight of the newest load in the moving average.
_NEWEST = 0.2


class LoadTimes:
    """How long loads take, by dataset and level. Seconds."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, int], float] = {}

    def observe(self, dataset: int, level: int, seconds: float) -> None:
        """One load took so long."""
        before = self._seconds.get((dataset, level), seconds)
        self._seconds[dataset, level] = before + _NEWEST * (seconds - before)

    def expected(self, dataset: int, level: int) -> float | None:
        """How long the next one will take; None if nobody knows."""
        return self._seconds.get((dataset, level))


def next_batch(loads: Iterable[ClusterLoad], times: LoadTimes, nbytes: Callable[[ClusterLoad], int]) -> int:
    """How many of the loads that wait for a worker are its next task: the first so many, at least one.

    Parameters
    ----------
    loads
        In their order; never none.
    times
        What is known of such loads; one of which nothing is known goes by itself.
    nbytes
        The bytes that come back from a load; 0 where it writes into the arena.
    """
    count, seconds, size, concurrent = 0, 0.0, 0, False
    for load in loads:
        order = load.order
        expected = times.expected(order.dataset, order.level)
        if order.concurrent:  # they take together as long as one
            seconds += BATCH_SECONDS / BATCH_WAITING
        else:
            seconds += BATCH_SECONDS if expected is None else expected
        size += nbytes(load)
        enough = seconds > BATCH_SECONDS * (1 + 1e-9) or size > BATCH_BYTES or count >= BATCH_LOADS
        if count and (enough or concurrent != order.concurrent):
            break
        concurrent = order.concurrent
        count += 1
    return count
