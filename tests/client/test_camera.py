"""The camera, and which level it is shown at."""

from __future__ import annotations

from math import log2

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.client.pyramids import Levels, plain_levels, pyramids

from octree_client.camera import Camera, PlaneLevel, camera_on, image_extent
from octree_client.level_choice import affordable_level, choose_level, tiles_needed, whole_level
from octree_client.plane_grid import visible_cells

PIXEL_SIZES = st.floats(-8.0, 8.0).map(lambda octaves: 2.0**octaves)


def test_zooming_keeps_what_is_under_the_cursor() -> None:
    camera = Camera((100.0, 50.0), 0.5, (640, 480))
    zoomed = camera.zoomed(2.0, (600.0, 17.0))
    assert zoomed.world_at((600.0, 17.0)) == pytest.approx(camera.world_at((600.0, 17.0)))
    assert zoomed.pixel_size == 0.25


def test_panning_moves_the_image_with_the_mouse() -> None:
    camera = Camera((100.0, 50.0), 0.5, (640, 480))
    assert camera.panned((10.0, -4.0)).world_at((110.0, 96.0)) == pytest.approx(camera.world_at((100.0, 100.0)))


def test_the_fitting_camera_shows_all_of_the_image() -> None:
    levels = plain_levels(5000)
    y0, x0, y1, x1 = camera_on(image_extent(levels), (300, 700)).view()
    ey0, ex0, ey1, ex1 = image_extent(levels)
    assert y0 <= ey0
    assert x0 <= ex0
    assert y1 >= ey1
    assert x1 >= ex1


def test_the_level_whose_voxels_match_the_pixels_is_ideal() -> None:
    levels = plain_levels(1 << 16)
    assert [choose_level(levels, 2.0**p) for p in (-3, 0, 1, 2, 5, 99)] == [0, 0, 1, 2, 5, 8]


def test_both_axes_count() -> None:
    def level(scale: tuple[float, float]) -> PlaneLevel:
        return PlaneLevel((64, 64), (8, 8), (8, 8), scale, (0.0, 0.0))

    levels = (level((4.0, 1.0)), level((4.0, 4.0)), level((8.0, 8.0)))
    # At 1.9 world units a pixel the first is 1.07 octaves off down and 0.93 across, the second 1.07 off on both.
    assert choose_level(levels, 1.9) == 0
    assert choose_level(levels, 2.1) == 1


@settings(deadline=None, max_examples=200)
@given(pyramids(), PIXEL_SIZES, st.floats(1.01, 50.0))
def test_a_larger_pixel_is_never_shown_at_a_finer_level(levels: Levels, size: float, ratio: float) -> None:
    assert choose_level(levels, size) <= choose_level(levels, size * ratio)


@settings(deadline=None, max_examples=200)
@given(pyramids(), PIXEL_SIZES)
def test_the_ideal_level_costs_least(levels: Levels, size: float) -> None:
    def cost(level: PlaneLevel) -> float:
        return sum(log2(scale / size) ** 2 for scale in level.scale)

    assert cost(levels[choose_level(levels, size)]) <= min(map(cost, levels)) + 1e-6


@pytest.mark.parametrize(("octaves", "expected"), [(0.5, 0), (0.64, 0), (0.66, 1), (3.0, 3)])
def test_a_level_is_left_a_little_past_the_midpoint(octaves: float, expected: int) -> None:
    assert choose_level(plain_levels(1 << 16), 2.0**octaves, current=0) == expected


def test_and_so_it_is_on_the_way_back() -> None:
    levels = plain_levels(1 << 16)
    assert choose_level(levels, 2.0**0.36, current=1) == 1
    assert choose_level(levels, 2.0**0.34, current=1) == 0


@settings(deadline=None, max_examples=200)
@given(pyramids(), PIXEL_SIZES, st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=30))
def test_a_trembling_zoom_never_returns_to_a_level_it_left(levels: Levels, size: float, tremble: list[float]) -> None:
    current, left = choose_level(levels, size), set()
    for octaves in tremble:
        after = choose_level(levels, size * 2.0**octaves, current)
        if after != current:
            left.add(current)
        assert after not in left
        current = after


def test_a_locked_level_wins() -> None:
    levels = plain_levels(4096)
    assert [choose_level(levels, 1.0, 0, lock) for lock in (-3, 2, 99)] == [0, 2, len(levels) - 1]


@settings(deadline=None, max_examples=200)
@given(pyramids(), st.integers(1, 400), st.floats(0.1, 2.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_what_is_affordable_fits_wherever_the_view_is(
    levels: Levels, capacity: int, share: float, down: float, across: float
) -> None:
    y0, x0, y1, x1 = image_extent(levels)
    y, x = y0 + down * (y1 - y0), x0 + across * (x1 - x0)
    half_y, half_x = share * (y1 - y0) / 2, share * (x1 - x0) / 2
    view = (y - half_y, x - half_x, y + half_y, x + half_x)
    level = affordable_level(levels, 0, view, capacity)
    assume(level < len(levels) - 1)
    total = 0
    for number in {level, min(level + 2, len(levels) - 1)}:
        row0, col0, row1, col1 = visible_cells(levels, number, view)
        total += (row1 - row0) * (col1 - col0)
    assert total <= tiles_needed(levels, level, view) <= capacity
    assert level == 0 or tiles_needed(levels, level - 1, view) * 1.1 > capacity


def test_quality_sinks_level_by_level_as_the_cache_shrinks() -> None:
    levels = plain_levels(1 << 16)
    view = (0.0, 0.0, 4096.0, 4096.0)
    found = [affordable_level(levels, 0, view, capacity) for capacity in range(1000, 1, -1)]
    assert found == sorted(found)
    assert set(found) >= {0, 1, 2, 3}


def test_going_back_to_a_finer_level_needs_a_margin() -> None:
    levels = plain_levels(1 << 16)
    view = (0.0, 0.0, 4096.0, 4096.0)
    need = tiles_needed(levels, 0, view)
    assert affordable_level(levels, 0, view, need, current=0) == 0
    assert affordable_level(levels, 0, view, need, current=1) == 1
    assert affordable_level(levels, 0, view, int(need * 1.2), current=1) == 0


def test_without_the_octree_the_finest_level_that_fits_is_shown_whole() -> None:
    levels = plain_levels(4096)
    assert [whole_level(levels, capacity) for capacity in (256, 255, 64, 63, 1, 0)] == [0, 1, 1, 2, 4, 4]
