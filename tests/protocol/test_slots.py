"""The layout of the arena: what one side writes, the other finds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_protocol import slots


@given(st.integers(0, 3), st.integers(0, (1 << 64) - 1))
def test_a_generation_is_read_back_and_harms_nothing_else(number: int, generation: int) -> None:
    """A slot that is given away anew has no load begun."""
    segment = memoryview(bytearray(b"\xaa" * 1024))
    slot = number * 128
    slots.write_generation(segment, slot, generation)
    assert slots.read_generation(segment, slot) == generation
    assert slots.read_progress(segment, slot) == slots.NOT_BEGUN
    assert segment[slot : slot + 16] == struct.pack("<QQ", generation, 0)
    assert bytes(segment[:slot]) + bytes(segment[slot + 16 :]) == b"\xaa" * 1008


@pytest.mark.parametrize("progress", [slots.NOT_BEGUN, slots.BEGUN, slots.DONE, slots.FORGOTTEN])
def test_progress_leaves_the_generation_alone(progress: int) -> None:
    segment = memoryview(bytearray(256))
    slots.write_generation(segment, 64, 1 << 63)
    slots.write_progress(segment, 64, progress)
    assert slots.read_progress(segment, 64) == progress
    assert slots.read_generation(segment, 64) == 1 << 63
    assert not any(segment[:64])
    assert not any(segment[80:])


def test_memory_that_was_never_written_has_generation_0() -> None:
    assert slots.read_generation(memoryview(bytes(64)), 0) == 0


@pytest.mark.parametrize("slot", [-1000, 60, 1 << 40])
def test_a_slot_outside_the_segment_is_an_error(slot: int) -> None:
    """`struct.error`, and no other memory is touched: callers compare with the segment's length before."""
    with pytest.raises(struct.error):
        slots.read_generation(memoryview(bytes(64)), slot)


def test_a_reader_cannot_write() -> None:
    with pytest.raises((TypeError, ValueError, BufferError)):
        slots.write_generation(memoryview(bytes(64)), 0, 1)


def test_the_layout_is_aligned_and_fits() -> None:
    assert len(slots.MAGIC) == 8
    assert slots.SLOT_HEADER_BYTES % 64 == 0  # for AVX-512 and for every dtype
    assert slots.SEGMENT_HEADER_BYTES % slots.SLOT_HEADER_BYTES == 0
    assert slots.TOKEN_OFFSET + slots.TOKEN_BYTES <= slots.SEGMENT_HEADER_BYTES
    assert len(slots.MAGIC) <= slots.TOKEN_OFFSET
