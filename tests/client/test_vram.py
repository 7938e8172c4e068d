"""The budget of video memory: kept, used, and shared so that nobody starves."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from octree_client.atlas import TileCache
from octree_client.cover import FILL_TILE
from octree_client.vram import Need, share_out, view_tiles

NEEDS = st.lists(
    st.builds(lambda least, view, most: Need(least, view, most + least), *[st.integers(0, 10_000)] * 3), max_size=8
)


@given(NEEDS, st.integers(0, 60_000))
def test_the_budget_is_kept_and_used(needs: list[Need], budget: int) -> None:
    shares = share_out(needs, budget)
    floor = sum(need.least for need in needs)
    assert sum(shares) <= max(budget, floor)
    for share, need in zip(shares, needs, strict=True):
        assert need.least <= share <= need.most
    if budget >= floor + sum(need.view for need in needs):
        assert all(s >= min(n.view, n.most) for s, n in zip(shares, needs, strict=True))
    # Nothing lies idle while somebody could do with it; a byte a layer may be lost in rounding.
    wish = sum(need.most for need in needs)
    assert sum(shares) >= min(budget, wish) - 2 * len(needs)


def test_a_small_layer_leaves_its_part_to_the_others() -> None:
    assert share_out([Need(2, 10, 10), Need(2, 50, 1000), Need(2, 50, 1000)], 210) == [10, 100, 100]
    assert share_out([Need(2, 102, 1000), Need(2, 202, 1000)], 154) == [52, 102]


def test_a_view_of_square_voxels_fits() -> None:
    assert view_tiles((1024, 768), (256, 256)) >= 5 * 4 + 4
    assert view_tiles((10, 10), (4096, 4096)) <= 8


@given(st.integers(0, 1 << 32))
def test_a_resized_cache_keeps_what_was_used_last(seed: int) -> None:
    random = Random(seed)
    cache = TileCache(random.randint(2, 20))
    cache.pin([((), (3, 0, 0))])
    for frame in range(random.randint(0, 40)):
        cache.assign((), (random.randint(0, 3), 0, random.randint(0, 9)), frame, set())
    contents = dict(cache._owners)
    order = list(cache._used)
    tiles = random.randint(2, 24)
    moves = cache.resize(tiles)
    cache.validate()
    assert cache.capacity == tiles - 1
    now = {owner: tile for tile, owner in cache._owners.items()}
    assert len(now) == min(len(contents), tiles - 1)
    pinned = [tile for tile in order if contents[tile] == ((), (3, 0, 0))]
    kept = [*[tile for tile in order if tile not in pinned], *pinned][max(0, len(order) - (tiles - 1)) :]
    assert {contents[tile] for tile in kept} == set(now)
    # What is copied comes from where it was, and goes where nothing else is.
    assert all(now[contents[source]] == target for source, target in moves)
    assert all(source >= tiles > target != FILL_TILE for source, target in moves)
    stayed = {tile for tile in kept if tile < tiles}
    assert not stayed & {target for _, target in moves}
    assert all(now[contents[tile]] == tile for tile in stayed)
