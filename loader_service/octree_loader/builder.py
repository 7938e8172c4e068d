"""Which made chunk is computed next while nobody waits for anything. Pure (no I/O).

A client of the scheduler like any other, at the lowest tier: level by level, from the finest made one up, so that each
is made of chunks that are there; a small window at a time, so that it takes a slot or two and never the arena. What it
gets is kept on disk by whoever made it; the builder only counts. Knows no files: it is told how to look for a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

from octree_loader.pyramid import Making
from octree_protocol import limits
from octree_protocol.geometry import Dataset
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Announce, LevelProgress, Wanted

#: Says whether a chunk of a level has been made.
Has = Callable[[int, tuple[int, ...]], bool]

#: Chunks that are looked for at once: each is a question to the file system.
_LOOKED_FOR = 64

#: A dataset of which so many chunks could not be made is left alone.
_FAILURES = 64


class _Work:
    __slots__ = ("done", "failed", "has", "todo", "total")

    def __init__(self, dataset: Dataset, kept: range, has: Has) -> None:
        self.has = has
        self.todo = self._chunks(dataset, kept)
        self.total = 0
        for level in kept:
            count = 1
            for edge in dataset.levels[level].grid():
                count *= edge
            self.total += count
        self.done = 0
        self.failed = 0

    @staticmethod
    def _chunks(dataset: Dataset, kept: range) -> Iterator[ChunkKey]:
        for level in kept:
            for index in product(*map(range, dataset.levels[level].grid())):
                yield ChunkKey(dataset.id, level, index)


class Builder:
    """What is to be made, for all datasets.

    Parameters
    ----------
    window
        Chunks that are wanted at the same time.
    """

    def __init__(self, window: int) -> None:
        self._window = max(1, window)
        self._works: dict[int, _Work] = {}
        self._under_way: dict[ChunkKey, None] = {}
        self._told: dict[int, tuple[int, int]] = {}
        #: Something was announced to us that a client wanted, too: it is held until the next working set.
        self._holds = False
        self.looking = False

    def add(self, dataset: Dataset, making: Making, has: Has) -> None:
        """A dataset whose levels are to be made, as far as they are kept."""
        kept = making.kept(len(dataset.levels))
        if kept and dataset.id not in self._works:
            self._works[dataset.id] = _Work(dataset, kept, has)

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return (
            self._holds
            or bool(self._under_way)
            or any(work.done + work.failed < work.total for work in self._works.values())
        )

    @property
    def hungry(self) -> bool:
        """Whether the window has room for more."""
        return len(self._under_way) < self._window

    def wants(self) -> list[Wanted]:
        """The whole working set from now on. One call looks at a bounded number of chunks: `looking` for more."""
        looked, self._holds = 0, False
        for work in self._works.values():
            while self.hungry and looked < _LOOKED_FOR:
                key = next(work.todo, None)
                if key is None:
                    break
                looked += 1
                if work.has(key.level, key.index):
                    work.done += 1
                else:
                    self._under_way[key] = None
        self.looking = looked == _LOOKED_FOR and self.hungry
        # To all pools in turn: so the workers of each are there when the first viewer needs them.
        return [
            Wanted(key, limits.LEVELS if key.index[-1] % 2 else 0, Tier.RECENT, number)
            for number, key in enumerate(self._under_way)
        ]

    def heard(self, announce: Announce) -> None:
        """What became of chunks that were wanted."""
        self._holds |= bool(announce.ready or announce.failed)
        for key in (*(ready.key for ready in announce.ready), *announce.missing):
            if key in self._under_way:
                work = self._works[key.dataset]
                # Where the disk takes no more, all work is in vain.
                self._end(key, kept=work.has(key.level, key.index))
        for failure in announce.failed:
            if failure.key in self._under_way:
                self._end(failure.key, kept=False)

    def _end(self, key: ChunkKey, kept: bool) -> None:
        del self._under_way[key]
        work = self._works[key.dataset]
        if kept:
            work.done += 1
            return
        work.failed += 1
        if work.failed >= _FAILURES:
            work.todo, work.failed = iter(()), work.total - work.done

    def progress(self, dataset: int) -> tuple[int, int]:
        """Chunks of a dataset that are made, and that are to be made; (0, 0) where there is nothing to make."""
        work = self._works.get(dataset)
        return (0, 0) if work is None else (work.done, work.total)

    def news(self) -> tuple[LevelProgress, ...]:
        """The progress of the datasets where it is not what it was the last time."""
        found = []
        for dataset in self._works:
            now = self.progress(dataset)
            if self._told.get(dataset) != now:
                self._told[dataset] = now
                found.append(LevelProgress(dataset, *now))
        return tuple(found)

    def all_progress(self) -> tuple[LevelProgress, ...]:
        """The progress of all datasets, for a client that has just come."""
        return tuple(LevelProgress(dataset, *self.progress(dataset)) for dataset in self._works)
