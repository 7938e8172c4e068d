"""What is loaded next, where it goes, and who is told. Pure (no I/O).

Events go in (a Want, a client gone, loads done, a worker dead), actions come out of `decide`. It owns the life of
every chunk:

    wanted -> WAITING (delay queue, then priority queue) -> LOADING -> READY | MISSING | FAILED

A chunk that nobody wants any more is forgotten: while it waits, at no cost; while it loads, it finishes into the arena
as RECENT; when it is ready it becomes RECENT at once. Knows no sockets, no processes and no clock: `now` is an
argument, in seconds. What follows from the events of clients stands in `wanting`, from those of workers in `ending`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from octree_loader.orders import Outcome
from octree_loader.planning import DatasetPlan
from octree_loader.scheduling import ending, wanting
from octree_loader.scheduling.actions import BACKGROUND, Actions, Client, Load, PoolSpec, StartWorker, StopWorker
from octree_loader.scheduling.arena import Arena
from octree_loader.scheduling.books import Books
from octree_loader.scheduling.chunk import Chunk, ChunkState, View
from octree_loader.scheduling.dataset_book import DatasetBook
from octree_loader.scheduling.gathering import read_together
from octree_loader.scheduling.placement import Offer, Pool, Task, Worker
from octree_loader.scheduling.profile import LoadProfile
from octree_protocol.messages import LoadTime, Wanted

_LOADING = ChunkState.LOADING


class Scheduler:
    """The state machine; its methods are its events, `decide` gives what follows from them.

    Parameters
    ----------
    arena
        Who has which slot.
    pools
        Sorted by relative level: a chunk goes to the pool with the largest one that is not above its own relative
        level (to the first, if it is below all).
    cores
        Processors that the workers share: more workers than that are only started for loads that wait.
    load_timeout
        A worker that has been over one load for so long (seconds) is killed.
    """

    def __init__(self, arena: Arena, pools: Sequence[PoolSpec], cores: int, load_timeout: float = 60.0) -> None:
        self.cores = max(1, cores)
        self.load_timeout = load_timeout
        self.started = 0
        self._next_task = 0
        self._books = books = Books(arena, pools)
        # To be looked at by whoever tells people what goes on.
        self.arena, self.pools, self.datasets = arena, books.pools, books.datasets
        self.chunks, self.views = books.chunks, books.views

    # --- events: datasets and clients --------------------------------------------------------------------------------

    def add_dataset(self, plan: DatasetPlan, itemsize: int) -> None:
        """A dataset can be wanted from now on; `itemsize` is the bytes of one voxel (of one sample)."""
        self.datasets[plan.dataset.id] = DatasetBook(plan, plan.dataset.dtype, itemsize)

    def levels_built(self, dataset: int) -> None:
        """All levels that a dataset lacks have been made: a chunk of them costs no more than any other."""
        self.datasets[dataset].built = True

    def want(self, client: Client, number: int, sequence: int, entries: Iterable[Wanted], now: float) -> None:
        """A client's view wants exactly these chunks from now on. An older sequence than the last is ignored."""
        wanting.want(self._books, client, number, sequence, entries, now)

    def views_over(self, client: Client, number: int, most: int) -> bool:
        """Whether this view would be one more than the client may have."""
        return (client, number) not in self.views and sum(1 for owner, _ in self.views if owner == client) >= most

    def wants_over(self, client: Client, number: int, count: int, most: int) -> bool:
        """Whether a client would want more chunks than it may, if this view wanted `count` of them."""
        others = (view for view in self.views.values() if view.client == client and view.number != number)
        return count + sum(len(view.wanted) for view in others) > most

    def drop_client(self, client: Client) -> None:
        """A client has left or died: everything that it wanted is let go."""
        wanting.leave(self._books, client)

    # --- events: workers ---------------------------------------------------------------------------------------------

    def worker_started(self, pool: int, worker: int, threads: int = 1) -> None:
        """A worker can take loads, `threads` of them side by side."""
        known = self.pools[pool].workers.get(worker)
        if known is not None:
            known.started, known.threads = True, threads

    def worker_leaves(self, pool: int, worker: int) -> None:
        """A worker is to be given nothing any more; what it has under way ends, each load by itself."""
        known = self.pools[pool].workers.get(worker)
        if known is not None:
            known.stopping = True

    def worker_left(self, pool: int, worker: int, now: float) -> None:
        """A worker is gone through no fault of its loads, and no longer writes anywhere: they are put back in line."""
        ending.worker_left(self._books, pool, worker, now)

    def worker_died(self, pool: int, worker: int, reason: str, now: float, over: Collection[int] | None = None) -> None:
        """A worker is gone, and no longer writes anywhere: what it had under way is tried once more, then failed.

        `over` are the tasks that it had begun and not ended, by default the oldest; the others had only been lying
        ready, and are not to blame. What is to blame is tried again alone, so that it takes nothing else with it.
        """
        ending.worker_died(self._books, pool, worker, reason, now, over)

    def pool_offered(self, pool: int, offer: Offer | None) -> None:
        """What a cluster offers a pool now; None: it has workers of our own. A change between the two retires all."""
        known = self.pools[pool]
        if (offer is None) != (known.offer is None):
            for worker in known.workers.values():
                worker.stopping = worker.retired = True
            known.retiring = bool(known.workers)
        known.offer = offer

    def ended(self, outcomes: Sequence[Outcome], now: float) -> None:
        """Loads have ended, well or badly."""
        ending.end(self._books, outcomes, now)

    # --- decisions ---------------------------------------------------------------------------------------------------

    def decide(self, now: float) -> Actions:
        """All that follows from the events so far."""
        actions = Actions()
        for pool in self.pools:
            for hung in pool.hung(now, self.load_timeout):
                reason = f"no answer for {self.load_timeout:g} s"
                actions.stop.append(StopWorker(pool.number, hung.number, reason))
            for idle in pool.take_retired() if pool.retiring else ():
                actions.stop.append(StopWorker(pool.number, idle.number, ""))
            if pool.views:
                self._fill(pool, actions, now)
        if self._books.let_go_of:
            self._forget(actions)
        self._announce(actions)
        return actions

    def next_wakeup(self, now: float) -> float | None:
        """When `decide` must be asked again even if nothing happens."""
        due = [pool.next_wakeup(self.load_timeout, now) for pool in self.pools]
        return min((moment for moment in due if moment is not None), default=None)

    def _forget(self, actions: Actions) -> None:
        """Loads in a cluster that nobody wants any more, unless somebody has thought better of it meanwhile."""
        for number in dict.fromkeys(self._books.let_go_of):
            task = self._books.tasks.get(number)
            if task is not None and not any(chunk.views for chunk in task.chunks):
                actions.forget.append(task.load)
        self._books.let_go_of.clear()

    def _announce(self, actions: Actions) -> None:
        """What has become of their chunks, to those whom it concerns; and how long loads take now."""
        news = [(client, outbox) for client, outbox in self._books.outboxes.items() if outbox]
        if not news:
            return
        times = []
        for number, dataset in self.datasets.items():
            if dataset.profile_changed:
                dataset.profile_changed = False
                times.append(LoadTime(number, dataset.profile.wall * 1e3))
        load_times = tuple(times)
        for client, outbox in news:
            actions.announce[client] = outbox.take(load_times)

    def _fill(self, pool: Pool, actions: Actions, now: float) -> None:
        """Give out loads as long as something may start, and workers and arena have room."""
        may_start = pool.may_start(now)
        deaths = self._books.deaths
        for view in pool.views:
            view.queues[pool.number].promote(now)
        passed: list[View] = []
        while (found := pool.take_next(passed)) is not None:
            view, rank, chunk = found
            if view.client is BACKGROUND and self.awaited():
                pool.put_back(view, rank, chunk)
                return
            chunk.rank = rank
            key = chunk.key
            dataset = self.datasets[key.dataset]
            profile = dataset.profiles[key.level]
            worker, newcomer = pool.place(profile, self.cores, now, bool(deaths) and key in deaths, may_start)
            if newcomer is not None:
                actions.start.append(StartWorker(pool.number, newcomer.number))
            if worker is None and (profile.slow or not profile.loads) and len(pool.views) > 1:
                pool.put_back(view, rank, chunk)
                passed.append(view)  # there may be a worker for another view's, which is not slow
                continue
            if worker is None or not self._begin(pool, worker, view, chunk, dataset, profile, actions, now):
                pool.put_back(view, rank, chunk)
                return

    def _begin(
        self,
        pool: Pool,
        worker: Worker,
        view: View,
        chunk: Chunk,
        dataset: DatasetBook,
        profile: LoadProfile,
        actions: Actions,
        now: float,
    ) -> bool:
        """Give a chunk (and what is cut from the same storage chunk) slots, and the load to a worker."""
        key = chunk.key
        if not self._give_slot(chunk, actions):
            return False
        chunks = [chunk]
        if dataset.plan.levels[key.level].shares:
            self._add_siblings(chunks, dataset, actions, now)
        alone = len(chunks) == 1
        number = self._next_task
        self._next_task = number + 1
        load = Load(
            number,
            key.dataset,
            key.level,
            profile.waiting,
            (key.index,) if alone else tuple([one.key.index for one in chunks]),
            (chunk.slot,) if alone else tuple([one.slot for one in chunks]),
            pool.number,
            worker.number,
            chunk.rank,
        )
        books = self._books
        if books.deaths and key in books.deaths:
            worker.alone = number
        books.tasks[number] = worker.tasks[number] = Task(load, chunks, dataset, profile, pool, worker, now)
        for begun in chunks:
            begun.state = _LOADING
            begun.task = number
        self.started += len(chunks)
        pool.charge(view, profile.cost(sum([begun.nbytes for begun in chunks])))
        actions.loads.append(load)
        return True

    def _add_siblings(self, chunks: list[Chunk], dataset: DatasetBook, actions: Actions, now: float) -> None:
        """What the read of a chunk yields besides, as far as there are slots."""
        (chunk,) = chunks
        level = chunk.key.level
        usage = self.arena.usage()
        room = usage.free + usage.recent > usage.nbytes // 2
        plan, cut = dataset.plan.levels[level], dataset.cuts[level]
        for sibling in read_together(chunk, plan, cut, self.chunks, self._books.deaths, room, now):
            if not self._give_slot(sibling, actions):
                break
            self.chunks[sibling.key] = sibling
            chunks.append(sibling)

    def _give_slot(self, chunk: Chunk, actions: Actions) -> bool:
        given = self.arena.allocate(chunk.key, chunk.nbytes)
        if given is None:
            return False
        for key in given.evicted:
            del self.chunks[key]
        chunk.slot, chunk.generation = place = given.slot, given.generation
        actions.generations.append(place)
        return True

    # --- looking at it -----------------------------------------------------------------------------------------------

    @property
    def forgotten_waiting(self) -> int:
        """Requests that were let go of before they began."""
        return self._books.forgotten_waiting

    @property
    def forgotten_loading(self) -> int:
        """Requests that were let go of while they were loaded."""
        return self._books.forgotten_loading

    def loading(self) -> int:
        """How many loads are under way."""
        return len(self._books.tasks)

    def work_ahead(self) -> float:
        """Seconds until the first worker has done all that it has; 0 if none computes, or one has but a single load."""
        soonest = 0.0
        for pool in self.pools:
            for worker in pool.workers.values():
                tasks = worker.tasks
                if tasks:
                    oldest = next(iter(tasks.values()))
                    if oldest.load.concurrent or len(tasks) == 1:
                        return 0.0
                    ahead = len(tasks) * oldest.profile.wall
                    if not soonest or ahead < soonest:
                        soonest = ahead
        return soonest

    def awaited(self) -> bool:
        """Whether anything that a client wants has not been begun."""
        return any(
            queue.ready or queue.delayed
            for view in self.views.values()
            if view.client is not BACKGROUND
            for queue in view.queues.values()
        )

    def load_of(self, task: int) -> Load | None:
        """The load of a task that is still under way."""
        known = self._books.tasks.get(task)
        return None if known is None else known.load

    def loads_at(self, pool: int, worker: int) -> list[Load]:
        """What a worker has under way, oldest first."""
        known = self.pools[pool].workers.get(worker)
        return [] if known is None else [task.load for task in known.tasks.values()]

    def validate(self) -> None:
        """Raise `AssertionError` if any two parts of the state contradict each other."""
        self._books.validate()
