"""Every visible cell is drawn exactly once, by the best there is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.pyramids import Levels, plain_levels, pyramids, some_chunks, some_view

from octree_client.camera import PlaneLevel, image_extent
from octree_client.cover import (
    FILL_TILE,
    Piece,
    PlaneChunk,
    ViewStatus,
    cell_statuses,
    cover,
    spare_tiles,
    touched_tiles,
)
from octree_client.plane_grid import Rect, count_cells, grids_of, visible_cells
from octree_protocol.keys import CellStatus

SEEDS = st.integers(0, 1 << 32)


def area(rect: Rect) -> Fraction:
    y0, x0, y1, x1 = (Fraction(v) for v in rect)
    return (y1 - y0) * (x1 - x0)


def cell_rect(levels: Levels, level: int, row: int, col: int) -> Rect:
    down, across = grids_of(levels).axes[level]
    return down.border(row), across.border(col), down.border(row + 1), across.border(col + 1)


def inside(inner: Rect, outer: Rect) -> bool:
    return outer[0] <= inner[0] < inner[2] <= outer[2] and outer[1] <= inner[1] < inner[3] <= outer[3]


def overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def pieces_of_cells(levels: Levels, ideal: int, view: Rect, pieces: list[Piece]) -> dict[tuple[int, int], list[Piece]]:
    row0, col0, row1, col1 = visible_cells(levels, ideal, view)
    found: dict[tuple[int, int], list[Piece]] = {(r, c): [] for r in range(row0, row1) for c in range(col0, col1)}
    for piece in pieces:
        home = [cell for cell in found if inside(piece.rect, cell_rect(levels, ideal, *cell))]
        assert len(home) == 1, f"{piece} lies in {home}"
        found[home[0]].append(piece)
    return found


def meeting(levels: Levels, level: int, rect: Rect) -> list[PlaneChunk]:
    """Chunks of a level that share more than the tolerance with a rectangle, found the slow way."""
    down, across = grids_of(levels).axes[level]
    rows = [
        r for r in range(down.count) if min(down.border(r + 1), rect[2]) - max(down.border(r), rect[0]) > down.tolerance
    ]
    cols = [
        c
        for c in range(across.count)
        if min(across.border(c + 1), rect[3]) - max(across.border(c), rect[1]) > across.tolerance
    ]
    return [(level, r, c) for r in rows for c in cols]


@settings(deadline=None, max_examples=150)
@given(pyramids(), SEEDS)
def test_visible_cells_are_those_that_meet_the_view(levels: Levels, seed: int) -> None:
    view = some_view(levels, Random(seed))
    for level, plane in enumerate(levels):
        row0, col0, row1, col1 = visible_cells(levels, level, view)
        expected = {
            (r, c)
            for r in range(plane.grid[0])
            for c in range(plane.grid[1])
            if area(cell_rect(levels, level, r, c)) > 0 and overlap(cell_rect(levels, level, r, c), view)
        }
        assert {(r, c) for r in range(row0, row1) for c in range(col0, col1)} == expected
        assert len(expected) <= count_cells(levels, level, view)


@settings(deadline=None, max_examples=400)
@given(pyramids(), SEEDS)
def test_every_visible_cell_is_drawn_exactly_once_by_the_best_there_is(levels: Levels, seed: int) -> None:
    random = Random(seed)
    view, ideal = some_view(levels, random), random.randrange(len(levels))
    resident = {chunk: tile for tile, chunk in enumerate(some_chunks(levels, random), start=1)}
    others = [c for c in some_chunks(levels, random) if c not in resident]
    missing, failed = set(others[::3]), set(others[1::3])
    pieces = cover(levels, ideal, view, resident, missing, failed)
    worst: dict[CellStatus, int] = defaultdict(int)
    for (row, col), parts in pieces_of_cells(levels, ideal, view, pieces).items():
        rect, own = cell_rect(levels, ideal, row, col), (ideal, row, col)
        assert sum(area(p.rect) for p in parts) == area(rect)
        assert not any(overlap(a.rect, b.rect) for n, a in enumerate(parts) for b in parts[:n])
        worst[max(p.status for p in parts)] += 1
        for part in parts:
            assert part.tile == -1 or part.tile == FILL_TILE or resident[part.chunk] == part.tile
        if own in resident:
            assert parts == [Piece(own, rect, resident[own], CellStatus.FINAL)]
            continue
        if own in missing:
            assert parts == [Piece(own, rect, FILL_TILE, CellStatus.MISSING)]
            continue
        stand_in = CellStatus.FAILED if own in failed else CellStatus.PROVISIONAL
        finer = next(
            (
                k
                for k in range(ideal - 1, ideal - 4, -1)
                if k >= 0 and all(c in resident for c in meeting(levels, k, rect))
            ),
            None,
        )
        if finer is not None:
            assert {p.chunk for p in parts} == set(meeting(levels, finer, rect))
            assert {p.status for p in parts} == {stand_in}
            continue
        for part in parts:
            coarser = [c for k in range(ideal + 1, len(levels)) for c in meeting(levels, k, part.rect)]
            best = next((c for c in coarser if c in resident), None)
            if best is None:
                assert part.chunk == own
                assert part.tile == -1
                assert part.status is (CellStatus.FAILED if own in failed else CellStatus.EMPTY)
            else:
                assert part.chunk == best
                assert meeting(levels, best[0], part.rect) == [best]
                assert part.status is stand_in
    assert cell_statuses(levels, ideal, pieces) == ViewStatus(*(worst[status] for status in CellStatus))
    assert touched_tiles(pieces) == {p.tile for p in pieces if p.tile >= 0}
    spare = spare_tiles(pieces, ideal)
    assert sorted(spare) == sorted({p.tile for p in pieces if p.tile >= 0 and p.chunk[0] != ideal})


@settings(deadline=None, max_examples=60)
@given(pyramids(), SEEDS)
def test_shared_borders_are_the_same_number_and_nothing_leaves_the_image(levels: Levels, seed: int) -> None:
    random = Random(seed)
    extent = image_extent(levels)
    resident = {chunk: tile for tile, chunk in enumerate(some_chunks(levels, random), start=1)}
    pieces = cover(levels, 0, extent, resident)
    assert sum(area(p.rect) for p in pieces) == area(extent)
    assert all(inside(p.rect, extent) for p in pieces)
    thinnest = min(min(p.rect[2] - p.rect[0], p.rect[3] - p.rect[1]) for p in pieces)
    assert thinnest > 0.5 * min(min(g.tolerance for g in pair) for pair in grids_of(levels).axes)


def test_a_chunk_two_levels_up_stands_in_for_sixteen_cells() -> None:
    levels = plain_levels(4096)
    pieces = cover(levels, 0, (0.0, 0.0, 1023.0, 1023.0), {(2, 0, 0): 7})
    assert len(pieces) == 16
    assert {(p.chunk, p.tile, p.status) for p in pieces} == {((2, 0, 0), 7, CellStatus.PROVISIONAL)}


def test_zooming_out_draws_from_finer_chunks_only_where_all_are_there() -> None:
    levels = plain_levels(4096)
    fine = {(0, r, c): 1 + 4 * r + c for r in range(4) for c in range(4)}
    whole = cover(levels, 1, (0.0, 0.0, 1000.0, 500.0), fine)
    assert len(whole) == 8
    assert {p.chunk[0] for p in whole} == {0}
    del fine[0, 3, 1]
    torn = cover(levels, 1, (0.0, 0.0, 1000.0, 500.0), fine)
    assert [p.status for p in torn if p.chunk == (1, 1, 0)] == [CellStatus.EMPTY]
    assert len([p for p in torn if p.chunk[0] == 0]) == 4


def test_factor_three_cuts_a_cell_at_the_coarser_border() -> None:
    fine = PlaneLevel((90, 90), (10, 10), (9, 9), (1.0, 1.0), (0.0, 0.0))
    coarse = PlaneLevel((30, 30), (5, 5), (6, 6), (3.0, 3.0), (1.0, 1.0))
    pieces = cover((fine, coarse), 0, (10.0, 0.0, 19.0, 9.0), {(1, 0, 0): 1})
    assert [(p.chunk, p.tile, p.status) for p in pieces] == [
        ((1, 0, 0), 1, CellStatus.PROVISIONAL),
        ((0, 1, 0), -1, CellStatus.EMPTY),
    ]
    assert pieces[0].rect == (9.5, -0.5, 14.5, 9.5)
    assert pieces[1].rect == (14.5, -0.5, 19.5, 9.5)
    assert cell_statuses((fine, coarse), 0, pieces) == ViewStatus(empty=1)


def test_a_view_beside_the_image_asks_for_nothing() -> None:
    levels = plain_levels(4096)
    for view in ((-100.0, 0.0, -0.5, 100.0), (4095.5, 0.0, 5000.0, 100.0), (0.0, 9e9, 10.0, 9.1e9)):
        assert visible_cells(levels, 0, view) == (0, 0, 0, 0)
        assert cover(levels, 0, view, {}) == []


def test_borders_are_exact_far_from_the_origin() -> None:
    levels = plain_levels(1 << 40)
    far = float((1 << 40) - 1000)
    pieces = cover(levels, 0, (far, far, far + 700, far + 700), {(len(levels) - 1, 0, 0): 1})
    assert {p.status for p in pieces} == {CellStatus.PROVISIONAL}
    assert all(p.rect[2] - p.rect[0] == 256.0 for p in pieces)


def test_a_level_that_was_rounded_up_has_no_slivers_beyond_the_image() -> None:
    for scale in (0.1, 0.3, 0.7, 1.1):
        fine = PlaneLevel((20, 20), (10, 10), (2, 2), (scale, scale), (0.0, 0.0))
        # 11 voxels of twice the size: the second chunk begins where the image ends, but for rounding.
        coarse = PlaneLevel((11, 11), (10, 10), (2, 2), (2 * scale, 2 * scale), (0.5 * scale, 0.5 * scale))
        levels = (fine, coarse)
        assert visible_cells(levels, 1, image_extent(levels)) == (0, 0, 1, 1)
        assert grids_of(levels).axes[1][0].border(1) == image_extent(levels)[2]


def test_a_shift_by_half_a_voxel_is_no_alignment() -> None:
    fine = PlaneLevel((64, 64), (8, 8), (8, 8), (1.0, 1.0), (0.0, 0.0))
    assert grids_of((fine, PlaneLevel((32, 32), (8, 8), (4, 4), (2.0, 2.0), (0.5, 0.5)))).factors == ((2, 2),)
    assert grids_of((fine, PlaneLevel((32, 32), (8, 8), (4, 4), (2.0, 2.0), (0.5, 0.0)))).factors == ((2, 0),)
    assert grids_of((fine, PlaneLevel((22, 32), (8, 8), (3, 4), (3.0, 2.0), (1.0, 0.5)))).factors == ((3, 2),)
    assert grids_of((fine, PlaneLevel((32, 32), (8, 8), (4, 4), (2.001, 2.0), (0.5, 0.5)))).factors == ((0, 2),)


class CountingDict(dict[PlaneChunk, int]):
    """Counts the look-ups."""

    looks = 0

    def get(self, chunk: PlaneChunk, default: int | None = None) -> int | None:  # type: ignore[override]
        self.looks += 1
        return super().get(chunk, default)

    def __contains__(self, chunk: object) -> bool:
        self.looks += 1
        return super().__contains__(chunk)


def test_the_cost_grows_neither_with_the_dataset_nor_with_its_levels() -> None:
    for shifted in (False, True):
        looks = []
        for edge in (1 << 13, 1 << 20, 1 << 40):
            levels = plain_levels(edge)
            if shifted:  # borders that coincide nowhere
                levels = tuple(replace(level, translation=(0.0, 0.0)) for level in levels)
            resident = CountingDict({(len(levels) - 1, 0, 0): 1})
            assert len(cover(levels, 0, (600.0, 600.0, 2500.0, 2500.0), resident)) >= 64
            looks.append(resident.looks)
        assert max(looks) <= 2 * 64 + 20, looks
