"""The datasets that a daemon serves: their names, and what opening each has come to.

Opening reads metadata from a store that may be slow or hang, so each is opened in a thread of its own, when it is
first asked for; whoever asks meanwhile waits for the same answer. Knows nothing of chunks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from octree_loader.planning import DatasetPlan, plan_dataset
from octree_loader.sources import open_source
from octree_loader.sources.base import SourceSpec
from octree_loader.sources.locations import shown_location
from octree_protocol.errors import OctreeError

#: Told what opening came to: the plan, or the reason why there is none.
Answer = Callable[[DatasetPlan | None, str], None]


@dataclass(slots=True)
class Entry:
    """One dataset of the catalogue. `state` is "closed", "opening", "open" or "unreadable"."""

    number: int
    spec: SourceSpec
    state: str = "closed"
    plan: DatasetPlan | None = None
    reason: str = ""
    waiting: list[Answer] = field(default_factory=list)


class Catalog:
    """All datasets by name.

    Parameters
    ----------
    specs
        In the order in which clients see them.
    tile_size
        Edge of a render chunk on the displayed axes, in voxels.
    call
        Has a function called in the daemon's own thread; answers are given there.
    """

    def __init__(
        self, specs: tuple[SourceSpec, ...], tile_size: int, call: Callable[[Callable[[], None]], None]
    ) -> None:
        self.entries = {spec.name: Entry(number, spec) for number, spec in enumerate(specs)}
        self._tile_size = tile_size
        self._call = call

    def names(self) -> tuple[str, ...]:
        """The names of all datasets."""
        return tuple(self.entries)

    def open(self, name: str, answer: Answer) -> None:
        """Open a dataset, if it is not open already, and tell `answer`. One that failed is tried anew."""
        entry = self.entries.get(name)
        if entry is None:
            known = ", ".join(list(self.entries)[:20]) or "none"
            answer(None, f"there is no dataset named {name!r}; this daemon serves: {known}")
            return
        if entry.plan is not None:
            answer(entry.plan, "")
            return
        entry.waiting.append(answer)
        if entry.state == "opening":
            return
        entry.state = "opening"
        threading.Thread(target=self._open, args=(entry,), name=f"octree-open-{name}", daemon=True).start()

    def _open(self, entry: Entry) -> None:
        plan, reason = None, ""
        try:
            plan = plan_spec(entry.number, entry.spec, self._tile_size)
        except OctreeError as error:
            reason = str(error)
        except Exception as error:  # a source is other people's code
            reason = f"{shown_location(entry.spec.location)} does not open: {type(error).__name__}: {error}"
        self._call(lambda: self._opened(entry, plan, reason))

    def _opened(self, entry: Entry, plan: DatasetPlan | None, reason: str) -> None:
        entry.plan, entry.reason = plan, reason
        entry.state = "open" if plan is not None else "unreadable"
        waiting, entry.waiting = entry.waiting, []
        for answer in waiting:
            answer(plan, reason)


def plan_spec(number: int, spec: SourceSpec, tile_size: int) -> DatasetPlan:
    """Open a dataset here and now, and plan its chunks. Raises `SourceError`."""
    return plan_dataset(number, spec.name, open_source(spec), tile_size)


def voxel_bytes(plan: DatasetPlan) -> int:
    """Bytes of one voxel of a dataset (of one sample, if it is a colour)."""
    return np.dtype(plan.dataset.dtype).itemsize
