"""Loads carried out in the daemon's own thread, one by one, when the configuration says ``force_synchronous``."""

from __future__ import annotations

from octree_loader.backends import PoolEvents
from octree_loader.memory import Segment
from octree_loader.orders import LoadOrder, OpenDataset, order_of
from octree_loader.scheduling.actions import Load
from octree_loader.worker import Loader


class OwnThread:
    """A `Backend` without workers: whoever runs the loop calls `run_one` now and then."""

    name = "synchronous"

    def __init__(self, segment: Segment, events: PoolEvents) -> None:
        self._events = events
        self._loader = Loader(segment.view)
        self._loads: list[LoadOrder] = []

    def warm_up(self) -> None:
        """See `Backend`: nothing to be done."""

    def add_dataset(self, order: OpenDataset) -> None:
        """See `Backend`."""
        self._loader.add(order)

    def start(self, pool: int, worker: int) -> None:
        """See `Backend`."""
        self._events.worker_started(pool, worker)

    def stop(self, pool: int, worker: int, reason: str) -> None:
        """See `Backend`: between two loads nothing hangs, and during one nobody asks."""

    def load(self, loads: list[Load]) -> None:
        """See `Backend`."""
        self._loads += [order_of(load) for load in loads]

    def forget(self, loads: list[Load]) -> None:
        """See `Backend`: there is never more than one."""

    def run_one(self) -> bool:
        """Carry out one load. Returns whether more are waiting."""
        if self._loads:
            self._events.outcomes((self._loader.load(self._loads.pop(0)),))
        return bool(self._loads)

    def pids(self) -> tuple[int, ...]:
        """See `Backend`: none."""
        return ()

    def close(self) -> None:
        """See `Backend`: nothing to be done."""
