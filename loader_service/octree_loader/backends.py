"""What every backend of the pools does, and what it tells. Only the shape: knows no processes and no sockets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from octree_loader.orders import OpenDataset, Outcome
from octree_loader.scheduling.actions import Load


class PoolEvents(Protocol):
    """What the pools tell: the scheduler's events, less the clock."""

    def worker_started(self, pool: int, worker: int, threads: int = 1) -> None:
        """A worker can take loads, `threads` of them side by side."""

    def worker_died(self, pool: int, worker: int, reason: str, over: Collection[int] | None = None) -> None:
        """A worker is gone, and writes nowhere any more.

        `over` are the loads that it had begun; if None, what it wrote into their slots tells.
        """

    def worker_left(self, pool: int, worker: int) -> None:
        """The same, and none of its loads is to blame."""

    def worker_leaves(self, pool: int, worker: int) -> None:
        """A worker is to be given nothing any more; what it has under way ends one by one."""

    def loads_at(self, pool: int, worker: int) -> list[Load]:
        """What a worker has under way, as far as its outcomes have been told."""

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Loads have ended."""

    def pool_offered(self, pool: int, workers: int, threads: int) -> None:
        """A cluster offers a pool so many workers, with so many threads in all."""

    def cluster_changed(self) -> None:
        """How the cluster stands is another."""

    def pool_withdrawn(self, pool: int) -> None:
        """The pool has workers of our own from now on."""


class Backend(Protocol):
    """The workers of one kind. Called from the daemon's loop only, and never waits but in `close`."""

    @property
    def name(self) -> str:
        """As the status shows it."""

    def warm_up(self) -> None:
        """Do now what would keep the first load waiting."""

    def add_dataset(self, order: OpenDataset) -> None:
        """Loads may name this dataset from now on."""

    def start(self, pool: int, worker: int) -> None:
        """Start a worker; `PoolEvents` tells when it can take loads, or that it never will."""

    def stop(self, pool: int, worker: int, reason: str) -> None:
        """Make an end of a worker that hangs, or (without a reason) of one that is not needed any more."""

    def load(self, loads: list[Load]) -> None:
        """Hand out loads to workers that have started."""

    def forget(self, loads: list[Load]) -> None:
        """Nobody wants these any more: those that have not begun may end as forgotten."""

    def pids(self) -> tuple[int, ...]:
        """The processes of ours that run now."""

    def close(self) -> None:
        """End all workers."""
