"""How large the slabs and slots of an arena are. Pure (no I/O).

Slots are rounded up to an eighth of a power of two: at most an eighth is lost that way, and the usual powers of two fit
exactly. Knows nothing of who has them (`arena`).
"""

from __future__ import annotations

from octree_protocol import limits
from octree_protocol.slots import SEGMENT_HEADER_BYTES, SLOT_HEADER_BYTES

#: A slab of a large arena: holds one chunk of the greatest size, or 64 of 128 KiB each with its header, to the byte.
SLAB_BYTES = limits.CHUNK_BYTES + 64 * SLOT_HEADER_BYTES

#: A slab of a small arena is never smaller: a 512x512 chunk of float32 must fit.
SMALLEST_SLAB_BYTES = (1 << 20) + 64 * SLOT_HEADER_BYTES

#: An arena is cut into about so many slabs at least: each chunk size in use takes one.
SLABS_WISHED = 32

#: With fewer slabs the second chunk size would find none.
SLABS_LEAST = 4

#: Payloads below this share one class.
SMALLEST_PAYLOAD_BYTES = 4096

#: The smallest arena that `Arena` accepts when it chooses the slabs itself.
SMALLEST_ARENA_BYTES = SEGMENT_HEADER_BYTES + SLABS_LEAST * SMALLEST_SLAB_BYTES


def slab_for(nbytes: int, slab_bytes: int | None = None) -> int:
    """Size of the slabs of an arena of `nbytes`; a size that is wished is rounded down to whole cache lines.

    Raises
    ------
    ValueError
        If the arena, or the slab, is too small to be of use.
    """
    room = nbytes - SEGMENT_HEADER_BYTES
    if slab_bytes is None:
        if nbytes < SMALLEST_ARENA_BYTES:
            raise ValueError(f"an arena of {nbytes} bytes is too small: it takes at least {SMALLEST_ARENA_BYTES} bytes")
        slab_bytes = min(SLAB_BYTES, max(SMALLEST_SLAB_BYTES, room // SLABS_WISHED))
    slab_bytes -= slab_bytes % SLOT_HEADER_BYTES
    if slab_bytes < SLOT_HEADER_BYTES + SMALLEST_PAYLOAD_BYTES:
        raise ValueError(
            f"slabs of {slab_bytes} bytes are too small: "
            f"one slot takes at least {SLOT_HEADER_BYTES + SMALLEST_PAYLOAD_BYTES} bytes"
        )
    if room < slab_bytes:
        raise ValueError(
            f"an arena of {nbytes} bytes is too small for one slab of {slab_bytes} bytes and the header of "
            f"{SEGMENT_HEADER_BYTES}"
        )
    return slab_bytes


def payload_for(nbytes: int, largest: int) -> int:
    """Payload of the slots that chunks of `nbytes` go to, in an arena whose slots hold `largest` at most.

    Raises
    ------
    ValueError
        If there are none.
    """
    if nbytes < 1:
        raise ValueError(f"a chunk of {nbytes} bytes has nothing to keep")
    if nbytes > largest:
        raise ValueError(
            f"a chunk of {nbytes} bytes does not fit: a slot of this arena holds {largest} bytes; "
            "cut the chunks smaller or raise memory.arena_bytes"
        )
    if nbytes <= SMALLEST_PAYLOAD_BYTES:
        return SMALLEST_PAYLOAD_BYTES
    shift = (nbytes - 1).bit_length() - 4
    return min(largest, ((nbytes - 1 >> shift) + 1) << shift)
