"""What the scheduler knows of a pool, and which chunk goes to which of its workers next. Pure (no I/O).

Only `scheduler` changes these books; `pools` does what comes of them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from octree_loader.scheduling.actions import BACKGROUND, Client, Load, PoolSpec
from octree_loader.scheduling.chunk import Chunk, ChunkState, View
from octree_loader.scheduling.dataset_book import DatasetBook
from octree_loader.scheduling.fairness import FairShare
from octree_loader.scheduling.priority import tier_of
from octree_loader.scheduling.profile import SLOW_SECONDS, LoadProfile, Spread

_WAITING = ChunkState.WAITING

#: Workers that die before they begin anything are replaced after so many seconds: doubled each time, up to a most.
_START_AGAIN, _START_AGAIN_MOST = 0.05, 2.0

#: After so many of them in a row, what they were given first is to blame.
_STARTS_BEFORE_BLAME = 3


class Task:
    """A load under way, and all whom it concerns. `began`: when it went to its worker (seconds)."""

    __slots__ = ("began", "chunks", "dataset", "load", "pool", "profile", "worker")

    def __init__(
        self,
        load: Load,
        chunks: list[Chunk],
        dataset: DatasetBook,
        profile: LoadProfile,
        pool: Pool,
        worker: Worker,
        began: float,
    ) -> None:
        self.load = load
        self.chunks = chunks
        self.dataset = dataset
        self.profile = profile
        self.pool = pool
        self.worker = worker
        self.began = began


class Worker:
    """A worker and what it has under way, oldest first.

    Beside the task `alone` it is given nothing else. `proved`: it has ended a load. `threads`: loads that it carries
    out side by side. `stopping`: it is given nothing any more; `retired`: and is to be stopped once it is idle.
    """

    __slots__ = ("alone", "number", "proved", "retired", "started", "stopping", "tasks", "threads")

    def __init__(self, number: int) -> None:
        self.number = number
        self.started = False
        self.stopping = False
        self.retired = False
        self.threads = 1
        self.alone = -1
        self.proved = False
        self.tasks: dict[int, Task] = {}

    def held_up(self, profile: LoadProfile, now: float) -> bool:
        """Whether a slow load has it, so that one of `profile` would wait for that. Among their like, the first loads
        of all may take long without being slow: something is opened for them."""
        for oldest in self.tasks.values():
            if oldest.load.concurrent:
                return False
            return oldest.profile.slow or (oldest.profile is not profile and now - oldest.began > SLOW_SECONDS)
        return False


class Offer(NamedTuple):
    """What a cluster offers a pool: workers, and their threads in all."""

    workers: int
    threads: int


class Pool:
    """The workers of one class of relative levels, and the views that wait for it.

    `fair`: whose turn it is among the clients; `turns`: among the views of one client, so that a slow layer holds back
    no other one. `offer`: the workers are a cluster's; None: they are of our own, and share this machine's processors.
    """

    __slots__ = (
        "deaths",
        "failed",
        "failed_starts",
        "fair",
        "loaded",
        "missing",
        "next_start",
        "next_worker",
        "number",
        "offer",
        "retiring",
        "spec",
        "spread",
        "turns",
        "views",
        "workers",
    )

    def __init__(self, number: int, spec: PoolSpec) -> None:
        self.number = number
        self.spec = spec
        self.workers: dict[int, Worker] = {}
        self.views: list[View] = []
        self.fair = FairShare()
        self.turns = FairShare()
        self.next_worker = 0
        self.next_start = 0.0
        self.failed_starts = 0
        self.loaded = 0
        self.missing = 0
        self.failed = 0
        self.deaths = 0
        self.spread = Spread()
        self.offer: Offer | None = None
        self.retiring = False

    def hung(self, now: float, timeout: float) -> list[Worker]:
        """The workers that have been over a load for longer than `timeout` seconds, each named once."""
        found = []
        for worker in self.workers.values():
            if worker.tasks and not worker.stopping and now - next(iter(worker.tasks.values())).began > timeout:
                worker.stopping = True
                found.append(worker)
        return found

    def next_wakeup(self, timeout: float, now: float) -> float | None:
        """When a request leaves the delay queue next, or a load becomes too old."""
        soonest: float | None = self.next_start if self.next_start and self.views else None
        for view in self.views:
            due = view.queues[self.number].next_due()
            if due is not None and (soonest is None or due < soonest):
                soonest = due
        for worker in self.workers.values():
            if worker.tasks and not worker.stopping:
                began = next(iter(worker.tasks.values())).began
                late = began + timeout
                if self.views and now - began <= SLOW_SECONDS:
                    late = began + 1.001 * SLOW_SECONDS  # from then on others are not put behind it
                if soonest is None or late < soonest:
                    soonest = late
        return soonest

    def stillborn(self, now: float) -> bool:
        """A worker died before it began anything: the next one starts a little later. Returns whether that is no
        accident any more, but comes of what the workers are given."""
        self.failed_starts += 1
        self.next_start = now + min(_START_AGAIN_MOST, _START_AGAIN * 2.0**self.failed_starts)
        return self.failed_starts >= _STARTS_BEFORE_BLAME

    def may_start(self, now: float) -> bool:
        """Whether workers may be started at `now`."""
        if now < self.next_start:
            return False
        self.next_start = 0.0
        return True

    def take_next(self, passed: Collection[View] = ()) -> tuple[View, int, Chunk] | None:
        """Take the chunk that comes next out of its queue: of the client, and of its views, whose turn it is, the best.

        Views take turns within a tier: what one sees comes before what may come into another one's sight. Those that
        are `passed` over have no turn.
        """
        number, views = self.number, self.views
        if passed:
            views = [view for view in views if view not in passed]
        if len(views) == 1:
            (view,) = views
            ready = view.queues[number].ready
            while ready:
                rank, chunk = ready.pop()
                if chunk.state is _WAITING:
                    return view, rank, chunk
            return None
        heads: dict[Client, list[View]] = {}
        for view in views:
            ready = view.queues[number].ready
            while ready and ready[-1][1].state is not _WAITING:
                ready.pop()  # begun, or ended, for another view
            if ready:
                heads.setdefault(view.client, []).append(view)
        if not heads:
            return None
        if len(heads) > 1:
            heads.pop(BACKGROUND, None)
        client = next(iter(heads)) if len(heads) == 1 else self.fair.choose(heads)
        mine = heads[client]
        if len(mine) > 1:
            tiers = [tier_of(view.queues[number].ready[-1][0]) for view in mine]
            first = min(tiers)
            turn = self.turns.choose(view.key for view, tier in zip(mine, tiers, strict=True) if tier == first)
            view = next(view for view in mine if view.key == turn)
        else:
            (view,) = mine
        rank, chunk = view.queues[number].ready.pop()
        return view, rank, chunk

    def charge(self, view: View, cost: float) -> None:
        """A load that costs `cost` seconds was begun for a view."""
        if len(self.views) > 1:  # who is alone takes nothing from anybody
            self.fair.charge(view.client, cost)
            self.turns.charge(view.key, cost)

    def put_back(self, view: View, rank: int, chunk: Chunk) -> None:
        """Undo `take_next`: there is no worker, or no slot, for it now."""
        view.queues[self.number].ready.append((rank, chunk))

    def place(
        self, profile: LoadProfile, cores: int, now: float, alone: bool = False, may_start: bool = True
    ) -> tuple[Worker | None, Worker | None]:
        """Who takes the next load, and who must be started. `alone`: only one who has nothing else to do.

        Whom a slow load has is given nothing else while others are there or can be started for it: slow loads have as
        many workers as there are cores, and what is not slow finds others beside them.

        Returns
        -------
        taker
            The worker with the least to do, or None if all have enough.
        newcomer
            A worker that was added to the books and must be started, because one more would help. Where the processor
            decides, more workers than cores do not. Where loads wait for their store, a worker has several under way,
            and to start another takes the processor from those that are there: only when all have enough.
        """
        best: Worker | None = None
        if self.offer is not None:
            return self._place_in_cluster(self.offer, profile, alone, may_start)
        starting, least, held = 0, 0, 0
        last: Worker | None = None
        for worker in self.workers.values():
            if not worker.started:
                starting += 1
                continue
            tasks = worker.tasks
            if worker.stopping or worker.alone in tasks:
                continue
            if tasks and worker.held_up(profile, now):
                held += 1
                if last is None or len(tasks) < len(last.tasks):
                    last = worker
            elif best is None or len(tasks) < least:
                best, least = worker, len(tasks)
        newcomer: Worker | None = None
        spec = self.spec
        depth = 1 if spec.one_by_one or alone else profile.depth(spec.workers_most, cores)
        useful = spec.workers_most if profile.waiting else min(spec.workers_most, cores)
        if profile.slow and held >= useful:
            return None, None
        if may_start and not starting:
            most = useful if profile.slow else min(spec.workers_most, useful + min(held, cores))
            enough = depth if profile.waiting else 1
            if len(self.workers) < most and (best is None or least >= enough):
                newcomer = self.workers[self.next_worker] = Worker(self.next_worker)
                self.next_worker += 1
        if best is None and last is not None and not starting and newcomer is None:
            best, least = last, len(last.tasks)
        return (best if least < depth else None), newcomer

    def _place_in_cluster(
        self, offer: Offer, profile: LoadProfile, alone: bool, may_start: bool
    ) -> tuple[Worker | None, Worker | None]:
        """`place` among workers that are there already, whatever our processors do: a start costs nothing."""
        best: Worker | None = None
        starting = 0
        for worker in self.workers.values():
            if not worker.started:
                starting += 1
            elif worker.stopping or worker.alone in worker.tasks:
                continue
            elif best is None or len(worker.tasks) * best.threads < len(best.tasks) * worker.threads:
                best = worker
        newcomer: Worker | None = None
        if may_start and len(self.workers) < offer.workers and not starting and (best is None or best.tasks):
            newcomer = self.workers[self.next_worker] = Worker(self.next_worker)
            self.next_worker += 1
        if best is None:
            return None, newcomer
        depth = 1 if alone else profile.depth_in_cluster() * best.threads
        return (best if len(best.tasks) < depth else None), newcomer

    def take_retired(self) -> list[Worker]:
        """Take the retired workers that have nothing left to do out of the books."""
        idle = [worker for worker in self.workers.values() if worker.retired and not worker.tasks]
        for worker in idle:
            del self.workers[worker.number]
        self.retiring = any(worker.retired for worker in self.workers.values())
        return idle
