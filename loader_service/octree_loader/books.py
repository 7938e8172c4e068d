"""What the scheduler writes down of each dataset, and of what each client is still to be told. Pure (no I/O)."""

from __future__ import annotations

from octree_loader.chunk import LevelCut
from octree_loader.planning import DatasetPlan
from octree_loader.profile import LoadProfile, Rate
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Failure, LoadTime, Ready


class DatasetBook:
    """One dataset: its plan, how it loads, and what came of its chunks so far."""

    __slots__ = (
        "built",
        "chunks",
        "cuts",
        "dtype",
        "failed",
        "made",
        "missing",
        "nbytes",
        "plan",
        "profile",
        "profile_changed",
        "rate",
    )

    def __init__(self, plan: DatasetPlan, dtype: str, itemsize: int) -> None:
        self.plan = plan
        self.dtype = dtype
        self.cuts = [LevelCut(level, itemsize) for level in plan.dataset.levels]
        self.profile = LoadProfile()
        #: Of the levels that are not stored: to make a chunk may take a hundred times as long as to read one.
        self.made = LoadProfile()
        #: Whether all of them lie in the cache.
        self.built = False
        self.profile_changed = False
        self.rate = Rate()
        self.chunks = 0
        self.nbytes = 0
        self.missing = 0
        self.failed = 0

    def costs_more_than_finer(self, level: int) -> bool:
        """Whether a chunk of a level is still to be made of all the finer ones below it."""
        making = self.plan.making
        return making is not None and not self.built and level in making.averaged(len(self.plan.levels))

    def profile_of(self, level: int) -> LoadProfile:
        """How loads of a level behave."""
        return self.made if self.plan.makes(level) else self.profile


class Outbox:
    """What a client is to be told next."""

    __slots__ = ("failed", "load_times", "missing", "ready")

    def __init__(self) -> None:
        self.ready: list[Ready] = []
        self.missing: list[ChunkKey] = []
        self.failed: list[Failure] = []
        self.load_times: list[LoadTime] = []
