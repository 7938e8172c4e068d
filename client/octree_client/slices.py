"""Names of chunks on one plane of a dataset, and where the plane lies in them. Pure (no I/O).

Knows nothing of views. A plane is two of the dataset's axes, down and across, at one position of the others: one voxel
of level 0 for each axis that is neither displayed nor the samples of a colour: ``()`` for a plain 2D image,
``(t, c, z)`` for a five-dimensional one. The same place lies in another chunk at every level, and several positions lie
in the same chunk where chunks are thicker than one voxel.
"""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Any

from numpy.typing import NDArray

from octree_client.cover import PlaneChunk
from octree_client.placing import Plane, Position, hidden_axes
from octree_protocol.geometry import Dataset
from octree_protocol.keys import ChunkKey


class KeyTemplate:
    """Makes the key over all axes from a chunk of the plane, and back; built once for a position.

    Parameters
    ----------
    dataset
        Whose chunks.
    position
        One voxel of level 0 for each axis that is not displayed, in the dataset's order.
    plane
        The axes that are displayed; the dataset's own choice if left out.

    Attributes
    ----------
    dataset, position, plane
        What it is for.
    offsets
        For each level, which voxel of the chunk the position is, along each axis that is not displayed.
    """

    __slots__ = ("_across", "_chunks", "_dataset", "_down", "_hidden", "_ndim", "_select", "_swap", "offsets", "plane",
                 "position")  # fmt: skip

    def __init__(self, dataset: Dataset, position: Position = (), plane: Plane | None = None) -> None:
        self.plane = plane if plane is not None else dataset.displayed()
        self.position = position
        self._hidden = hidden_axes(dataset, self.plane)
        if len(position) != len(self._hidden):
            raise ValueError(
                f"dataset {dataset.name!r} has {len(self._hidden)} axes that are not displayed, got {position}"
            )
        self._dataset = dataset.id
        self._down, self._across = self.plane
        self._swap = self._down > self._across
        self._ndim = len(dataset.axes)
        finest = dataset.levels[0]
        world = [finest.voxel_to_world(axis, voxel + 0.5) for axis, voxel in zip(self._hidden, position, strict=True)]
        chunks, offsets, select = [], [], []
        for level in dataset.levels:
            chunk, offset = [0] * self._ndim, []
            within: list[Any] = [slice(None)] * self._ndim
            for axis, place in zip(self._hidden, world, strict=True):
                voxel = min(max(floor(level.world_to_voxel(axis, place)), 0), level.shape[axis] - 1)
                chunk[axis], inner = divmod(voxel, level.chunk_shape[axis])
                offset.append(inner)
                within[axis] = inner
            chunks.append(tuple(chunk))
            offsets.append(tuple(offset))
            select.append(tuple(within))
        self.offsets: tuple[tuple[int, ...], ...] = tuple(offsets)
        self._chunks = tuple(chunks)
        self._select = tuple(select)

    def key(self, chunk: PlaneChunk) -> ChunkKey:
        """The chunk's name over all axes."""
        level, row, col = chunk
        return self.keys(level)(row, col)

    def keys(self, level: int) -> Callable[[int, int], ChunkKey]:
        """`key` for many chunks of one level: a function of row and column."""
        dataset, index = self._dataset, self._chunks[level]
        if self._swap:
            a, b = self._across, self._down
            before, between, after = index[:a], index[a + 1 : b], index[b + 1 :]
            return lambda row, col: ChunkKey(dataset, level, (*before, col, *between, row, *after))
        a, b = self._down, self._across
        before, between, after = index[:a], index[a + 1 : b], index[b + 1 :]
        if not before and not between and not after:
            return lambda row, col: ChunkKey(dataset, level, (row, col))
        if not between:
            return lambda row, col: ChunkKey(dataset, level, (*before, row, col, *after))
        return lambda row, col: ChunkKey(dataset, level, (*before, row, *between, col, *after))

    def chunk(self, key: ChunkKey) -> PlaneChunk | None:
        """The chunk of the plane that has this name; None if it belongs to another position or dataset."""
        if key.dataset != self._dataset or not 0 <= key.level < len(self._chunks):
            return None
        mine, index = self._chunks[key.level], key.index
        if len(index) != self._ndim:
            return None
        row, col = index[self._down], index[self._across]
        for axis, number in enumerate(index):
            if number != mine[axis] and axis != self._down and axis != self._across:
                return None
        return key.level, row, col

    def cut(self, data: NDArray[Any], level: int) -> NDArray[Any]:
        """The plane of a chunk's data over all axes: a view of shape (h, w), or (h, w, samples)."""
        plane: NDArray[Any] = data[self._select[level]] if self._hidden else data
        return plane.swapaxes(0, 1) if self._swap else plane
