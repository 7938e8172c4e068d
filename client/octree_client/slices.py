"""Names of chunks at one position of the axes that are not displayed. Pure (no I/O).

Knows nothing of views. A position is one voxel of level 0 for each axis that is neither displayed nor the samples of a
colour: ``()`` for a plain 2D image, ``(t, c, z)`` for a five-dimensional one. The same place lies in another chunk at
every level, and several positions lie in the same chunk where chunks are thicker than one voxel.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor

from octree_client.cover import PlaneChunk
from octree_protocol.geometry import Dataset
from octree_protocol.keys import ChunkKey

#: One voxel of level 0 for each axis that is not displayed.
Position = tuple[int, ...]


class KeyTemplate:
    """Makes the key over all axes from a chunk of the plane, and back; built once for a position.

    Attributes
    ----------
    position
        The position it is for.
    offsets
        For each level, which voxel of the chunk the position is, along each axis that is not displayed.
    """

    __slots__ = ("_after", "_before", "_dataset", "offsets", "position")

    def __init__(self, dataset: Dataset, position: Position = ()) -> None:
        hidden = dataset.displayed()[0]
        if len(position) != hidden:
            raise ValueError(f"dataset {dataset.name!r} has {hidden} axes that are not displayed, got {position}")
        finest = dataset.levels[0]
        world = [finest.voxel_to_world(axis, voxel + 0.5) for axis, voxel in enumerate(position)]
        before, offsets = [], []
        for level in dataset.levels:
            voxels = [
                min(max(floor(level.world_to_voxel(axis, place)), 0), level.shape[axis] - 1)
                for axis, place in enumerate(world)
            ]
            chunk = level.chunk_shape
            before.append(tuple(voxel // edge for voxel, edge in zip(voxels, chunk, strict=False)))
            offsets.append(tuple(voxel % edge for voxel, edge in zip(voxels, chunk, strict=False)))
        self.position = position
        self.offsets: tuple[tuple[int, ...], ...] = tuple(offsets)
        self._dataset = dataset.id
        self._before = tuple(before)
        self._after: tuple[int, ...] = (0,) if dataset.rgb else ()

    def key(self, chunk: PlaneChunk) -> ChunkKey:
        """The chunk's name over all axes."""
        level, row, col = chunk
        return ChunkKey(self._dataset, level, (*self._before[level], row, col, *self._after))

    def keys(self, level: int) -> Callable[[int, int], ChunkKey]:
        """`key` for many chunks of one level: a function of row and column."""
        dataset, before, after = self._dataset, self._before[level], self._after
        if not before and not after:
            return lambda row, col: ChunkKey(dataset, level, (row, col))
        return lambda row, col: ChunkKey(dataset, level, (*before, row, col, *after))

    def chunk(self, key: ChunkKey) -> PlaneChunk | None:
        """The chunk of the plane that has this name; None if it belongs to another position or dataset."""
        if key.dataset != self._dataset or not 0 <= key.level < len(self._before):
            return None
        before, index = self._before[key.level], key.index
        hidden = len(before)
        if len(index) != hidden + 2 + len(self._after) or index[:hidden] != before:
            return None
        return key.level, index[hidden], index[hidden + 1]
