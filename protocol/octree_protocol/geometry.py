"""Where the voxels of each level lie in the world, and how a level is cut into chunks. Pure (no I/O).

World coordinates follow OME-Zarr: the *centre* of voxel ``i`` of an axis lies at ``translation + i * scale``, so the
voxel covers ``[translation + (i - 1/2) * scale, translation + (i + 1/2) * scale)``.
(https://ngff.openmicroscopy.org/0.5/#trafo-md)

Knows nothing of cameras or pixels, and no numpy: a grid of 10**9 chunks costs what a grid of ten costs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Annotated

import msgspec

from octree_protocol import limits
from octree_protocol.keys import ChunkKey

_OnePerAxis = msgspec.Meta(max_length=limits.AXES)


class Axis(msgspec.Struct, frozen=True):
    """One axis of a dataset: its name, its kind (``space``, ``time``, ``channel``, ``samples``) and its unit."""

    name: str
    kind: str = "space"
    unit: str = ""


class Level(msgspec.Struct, frozen=True):
    """One level of the pyramid. All tuples have one entry an axis.

    `shape` and `chunk_shape` are in voxels; `scale` is world units a voxel, `translation` the world coordinate of
    the centre of voxel 0.
    """

    shape: Annotated[tuple[int, ...], _OnePerAxis]
    chunk_shape: Annotated[tuple[int, ...], _OnePerAxis]
    scale: Annotated[tuple[float, ...], _OnePerAxis]
    translation: Annotated[tuple[float, ...], _OnePerAxis]

    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis; the last one of an axis may be cut by the image's edge."""
        return tuple(-(-s // c) for s, c in zip(self.shape, self.chunk_shape, strict=True))

    def chunk_extent(self, index: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """First and one-past-last voxel of a chunk along each axis, clipped to the image."""
        return tuple((i * c, min((i + 1) * c, s)) for i, c, s in zip(index, self.chunk_shape, self.shape, strict=True))

    def chunk_voxels(self, index: Sequence[int]) -> tuple[int, ...]:
        """Shape of a chunk's data in voxels: `chunk_shape`, less what the image's edge cuts off."""
        return tuple(high - low for low, high in self.chunk_extent(index))

    def contains(self, index: Sequence[int]) -> bool:
        """Whether the grid has such a chunk."""
        return len(index) == len(self.shape) and all(0 <= i < n for i, n in zip(index, self.grid(), strict=True))

    def voxel_to_world(self, axis: int, voxel: float) -> float:
        """World coordinate of a position in continuous voxel coordinates, where voxel ``i`` covers ``[i, i + 1)``."""
        return self.translation[axis] + (voxel - 0.5) * self.scale[axis]

    def world_to_voxel(self, axis: int, world: float) -> float:
        """Inverse of `voxel_to_world`."""
        return (world - self.translation[axis]) / self.scale[axis] + 0.5

    def chunks_between(self, low: Sequence[float], high: Sequence[float]) -> Iterator[tuple[int, ...]]:
        """Indices of the chunks that meet a box given in continuous voxel coordinates, in C order.

        Parameters
        ----------
        low, high
            One entry an axis; the box is half open. An empty box, or one outside the image, meets nothing.
        """
        ranges = []
        for a, b, size, edge in zip(low, high, self.shape, self.chunk_shape, strict=True):
            a, b = max(a, 0.0), min(b, float(size))
            if not a < b:
                return iter(())
            ranges.append(range(int(a // edge), math.ceil(b / edge)))
        return product(*ranges)


class Channel(msgspec.Struct, frozen=True):
    """What is known of one channel: its name, its colour (``#rrggbb``), and the contrast it is usually shown with."""

    name: str = ""
    color: str = ""
    window: tuple[float, float] | None = None


class Dataset(msgspec.Struct, frozen=True):
    """What a client is told of a dataset: enough to compute everything it will ever want of it.

    `dtype` is numpy's short form with byte order (``<u2``), as the bytes stand in the slot. `rgb` says that the last
    axis holds 3 or 4 samples of a colour, never cut into chunks. `fill_value` is what a missing chunk is made of.
    `kind` is ``intensity``, ``labels`` (numbers that are names) or ``mask``. `channels` has one entry for each place of
    the axis of kind ``channel``, or is empty where nobody said anything of them.
    """

    id: int
    name: str
    axes: Annotated[tuple[Axis, ...], _OnePerAxis]
    dtype: str
    levels: Annotated[tuple[Level, ...], msgspec.Meta(max_length=limits.LEVELS)]
    rgb: bool = False
    fill_value: float = 0.0
    kind: str = "intensity"
    channels: Annotated[tuple[Channel, ...], msgspec.Meta(max_length=limits.CHANNELS)] = ()

    def key(self, level: int, index: tuple[int, ...]) -> ChunkKey:
        """The name of a chunk of this dataset."""
        return ChunkKey(self.id, level, index)

    def displayed(self) -> tuple[int, int]:
        """The axes that are drawn down and across: the last two of space (before the samples of a colour)."""
        last = len(self.axes) - (1 if self.rgb else 0)
        return last - 2, last - 1
