"""What is read ahead, and in which pieces plain voxels lie: pure, for any file."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from octree_loader.sources.boxes import band_of
from octree_loader.sources.readahead import AHEAD_MOST, BLOCK_BYTES, ReadAhead

SIZE = 1 << 32


@given(st.lists(st.integers(0, SIZE - 1), max_size=40), st.integers(1, SIZE))
def test_what_is_read_ahead_lies_in_the_file_and_is_little(places: list[int], size: int) -> None:
    ahead = ReadAhead()
    for place in places:
        if place >= size:
            continue
        found = ahead.missed(place, size)
        assert found == sorted(set(found))
        assert len(found) <= AHEAD_MOST
        assert all(0 <= number * BLOCK_BYTES < size for number in found)
        assert place // BLOCK_BYTES not in found


@given(st.integers(BLOCK_BYTES + 1, 1 << 24), st.integers(0, 1 << 20), st.integers(10, 300))
def test_steps_are_soon_read_many_at_once(step: int, first: int, count: int) -> None:
    """Pages of a stack: all the same distance apart."""
    ahead, cached, missed = ReadAhead(), set[int](), 0
    for number in range(count):
        place = first + number * step
        if place // BLOCK_BYTES in cached:
            continue
        missed += 1
        cached |= {place // BLOCK_BYTES, *ahead.missed(place, 1 << 40)}
    assert missed <= 7 + count / AHEAD_MOST


def test_places_without_a_pattern_are_read_alone() -> None:
    ahead = ReadAhead()
    for place in (0, 900_000_000, 5_000_000, 700_000_000, 20_000_000, 600_000_000):
        assert ahead.missed(place, SIZE) == []


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=5),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.integers(1, 1 << 22),
)
def test_a_band_lies_in_one_piece_and_is_no_longer_than_it_may_be(shape: list[int], itemsize: int, most: int) -> None:
    band = band_of(shape, itemsize, most)
    assert all(1 <= edge <= size for edge, size in zip(band, shape, strict=True))
    assert math.prod(band) * itemsize <= max(most, itemsize)
    cut = [axis for axis, edge in enumerate(band) if edge < shape[axis]]
    # In one piece: below the last axis that is cut everything is whole, above it there is one of each.
    if cut:
        last = cut[-1]
        assert all(edge == 1 for edge in band[:last])
        assert 2 * math.prod(band) * itemsize > most or band[last] * 2 > shape[last] or most < 2 * itemsize
