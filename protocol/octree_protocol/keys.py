"""Names for chunks, and the ranks of what is wanted. Pure (no I/O).

Knows nothing of shapes or voxels (`geometry`) nor of who wants a chunk.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import msgspec

from octree_protocol import limits


class ChunkKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The name of a chunk: which dataset, which level, and where in the level's chunk grid.

    `dataset` is the number that the daemon gave to the dataset in `messages.Described`; it means nothing to another
    daemon, nor to the same one after a restart. `level` 0 is full resolution. `index` has one entry for every axis of
    the dataset, displayed or not, so that two time points never share a key.
    """

    dataset: int
    level: int
    index: Annotated[tuple[int, ...], msgspec.Meta(max_length=limits.AXES)]


class Tier(IntEnum):
    """First key of every priority: what is seen comes before what may be seen, before what was seen."""

    VISIBLE = 0
    PREFETCH = 1
    RECENT = 2


class CellStatus(IntEnum):
    """What a viewer knows of one visible cell of the ideal grid."""

    FINAL = 0
    """Drawn from its own chunk."""
    PROVISIONAL = 1
    """Drawn from a coarser or a finer level; its own chunk is still to come."""
    MISSING = 2
    """The store has no such chunk: drawn in the fill value, and that is final too."""
    FAILED = 3
    """Its chunk could not be read, and the daemon said why."""
    EMPTY = 4
    """Nothing to draw it from yet."""
