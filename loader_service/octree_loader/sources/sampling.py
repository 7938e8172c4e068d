"""Single voxels of a large array, spread over all of it: the first picture of an image that has no coarse level.

Voxels are taken on a grid that is made finer as long as there is time, so that what computes slowly shows a few blocks
soon, and what is in memory shows every voxel asked for. Of an array that is read chunk by chunk each chunk is read once
a grid, for all voxels in it. Knows nothing of levels (`derived`) and of where voxels come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.base import LevelArray, Piece

Places = NDArray[np.intp]

#: Chunks that are asked for together: a distant store answers many as fast as one.
TOGETHER = 16

#: The same where any voxel is there at once.
TOGETHER_IN_MEMORY = 1024

#: Voxels along an axis of the first grid, which is taken however long it lasts.
FIRST = 2


def sample_array(
    array: LevelArray, places: Sequence[Places], until: float, clock: Callable[[], float]
) -> tuple[NDArray[Any], bool]:
    """The voxels at these places along each axis, all combinations of them; where time runs out, the nearest ones had.

    Parameters
    ----------
    places
        Rising, along each axis. Axes where they follow each other without a gap are not thinned out.
    until
        When to stop, in the time of `clock`; the first grid is taken however long it lasts.

    Returns
    -------
    voxels
        One for each combination; the fill value where nothing is stored.
    present
        Whether anything of it is stored.
    """
    chunk = (1,) * len(places) if array.random_access else array.storage_chunk
    most = TOGETHER_IN_MEMORY if array.random_access else TOGETHER
    thinned = [len(along) > 1 and bool(np.any(np.diff(along) > 1)) for along in places]
    longest = max((len(along) for along, thin in zip(places, thinned, strict=True) if thin), default=1)
    stride = 1 << max(0, math.ceil(math.log2(longest / FIRST)))
    out = np.full([len(along) for along in places], array.fill_value, array.dtype)
    first, stored, seconds_a_chunk = True, False, 0.0
    while True:
        # A finer grid that meets no further chunks costs nothing more.
        while stride > 1 and _count(places, thinned, stride // 2, chunk) == _count(places, thinned, stride, chunk):
            stride //= 2
        strides = [stride if thin else 1 for thin in thinned]
        grid = _thin(places, strides)
        groups = list(product(*(_by_chunk(along, edge) for along, edge in zip(grid, chunk, strict=True))))
        while groups:
            began = clock()
            count = most
            if not first:
                if began >= until:
                    return out, stored
                if seconds_a_chunk > 0:
                    count = max(1, min(most, int((until - began) / seconds_a_chunk)))
            together, groups = groups[:count], groups[count:]
            stored |= _read(array, grid, strides, together, out)
            seconds_a_chunk = (clock() - began) / len(together)
        if stride == 1:
            return out, stored
        first, stride = False, stride // 2


def _thin(places: Sequence[Places], strides: Sequence[int]) -> list[Places]:
    """The places of a grid: the middle of every `stride` of them."""
    return [
        along[np.minimum(np.arange(0, len(along), stride) + stride // 2, len(along) - 1)]
        for along, stride in zip(places, strides, strict=True)
    ]


def _count(places: Sequence[Places], thinned: Sequence[bool], stride: int, chunk: Sequence[int]) -> int:
    """Chunks that a grid meets."""
    grid = _thin(places, [stride if thin else 1 for thin in thinned])
    return math.prod(len(np.unique(along // edge)) for along, edge in zip(grid, chunk, strict=True))


def _by_chunk(along: Places, edge: int) -> list[range]:
    """Numbers of the places that lie in one chunk, for each chunk."""
    ends = [*(np.flatnonzero(np.diff(along // edge)) + 1).tolist(), len(along)]
    return [range(low, high) for low, high in zip([0, *ends], ends, strict=False)]


def _read(
    array: LevelArray,
    grid: Sequence[Places],
    strides: Sequence[int],
    groups: Sequence[tuple[range, ...]],
    out: NDArray[Any],
) -> bool:
    """Read the voxels of some chunks, and let each stand for all places around it. Whether any of them is stored."""
    pieces = []
    for group in groups:
        box = tuple(
            (int(along[one.start]), int(along[one.stop - 1]) + 1) for along, one in zip(grid, group, strict=True)
        )
        pieces.append(Piece(box, np.empty([high - low for low, high in box], array.dtype)))
    stored = array.read(pieces)
    for group, (box, data), there in zip(groups, pieces, stored, strict=True):
        target = out[tuple(slice(one.start * n, one.stop * n) for one, n in zip(group, strides, strict=True))]
        if not there:
            target[...] = array.fill_value
            continue
        within = [
            np.repeat(along[one.start : one.stop] - low, n)[:edge]
            for along, one, (low, _), n, edge in zip(grid, group, box, strides, target.shape, strict=True)
        ]
        target[...] = data[np.ix_(*within)]
    return any(stored)
