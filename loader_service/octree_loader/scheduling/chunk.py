"""The life of a chunk, and the working sets that want it. Pure (no I/O): values that only `scheduler` changes."""

from __future__ import annotations

import math
from enum import Enum

from octree_loader.scheduling.actions import Client
from octree_loader.scheduling.delay import ViewQueue
from octree_loader.scheduling.outbox import Outbox
from octree_protocol.geometry import Level
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Ready


class ChunkState(Enum):
    """Where a chunk stands."""

    WAITING = "waiting"
    LOADING = "loading"
    READY = "ready"
    MISSING = "missing"
    FAILED = "failed"


_WAITING = ChunkState.WAITING


class Chunk:
    """All that the scheduler knows of one chunk."""

    __slots__ = (
        "announcement",
        "apart",
        "errors",
        "generation",
        "key",
        "nbytes",
        "not_before",
        "rank",
        "reason",
        "shape",
        "since",
        "slot",
        "state",
        "task",
        "views",
    )

    def __init__(self, key: ChunkKey, shape: tuple[int, ...], nbytes: int, now: float) -> None:
        self.key = key
        self.shape = shape
        self.nbytes = nbytes
        self.state = _WAITING
        self.views: list[View] = []
        self.since = now
        self.not_before = 0.0
        #: Of the queue that it was last taken from.
        self.rank = 0
        self.slot = -1
        self.generation = 0
        #: That loads it, or loaded it last.
        self.task = -1
        self.errors = 0
        self.reason = ""
        #: Not to be read together with others any more: one of them failed.
        self.apart = False
        self.announcement: Ready | None = None


class View:
    """One working set of one client, and what of it still waits, by pool. `outbox`: where the client is told."""

    __slots__ = ("client", "key", "number", "outbox", "queues", "sequence", "wanted")

    def __init__(self, client: Client, number: int, outbox: Outbox) -> None:
        self.client = client
        self.number = number
        self.key = client, number
        self.outbox = outbox
        self.sequence = -1
        self.wanted: dict[ChunkKey, Chunk] = {}
        self.queues: dict[int, ViewQueue[Chunk]] = {}


class LevelCut:
    """How a level is cut, with what is asked for every chunk worked out once."""

    __slots__ = ("_itemsize", "_last", "_level", "_whole")

    def __init__(self, level: Level, itemsize: int) -> None:
        self._level = level
        self._itemsize = itemsize
        self._last = tuple(n - 1 for n in level.grid())
        self._whole = (level.chunk_shape, math.prod(level.chunk_shape) * itemsize)

    def shape_and_bytes(self, index: tuple[int, ...]) -> tuple[tuple[int, ...], int] | None:
        """Voxels of a chunk along each axis, and the bytes of its payload; None if there is no such chunk."""
        if len(index) != len(self._last):
            return None
        for i, last in zip(index, self._last, strict=True):
            if not 0 <= i < last:
                break
        else:
            return self._whole
        if not self._level.contains(index):
            return None
        shape = self._level.chunk_voxels(index)
        return shape, math.prod(shape) * self._itemsize
