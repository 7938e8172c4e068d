"""How loads of a dataset behave: how long they take, and whether they wait or compute. Pure (no I/O).

From that follow whether requests skip the delay queue (`auto_sync_ms`), and how many loads a worker may have under
way: over a slow store concurrency decides, not speed, so a worker keeps several reads open; where the processor
decides, more under way than it takes to keep the worker busy only makes them harder to forget.
"""

from __future__ import annotations

import math
from bisect import bisect_left

#: Bounds of the classes into which a `Spread` sorts, in seconds: from a chunk in the page cache to one over the sea.
SPREAD_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

#: Weight of the newest load in the moving averages.
_NEWEST = 0.2

#: A load that takes less than this is fast, however much of it was spent waiting.
_WAITING_SECONDS = 0.005

#: Loads that a worker has under way while they mostly wait, at most.
WAITING_DEPTH = 16

#: What a load is taken to cost until one has ended. Seconds.
_UNKNOWN_SECONDS = 0.001

#: How fast bytes go through the daemon, about.
_BYTES_PER_SECOND = 1e9

#: Loads under way beyond what keeps the processors busy, so that a slow one leaves no hole.
_RESERVE = 1.25

#: A load that computes for so long is slow: who is behind it in the same worker waits for all of it.
SLOW_SECONDS = 0.05

#: Work that lies ready at a worker, so that it never idles for the length of a round trip ...
_WORK_AHEAD_SECONDS = 0.005

#: ... in at most so many loads.
_COMPUTING_DEPTH = 64

#: A cluster takes some 10 ms to and fro, and several loads in one task cost little more than one: so much work, in so
#: many loads, lies ready for each of its threads, in three tasks or so.
_CLUSTER_AHEAD_SECONDS = 0.03
_CLUSTER_DEPTH = 128


class LoadProfile:
    """Moving averages over the loads of one dataset.

    Attributes
    ----------
    wall, cpu, blocked
        Seconds that a load takes, computes, and waits for its store.
    waiting
        Whether loads mostly wait.
    """

    __slots__ = ("_depth", "blocked", "cpu", "loads", "waiting", "wall")

    def __init__(self) -> None:
        self.loads = 0
        self.wall = 0.0
        self.cpu = 0.0
        self.blocked = 0.0
        self.waiting = False
        #: While loads compute, how many lie ready; 0 if that is to be worked out.
        self._depth = 0

    def observe(self, wall: float, cpu: float, blocked: float) -> None:
        """One load took `wall` seconds; `cpu` of them it computed, `blocked` of them it waited for its store.

        The rest it waited for a processor, which says nothing of the store.
        """
        weight = _NEWEST if self.loads else 1.0
        self.loads += 1
        self._depth = 0
        self.wall += weight * (wall - self.wall)
        self.cpu += weight * (cpu - self.cpu)
        self.blocked += weight * (blocked - self.blocked)
        self.waiting = self.wall > _WAITING_SECONDS and self.blocked > self.cpu

    def depth(self, workers: int, cores: int) -> int:
        """How many loads each of `workers` workers should have under way."""
        if self.waiting:
            busy = _RESERVE * cores * (1.0 + self.blocked / max(self.cpu, 1e-6))
            return max(2, min(WAITING_DEPTH, math.ceil(busy / workers)))
        if not self._depth:
            ahead = math.ceil(_WORK_AHEAD_SECONDS / max(self.wall, 1e-6)) if self.loads else 2
            least = 1 if self.slow else 2  # the pause between two slow ones is nothing beside them
            self._depth = max(least, min(_COMPUTING_DEPTH, ahead))
        return self._depth

    def depth_in_cluster(self) -> int:
        """How many loads should be under way for each thread of a cluster: two at least, or there would be pauses."""
        if self.waiting:
            return 4 * WAITING_DEPTH
        if not self.loads:
            return 2
        return max(2, min(_CLUSTER_DEPTH, math.ceil(_CLUSTER_AHEAD_SECONDS / max(self.wall, 1e-6))))

    def cost(self, nbytes: int) -> float:
        """What a load of `nbytes` costs the others, in seconds: what `fairness` charges.

        The time that a worker is taken, less where it waits for a store: then it has other loads as well. And the
        bytes, which take the arena's room and somebody's time after it.
        """
        if not self.loads:
            return _UNKNOWN_SECONDS + nbytes / _BYTES_PER_SECOND
        waited = self.blocked / WAITING_DEPTH if self.waiting else self.blocked
        return self.cpu + waited + nbytes / _BYTES_PER_SECOND

    @property
    def slow(self) -> bool:
        """Whether a load is known to hold a worker up: it takes long, and has the worker for itself."""
        return self.loads > 0 and self.wall > SLOW_SECONDS and not self.waiting

    def fast(self, auto_sync_ms: float) -> bool:
        """Whether loads are known to take less than `auto_sync_ms`."""
        return self.loads > 0 and self.wall * 1e3 < auto_sync_ms


class Rate:
    """Chunks and bytes a second of late: decaying sums over some seconds."""

    __slots__ = ("_at", "_bytes", "_chunks")

    #: The past loses half of its weight in so many seconds.
    _HALF_LIFE = 2.0

    def __init__(self) -> None:
        self._at = 0.0
        self._chunks = 0.0
        self._bytes = 0.0

    def add(self, nbytes: int, now: float) -> None:
        """One chunk of `nbytes` was loaded."""
        self._decay(now)
        self._chunks += 1
        self._bytes += nbytes

    def per_second(self, now: float) -> tuple[float, float]:
        """(chunks, bytes) a second."""
        self._decay(now)
        weight = math.log(2) / self._HALF_LIFE
        return self._chunks * weight, self._bytes * weight

    def _decay(self, now: float) -> None:
        if now > self._at:
            factor = 0.5 ** ((now - self._at) / self._HALF_LIFE)
            self._chunks *= factor
            self._bytes *= factor
            self._at = now


class Spread:
    """How long loads took, all of them: `counts` has how many were at most `SPREAD_BOUNDS`, and last those beyond.

    Unlike a moving average it can be added up over daemons, and subtracted from what it was before.
    """

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(SPREAD_BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """One load took `seconds`."""
        self.counts[bisect_left(SPREAD_BOUNDS, seconds)] += 1
        self.seconds += seconds
