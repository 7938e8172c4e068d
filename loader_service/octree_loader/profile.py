"""How loads of a dataset behave: how long they take, and whether they wait or compute. Pure (no I/O).

From that follow whether requests skip the delay queue (`auto_sync_ms`), and how many loads a worker may have under
way: over a slow store concurrency decides, not speed, so a worker keeps several reads open; where the processor
decides, more under way than it takes to keep the worker busy only makes them harder to forget.
"""

from __future__ import annotations

import math

#: Weight of the newest load in the moving averages.
_NEWEST = 0.2

#: A load that takes less than this is fast, however much of it was spent waiting.
_WAITING_SECONDS = 0.005

#: Loads that a worker has under way while they mostly wait.
WAITING_DEPTH = 8

#: Work that lies ready at a worker, so that it never idles for the length of a round trip ...
_WORK_AHEAD_SECONDS = 0.002

#: ... in at most so many loads.
_COMPUTING_DEPTH = 32


class LoadProfile:
    """Moving averages over the loads of one dataset. Seconds."""

    __slots__ = ("cpu", "loads", "waiting", "wall")

    def __init__(self) -> None:
        self.loads = 0
        self.wall = 0.0
        self.cpu = 0.0
        self.waiting = False

    def observe(self, wall: float, cpu: float, crowd: float) -> None:
        """One load took `wall` seconds and `cpu` seconds of processor time, with `crowd` busy workers for each core."""
        weight = _NEWEST if self.loads else 1.0
        self.loads += 1
        self.wall += weight * (wall - self.wall)
        self.cpu += weight * (cpu - self.cpu)
        # What computes among more workers than cores is stretched by the crowd; that is no waiting.
        self.waiting = self.wall > _WAITING_SECONDS and self.cpu * max(1.0, crowd) < 0.5 * self.wall

    def depth(self) -> int:
        """How many loads a worker should have under way."""
        if self.waiting:
            return WAITING_DEPTH
        if not self.loads:
            return 2
        return max(2, min(_COMPUTING_DEPTH, math.ceil(_WORK_AHEAD_SECONDS / max(self.wall, 1e-6))))

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
