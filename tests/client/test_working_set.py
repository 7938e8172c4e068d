"""What is asked for: everything that is visible and not there, coverage where it helps, and nothing else."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.pyramids import Levels, plain_dataset, plain_levels, pyramids, some_chunks, some_view

from octree_client.camera import image_extent, plane_levels
from octree_client.cover import PlaneChunk, cover
from octree_client.plane_grid import Rect, visible_cells
from octree_client.slices import KeyTemplate
from octree_client.working_set import base_chunks, working_set
from octree_protocol.geometry import Axis, Dataset, Level
from octree_protocol.keys import CellStatus, ChunkKey, Tier
from octree_protocol.messages import ViewerSettings, Wanted


def dataset_of(levels: Levels) -> Dataset:
    return Dataset(
        5,
        "any",
        (Axis("y"), Axis("x")),
        "<u2",
        tuple(Level(v.shape, v.chunk, v.scale, v.translation) for v in levels),
    )


def ask(
    levels: Levels,
    ideal: int,
    view: Rect,
    resident: dict[PlaneChunk, int] | None = None,
    missing: frozenset[PlaneChunk] = frozenset(),
    failed: frozenset[PlaneChunk] = frozenset(),
    **options: object,
) -> dict[PlaneChunk, Wanted]:
    there = resident or {}
    pieces = cover(levels, ideal, view, there, missing, failed)
    template = KeyTemplate(dataset_of(levels))
    found = working_set(template, levels, ideal, view, pieces, there, missing, failed, **options)  # type: ignore[arg-type]
    wanted = found.entries
    named = {(w.key.level, w.key.index[0], w.key.index[1]): w for w in wanted}
    assert len(named) == len(wanted), "a chunk is asked for twice"
    assert [*found.visible, *found.nearby] == list(named.items()), "chunks and their names disagree"
    assert all(one.tier is Tier.VISIBLE for _, one in found.visible)
    assert all(one.tier is Tier.PREFETCH for _, one in found.nearby)
    return named


VIEW = (0.0, 0.0, 2040.0, 2040.0)  # 8 x 8 cells of a plain pyramid's level 0


@settings(deadline=None, max_examples=200)
@given(pyramids(), st.integers(0, 1 << 32))
def test_what_is_visible_and_not_there_is_wanted_and_nothing_finer(levels: Levels, seed: int) -> None:
    random = Random(seed)
    ideal, view = random.randrange(len(levels)), some_view(levels, random)
    resident = {chunk: tile for tile, chunk in enumerate(some_chunks(levels, random), start=1)}
    others = [c for c in some_chunks(levels, random) if c not in resident]
    missing, failed = frozenset(others[::3]), frozenset(others[1::3])
    wanted = ask(levels, ideal, view, resident, missing, failed, base=base_chunks(levels))
    row0, col0, row1, col1 = visible_cells(levels, ideal, view)
    cells = {(ideal, r, c) for r in range(row0, row1) for c in range(col0, col1)}
    gone = resident.keys() | missing | failed
    visible = {chunk for chunk, w in wanted.items() if chunk[0] == ideal and w.tier is Tier.VISIBLE}
    assert visible == cells - gone
    assert not wanted.keys() & gone
    for chunk, one in wanted.items():
        level, row, col = chunk
        assert level >= ideal
        assert one.relative_level == level - ideal
        assert row < levels[level].grid[0]
        assert col < levels[level].grid[1]
    # With all of it there, every cell that can have a stand-in has one within two levels.
    after = dict(resident)
    for chunk in wanted:
        if chunk[0] > ideal:
            after[chunk] = 1 + max(after.values(), default=0)
    for piece in cover(levels, ideal, view, after, missing, failed):
        if piece.status in (CellStatus.PROVISIONAL, CellStatus.EMPTY) and not (missing or failed):
            assert piece.tile >= 0 or ideal == len(levels) - 1
            assert piece.chunk[0] <= ideal + 2


def test_a_cold_view_wants_coverage_two_levels_up_and_all_cells_centre_first() -> None:
    wanted = ask(plain_levels(1 << 14), 0, VIEW)
    assert sorted(c for c in wanted if c[0]) == [(2, 0, 0), (2, 0, 1), (2, 1, 0), (2, 1, 1)]
    assert all(w.relative_level == 2 and w.tier is Tier.VISIBLE for c, w in wanted.items() if c[0])
    assert len(wanted) == 4 + 64
    assert wanted[0, 4, 4].priority < wanted[0, 4, 7].priority < wanted[0, 0, 7].priority
    # The centre of the cell (0, 7) is (128, 1920), that of the view (1020, 1020), and a chunk is 256.
    assert wanted[0, 0, 7].priority == pytest.approx(16 * (892.5**2 + 899.5**2) ** 0.5 / 256, abs=1)


def test_what_is_covered_well_enough_is_not_asked_for_coarser() -> None:
    levels = plain_levels(1 << 14)
    covered: dict[PlaneChunk, int] = {(1, r, c): 1 + 4 * r + c for r in range(4) for c in range(4)}
    assert {c[0] for c in ask(levels, 0, VIEW, covered)} == {0}
    del covered[1, 0, 0]
    assert [c for c in ask(levels, 0, VIEW, covered) if c[0]] == [(2, 0, 0)]
    finer: dict[PlaneChunk, int] = {(0, r, c): 1 + 8 * r + c for r in range(8) for c in range(8)}
    assert {c[0] for c in ask(levels, 1, VIEW, finer)} == {1}


def test_a_far_coarser_stand_in_does_not_count_as_coverage() -> None:
    levels = plain_levels(1 << 14)
    assert {c[0] for c in ask(levels, 0, VIEW, {(len(levels) - 1, 0, 0): 1})} == {0, 2}


def test_with_fewer_levels_above_the_coarsest_one_covers() -> None:
    levels = plain_levels(1024)
    assert len(levels) == 3
    assert {c[0] for c in ask(levels, 1, VIEW)} == {1, 2}
    assert {c[0] for c in ask(levels, 2, VIEW)} == {2}


def test_where_a_coverage_chunk_is_missing_the_next_coarser_one_is_asked_for() -> None:
    levels = plain_levels(1 << 14)
    gone = frozenset({(2, 0, 0)})
    above = sorted(c for c in ask(levels, 0, VIEW, missing=gone) if c[0])
    assert above == [(2, 0, 1), (2, 1, 0), (2, 1, 1), (3, 0, 0)]


def test_no_coverage_where_everything_is_there_in_two_frames() -> None:
    levels = plain_levels(1 << 14)
    assert {c[0] for c in ask(levels, 0, VIEW, load_ms=0.5)} == {0}
    assert {c[0] for c in ask(levels, 0, VIEW, load_ms=20.0)} == {0, 2}
    assert {c[0] for c in ask(levels, 0, VIEW, load_ms=20.0, parallel_loads=64)} == {0}


def test_the_base_is_wanted_until_it_is_there() -> None:
    levels = plain_levels(1 << 14)
    base = base_chunks(levels)
    assert base == ((6, 0, 0),)
    assert ask(levels, 0, VIEW, base=base)[6, 0, 0].relative_level == 6
    assert (6, 0, 0) not in ask(levels, 0, VIEW, {(6, 0, 0): 1}, base=base)
    assert (6, 0, 0) not in ask(levels, 0, VIEW, failed=frozenset(base), base=base)
    everything: dict[PlaneChunk, int] = {(0, r, c): 1 + 8 * r + c for r in range(8) for c in range(8)}
    assert list(ask(levels, 0, VIEW, everything, base=base)) == [(6, 0, 0)]


def test_a_coarsest_level_of_many_chunks_is_no_base() -> None:
    assert base_chunks(plain_levels(4096)[:2]) == ()
    assert len(base_chunks(plain_levels(4096)[:4])) == 4


def test_prefetch_comes_in_its_own_tier_and_never_twice() -> None:
    levels = plain_levels(1 << 14)
    wanted = ask(
        levels, 0, VIEW, {(0, 8, 0): 1}, missing=frozenset({(0, 8, 1)}), prefetch=[(7, 7), (8, 0), (8, 1), (8, 2)]
    )
    assert [c for c, w in wanted.items() if w.tier is Tier.PREFETCH] == [(0, 8, 2)]


def test_over_the_cap_the_nearest_are_asked_for() -> None:
    levels = plain_levels(1 << 14)
    everything = ask(levels, 0, VIEW)
    few = ask(levels, 0, VIEW, most=24, prefetch=[(8, 0)])
    assert len(few) == 24
    nearest = sorted(w.priority for c, w in everything.items() if c[0] == 0)[:20]
    assert sorted(w.priority for c, w in few.items() if c[0] == 0) == nearest


@pytest.mark.parametrize("options", [ViewerSettings(force_synchronous=True), ViewerSettings(octree_enabled=False)])
def test_only_ideal_chunks_where_nothing_else_is_drawn(options: ViewerSettings) -> None:
    levels = plain_levels(1 << 14)
    wanted = ask(levels, 0, VIEW, base=base_chunks(levels), prefetch=[(8, 0)], settings=options)
    assert {c[0] for c in wanted} == {0}
    assert len(wanted) == 64


def test_priorities_fit_the_wire_however_far_the_view_is_zoomed_out() -> None:
    levels = plain_levels(4096)
    y0, x0, y1, x1 = image_extent(levels)
    wanted = ask(levels, 4, (y0 - 1e15, x0, y1, x1 + 1e15))
    assert [w.priority < 1 << 31 for w in wanted.values()] == [True]


def test_keys_name_all_axes_at_every_level() -> None:
    def level(z: int, factor: float) -> Level:
        return Level(
            (2, 4, z, 64, 64), (1, 1, 8, 16, 16), (1.0, 1.0, factor, 1.0, 1.0), (0.0, 0.0, (factor - 1) / 2, 0, 0)
        )

    dataset = Dataset(9, "5d", tuple(map(Axis, "tczyx")), "<u2", (level(40, 1.0), level(20, 2.0), level(10, 4.0)))
    template = KeyTemplate(dataset, (1, 3, 25))
    keys = [template.key((number, 2, 1)) for number in range(3)]
    assert [key.index for key in keys] == [(1, 3, 3, 2, 1), (1, 3, 1, 2, 1), (1, 3, 0, 2, 1)]
    assert template.offsets == ((0, 0, 1), (0, 0, 4), (0, 0, 6))
    for number, key in enumerate(keys):
        assert template.keys(number)(2, 1) == key
        assert template.chunk(key) == (number, 2, 1)
    assert template.chunk(ChunkKey(9, 0, (1, 3, 2, 2, 1))) is None
    assert template.chunk(ChunkKey(8, 0, keys[0].index)) is None
    assert template.chunk(ChunkKey(9, 0, (2, 1))) is None
    with pytest.raises(ValueError, match="3 axes that are not displayed"):
        KeyTemplate(dataset, (1, 3))


def test_a_colour_image_has_one_chunk_of_samples() -> None:
    template = KeyTemplate(plain_dataset(1024, rgb=True))
    key = template.key((1, 1, 0))
    assert key.index == (1, 0, 0)
    assert template.keys(1)(1, 0) == key
    assert template.chunk(key) == (1, 1, 0)


def test_the_plane_of_a_colour_image_leaves_the_samples_out() -> None:
    assert plane_levels(plain_dataset(1024, rgb=True)) == plain_levels(1024)
