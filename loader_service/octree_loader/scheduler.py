"""What is loaded next, where it goes, and who is told. Pure (no I/O).

Events go in (a Want, a client gone, a load done, a worker dead), actions come out of `decide`. It owns the life of
every chunk:

    wanted -> WAITING (delay queue, then priority queue) -> LOADING -> READY | MISSING | FAILED

A chunk that nobody wants any more is forgotten: while it waits, at no cost; while it loads, it finishes into the arena
as RECENT; when it is ready it becomes RECENT at once. Knows no sockets, no processes and no clock: `now` is an
argument, in seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from octree_loader.actions import BACKGROUND, Actions, Client, Load, Part, PoolSpec, StartWorker, StopWorker
from octree_loader.arena import Arena
from octree_loader.books import DatasetBook, Outbox
from octree_loader.chunk import Chunk, ChunkState, View
from octree_loader.delay import Ranked, ViewQueue
from octree_loader.gathering import read_together
from octree_loader.placement import Offer, Pool, Task, Worker
from octree_loader.planning import DatasetPlan
from octree_loader.priority import last_of_tier, rank
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Announce, Failure, LoadTime, Ready, Wanted

#: A worker died over a chunk: it is tried once more, then failed.
_DEATHS_BEFORE_FAILED = 2

#: So many deaths in all, however often it was wanted anew: not tried again.
_DEATHS_BEFORE_QUARANTINE = 5

#: Waits before a read that failed for a passing reason is tried again. Seconds.
_RETRY_AFTER = (0.25, 1.0)


_WAITING, _LOADING, _READY = ChunkState.WAITING, ChunkState.LOADING, ChunkState.READY
_MISSING, _FAILED = ChunkState.MISSING, ChunkState.FAILED


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
        self.arena = arena
        self.cores = max(1, cores)
        self.load_timeout = load_timeout
        self.pools = [Pool(number, spec) for number, spec in enumerate(pools)]
        self.datasets: dict[int, DatasetBook] = {}
        self.chunks: dict[ChunkKey, Chunk] = {}
        self.views: dict[tuple[Client, int], View] = {}
        self.forgotten_waiting = 0
        self.forgotten_loading = 0
        self.started = 0
        self._next_task = 0
        self._tasks: dict[int, Task] = {}
        self._deaths: dict[ChunkKey, int] = {}
        self._let_go_of: list[int] = []
        self._outboxes: dict[Client, Outbox] = {}
        self._pool_of_relative = {
            relative: max([p.number for p in self.pools if p.spec.relative_level <= relative], default=0)
            for relative in range(-128, 129)
        }

    # --- events: datasets and clients --------------------------------------------------------------------------------

    def add_dataset(self, plan: DatasetPlan, itemsize: int) -> None:
        """A dataset can be wanted from now on; `itemsize` is the bytes of one voxel (of one sample)."""
        self.datasets[plan.dataset.id] = DatasetBook(plan, plan.dataset.dtype, itemsize)

    def levels_built(self, dataset: int) -> None:
        """All levels that a dataset lacks have been made: a chunk of them costs no more than any other."""
        self.datasets[dataset].built = True

    def want(self, client: Client, number: int, sequence: int, entries: Iterable[Wanted], now: float) -> None:
        """A client's view wants exactly these chunks from now on. An older sequence than the last is ignored."""
        view = self.views.get((client, number))
        if view is None:
            view = self.views[client, number] = View(client, number)
        if sequence <= view.sequence:
            return
        view.sequence = sequence
        before = view.wanted
        wanted: dict[ChunkKey, Chunk] = {}
        waiting: dict[int, tuple[list[Ranked], list[tuple[float, int, Chunk]]]] = {}
        pool_of_relative = self._pool_of_relative
        for entry in entries:
            key = entry.key
            chunk = before.pop(key, None)
            if chunk is None:
                if key in wanted:
                    continue
                chunk = self._hold(key, view, now)
                if chunk is None:
                    continue
            wanted[key] = chunk
            if chunk.state is _WAITING:
                place = rank(entry)
                relative = entry.relative_level
                if relative > 0 and self.datasets[key.dataset].costs_more_than_finer(key.level):
                    # As a stand-in it would come later than what it stands in for.
                    relative, place = 0, last_of_tier(place)
                number_of_pool = pool_of_relative[relative]
                lists = waiting.get(number_of_pool)
                if lists is None:
                    lists = waiting[number_of_pool] = ([], [])
                spec = self.pools[number_of_pool].spec
                due = chunk.not_before
                if spec.delay_seconds and not self.datasets[key.dataset].profile_of(key.level).fast(spec.auto_sync_ms):
                    due = max(due, chunk.since + spec.delay_seconds)
                if due > now:
                    lists[1].append((due, place, chunk))
                else:
                    lists[0].append((place, chunk))
        view.wanted = wanted
        for chunk in before.values():
            self._let_go(chunk, view)
        self._replace_queues(view, waiting)
        if not wanted:
            del self.views[client, number]

    def views_over(self, client: Client, number: int, most: int) -> bool:
        """Whether this view would be one more than the client may have."""
        return (client, number) not in self.views and sum(1 for owner, _ in self.views if owner == client) >= most

    def _hold(self, key: ChunkKey, view: View, now: float) -> Chunk | None:
        """Make `view` one of those who want a chunk; tell it at once what is known of the chunk already."""
        chunk = self.chunks.get(key)
        if chunk is None:
            dataset = self.datasets.get(key.dataset)
            cuts = dataset.cuts if dataset is not None else []
            if not (0 <= key.level < len(cuts) and cuts[key.level].contains(key.index)):
                self._outbox(view.client).failed.append(Failure(key, "there is no such chunk"))
                return None
            chunk = self.chunks[key] = Chunk(key, cuts[key.level], now)
            if chunk.nbytes > self.arena.largest_payload:
                chunk.state, chunk.reason = (
                    _FAILED,
                    (
                        f"a chunk of {chunk.nbytes:,} bytes does not fit into the arena, whose slots hold "
                        f"{self.arena.largest_payload:,} at most; raise memory.arena_bytes"
                    ),
                )
            if self._deaths.get(key, 0) >= _DEATHS_BEFORE_QUARANTINE:
                chunk.state, chunk.reason = _FAILED, f"quarantined: {self._deaths[key]} workers died while reading it"
        state = chunk.state
        if state is _READY:
            if not chunk.views:
                self.arena.hold(chunk.slot)
            assert chunk.announcement is not None
            self._outbox(view.client).ready.append(chunk.announcement)
        elif state is _MISSING:
            self._outbox(view.client).missing.append(key)
        elif state is _FAILED:
            self._outbox(view.client).failed.append(Failure(key, chunk.reason))
        chunk.views.append(view)
        return chunk

    def _let_go(self, chunk: Chunk, view: View) -> None:
        chunk.views.remove(view)
        if chunk.views:
            return
        state = chunk.state
        if state is _READY:
            self.arena.release(chunk.slot)
        elif state is _LOADING:
            self.forgotten_loading += 1
            if self.pools[self._tasks[chunk.task].load.pool].offer is not None:
                self._let_go_of.append(chunk.task)
        else:
            if state is _WAITING:
                self.forgotten_waiting += 1
            del self.chunks[chunk.key]

    def _replace_queues(
        self, view: View, waiting: dict[int, tuple[list[Ranked], list[tuple[float, int, Chunk]]]]
    ) -> None:
        for number in [n for n in view.queues if n not in waiting]:
            del view.queues[number]
            self.pools[number].views.remove(view)
        for number, (ready, delayed) in waiting.items():
            queue = view.queues.get(number)
            if queue is None:
                queue = view.queues[number] = ViewQueue()
                self.pools[number].views.append(view)
            queue.replace(ready, delayed)

    def drop_client(self, client: Client) -> None:
        """A client has left or died: everything that it wanted is let go."""
        for view in [v for v in self.views.values() if v.client == client]:
            for chunk in view.wanted.values():
                self._let_go(chunk, view)
            self._replace_queues(view, {})
            del self.views[client, view.number]
        for pool in self.pools:
            pool.fair.forget(client)
        self._outboxes.pop(client, None)

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
        gone = self.pools[pool].workers.pop(worker, None)
        for task in gone.tasks.values() if gone is not None else ():
            del self._tasks[task.load.task]
            self._put_back(task, now)

    def pool_offered(self, pool: int, offer: Offer | None) -> None:
        """What a cluster offers a pool now; None: it has workers of our own. A change between the two retires all."""
        known = self.pools[pool]
        if (offer is None) != (known.offer is None):
            for worker in known.workers.values():
                worker.stopping = worker.retired = True
            known.retiring = bool(known.workers)
        known.offer = offer

    def loads_at(self, pool: int, worker: int) -> list[Load]:
        """What a worker has under way, oldest first."""
        known = self.pools[pool].workers.get(worker)
        return [] if known is None else [task.load for task in known.tasks.values()]

    def worker_died(self, pool: int, worker: int, reason: str, now: float, over: Collection[int] | None = None) -> None:
        """A worker is gone, and no longer writes anywhere: what it had under way is tried once more, then failed.

        `over` are the tasks that it had begun and not ended, by default the oldest; the others had only been lying
        ready, and are not to blame. What is to blame is tried again alone, so that it takes nothing else with it.
        """
        dead = self.pools[pool].workers.pop(worker, None)
        if dead is None:
            return
        self.pools[pool].deaths += 1
        if over is None:
            over = list(dead.tasks)[:1]
        if not dead.proved and not over and self.pools[pool].stillborn(now):
            over = list(dead.tasks)[:1]
        for task in dead.tasks.values():
            del self._tasks[task.load.task]
            for chunk in task.chunks:
                self.arena.discard(chunk.slot)
                chunk.slot = -1
                if task.load.task in over:
                    chunk.errors += 1
                    deaths = self._deaths[chunk.key] = self._deaths.get(chunk.key, 0) + 1
                    if chunk.errors >= _DEATHS_BEFORE_FAILED or deaths >= _DEATHS_BEFORE_QUARANTINE:
                        self._end_as_failed(chunk, task, f"the worker died while reading it ({reason}), {deaths} times")
                        continue
                self._wait_again(chunk, now)

    def loaded(
        self, task: int, present: Sequence[bool], wall: float, cpu: float, blocked: float, filled_ns: int, now: float
    ) -> None:
        """A load is done; `present` says for each part whether the store has it. Times as in `LoadProfile.observe`."""
        done = self._finish(task, now)
        if done is None:
            return
        dataset = self.datasets[done.dataset]
        pool = self.pools[done.load.pool]
        dataset.profile_of(done.load.level).observe(wall, cpu, blocked)
        pool.spread.add(wall)
        dataset.profile_changed = True
        for chunk, there in zip(done.chunks, present, strict=True):
            if self._deaths:
                self._deaths.pop(chunk.key, None)
            if chunk.views and all(view.client is BACKGROUND for view in chunk.views):
                self._end_in_background(chunk)
                continue
            if not there:
                pool.missing += 1
                self._end_as_missing(chunk, dataset)
                continue
            chunk.state = _READY
            chunk.announcement = Ready(chunk.key, chunk.slot, chunk.generation, dataset.dtype, chunk.shape, filled_ns)
            pool.loaded += 1
            dataset.chunks += 1
            dataset.nbytes += chunk.nbytes
            dataset.rate.add(chunk.nbytes, now)
            views = chunk.views
            if not views:
                self.arena.release(chunk.slot)
                continue
            self.arena.hold(chunk.slot)
            if len(views) == 1:
                self._outbox(views[0].client).ready.append(chunk.announcement)
            else:
                for client in {view.client: None for view in views}:
                    self._outbox(client).ready.append(chunk.announcement)

    def unfinished(self, task: int, now: float) -> None:
        """A load has done its share and is to go on later: after what else is wanted of its tier."""
        done = self._finish(task, now)
        if done is None:
            return
        for chunk in done.chunks:
            self.arena.discard(chunk.slot)
            chunk.slot = -1
            self._wait_again(chunk, now, last_of_tier(chunk.rank))

    def forgotten(self, task: int, now: float) -> None:
        """A load was never begun: its worker was lost, or nobody wanted it. Who does by now waits for it again."""
        done = self._finish(task, now)
        if done is not None:
            self._put_back(done, now)

    def _put_back(self, task: Task, now: float) -> None:
        for chunk in task.chunks:
            self.arena.discard(chunk.slot)
            chunk.slot = -1
            self._wait_again(chunk, now)

    def failed(self, task: int, reason: str, transient: bool, now: float) -> None:
        """A load ended in an error. One that may pass is tried again a little later."""
        done = self._finish(task, now)
        if done is None:
            return
        # Of several that were only read together, one may be to blame: each is tried by itself.
        gathered = len(done.chunks) > 1 and self.datasets[done.dataset].plan.levels[done.load.level].gathers
        for chunk in done.chunks:
            self.arena.discard(chunk.slot)
            chunk.slot = -1
            if gathered and (not transient or chunk.errors >= len(_RETRY_AFTER)):
                chunk.apart = True
                self._wait_again(chunk, now)
            elif transient and chunk.errors < len(_RETRY_AFTER):
                chunk.not_before = now + _RETRY_AFTER[chunk.errors]
                chunk.errors += 1
                self._wait_again(chunk, now)
            else:
                self._end_as_failed(chunk, done, reason)

    def _finish(self, task: int, now: float) -> Task | None:
        done = self._tasks.pop(task, None)
        if done is not None:
            pool = self.pools[done.load.pool]
            worker = pool.workers[done.load.worker]
            tasks = worker.tasks
            del tasks[task]
            if not worker.proved:
                worker.proved, pool.failed_starts = True, 0
            if tasks and not done.load.concurrent:
                # The next one has been lying ready; how long it takes counts from now.
                oldest = next(iter(tasks.values()))
                oldest.began = max(oldest.began, now)
        return done

    def _end_in_background(self, chunk: Chunk) -> None:
        """What nobody looks at has been made and is on disk: its slot is better used for something else."""
        self.arena.discard(chunk.slot)
        del self.chunks[chunk.key]
        for view in chunk.views:
            del view.wanted[chunk.key]
            self._outbox(view.client).missing.append(chunk.key)

    def _end_as_missing(self, chunk: Chunk, dataset: DatasetBook) -> None:
        self.arena.discard(chunk.slot)
        chunk.slot = -1
        chunk.state = _MISSING
        dataset.missing += 1
        for client in {view.client: None for view in chunk.views}:
            self._outbox(client).missing.append(chunk.key)
        if not chunk.views:
            del self.chunks[chunk.key]

    def _end_as_failed(self, chunk: Chunk, task: Task, reason: str) -> None:
        chunk.state, chunk.reason = _FAILED, reason
        self.pools[task.load.pool].failed += 1
        self.datasets[task.dataset].failed += 1
        for client in {view.client: None for view in chunk.views}:
            self._outbox(client).failed.append(Failure(chunk.key, reason))
        if not chunk.views:
            del self.chunks[chunk.key]

    def _wait_again(self, chunk: Chunk, now: float, rank_: int = 0) -> None:
        """Put a chunk whose load came to nothing back in line for all who want it, by default ahead of its tier."""
        if not chunk.views:
            del self.chunks[chunk.key]
            return
        chunk.state = _WAITING
        for view in chunk.views:
            number = next(iter(view.queues), None)
            if number is None:
                number = 0
                view.queues[0] = ViewQueue()
                self.pools[0].views.append(view)
            view.queues[number].delay(max(now, chunk.not_before), rank_, chunk)

    # --- decisions ---------------------------------------------------------------------------------------------------

    def decide(self, now: float, announce: bool = True) -> Actions:
        """All that follows from the events so far; what clients are to be told may be left for the next time."""
        actions = Actions()
        for pool in self.pools:
            for hung in pool.hung(now, self.load_timeout):
                reason = f"no answer for {self.load_timeout:g} s"
                actions.stop.append(StopWorker(pool.number, hung.number, reason))
            for idle in pool.take_retired() if pool.retiring else ():
                actions.stop.append(StopWorker(pool.number, idle.number, ""))
            if pool.views:
                self._fill(pool, actions, now)
        if self._let_go_of:
            self._forget(actions)
        if announce and self._outboxes:
            self._announce(actions)
        return actions

    def _forget(self, actions: Actions) -> None:
        """Loads in a cluster that nobody wants any more, unless somebody has thought better of it meanwhile."""
        for number in dict.fromkeys(self._let_go_of):
            task = self._tasks.get(number)
            if task is not None and not any(chunk.views for chunk in task.chunks):
                actions.forget.append(task.load)
        self._let_go_of.clear()

    def loading(self) -> int:
        """How many loads are under way."""
        return len(self._tasks)

    def has_news(self) -> bool:
        """Whether there is something that clients have not been told."""
        return bool(self._outboxes)

    def awaited(self) -> bool:
        """Whether anything that a client wants has not been begun."""
        return any(
            queue.ready or queue.delayed
            for view in self.views.values()
            if view.client is not BACKGROUND
            for queue in view.queues.values()
        )

    def next_wakeup(self) -> float | None:
        """When `decide` must be asked again even if nothing happens."""
        due = [pool.next_wakeup(self.load_timeout) for pool in self.pools]
        return min((moment for moment in due if moment is not None), default=None)

    def _fill(self, pool: Pool, actions: Actions, now: float) -> None:
        may_start = pool.may_start(now)
        for view in pool.views:
            view.queues[pool.number].promote(now)
        while True:
            found = pool.take_next()
            if found is None:
                return
            view, rank_, chunk = found
            dataset = self.datasets[chunk.key.dataset]
            alone = bool(self._deaths) and chunk.key in self._deaths
            if view.client is BACKGROUND and self.awaited():
                pool.put_back(view, rank_, chunk)
                return
            chunk.rank = rank_
            profile = dataset.profile_of(chunk.key.level)
            worker, newcomer = pool.place(profile, self.cores, alone, may_start)
            if newcomer is not None:
                actions.start.append(StartWorker(pool.number, newcomer.number))
            if worker is None or not self._begin(pool, worker, view, chunk, dataset, actions, now):
                pool.put_back(view, rank_, chunk)
                return

    def _begin(
        self, pool: Pool, worker: Worker, view: View, chunk: Chunk, dataset: DatasetBook, actions: Actions, now: float
    ) -> bool:
        """Give a chunk (and what is cut from the same storage chunk) slots, and the load to a worker."""
        level = chunk.key.level
        if not self._give_slot(chunk, actions):
            return False
        chunks = [chunk]
        usage = self.arena.usage()
        room = usage.free + usage.recent > usage.nbytes // 2
        plan, cut = dataset.plan.levels[level], dataset.cuts[level]
        for sibling in read_together(chunk, plan, cut, self.chunks, self._deaths, room, now):
            if not self._give_slot(sibling, actions):
                break
            self.chunks[sibling.key] = sibling
            chunks.append(sibling)
        number = self._next_task
        self._next_task += 1
        parts = tuple([Part(c.key.index, c.slot) for c in chunks])
        waiting = dataset.profile_of(level).waiting
        load = Load(number, pool.number, worker.number, chunk.key.dataset, level, waiting, parts, chunk.rank)
        if chunk.key in self._deaths:
            worker.alone = number
        self._tasks[number] = worker.tasks[number] = Task(load, chunks, chunk.key.dataset, now, view.client)
        for begun in chunks:
            begun.state = _LOADING
            begun.task = number
        self.started += len(chunks)
        pool.fair.charge(view.client, len(chunks))
        actions.loads.append(load)
        return True

    def _give_slot(self, chunk: Chunk, actions: Actions) -> bool:
        given = self.arena.allocate(chunk.key, chunk.nbytes)
        if given is None:
            return False
        for key in given.evicted:
            del self.chunks[key]
        chunk.slot, chunk.generation = given.slot, given.generation
        actions.generations.append((given.slot, given.generation))
        return True

    # --- answers -----------------------------------------------------------------------------------------------------

    def _outbox(self, client: Client) -> Outbox:
        outbox = self._outboxes.get(client)
        if outbox is None:
            outbox = self._outboxes[client] = Outbox()
        return outbox

    def _announce(self, actions: Actions) -> None:
        for number, dataset in self.datasets.items():
            if dataset.profile_changed:
                dataset.profile_changed = False
                time = LoadTime(number, dataset.profile.wall * 1e3)
                for outbox in self._outboxes.values():
                    outbox.load_times.append(time)
        for client, outbox in self._outboxes.items():
            actions.announce[client] = Announce(
                tuple(outbox.ready), tuple(outbox.missing), tuple(outbox.failed), tuple(outbox.load_times)
            )
        self._outboxes = {}

    def load_of(self, task: int) -> Load | None:
        """The load of a task that is still under way."""
        known = self._tasks.get(task)
        return None if known is None else known.load

    # --- looking at it -----------------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Raise `AssertionError` if any two parts of the state contradict each other."""
        self.arena.validate()
        for key, chunk in self.chunks.items():
            assert chunk.key == key
            assert (chunk.slot >= 0) == (chunk.state in (_LOADING, _READY)), (key, chunk.state, chunk.slot)
            assert chunk.views or chunk.state in (_LOADING, _READY), f"{key} is kept for no one"
            assert len(set(map(id, chunk.views))) == len(chunk.views)
            for view in chunk.views:
                assert view.wanted.get(key) is chunk
        for view in self.views.values():
            queued = {id(c) for q in view.queues.values() for _, c in q.ready}
            queued |= {id(c) for q in view.queues.values() for _, _, c in q.delayed}
            for key, chunk in view.wanted.items():
                assert view in chunk.views
                assert self.chunks[key] is chunk
                assert chunk.state is not _WAITING or id(chunk) in queued, f"{key} waits in no queue"
        loading = [c for t in self._tasks.values() for c in t.chunks]
        assert len(loading) == len({id(c) for c in loading})
        assert {c.key for c in loading} == {k for k, c in self.chunks.items() if c.state is _LOADING}
        under_way = [t for p in self.pools for w in p.workers.values() for t in w.tasks]
        assert sorted(under_way) == sorted(self._tasks)
        slots = [c.slot for c in self.chunks.values() if c.slot >= 0]
        assert len(slots) == len(set(slots)), "two chunks in one slot"
        for pool in self.pools:
            assert all(pool.number in view.queues for view in pool.views)
            assert sum(1 for w in pool.workers.values() if not w.stopping) <= pool.spec.workers_most
