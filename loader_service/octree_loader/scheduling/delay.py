"""Where a request can still be forgotten for free, and the order in which requests leave. Pure (no I/O).

A `ViewQueue` holds what one view wants of one pool and what no worker has begun: first in the delay queue, then by
rank. It is built anew from every Want, so cancelling is leaving out: nothing in it is ever stale. Knows nothing of what
waits.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

#: What waits: a chunk, to the scheduler.
Chunk = TypeVar("Chunk")

#: (rank, chunk) of what may start.
Ranked = tuple[int, Chunk]

#: (when it may start, rank, chunk).
Delayed = tuple[float, int, Chunk]


def _descending(entry: Ranked[Any]) -> int:
    return -entry[0]


def _latest_first(entry: Delayed[Any]) -> float:
    return -entry[0]


class ViewQueue(Generic[Chunk]):
    """What one view still waits for in one pool.

    `delayed` is sorted so that the first to leave is last, and so is `ready`: both are consumed from the end.
    """

    __slots__ = ("delayed", "ready")

    def __init__(self) -> None:
        self.delayed: list[Delayed[Chunk]] = []
        self.ready: list[Ranked[Chunk]] = []

    def replace(self, ready: list[Ranked[Chunk]], delayed: list[Delayed[Chunk]]) -> None:
        """Take over the entries of a new Want."""
        ready.sort(key=_descending)
        if len(delayed) > 1:
            delayed.sort(key=_latest_first)
        self.ready = ready
        self.delayed = delayed

    def promote(self, now: float) -> None:
        """Let everything out of the delay queue that has waited long enough at `now` (seconds)."""
        delayed = self.delayed
        if not delayed or delayed[-1][0] > now:
            return
        while delayed and delayed[-1][0] <= now:
            _, rank, chunk = delayed.pop()
            self.ready.append((rank, chunk))
        self.ready.sort(key=_descending)

    def delay(self, due: float, rank: int, chunk: Chunk) -> None:
        """Put one entry (back) into the delay queue, to leave it at `due`."""
        self.delayed.append((due, rank, chunk))
        self.delayed.sort(key=_latest_first)

    def next_due(self) -> float | None:
        """When the next entry leaves the delay queue."""
        return self.delayed[-1][0] if self.delayed else None

    def __len__(self) -> int:
        return len(self.delayed) + len(self.ready)
