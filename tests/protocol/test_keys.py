"""Names of chunks and ranks of wants: what scheduler and atlas rely on."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_protocol import limits
from octree_protocol.keys import CellStatus, ChunkKey, Tier

keys = st.builds(
    ChunkKey,
    st.integers(0, limits.DATASETS),
    st.integers(0, limits.LEVELS),
    st.lists(st.integers(0, 1 << 44), max_size=limits.AXES).map(tuple),
)


@given(keys, keys)
def test_keys_are_equal_when_all_of_them_is(one: ChunkKey, other: ChunkKey) -> None:
    same = (one.dataset, one.level, one.index) == (other.dataset, other.level, other.index)
    assert (one == other) == same
    if same:
        assert hash(one) == hash(other)
    assert {one: 1, other: 2}[other] == 2


@given(keys)
def test_keys_travel_as_three_values(key: ChunkKey) -> None:
    frame = msgspec.msgpack.encode(key)
    assert msgspec.msgpack.decode(frame) == [key.dataset, key.level, list(key.index)]
    assert msgspec.msgpack.decode(frame, type=ChunkKey) == key


def test_keys_do_not_change() -> None:
    with pytest.raises(AttributeError):
        ChunkKey(0, 0, (0,)).level = 1  # type: ignore[misc]


def test_what_is_seen_comes_first() -> None:
    assert sorted(Tier) == [Tier.VISIBLE, Tier.PREFETCH, Tier.RECENT]


def test_numbers_on_the_wire_stay_what_they_are() -> None:
    """They stand in SPEC.md: another number is another protocol."""
    assert [tier.value for tier in Tier] == [0, 1, 2]
    assert {status.name: status.value for status in CellStatus} == {
        "FINAL": 0,
        "PROVISIONAL": 1,
        "MISSING": 2,
        "FAILED": 3,
        "EMPTY": 4,
    }
