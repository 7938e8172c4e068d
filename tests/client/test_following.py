"""What is wanted of the positions that come next: the likeliest whole, each chunk once, nothing that is there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.client.pyramids import plain_dataset

from octree_client.following import following_set, seen_there
from octree_client.slices import KeyTemplate
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Wanted

DATASET = plain_dataset(1024, ndim=3)
TEMPLATES = {(z,): KeyTemplate(DATASET, (z,)) for z in (3, 4, 2)}


@given(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(2, 4), st.integers(2, 4)),
    st.sets(st.tuples(st.sampled_from([2, 3, 4]), st.integers(0, 3), st.integers(0, 3))),
    st.sets(st.tuples(st.sampled_from([2, 3, 4]), st.integers(0, 3), st.integers(0, 3))),
    st.integers(0, 60),
)
def test_whole_positions_in_order(
    seen: tuple[int, int, int, int], there: set[tuple[int, int, int]], bad: set[tuple[int, int, int]], most: int
) -> None:
    def resident(place: tuple[int, ...]) -> dict[tuple[int, int, int], int]:
        return {(0, row, col): 1 for z, row, col in there if place == (z,)}

    unreadable = {ChunkKey(DATASET.id, 0, one) for one in bad}
    already = Wanted(ChunkKey(DATASET.id, 0, (4, 1, 1)), 0, Tier.VISIBLE, 0)
    places = {place: seen_there(template, 0, seen, [(2, 0, 0)]) for place, template in TEMPLATES.items()}
    found = following_set(places, 0, resident, {already.key: already}, unreadable.__contains__, most)
    each = 1 + (seen[2] - seen[0]) * (seen[3] - seen[1])
    assert len(found.entries) <= most
    keys = [entry.key for entry in found.entries]
    assert len(set(keys)) == len(keys)
    assert already.key not in keys
    assert not unreadable & set(keys)
    assert list(found.planned) == list(TEMPLATES)[: len(found.planned)]
    assert len(found.planned) == 3 or each > most - len(found.entries)
    for place, planned in found.planned.items():
        chunks = {chunk for chunk, _ in planned}
        assert not chunks & resident(place).keys()
        lacking = {
            (0, row, col)
            for row in range(seen[0], seen[2])
            for col in range(seen[1], seen[3])
            if (0, row, col) not in resident(place)
            and ((place[0], row, col) not in bad or ChunkKey(DATASET.id, 0, (*place, row, col)) == already.key)
        }
        assert chunks == lacking | {(2, 0, 0)}
        assert all(entry.tier is Tier.PREFETCH or entry is already for _, entry in planned)
