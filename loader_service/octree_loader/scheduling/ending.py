"""What follows when loads end, well or badly, or a worker is gone. Pure (no I/O).

A chunk ends as ready, missing or failed, or goes back in line; everybody who wants it is told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from octree_loader.orders import Outcome
from octree_loader.scheduling.actions import BACKGROUND, Client
from octree_loader.scheduling.books import Books
from octree_loader.scheduling.chunk import Chunk, ChunkState
from octree_loader.scheduling.dataset_book import DatasetBook
from octree_loader.scheduling.outbox import Outbox
from octree_loader.scheduling.placement import Task
from octree_loader.scheduling.priority import last_of_tier
from octree_loader.scheduling.wanting import DEATHS_BEFORE_QUARANTINE
from octree_protocol.messages import Failure, Ready

#: A worker died over a chunk: it is tried once more, then failed.
_DEATHS_BEFORE_FAILED = 2

#: Waits before a read that failed for a passing reason is tried again. Seconds.
_RETRY_AFTER = (0.25, 1.0)

_READY, _MISSING, _FAILED = ChunkState.READY, ChunkState.MISSING, ChunkState.FAILED


def end(books: Books, outcomes: Sequence[Outcome], now: float) -> None:
    """Loads have ended. Those of workers that are gone already are nobody's any more."""
    tasks = books.tasks
    for outcome in outcomes:
        task = tasks.pop(outcome.task, None)
        if task is None:
            continue
        _leave_worker(task, outcome.task, now)
        if outcome.forgotten:
            put_back(books, task, now)
        elif outcome.unfinished:
            for chunk in task.chunks:
                books.wait_again(chunk, now, last_of_tier(chunk.rank))
        elif outcome.error:
            _failed(books, task, outcome.error, outcome.transient, now)
        else:
            _loaded(books, task, outcome, now)


def worker_died(books: Books, pool: int, worker: int, reason: str, now: float, over: Collection[int] | None) -> None:
    """See `scheduler.Scheduler.worker_died`."""
    dead = books.pools[pool].workers.pop(worker, None)
    if dead is None:
        return
    books.pools[pool].deaths += 1
    if over is None:
        over = list(dead.tasks)[:1]
    if not dead.proved and not over and books.pools[pool].stillborn(now):
        over = list(dead.tasks)[:1]
    for number, task in dead.tasks.items():
        del books.tasks[number]
        for chunk in task.chunks:
            if number in over:
                chunk.errors += 1
                deaths = books.deaths[chunk.key] = books.deaths.get(chunk.key, 0) + 1
                if chunk.errors >= _DEATHS_BEFORE_FAILED or deaths >= DEATHS_BEFORE_QUARANTINE:
                    _end_as_failed(books, chunk, task, f"the worker died while reading it ({reason}), {deaths} times")
                    continue
            books.wait_again(chunk, now)


def worker_left(books: Books, pool: int, worker: int, now: float) -> None:
    """See `scheduler.Scheduler.worker_left`."""
    gone = books.pools[pool].workers.pop(worker, None)
    for number, task in gone.tasks.items() if gone is not None else ():
        del books.tasks[number]
        put_back(books, task, now)


def put_back(books: Books, task: Task, now: float) -> None:
    """A load was never begun. Who wants its chunks waits for them again."""
    for chunk in task.chunks:
        books.wait_again(chunk, now)


def _leave_worker(task: Task, number: int, now: float) -> None:
    worker = task.worker
    tasks = worker.tasks
    del tasks[number]
    if not worker.proved:
        worker.proved, task.pool.failed_starts = True, 0
    if tasks and not task.load.concurrent:
        # The next one has been lying ready; how long it takes counts from now.
        oldest = next(iter(tasks.values()))
        if oldest.began < now:
            oldest.began = now


def _loaded(books: Books, task: Task, outcome: Outcome, now: float) -> None:
    dataset, pool = task.dataset, task.pool
    wall = outcome.wall_ns * 1e-9
    task.profile.observe(wall, outcome.cpu_ns * 1e-9, outcome.blocked_ns * 1e-9)
    pool.spread.add(wall)
    dataset.profile_changed = True
    filled_ns = outcome.filled_ns
    for chunk, there in zip(task.chunks, outcome.present, strict=True):
        if books.deaths:
            books.deaths.pop(chunk.key, None)
        views = chunk.views
        if views and views[0].client is BACKGROUND and all(view.client is BACKGROUND for view in views):
            _end_in_background(books, chunk)
            continue
        if not there:
            pool.missing += 1
            _end_as_missing(books, chunk, dataset)
            continue
        chunk.state = _READY
        ready = chunk.announcement = Ready(
            chunk.key, chunk.slot, chunk.generation, dataset.dtype, chunk.shape, filled_ns
        )
        pool.loaded += 1
        dataset.chunks += 1
        dataset.nbytes += chunk.nbytes
        dataset.rate.add(chunk.nbytes, now)
        if not views:
            books.arena.release(chunk.slot)
            continue
        books.arena.hold(chunk.slot)
        if len(views) == 1:
            views[0].outbox.ready.append(ready)
            continue
        for outbox in _outboxes(chunk):
            outbox.ready.append(ready)


def _failed(books: Books, task: Task, reason: str, transient: bool, now: float) -> None:
    """A load ended in an error. One that may pass is tried again a little later."""
    # Of several that were only read together, one may be to blame: each is tried by itself.
    gathered = len(task.chunks) > 1 and task.dataset.plan.levels[task.load.level].gathers
    for chunk in task.chunks:
        if gathered and (not transient or chunk.errors >= len(_RETRY_AFTER)):
            chunk.apart = True
            books.wait_again(chunk, now)
        elif transient and chunk.errors < len(_RETRY_AFTER):
            chunk.not_before = now + _RETRY_AFTER[chunk.errors]
            chunk.errors += 1
            books.wait_again(chunk, now)
        else:
            _end_as_failed(books, chunk, task, reason)


def _end_in_background(books: Books, chunk: Chunk) -> None:
    """What nobody looks at has been made and is on disk: its slot is better used for something else."""
    books.arena.discard(chunk.slot)
    del books.chunks[chunk.key]
    for view in chunk.views:
        del view.wanted[chunk.key]
        view.outbox.missing.append(chunk.key)


def _end_as_missing(books: Books, chunk: Chunk, dataset: DatasetBook) -> None:
    books.arena.discard(chunk.slot)
    chunk.slot = -1
    chunk.state = _MISSING
    dataset.missing += 1
    for outbox in _outboxes(chunk):
        outbox.missing.append(chunk.key)
    if not chunk.views:
        del books.chunks[chunk.key]


def _end_as_failed(books: Books, chunk: Chunk, task: Task, reason: str) -> None:
    books.arena.discard(chunk.slot)
    chunk.slot = -1
    chunk.state, chunk.reason = _FAILED, reason
    task.pool.failed += 1
    task.dataset.failed += 1
    for outbox in _outboxes(chunk):
        outbox.failed.append(Failure(chunk.key, reason))
    if not chunk.views:
        del books.chunks[chunk.key]


def _outboxes(chunk: Chunk) -> Collection[Outbox]:
    """Of those who want a chunk, each client's once."""
    views = chunk.views
    if len(views) == 1:
        return (views[0].outbox,)
    boxes: dict[Client, Outbox] = {view.client: view.outbox for view in views}
    return boxes.values()
