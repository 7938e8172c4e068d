"""What the scheduler writes down of one dataset. Pure (no I/O): values that only `scheduler` and `ending` change."""

from __future__ import annotations

from octree_loader.planning import DatasetPlan
from octree_loader.scheduling.chunk import LevelCut
from octree_loader.scheduling.profile import LoadProfile, Rate


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
        "profiles",
        "rate",
    )

    def __init__(self, plan: DatasetPlan, dtype: str, itemsize: int) -> None:
        self.plan = plan
        self.dtype = dtype
        self.cuts = [LevelCut(level, itemsize) for level in plan.dataset.levels]
        self.profile = LoadProfile()
        #: Of the levels that are not stored: to make a chunk may take a hundred times as long as to read one.
        self.made = LoadProfile()
        #: How loads of each level behave.
        self.profiles = [self.made if plan.makes(level) else self.profile for level in range(len(plan.levels))]
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
