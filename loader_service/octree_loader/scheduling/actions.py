"""What the scheduler wants done, as values. Pure (no I/O): `pools` and `server` do it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from octree_protocol.messages import Announce

#: Whoever wants chunks; the scheduler only tells one from another.
Client = Hashable

#: Wants what nobody waits for (`builder`): it comes after everybody else, and leaves nothing in the arena.
BACKGROUND: Client = "background"


class PoolSpec(NamedTuple):
    """What the scheduler must know of a pool. Sorted by `relative_level` they share out all relative levels.

    `one_by_one`: a worker has one load under way and no other lies ready (``force_synchronous``).
    """

    relative_level: int
    workers_most: int
    delay_seconds: float
    auto_sync_ms: float
    one_by_one: bool = False


class Load(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Instruction: worker `worker` of pool `pool` reads the chunks at `indices` into the slots at `slots`.

    They are cut from one storage chunk, or lie in one shard. `concurrent`: in a thread of its own, since it will mostly
    wait. The lower the `rank`, the sooner. What a worker must know of it stands first: see `orders.LoadOrder`.
    """

    task: int
    dataset: int
    level: int
    concurrent: bool
    indices: tuple[tuple[int, ...], ...]
    slots: tuple[int, ...]
    pool: int
    worker: int
    rank: int = 0


class StartWorker(NamedTuple):
    """Instruction: start a worker; say so with `worker_started` when it can take loads."""

    pool: int
    worker: int


class StopWorker(NamedTuple):
    """Instruction: kill a worker that has hung over a load; report it with `worker_died`.

    Without a `reason`: it has nothing to do and is not needed any more; nobody waits to hear of it.
    """

    pool: int
    worker: int
    reason: str


@dataclass(slots=True)
class Actions:
    """What `decide` wants done, in this order."""

    generations: list[tuple[int, int]] = field(default_factory=list)
    """(slot, generation): to be written into the slots' headers before any load begins."""
    stop: list[StopWorker] = field(default_factory=list)
    start: list[StartWorker] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    forget: list[Load] = field(default_factory=list)
    """Under way in a cluster, and nobody wants them any more."""
    announce: dict[Client, Announce] = field(default_factory=dict)
