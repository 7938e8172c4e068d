"""Which chunks are read in one load. Pure (no I/O).

Knows neither the arena nor workers: the scheduler gives the chunks slots, as far as there are any.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from octree_loader.planning import LevelPlan
from octree_loader.scheduling.chunk import Chunk, ChunkState, LevelCut
from octree_protocol.keys import ChunkKey

#: Chunks that one storage chunk may be cut into and still be filled all at once.
_SIBLINGS_MOST = 64

#: Chunks of a shard that are read together at most: more would keep one worker busy and the others idle.
GATHERED_MOST = 48


def read_together(
    chunk: Chunk,
    plan: LevelPlan,
    cut: LevelCut,
    chunks: Mapping[ChunkKey, Chunk],
    blamed: Collection[ChunkKey],
    room: bool,
    now: float,
) -> list[Chunk]:
    """The other chunks that the same read yields: all that wait, and while there is room those nobody asked for.

    The view that wants one part of a storage chunk comes to the others next; decoding them again would cost more than
    their place among the RECENT.

    Parameters
    ----------
    chunks
        All that are known. Chunks in the answer that are not among them are new.
    blamed
        Chunks over which workers have died; nobody reads them unasked.
    room
        Whether the arena has room for chunks that nobody asked for.
    """
    if plan.gathers:
        return [] if chunk.apart else _gathered(chunk, plan, chunks, now)
    if not plan.shares or math.prod(plan.block_shape) > _SIBLINGS_MOST:
        return []
    key = chunk.key
    found = []
    for index in plan.chunks_of_block(plan.block(key.index)):
        other_key = ChunkKey(key.dataset, key.level, index)
        if other_key == key:
            continue
        other = chunks.get(other_key)
        if other is not None:
            if other.state is ChunkState.WAITING and other.not_before <= now:
                found.append(other)
        elif room and other_key not in blamed:
            shape, nbytes = cut.shape_and_bytes(index) or ((), 0)  # there is one: the plan names no others
            found.append(Chunk(other_key, shape, nbytes, now))
    # Those that are wanted get their slots first, should the arena run out.
    found.sort(key=lambda other: not other.views)
    return found


def _gathered(chunk: Chunk, plan: LevelPlan, chunks: Mapping[ChunkKey, Chunk], now: float) -> list[Chunk]:
    """The chunks that wait and lie in the same shard, the nearest first."""
    key = chunk.key
    found = []
    for index in plan.chunks_of_block(plan.block(key.index)):
        other = chunks.get(ChunkKey(key.dataset, key.level, index))
        if other is None or other is chunk or other.apart:
            continue
        if other.state is ChunkState.WAITING and other.not_before <= now:
            found.append(other)
    found.sort(key=lambda other: sum((a - b) ** 2 for a, b in zip(key.index, other.key.index, strict=True)))
    return found[: GATHERED_MOST - 1]
