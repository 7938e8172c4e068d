"""How a dataset is cut into chunks for the screen, and which chunks come from one storage chunk. Pure (no I/O).

A store is cut to suit its writer; a chunk suits the viewer: no edge on the screen beyond the tile size, no payload
beyond `limits.CHUNK_BYTES`. Where a storage chunk holds several of them it is decoded once for all that are wanted
together: they form a *block*. Knows nothing of what is wanted, and costs the same for ten chunks and for 10**9.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from octree_loader.pyramid import Making
from octree_loader.sources.base import Describable, SourceError, StoredLevel
from octree_protocol import limits
from octree_protocol.geometry import Dataset, Level

Index = tuple[int, ...]

#: Axes that are not on the screen make a chunk deeper only up to this payload: what is behind the picture is read for
#: nothing if the view does not go there.
DEEP_CHUNK_BYTES = limits.CHUNK_BYTES // 4

#: Blocks of chunks in one shard have at most so many along an axis: a window on the screen lies in few of them.
GATHERED_EDGE = 16


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """One level: how it is cut, and how chunks lie in blocks.

    `block_shape` is in chunks along each axis; all 1 where nothing is gained by reading chunks together. Chunks of one
    block lie in one storage chunk along every axis where `block_shape` is above 1. `gathers`: they only lie in one
    shard of a distant store, so that reading together what is wanted saves requests, and the others are left alone.
    """

    level: Level
    block_shape: Index
    gathers: bool = False

    shares: bool = field(init=False)
    """Whether any two chunks lie in one block."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", any(edge > 1 for edge in self.block_shape))

    def block(self, index: Index) -> Index:
        """The block that a chunk is cut from."""
        return tuple(i // edge for i, edge in zip(index, self.block_shape, strict=True))

    def chunks_of_block(self, block: Index) -> Iterator[Index]:
        """The chunks that are cut from a block, in C order; those beyond the image's edge are none."""
        return product(
            *(
                range(b * edge, min((b + 1) * edge, n))
                for b, edge, n in zip(block, self.block_shape, self.level.grid(), strict=True)
            )
        )


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    """A dataset as its clients see it, and how its workers read it. `making`: how levels that it lacks are made."""

    dataset: Dataset
    levels: tuple[LevelPlan, ...]
    making: Making | None = None

    def makes(self, level: int) -> bool:
        """Whether a level is not stored, but made of a finer one."""
        return self.making is not None and level >= self.making.stored

    @property
    def block_shape(self) -> tuple[Index, ...]:
        """See `LevelPlan.block_shape`; one for every level."""
        return tuple(plan.block_shape for plan in self.levels)

    def block(self, level: int, index: Index) -> Index:
        """See `LevelPlan.block`."""
        return self.levels[level].block(index)

    def chunks_of_block(self, level: int, block: Index) -> Iterator[Index]:
        """See `LevelPlan.chunks_of_block`."""
        return self.levels[level].chunks_of_block(block)

    def box(self, level: int, index: Index) -> tuple[tuple[int, int], ...]:
        """The box of voxels of a chunk, as `sources.base.Piece` takes it."""
        return self.levels[level].level.chunk_extent(index)


def plan_dataset(id: int, name: str, source: Describable, tile_size: int) -> DatasetPlan:
    """Cut a dataset into chunks.

    Parameters
    ----------
    id, name
        As clients will know the dataset.
    source
        What there is to know of it: `sources.base.describe` of a source, or the source.
    tile_size
        Longest edge of a chunk on the screen, in voxels.

    Raises
    ------
    SourceError
        If the levels are no pyramid, finest first.
    """
    if tile_size < 1:
        raise ValueError(f"a tile has an edge of at least one voxel, not {tile_size}")
    _check_levels(name, source)
    dtype = np.dtype(source.dtype).newbyteorder("<")
    plans = tuple(_plan_level(level, dtype.itemsize, source.rgb, tile_size) for level in source.levels)
    dataset = Dataset(
        id=id,
        name=name,
        axes=tuple(source.axes),
        dtype=dtype.str,
        levels=tuple(plan.level for plan in plans),
        rgb=source.rgb,
        fill_value=source.fill_value,
        kind=getattr(source, "kind", "intensity"),
        channels=getattr(source, "channels", ()),
    )
    return DatasetPlan(dataset, plans)


def _check_levels(name: str, source: Describable) -> None:
    count = len(source.axes)
    if not 2 + source.rgb <= count <= limits.AXES:
        raise SourceError(f"dataset {name!r} has {count} axes: it needs two to show, and {limits.AXES} at most")
    if not 1 <= len(source.levels) <= limits.LEVELS:
        raise SourceError(f"dataset {name!r} has {len(source.levels)} levels: it needs 1 to {limits.LEVELS}")
    finer: StoredLevel | None = None
    for number, level in enumerate(source.levels):
        where = f"level {number} of dataset {name!r}"
        if not (len(level.shape) == len(level.storage_chunk) == len(level.scale) == len(level.translation) == count):
            raise SourceError(f"{where} is described with other numbers of axes than {count}")
        if not all(0 < edge <= limits.EXTENT_VOXELS for edge in level.shape) or min(level.storage_chunk) < 1:
            raise SourceError(f"{where} has the shape {level.shape} in chunks of {level.storage_chunk}")
        if finer is not None and any(a > b for a, b in zip(level.shape, finer.shape, strict=True)):
            raise SourceError(f"{where} has the shape {level.shape}, larger than the finer {finer.shape}")
        finer = level


def _plan_level(stored: StoredLevel, itemsize: int, rgb: bool, tile_size: int) -> LevelPlan:
    count = len(stored.shape)
    samples = stored.shape[-1] if rgb else 1
    down = count - (3 if rgb else 2)
    shown = (down, down + 1)
    edges, block = [1] * count, [1] * count
    if rgb:
        edges[-1] = samples

    while True:
        for axis in shown:
            edges[axis], block[axis] = _cut_shown(
                stored.shape[axis], stored.storage_chunk[axis], tile_size, stored.random_access
            )
        if math.prod(edges[axis] for axis in shown) * samples * itemsize <= limits.CHUNK_BYTES:
            break
        tile_size //= 2  # ends: 4 samples of 16 bytes in one voxel are far below the limit

    payload = math.prod(edges) * itemsize
    if not stored.random_access:
        # The outermost first: who steps through z hardly wants the other times and channels as well.
        for axis in reversed(range(down)):
            room = max(1, DEEP_CHUNK_BYTES // payload)
            edges[axis], block[axis] = _cut_deep(stored.shape[axis], stored.storage_chunk[axis], room)
            payload *= edges[axis]
    level = Level(stored.shape, tuple(edges), tuple(stored.scale), tuple(stored.translation))
    gathered = _gather(stored, edges, shown) if stored.gathers and max(block) == 1 else None
    return LevelPlan(level, tuple(block)) if gathered is None else LevelPlan(level, gathered, gathers=True)


def _gather(stored: StoredLevel, edges: Sequence[int], shown: Sequence[int]) -> Index | None:
    """Chunks that lie in one shard, along the axes that are shown; None if a shard does not hold several."""
    block = [1] * len(edges)
    for axis in shown:
        shard = stored.shard[axis] if stored.shard is not None else 1
        if shard > edges[axis] and shard % edges[axis] == 0:
            block[axis] = largest_divisor(shard // edges[axis], GATHERED_EDGE)
    return tuple(block) if max(block) > 1 else None


def _cut_shown(size: int, chunk: int, tile: int, random_access: bool) -> tuple[int, int]:
    """Edge of a chunk along an axis of the screen, and how many of them share one storage chunk."""
    if random_access:
        return min(tile, size), 1
    if chunk >= size:  # one storage chunk holds the whole axis: every cut lies inside it
        edge = min(tile, size)
        return edge, -(-size // edge)
    if chunk > tile:
        edge = largest_divisor(chunk, tile)
        # Splinters are worse than reading some storage chunks twice.
        return (edge, chunk // edge) if 2 * edge > tile else (tile, 1)
    return min(chunk * (tile // chunk), size), 1


def _cut_deep(size: int, chunk: int, room: int) -> tuple[int, int]:
    """Edge of a chunk along an axis that is not shown, at most `room`, and how many share one storage chunk."""
    if chunk >= size:
        edge = min(room, size)
        return edge, -(-size // edge)
    edge = largest_divisor(chunk, room)
    return edge, chunk // edge


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most`; both at least 1. Takes sqrt(number) steps."""
    if number <= most:
        return number
    best = 1
    for low in range(1, math.isqrt(number) + 1):
        if number % low == 0:
            if low <= most:
                best = max(best, low)
            if number // low <= most:
                best = max(best, number // low)
                break  # the partners only get smaller, and so do not beat this one; `low` itself is below it
    return best


def chunk_bytes(level: Level, itemsize: int, index: Sequence[int]) -> int:
    """Payload of a chunk in bytes: what the image's edge cuts off is not sent."""
    return math.prod(level.chunk_voxels(index)) * itemsize
