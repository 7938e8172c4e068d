"""Uploads: within the budget, the best first, and a still camera becomes final."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.pyramids import Levels, plain_levels, pyramids, some_view

from octree_client.atlas import TileCache
from octree_client.camera import PlaneLevel, image_extent
from octree_client.cover import PlaneChunk, cell_statuses, cover, spare_tiles, touched_tiles
from octree_client.level_choice import affordable_level, tiles_needed
from octree_client.paging import Candidate, UploadCost, plan_uploads
from octree_client.plane_grid import Rect, visible_cells
from octree_client.prefetch import prefetch_cells, prefetch_range
from octree_client.slices import KeyTemplate
from octree_client.working_set import base_chunks, working_set
from octree_protocol.geometry import Axis, Dataset, Level
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Ready

TILE_BYTES = 256 * 256 * 2

#: Where chunks lie plays no part in what is uploaded first.
SLOT = Ready(ChunkKey(0, 0, (0, 0)), 0, 0, "<u2", (256, 256))
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)),
        st.integers(1, 8 << 20),
        st.sampled_from(list(Tier)),
        st.integers(0, 4),
        st.integers(0, 500),
    ),
    max_size=40,
    unique_by=lambda one: one.chunk,
)


@settings(deadline=None, max_examples=200)
@given(CANDIDATES, st.floats(0.0, 10.0), st.integers(0, 50))
def test_the_budget_is_kept_and_the_best_go_first(ready: list[Candidate], budget: float, tiles: int) -> None:
    cost = UploadCost()
    plan = plan_uploads(ready, budget, cost, tiles)
    assert len(plan) <= tiles
    assert len(plan) >= min(1, tiles, len(ready))
    assert len(plan) < 2 or cost.estimate(len(plan), sum(c.nbytes for c in plan)) <= budget + 1e-9

    def rank(one: Candidate) -> tuple[int, int, int]:
        return one.tier, -one.relative_level, one.priority

    left = [c for c in ready if c not in plan]
    assert [rank(c) for c in plan] == sorted(rank(c) for c in plan)
    assert not plan or not left or max(map(rank, plan)) <= min(map(rank, left))
    if left and len(plan) < tiles:
        best = min(left, key=rank)
        worst_best = max((c.nbytes for c in left if rank(c) == rank(best)), default=0)
        spent = cost.estimate(len(plan) + 1, sum(c.nbytes for c in plan) + worst_best)
        assert spent > budget - 1e-9, "something more would have fitted"


def test_coverage_goes_before_ideal_and_prefetch_last() -> None:
    ideal = Candidate((0, 1, 1), TILE_BYTES, SLOT, priority=3)
    centre = Candidate((0, 1, 2), TILE_BYTES, SLOT, priority=1)
    above = Candidate((2, 0, 0), TILE_BYTES, SLOT, relative_level=2, priority=9)
    later = Candidate((0, 9, 9), TILE_BYTES, SLOT, Tier.PREFETCH)
    assert plan_uploads([later, ideal, above, centre], 9.0, UploadCost(), 99) == [above, centre, ideal, later]


@settings(deadline=None, max_examples=60)
@given(st.floats(0.002, 2.0), st.floats(0.01, 4.0), st.integers(0, 1 << 32))
def test_the_estimate_learns_what_uploads_cost(each: float, mib: float, seed: int) -> None:
    random, cost = Random(seed), UploadCost()
    for _ in range(200):
        uploads = random.randint(1, 20)
        nbytes = uploads * random.choice((1 << 14, 1 << 17, 1 << 20))
        cost.measured(uploads, nbytes, uploads * each + nbytes / (1 << 20) * mib)
        cost.validate()
    for uploads, nbytes in ((1, 1 << 17), (20, 20 << 17), (5, 5 << 20)):
        true = uploads * each + nbytes / (1 << 20) * mib
        assert cost.estimate(uploads, nbytes) == pytest.approx(true, rel=0.15)


def test_one_size_of_upload_is_enough_to_learn_what_that_size_costs() -> None:
    cost = UploadCost()
    for _ in range(100):
        cost.measured(10, 10 * TILE_BYTES, 3.0)
    assert cost.estimate(10, 10 * TILE_BYTES) == pytest.approx(3.0, rel=0.02)


def test_one_pause_of_the_machine_does_not_stop_the_uploads() -> None:
    cost = UploadCost()
    for _ in range(50):
        cost.measured(10, 10 * TILE_BYTES, 0.25)
    before = cost.estimate(10, 10 * TILE_BYTES)
    cost.measured(10, 10 * TILE_BYTES, 500.0)
    assert cost.estimate(10, 10 * TILE_BYTES) < 2.5 * before
    cost.measured(0, 0, 99.0)
    cost.validate()


def still_camera(levels: Levels, view: Rect, capacity: int, ideal: int, seed: int) -> tuple[int, int]:
    """Frames of a viewer whose camera does not move, over a daemon that answers in any order.

    Returns the frames until everything is final, and the level that was shown.
    """
    random, cache, cost = Random(seed), TileCache(capacity + 1), UploadCost()
    dataset = Dataset(
        0, "x", (Axis("y"), Axis("x")), "<u2", tuple(Level(v.shape, v.chunk, v.scale, v.translation) for v in levels)
    )
    template, base = KeyTemplate(dataset), base_chunks(levels)
    base = base if len(base) < capacity // 2 else ()
    cache.pin(((), chunk) for chunk in base)
    # The cache is full of chunks that were seen before, finer ones too.
    for col in range(capacity):
        cache.assign((), (random.randint(0, max(0, ideal)), random.randint(0, 3), col), 0, ())
    level = affordable_level(levels, ideal, view, capacity, len(base))
    slots: dict[PlaneChunk, int] = {}
    for frame in range(1, 2000):
        resident = cache.resident(())
        pieces = cover(levels, level, view, resident)
        in_use, spare = touched_tiles(pieces), spare_tiles(pieces, level)
        cache.touch(in_use, frame)
        counts = cell_statuses(levels, level, pieces)
        around = prefetch_range(levels, level, view, None, most=4)
        ring = prefetch_cells(visible_cells(levels, level, view), around, most=4)
        wanted = working_set(template, levels, level, view, pieces, resident, base=base, prefetch=ring).entries
        if counts.final == counts.cells:
            return frame, level
        ranks = {(w.key.level, w.key.index[0], w.key.index[1]): w for w in wanted}
        slots = {chunk: n for chunk, n in slots.items() if chunk in ranks}
        for chunk in ranks:
            if random.random() < 0.5:
                slots[chunk] = TILE_BYTES
        ready = [
            Candidate(c, n, SLOT, ranks[c].tier, ranks[c].relative_level, ranks[c].priority) for c, n in slots.items()
        ]
        seen = {tile: chunk for chunk, tile in resident.items() if tile in in_use}
        for one in plan_uploads(ready, 0.1, cost, cache.available(in_use) + len(spare)):
            # A tile that was given to a chunk of this frame is in use as well.
            visible_ideal = one.tier is Tier.VISIBLE and one.relative_level == 0
            tile = cache.assign((), one.chunk, frame, in_use, spare if visible_ideal else ())
            if tile is None:
                continue
            assert visible_ideal or tile not in seen, "something visible was evicted for something that is not"
            assert tile not in seen or seen[tile][0] != level, "an ideal chunk in view was evicted"
            in_use.add(tile)
            if tile in spare:
                spare.remove(tile)
        cache.validate()
    raise AssertionError(f"not final after 2000 frames: {counts}")


@settings(deadline=None, max_examples=60)
@given(pyramids(), st.integers(2, 60), st.integers(0, 1 << 32))
def test_a_still_camera_becomes_final(levels: Levels, capacity: int, seed: int) -> None:
    random = Random(seed)
    view, ideal = some_view(levels, random), random.randrange(len(levels))
    level = affordable_level(levels, ideal, view, capacity, len(base_chunks(levels)))
    if tiles_needed(levels, level, view) <= capacity:
        still_camera(levels, view, capacity, ideal, seed)


def test_a_cache_that_just_fits_the_view_becomes_final_in_a_few_frames() -> None:
    levels: tuple[PlaneLevel, ...] = plain_levels(1 << 12)
    view = image_extent(levels)
    frames, level = still_camera(levels, view, 300, 0, seed=1)
    assert level == 0 or tiles_needed(levels, 0, view) > 300
    assert frames < 200
