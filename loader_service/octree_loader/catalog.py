"""The datasets that a daemon serves: their names, and what opening each has come to.

Opening reads metadata from a store that may be slow or hang, so each is opened in a thread of its own, when it is
first asked for; whoever asks meanwhile waits for the same answer. What lies inside of a dataset (fields of a plate,
series of a file, labels) is listed when the dataset is first opened, or when a name below its own is asked for. Knows
nothing of chunks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from octree_loader.describing import Looking, look_here
from octree_loader.level_cache import CacheRoot, fingerprint
from octree_loader.planning import DatasetPlan, plan_dataset
from octree_loader.pyramid import Making, first_kept, missing_levels
from octree_loader.sources.base import SourceError, SourceSpec
from octree_loader.sources.inside import specs_inside
from octree_loader.sources.locations import is_remote, shown_location
from octree_loader.transport.rooted import RootFolder
from octree_protocol import limits
from octree_protocol.errors import OctreeError

log = logging.getLogger("octree.catalog")

#: Told what opening came to: the plan, or the reason why there is none.
Answer = Callable[[DatasetPlan | None, str], None]


#: A store that is busy while a dataset is opened is asked again after so long, as long as that is not too late for
#: whoever waits. Seconds.
OPENING_PAUSES = (0.2, 0.8, 2.4)
OPENING_SECONDS = 8.0

#: So many levels above an array in memory are not kept on disk: to make a chunk of them costs less than a file.
MADE_FROM_MEMORY = 2

#: Datasets that are opened at once before anybody asks for them.
OPENED_AT_ONCE = 8


@dataclass(slots=True)
class Entry:
    """One dataset of the catalogue. `state` is "closed", "opening", "open" or "unreadable"."""

    number: int
    spec: SourceSpec
    state: str = "closed"
    plan: DatasetPlan | None = None
    reason: str = ""
    waiting: list[Answer] = field(default_factory=list)
    #: Whether what lies inside of it has been looked for; None while that goes on.
    looked_inside: bool | None = False
    #: Asked for by name before it was known whether there is such a thing inside of this.
    asked_inside: list[tuple[str, Answer]] = field(default_factory=list)


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
    cache
        Where levels are kept that are not stored; None keeps none.
    root
        Folder whose images are opened by their path in it, too; None opens no path that a client names.
    look
        How a dataset is looked at, see `describing`.
    """

    def __init__(
        self,
        specs: tuple[SourceSpec, ...],
        tile_size: int,
        call: Callable[[Callable[[], None]], None],
        cache: CacheRoot | None = None,
        root: str | None = None,
        look: Looking = look_here,
    ) -> None:
        self._look = look
        self._cache = cache
        self._root = RootFolder(root, call) if root is not None else None
        self.entries = {spec.name: Entry(number, spec) for number, spec in enumerate(specs)}
        self._tile_size = tile_size
        self._call = call
        self._ahead: deque[str] = deque()
        self._opening_ahead = 0

    def names(self) -> tuple[str, ...]:
        """The names of all datasets."""
        return tuple(self.entries)

    def open(self, name: str, answer: Answer) -> None:
        """Open a dataset, if it is not open already, and tell `answer`. One that failed is tried anew."""
        entry = self.entries.get(name)
        if entry is None:
            outer = self._outer(name)
            if outer is not None and outer.looked_inside is not True:
                outer.asked_inside.append((name, answer))
                self._look_inside(outer)
                return
            if self._root is not None:
                self._root.find(name, lambda inner, path: self._found(name, inner, path, answer))
                return
            self._unknown(name, answer)
            return
        if entry.plan is not None:
            answer(entry.plan, "")
            return
        entry.waiting.append(answer)
        if entry.state == "opening":
            return
        entry.state = "opening"
        threading.Thread(target=self._open, args=(entry,), name=f"octree-open-{name}", daemon=True).start()

    def _unknown(self, name: str, answer: Answer) -> None:
        known = ", ".join(list(self.entries)[:20]) or "none"
        answer(None, f"there is no dataset named {name!r}; this daemon serves: {known}")

    def _found(self, asked: str, name: str | None, path: str | None, answer: Answer) -> None:
        """A client has named a path under the root, which is `name` below it, or nothing at all."""
        if name is None or path is None or len(self.entries) >= limits.DATASETS:
            self._unknown(asked, answer)
            return
        if name not in self.entries:
            self.entries[name] = Entry(len(self.entries), SourceSpec(name, path))
        self.open(name, answer)

    def open_ahead(self, names: Iterable[str]) -> None:
        """Open datasets before anybody asks for them, a few at a time: each takes a thread, and reads from a store."""
        self._ahead.extend(name for name in names if name not in self._ahead)
        for _ in range(min(OPENED_AT_ONCE - self._opening_ahead, len(self._ahead))):
            self._open_next()

    def _open_next(self) -> None:
        if not self._ahead:
            return
        self._opening_ahead += 1
        self.open(self._ahead.popleft(), self._opened_ahead)

    def _opened_ahead(self, plan: DatasetPlan | None, reason: str) -> None:  # noqa: ARG002
        self._opening_ahead -= 1
        # Not from here: of a thousand that are open already, each would open the next inside of its own opening.
        self._call(self._open_next)

    def _open(self, entry: Entry) -> None:
        plan, reason = None, ""
        try:
            plan = self._plan_patiently(entry)
        except OctreeError as error:
            reason = str(error)
        except Exception as error:  # a source is other people's code
            reason = f"{shown_location(entry.spec.location)} does not open: {type(error).__name__}: {error}"
        self._call(lambda: self._opened(entry, plan, reason))

    def _plan_patiently(self, entry: Entry) -> DatasetPlan:
        """Plan a dataset; where its store is busy for a moment, try again a little later."""
        give_up = time.monotonic() + OPENING_SECONDS
        for pause in OPENING_PAUSES:
            try:
                return plan_spec(entry.number, entry.spec, self._tile_size, self._cache, self._look)
            except SourceError as error:
                if not error.transient or time.monotonic() + pause > give_up:
                    raise
            time.sleep(pause)
        return plan_spec(entry.number, entry.spec, self._tile_size, self._cache, self._look)

    def _opened(self, entry: Entry, plan: DatasetPlan | None, reason: str) -> None:
        entry.plan, entry.reason = plan, reason
        entry.state = "open" if plan is not None else "unreadable"
        waiting, entry.waiting = entry.waiting, []
        for answer in waiting:
            answer(plan, reason)
        # On this machine that is soon done; a distant store is asked when somebody wants to know.
        if plan is not None and not is_remote(entry.spec.location) and entry.looked_inside is False:
            self._look_inside(entry)

    # --- datasets inside of others -----------------------------------------------------------------------------------

    def _outer(self, name: str) -> Entry | None:
        """The dataset that one of this name would lie in."""
        parts = name.split("/")[:64]
        names = ("/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))
        return next((self.entries[outer] for outer in names if outer in self.entries), None)

    def _look_inside(self, entry: Entry) -> None:
        if entry.looked_inside is None:
            return
        entry.looked_inside = None
        threading.Thread(target=self._list, args=(entry,), name="octree-look-inside", daemon=True).start()

    def _list(self, entry: Entry) -> None:
        found: list[SourceSpec] = []
        try:
            found = specs_inside(entry.spec)
        except Exception as error:  # other people's files; what it opens as does not depend on this
            log.warning("what lies inside of %s is not known: %s", shown_location(entry.spec.location), error)
        self._call(lambda: self._listed(entry, found))

    def _listed(self, entry: Entry, found: list[SourceSpec]) -> None:
        entry.looked_inside = True
        for spec in found[: max(0, limits.DATASETS - len(self.entries))]:
            if spec.name not in self.entries:
                self.entries[spec.name] = Entry(len(self.entries), spec)
        asked, entry.asked_inside = entry.asked_inside, []
        for name, answer in asked:
            self.open(name, answer)


def plan_spec(
    number: int, spec: SourceSpec, tile_size: int, cache: CacheRoot | None = None, look: Looking = look_here
) -> DatasetPlan:
    """Open a dataset here and now, and plan its chunks, also those of the levels that it lacks. Raises `SourceError`.

    The option `levels` is ``made`` (the default), ``stored`` (only those that the source has), or ``zero-only``
    (full resolution and nothing else). `make_levels` is ``background`` (all of them, while nobody waits for anything)
    or ``on-demand`` (each chunk when somebody looks at it). The default is the latter for what is far away: nobody
    asked us to fetch all of it.
    """
    which = _choice(spec, "levels", ("made", "stored", "zero-only"), "made")
    usual = "on-demand" if is_remote(spec.location) else "background"
    when = _choice(spec, "make_levels", ("background", "on-demand"), usual)
    described, sampled = look(spec)
    if described.warning:
        log.warning("dataset %r: %s", spec.name, described.warning)
    if which == "zero-only":
        described = replace(described, levels=described.levels[:1])
    plan = plan_dataset(number, spec.name, described, tile_size)
    if which != "made":
        return plan
    deepest = plan.dataset.levels[-1].chunk_shape
    made = missing_levels(described, deepest, tile_size)
    if not made:
        return plan
    all_made = missing_levels(described, deepest, tile_size, sampled=sampled)
    plan = plan_dataset(number, spec.name, replace(described, levels=(*described.levels, *all_made)), tile_size)
    making = Making(len(described.levels), len(all_made) > len(made), background=when == "background")
    if cache is not None:
        levels = plan.dataset.levels
        kept_from = first_kept(levels, making.stored, voxel_bytes(plan), cache.nbytes_most)
        options = {option: said for option, said in spec.options.items() if option != "make_levels"}
        key = fingerprint(
            spec.location, options, levels, f"{plan.dataset.dtype} {plan.dataset.kind}", described.identity
        )
        if not key and described.levels[-1].random_access:
            kept_from = max(kept_from, making.stored + MADE_FROM_MEMORY)
        kept = range(kept_from, making.averaged(len(levels)).stop)
        making = replace(making, kept_from=kept_from, cache=cache.claim(key, plan.dataset, kept))
    return replace(plan, making=making)


def _choice(spec: SourceSpec, option: str, choices: tuple[str, ...], usual: str) -> str:
    """What an option says, or `usual` if it says nothing."""
    said = spec.options.get(option, usual)
    if not isinstance(said, str):
        return usual  # it is the argument of a factory
    if said not in choices:
        allowed = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise SourceError(f"dataset {spec.name!r}: the option {option} is {said!r}: say {allowed}")
    return said


def voxel_bytes(plan: DatasetPlan) -> int:
    """Bytes of one voxel of a dataset (of one sample, if it is a colour)."""
    return np.dtype(plan.dataset.dtype).itemsize
