"""The layout of the shared-memory arena, as both sides must see it. Pure (no I/O).

A segment begins with one header page; the slots follow. Every slot begins with a header of its own::

    offset  0   uint64   generation: rises each time that the slot is given away; 0 while it never was
    offset  8   uint64   reserved
    offset 64            payload: the chunk's voxels in C order

Only the daemon writes headers, and it raises a slot's generation *before* it gives the slot to a worker. So a reader
that finds the announced generation still in place *after* it is done with the bytes has read what was announced.
"""

from __future__ import annotations

import struct

#: First bytes of a segment; the last character is the version of this layout.
MAGIC = b"OCTREE01"

#: Bytes of the segment's own header: a page.
SEGMENT_HEADER_BYTES = 4096

#: Bytes before a slot's payload: a cache line, so that the payload is aligned for every dtype and for SIMD.
SLOT_HEADER_BYTES = 64

#: Where the token stands in the segment's header: 32 bytes that prove to a client that it maps the right memory.
TOKEN_OFFSET = 64
TOKEN_BYTES = 32

_GENERATION = struct.Struct("<Q")


def write_generation(segment: memoryview, slot: int, generation: int) -> None:
    """Set the generation of the slot that begins at byte `slot` of the segment."""
    _GENERATION.pack_into(segment, slot, generation)


def read_generation(segment: memoryview, slot: int) -> int:
    """The generation of the slot that begins at byte `slot` of the segment."""
    generation: int = _GENERATION.unpack_from(segment, slot)[0]
    return generation
