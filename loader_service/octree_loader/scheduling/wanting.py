"""What follows when a client says what it wants, or leaves. Pure (no I/O).

A Want is the whole working set of a view: what is new in it is held, what is not in it any more is let go, and what
waits stands in queues that are built anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from octree_loader.scheduling.actions import Client
from octree_loader.scheduling.books import Books
from octree_loader.scheduling.chunk import Chunk, ChunkState, View
from octree_loader.scheduling.delay import Delayed, Ranked, ViewQueue
from octree_loader.scheduling.priority import last_of_tier, rank
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Failure, Wanted

#: So many deaths in all, however often it was wanted anew: not tried again.
DEATHS_BEFORE_QUARANTINE = 5

_WAITING, _LOADING, _READY = ChunkState.WAITING, ChunkState.LOADING, ChunkState.READY
_MISSING, _FAILED = ChunkState.MISSING, ChunkState.FAILED

#: What is to wait in each pool: at once by rank, or first in the delay queue.
_Waiting = dict[int, tuple[list[Ranked[Chunk]], list[Delayed[Chunk]]]]


class _Line(NamedTuple):
    """Where entries of one kind wait: `rank` is that of the first, unless all stand at the end of their tier."""

    rank: int
    last_of_tier: bool
    delay_seconds: float
    ready: list[Ranked[Chunk]]
    delayed: list[Delayed[Chunk]]


def want(books: Books, client: Client, number: int, sequence: int, entries: Iterable[Wanted], now: float) -> None:
    """A client's view wants exactly these chunks from now on. An older sequence than the last is ignored."""
    view = books.views.get((client, number))
    if view is None:
        view = books.views[client, number] = View(client, number, books.outbox(client))
    if sequence <= view.sequence:
        return
    view.sequence = sequence
    before = view.wanted
    wanted: dict[ChunkKey, Chunk] = {}
    waiting: _Waiting = {}
    #: What the entries of one kind have in common, worked out for the first of several that follow each other.
    kind: tuple[int, ...] = ()
    line = _Line(0, False, 0.0, [], [])
    for entry in entries:
        key = entry.key
        chunk = before.pop(key, None)
        if chunk is None:
            if key in wanted:
                continue
            chunk = _hold(books, key, view, now)
            if chunk is None:
                continue
        wanted[key] = chunk
        if chunk.state is _WAITING:
            if kind != (key.dataset, key.level, entry.relative_level, entry.tier):
                kind = (key.dataset, key.level, entry.relative_level, entry.tier)
                line = _line_of(books, entry, waiting)
            place = line.rank if line.last_of_tier else line.rank + entry.priority
            due = chunk.not_before
            if line.delay_seconds:
                due = max(due, chunk.since + line.delay_seconds)
            if due > now:
                line.delayed.append((due, place, chunk))
            else:
                line.ready.append((place, chunk))
    view.wanted = wanted
    for chunk in before.values():
        _let_go(books, chunk, view)
    _replace_queues(books, view, waiting)
    if not wanted:
        _end(books, view)


def _line_of(books: Books, entry: Wanted, waiting: _Waiting) -> _Line:
    """Where an entry waits, and all that have dataset, level, relative level and tier in common with it."""
    level, dataset = entry.key.level, books.datasets[entry.key.dataset]
    first, relative = rank(entry) - entry.priority, entry.relative_level
    # As a stand-in it would come later than what it stands in for.
    dear = relative > 0 and dataset.costs_more_than_finer(level)
    if dear:
        relative, first = 0, last_of_tier(first)
    number = books.pool_of_relative[relative]
    if number not in waiting:
        waiting[number] = ([], [])
    spec = books.pools[number].spec
    delay = 0.0 if dataset.profiles[level].fast(spec.auto_sync_ms) else spec.delay_seconds
    return _Line(first, dear, delay, *waiting[number])


def _end(books: Books, view: View) -> None:
    del books.views[view.key]
    for pool in books.pools:
        pool.turns.forget(view.key)


def leave(books: Books, client: Client) -> None:
    """A client has left or died: everything that it wanted is let go."""
    for view in [v for v in books.views.values() if v.client == client]:
        for chunk in view.wanted.values():
            _let_go(books, chunk, view)
        _replace_queues(books, view, {})
        _end(books, view)
    for pool in books.pools:
        pool.fair.forget(client)
    books.outboxes.pop(client, None)


def _hold(books: Books, key: ChunkKey, view: View, now: float) -> Chunk | None:
    """Make `view` one of those who want a chunk; tell it at once what is known of the chunk already."""
    chunk = books.chunks.get(key)
    if chunk is None:
        chunk = _begin_life(books, key, now)
        if chunk is None:
            view.outbox.failed.append(Failure(key, "there is no such chunk"))
            return None
    state = chunk.state
    if state is _READY:
        if not chunk.views:
            books.arena.hold(chunk.slot)
        assert chunk.announcement is not None
        view.outbox.ready.append(chunk.announcement)
    elif state is _MISSING:
        view.outbox.missing.append(key)
    elif state is _FAILED:
        view.outbox.failed.append(Failure(key, chunk.reason))
    chunk.views.append(view)
    return chunk


def _begin_life(books: Books, key: ChunkKey, now: float) -> Chunk | None:
    """A chunk that nobody has wanted before; None if there is no such chunk."""
    dataset = books.datasets.get(key.dataset)
    cuts = dataset.cuts if dataset is not None else []
    if not 0 <= key.level < len(cuts):
        return None
    measured = cuts[key.level].shape_and_bytes(key.index)
    if measured is None:
        return None
    chunk = books.chunks[key] = Chunk(key, *measured, now)
    if chunk.nbytes > books.arena.largest_payload:
        chunk.state = _FAILED
        chunk.reason = (
            f"a chunk of {chunk.nbytes:,} bytes does not fit into the arena, whose slots hold "
            f"{books.arena.largest_payload:,} at most; raise memory.arena_bytes"
        )
    if books.deaths and books.deaths.get(key, 0) >= DEATHS_BEFORE_QUARANTINE:
        chunk.state, chunk.reason = _FAILED, f"quarantined: {books.deaths[key]} workers died while reading it"
    return chunk


def _let_go(books: Books, chunk: Chunk, view: View) -> None:
    chunk.views.remove(view)
    if chunk.views:
        return
    state = chunk.state
    if state is _READY:
        books.arena.release(chunk.slot)
    elif state is _LOADING:
        books.forgotten_loading += 1
        if books.tasks[chunk.task].pool.offer is not None:
            books.let_go_of.append(chunk.task)
    else:
        if state is _WAITING:
            books.forgotten_waiting += 1
        del books.chunks[chunk.key]


def _replace_queues(books: Books, view: View, waiting: _Waiting) -> None:
    for number in [n for n in view.queues if n not in waiting]:
        del view.queues[number]
        books.pools[number].views.remove(view)
    for number, (ready, delayed) in waiting.items():
        queue = view.queues.get(number)
        if queue is None:
            queue = view.queues[number] = ViewQueue()
            books.pools[number].views.append(view)
        queue.replace(ready, delayed)
