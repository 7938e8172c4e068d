"""What runs in the cluster's workers: greets whoever asks, and carries out batches. Does not know dask.

A worker that can map the arena of the daemon writes straight into it (and proves it by the token that it reads there);
any other gives back bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from octree_loader.cluster.claims import Claims
from octree_loader.cluster.orders import (
    Batch,
    ClusterLoad,
    Greeted,
    decode_batch,
    decode_greeting,
    encode,
    encode_outcomes,
)
from octree_loader.liveness import own_identity
from octree_loader.memory import BadSegment, Segment
from octree_loader.orders import OpenDataset, Outcome
from octree_loader.worker import Loader
from octree_protocol.geometry import Dataset
from octree_protocol.slots import SLOT_HEADER_BYTES

#: Daemons of other machines that a worker remembers.
_HOUSES_MOST = 8

#: Loads that wait for their store side by side, in all batches of a worker.
_WAITING_THREADS = 64


class _House:
    """What a worker knows of one daemon."""

    def __init__(self, arena: str) -> None:
        self.opened: dict[int, OpenDataset] = {}
        self.segment: Segment | None = None
        self.claims: Claims | None = None
        # Of another user, or not there: then this is not the daemon's machine, and bytes will do.
        with contextlib.suppress(BadSegment, OSError):
            self.segment = Segment.attach(arena, writable=True)
            self.claims = Claims(arena, self.segment.view)
        self.loader = Loader(self.segment.view if self.segment is not None else memoryview(bytearray()))

    def open(self, datasets: tuple[OpenDataset, ...], direct: bool) -> None:
        for order in datasets:
            if self.opened.get(order.dataset.id) == order:
                continue
            self.opened[order.dataset.id] = order
            making = order.making
            if not direct and making is not None and not os.path.isdir(making.cache):
                # The cache lies on the daemon's machine; where both see it, it serves both.
                making = dataclasses.replace(making, cache="")
            self.loader.add(replace(order, making=making))

    def deserted(self) -> bool:
        """Whether its daemon is gone, and so nobody asks for anything any more."""
        return self.segment is not None and not os.path.exists(self.segment.path)

    def close(self) -> None:
        """Let go of the arena; a load that still runs keeps it mapped."""
        if self.claims is not None:
            self.claims.close()
        if self.segment is not None:
            self.segment.close()


_houses: OrderedDict[str, _House] = OrderedDict()
_guard = threading.Lock()
_waiting: ThreadPoolExecutor | None = None


def _house(name: str, arena: str | None = None) -> _House:
    """The house of a daemon; made when it greets."""
    with _guard:
        known = _houses.get(name)
        if known is None:
            if arena is None:
                raise LookupError("no daemon of that name has greeted this worker")
            for other in [n for n, house in _houses.items() if house.deserted()]:
                _houses.pop(other).close()
            known = _houses[name] = _House(arena)
        _houses.move_to_end(name)
        for other in [n for n, house in _houses.items() if house.segment is None][:-_HOUSES_MOST]:
            del _houses[other]
        return known


def greet(greeting: bytes) -> bytes:
    """Say who this worker is, and try to map the arena."""
    asked = decode_greeting(greeting)
    house = _house(asked.house, asked.arena)
    me = own_identity()
    return encode(
        Greeted(
            house.segment.token.hex() if house.segment is not None and house.claims is not None else "",
            me.pid,
            me.started,
            me.boot,
            os.readlink("/proc/self/ns/pid"),
        )
    )


def load_batch(encoded: bytes) -> tuple[bytes, NDArray[np.uint8] | None]:
    """Carry out the loads of a batch.

    Returns
    -------
    outcomes
        As `orders.decode_outcomes` takes them: one for each load.
    voxels
        The bytes of all chunks that are present, one after the other; None if they lie in the arena.
    """
    batch = decode_batch(encoded)
    house = _house(batch.house)
    house.open(batch.datasets, batch.direct)
    if batch.direct:
        return encode_outcomes(_side_by_side(batch, lambda load: _into_arena(house, load))), None
    voxels: dict[int, list[NDArray[np.uint8]]] = {}

    def load_apart(load: ClusterLoad) -> Outcome:
        outcome, voxels[load.order.task] = _apart(house, load)
        return outcome

    outcomes = _side_by_side(batch, load_apart)
    parts = [part for load in batch.loads for part in voxels[load.order.task]]
    return encode_outcomes(outcomes), np.concatenate(parts) if parts else np.empty(0, np.uint8)


def _side_by_side(batch: Batch, carry_out: Any) -> list[Outcome]:
    from distributed import secede

    global _waiting
    if not batch.loads[0].order.concurrent:
        return [carry_out(load) for load in batch.loads]
    secede()  # the processor is free meanwhile
    if len(batch.loads) == 1:
        return [carry_out(batch.loads[0])]
    with _guard:
        if _waiting is None:
            _waiting = ThreadPoolExecutor(_WAITING_THREADS, thread_name_prefix="octree-read")
    return list(_waiting.map(carry_out, batch.loads))


def _into_arena(house: _House, load: ClusterLoad) -> Outcome:
    """Load into the slots that the daemon gave, unless it has taken the load back."""
    assert house.claims is not None
    slot = load.order.slots[0]
    if not house.claims.take_to_load(slot, load.generation):
        return forgotten(load.order.task)
    try:
        return house.loader.load(load.order)
    finally:
        house.claims.give_back(slot)


def _apart(house: _House, load: ClusterLoad) -> tuple[Outcome, list[NDArray[np.uint8]]]:
    """Load into memory of our own; give back the bytes of each chunk that is present."""
    order = load.order
    sizes = part_bytes(house.opened[order.dataset].dataset, load)
    starts, end = [], 0
    for nbytes in sizes:
        starts.append(end)
        end += SLOT_HEADER_BYTES + -(-nbytes // 64) * 64
    memory = np.empty(end, np.uint8)
    outcome = house.loader.load(replace(order, slots=tuple(starts)), memory.data)
    if outcome.error or outcome.unfinished:
        return outcome, []
    first = [start + SLOT_HEADER_BYTES for start in starts]
    return outcome, [
        memory[start : start + nbytes]
        for start, nbytes, present in zip(first, sizes, outcome.present, strict=True)
        if present
    ]


def part_bytes(dataset: Dataset, load: ClusterLoad) -> list[int]:
    """The bytes of each chunk of a load."""
    level = dataset.levels[load.order.level]
    itemsize = np.dtype(dataset.dtype).itemsize
    return [math.prod(level.chunk_voxels(index)) * itemsize for index in load.order.indices]


def forgotten(task: int) -> Outcome:
    """The outcome of a load that never began."""
    return Outcome(task, (), 0, 0, 0, 0, forgotten=True)
