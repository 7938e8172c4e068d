"""Which coarser levels a dataset lacks, and how each is made of the one before. Pure (no I/O).

From the coarsest stored level on, levels are halved until one tile holds the axes of the screen. Only axes of space
are halved, and only while that brings voxels nearer to cubes: an axis whose voxels are already long waits until the
others have caught up. Knows nothing of files and of how voxels are computed (`downsample`, `sources.derived`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from octree_loader.sources.base import Describable, StoredLevel
from octree_protocol import limits
from octree_protocol.geometry import Axis, Dataset, Level

Index = tuple[int, ...]

#: A sampled level is added on top where at least so many levels are averaged: otherwise these are there at once, too.
SAMPLED_FROM = 3

#: An axis is halved while its voxels are less than this times as long as the shortest side of a voxel: then halving
#: it makes the voxel more cubic, or leaves it as it is.
_CUBIC = math.sqrt(2.0)


@dataclass(frozen=True, slots=True)
class Making:
    """How the levels that are not stored are made. Travels to the workers as it is.

    Attributes
    ----------
    stored
        Levels that the source has; those from this number on are made.
    sampled
        Whether the coarsest takes single voxels of the source, so that there is something to see within milliseconds.
    kept_from
        The first level that is kept in the cache; finer ones would take too much room, and are made anew each time.
    cache
        Folder of the cache; "" is none.
    background
        Whether all of them are made while nobody waits for anything, or each where somebody looks.
    """

    stored: int
    sampled: bool = False
    kept_from: int = 0
    cache: str = ""
    background: bool = True

    def averaged(self, levels: int) -> range:
        """The levels that are averages, of a dataset of so many `levels`."""
        return range(self.stored, levels - self.sampled)

    def kept(self, levels: int) -> range:
        """The levels that a cache holds."""
        averaged = self.averaged(levels)
        return range(max(averaged.start, self.kept_from), averaged.stop) if self.cache else range(0)


def halved_axes(axes: Sequence[Axis], shape: Sequence[int], scale: Sequence[float]) -> tuple[int, ...]:
    """The axes along which a level is halved to make the next."""
    space = [a for a, axis in enumerate(axes) if axis.kind == "space" and shape[a] > 1]
    if not space:
        return ()
    shortest = min(scale[a] for a in space)
    return tuple(a for a in space if scale[a] < _CUBIC * shortest)


def missing_levels(
    source: Describable, chunk_shape: Sequence[int], tile_size: int, sampled: bool = False
) -> tuple[StoredLevel, ...]:
    """The levels that a source lacks, finest first.

    Parameters
    ----------
    chunk_shape
        Of its coarsest level, as it is cut for the screen: made chunks are as deep, along the axes that are not shown.
    tile_size
        A level whose shown axes are not longer is the last.
    sampled
        Add one level more, to be sampled, if there are many.
    """
    count = len(source.axes)
    shown = range(count - 2 - source.rgb, count - source.rgb)
    samples = source.levels[-1].shape[-1] if source.rgb else 1
    edge = tile_size
    while edge * edge * samples * source.dtype.itemsize > limits.CHUNK_BYTES:
        edge //= 2
    made: list[StoredLevel] = []
    finer = source.levels[-1]
    while len(source.levels) + len(made) < limits.LEVELS - 1:
        done = all(finer.shape[a] <= tile_size for a in shown)
        axes = halved_axes(source.axes, finer.shape, finer.scale)
        if not axes or (done and not (sampled and len(made) >= SAMPLED_FROM)):
            break
        shape = tuple(-(-n // 2) if a in axes else n for a, n in enumerate(finer.shape))
        scale = tuple(s * 2 if a in axes else s for a, s in enumerate(finer.scale))
        # The outer edge of voxel 0 stays where it is.
        shift = tuple(
            t + s / 2 if a in axes else t for a, (t, s) in enumerate(zip(finer.translation, finer.scale, strict=True))
        )
        chunk = tuple(
            n if source.rgb and a == count - 1 else min(edge if a in shown else chunk_shape[a], n)
            for a, n in enumerate(shape)
        )
        finer = StoredLevel(shape, chunk, scale, shift)
        made.append(finer)
        if done:
            break
    return tuple(made)


def first_kept(levels: Sequence[Level], stored: int, itemsize: int, nbytes_most: int) -> int:
    """The finest made level from which on all of them fit into `nbytes_most`, uncompressed."""
    total, first = 0, len(levels)
    for number in reversed(range(stored, len(levels))):
        total += math.prod(levels[number].shape) * itemsize
        if total > nbytes_most:
            break
        first = number
    return first


def steps_of(dataset: Dataset, stored: int) -> tuple[Index, ...]:
    """For each made level, the axes along which the one before was halved."""
    return tuple(
        tuple(a for a, (s, t) in enumerate(zip(coarse.scale, fine.scale, strict=True)) if s > 1.5 * t)
        for fine, coarse in zip(dataset.levels[stored - 1 :], dataset.levels[stored:], strict=False)
    )


def footprint(
    index_box: Sequence[tuple[int, int]], axes: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """What of the next finer level, of that `shape`, a box is made of."""
    return tuple(
        (2 * low, min(2 * high, n)) if a in axes else (low, high)
        for a, ((low, high), n) in enumerate(zip(index_box, shape, strict=True))
    )
