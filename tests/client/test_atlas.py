"""The tile cache against a plain model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_client.atlas import TileCache
from octree_client.cover import FILL_TILE

CHUNKS = st.tuples(st.integers(0, 1), st.just(0), st.integers(0, 2))
PLACES = st.sampled_from([(), (1,)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("assign"), PLACES, CHUNKS),
        st.tuples(st.just("forget"), PLACES, CHUNKS),
        st.tuples(st.just("touch"), PLACES, CHUNKS),
        st.tuples(st.just("pin"), PLACES, CHUNKS),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=200)
@given(st.integers(2, 9), STEPS)
def test_it_agrees_with_a_plain_least_recently_used_list(
    tiles: int, steps: list[tuple[str, tuple[int, ...], tuple[int, int, int]]]
) -> None:
    cache = TileCache(tiles)
    model: list[tuple[object, object]] = []  # least recently used first
    pinned: set[tuple[object, object]] = set()
    revisions: dict[tuple[object, int], object] = {}
    for frame, (what, place, chunk) in enumerate(steps):
        name = (place, chunk)
        if what == "assign":
            before = len(model)
            tile = cache.assign(place, chunk, frame, keep=())
            victim = next((m for m in model if m not in pinned), None)
            if name in model:
                model.remove(name)
            elif before == tiles - 1:
                if victim is None:
                    assert tile is None
                    continue
                model.remove(victim)
            assert tile is not None
            assert tile != FILL_TILE
            model.append(name)
        elif what == "forget":
            cache.forget(place, chunk)
            model = [m for m in model if m != name]
        elif what == "touch" and name in model:
            cache.touch([cache.resident(place)[chunk]], frame)
            model.remove(name)
            model.append(name)
        elif what == "pin":
            pinned = {name}
            cache.pin(pinned)  # type: ignore[arg-type]
        cache.validate()
        for p in ((), (1,)):
            there = dict(cache.resident(p))
            assert revisions.setdefault((p, cache.revision(p)), there) == there, "a change without a new revision"
        held = {(p, c) for p in ((), (1,)) for c in cache.resident(p)}
        assert held == set(model)
        assert len(cache) == len(model)
        assert cache.available(()) == tiles - 1 - len(pinned & set(model))


def test_a_chunk_keeps_its_tile() -> None:
    cache = TileCache(4)
    first = cache.assign((), (0, 0, 0), 1, ())
    assert cache.assign((), (0, 0, 0), 2, ()) == first
    assert cache.assign((1,), (0, 0, 0), 2, ()) != first
    assert cache.resident(()) == {(0, 0, 0): first}
    assert cache.resident((2,)) == {}


def test_what_is_in_use_goes_only_where_it_is_spare() -> None:
    cache = TileCache(3)
    tiles = [cache.assign((), (0, 0, col), 1, ()) for col in range(2)]
    keep = {tile for tile in tiles if tile is not None}
    assert cache.assign((), (0, 0, 2), 2, keep) is None
    assert cache.available(keep) == 0
    assert cache.available(()) == 2
    cache.validate()
    assert cache.assign((), (0, 0, 2), 2, keep, spare=[tiles[1]]) == tiles[1]  # type: ignore[list-item]
    assert (0, 0, 1) not in cache.resident(())
    assert cache.evictions == 1
    cache.validate()


def test_the_last_chunk_of_a_place_can_make_room_for_another_of_it() -> None:
    cache = TileCache(2)
    tile = cache.assign((), (0, 0, 0), 1, ())
    assert cache.assign((), (0, 0, 1), 2, ()) == tile
    assert cache.resident(()) == {(0, 0, 1): tile}
    cache.validate()


def test_a_lost_texture_holds_nothing() -> None:
    cache = TileCache(5)
    for col in range(4):
        cache.assign((), (0, 0, col), col, ())
    cache.forget_all()
    cache.validate()
    assert len(cache) == 0
    assert cache.resident(()) == {}
    assert cache.available(()) == 4


def test_an_atlas_that_holds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="give it 2 at least"):
        TileCache(1)


def test_asking_again_for_a_chunk_that_is_there_counts_as_use() -> None:
    cache = TileCache(3)
    for frame, col in enumerate((0, 1, 0, 2)):
        cache.assign((), (0, 0, col), frame, ())
    assert set(cache.resident(())) == {(0, 0, 0), (0, 0, 2)}
    cache.validate()
