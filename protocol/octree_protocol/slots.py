"""The layout of the shared-memory arena, as both sides must see it. Pure (no I/O).

A segment begins with one header page; the slots follow. Every slot begins with a header of its own::

    offset  0   uint64   generation: rises each time that the slot is given away; 0 while it never was
    offset  8   uint64   progress: what has become of the load that fills it (NOT_BEGUN, BEGUN, DONE, FORGOTTEN)
    offset 64            payload: the chunk's voxels in C order

Only the daemon writes generations, and it raises a slot's generation *before* it gives the slot to a worker. So a
reader that finds the announced generation still in place *after* it is done with the bytes has read what was announced.
The worker writes the progress into the first slot of a load: when it dies, the daemon sees what it died over. A load
that is taken back before it has begun is FORGOTTEN: nobody begins it any more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mmap

#: First bytes of a segment; the last character is the version of this layout.
MAGIC = b"OCTREE01"

#: Bytes of the segment's own header: a page.
SEGMENT_HEADER_BYTES = 4096

#: Bytes before a slot's payload: a cache line, so that the payload is aligned for every dtype and for SIMD.
SLOT_HEADER_BYTES = 64

#: Where the token stands in the segment's header: 32 bytes that prove to a client that it maps the right memory.
TOKEN_OFFSET = 64
TOKEN_BYTES = 32

#: Progress of a load.
NOT_BEGUN, BEGUN, DONE, FORGOTTEN = 0, 1, 2, 3

_GENERATION = struct.Struct("<Q")
_GENERATION_AND_PROGRESS = struct.Struct("<QQ")
_PROGRESS_OFFSET = 8


def write_generation(segment: memoryview, slot: int, generation: int) -> None:
    """Set the generation of the slot that begins at byte `slot` of the segment. No load of it has begun."""
    _GENERATION_AND_PROGRESS.pack_into(segment, slot, generation, NOT_BEGUN)


def write_generations(segment: memoryview, given: Iterable[tuple[int, int]]) -> None:
    """The same for several (slot, generation)."""
    pack_into = _GENERATION_AND_PROGRESS.pack_into
    for slot, generation in given:
        pack_into(segment, slot, generation, NOT_BEGUN)


def read_generation(segment: memoryview, slot: int) -> int:
    """The generation of the slot that begins at byte `slot` of the segment."""
    generation: int = _GENERATION.unpack_from(segment, slot)[0]
    return generation


def write_progress(segment: memoryview | mmap.mmap, slot: int, progress: int) -> None:
    """Say how far the load is that fills the slot that begins at byte `slot` of the segment."""
    _GENERATION.pack_into(segment, slot + _PROGRESS_OFFSET, progress)


def read_progress(segment: memoryview, slot: int) -> int:
    """How far the load is that fills the slot that begins at byte `slot` of the segment."""
    progress: int = _GENERATION.unpack_from(segment, slot + _PROGRESS_OFFSET)[0]
    return progress
