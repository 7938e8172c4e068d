"""Motion, and the cells that it leads to."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.pyramids import Levels, plain_levels, pyramids, some_view

from octree_client.camera import Camera, PlaneLevel
from octree_client.plane_grid import Rect, visible_cells
from octree_client.prefetch import Motion, MotionTracker, is_still, predicted_view, prefetch_cells, prefetch_range

CAMERA = Camera((5000.0, 5000.0), 1.0, (1024, 768))


def moving(velocity: tuple[float, float], octaves: float, interval: float, seconds: float) -> MotionTracker:
    tracker = MotionTracker()
    for step in range(int(seconds / interval) + 1):
        t = step * interval
        center = 5000.0 + velocity[0] * t, 5000.0 + velocity[1] * t
        tracker.moved(Camera(center, 2.0 ** (octaves * t), (1024, 768)), t)
        tracker.validate()
    return tracker


@settings(deadline=None, max_examples=60)
@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(-3.0, 3.0), st.floats(0.004, 0.05))
def test_a_steady_motion_is_found(down: float, across: float, octaves: float, interval: float) -> None:
    motion = moving((down, across), octaves, interval, 0.6).motion(0.6 // interval * interval)
    assert motion == pytest.approx((down, across, octaves), rel=0.02, abs=0.01)


def test_a_motion_of_fifty_milliseconds_ago_counts_half() -> None:
    tracker = moving((800.0, 0.0), 0.0, 0.01, 1.0)
    assert tracker.motion(1.05).down == pytest.approx(400.0, rel=0.01)
    assert is_still(CAMERA, tracker.motion(2.0))
    assert not is_still(CAMERA, tracker.motion(1.0))


def test_a_jump_is_no_motion_once_it_is_said_so() -> None:
    tracker = moving((800.0, 0.0), 0.0, 0.01, 1.0)
    tracker.stop()
    tracker.moved(Camera((9e6, 9e6), 1.0, (1024, 768)), 1.01)
    tracker.validate()
    assert tracker.motion(1.01) == Motion()


def test_two_events_of_one_instant_lose_no_way() -> None:
    tracker = MotionTracker()
    tracker.moved(CAMERA, 0.0)
    tracker.moved(CAMERA.panned((0.0, -10.0)), 0.0)
    tracker.moved(CAMERA.panned((0.0, -20.0)), 0.05)
    assert tracker.motion(0.05).down == pytest.approx(0.5 * 20.0 / 0.05)


def test_the_predicted_view_goes_with_the_motion_and_not_beyond_a_canvas() -> None:
    assert predicted_view(CAMERA, Motion(), 0.5) == CAMERA.view()
    y0, x0, y1, x1 = predicted_view(CAMERA, Motion(100.0, -1e9, 0.0), 0.5)
    assert (y0, y1) == pytest.approx((5000.0 - 384 + 50, 5000.0 + 384 + 50))
    assert (x0, x1) == pytest.approx((5000.0 - 512 - 1024, 5000.0 + 512 - 1024))
    y0, x0, y1, x1 = predicted_view(CAMERA, Motion(0.0, 0.0, 99.0), 0.5)
    assert (y1 - y0, x1 - x0) == pytest.approx((2 * 768, 2 * 1024))


def cells_ahead(levels: Levels, ideal: int, view: Rect, ahead: Rect | None, most: int = 32) -> list[tuple[int, int]]:
    seen, around = visible_cells(levels, ideal, view), prefetch_range(levels, ideal, view, ahead, most)
    assert around[0] <= seen[0] <= seen[2] <= around[2]
    assert around[1] <= seen[1] <= seen[3] <= around[3]
    return prefetch_cells(seen, around, most)


@settings(deadline=None, max_examples=200)
@given(pyramids(), st.integers(0, 1 << 32), st.integers(0, 40))
def test_cells_ahead_exist_are_not_visible_and_the_nearest_come_first(levels: Levels, seed: int, most: int) -> None:
    random = Random(seed)
    view, ideal = some_view(levels, random), random.randrange(len(levels))
    ahead = None if random.random() < 0.3 else some_view(levels, random)
    cells = cells_ahead(levels, ideal, view, ahead, most)
    assert len(cells) == len(set(cells)) <= most
    row0, col0, row1, col1 = visible_cells(levels, ideal, view)
    away = []
    for row, col in cells:
        assert 0 <= row < levels[ideal].grid[0]
        assert 0 <= col < levels[ideal].grid[1]
        assert not (row0 <= row < row1 and col0 <= col < col1)
        away.append(max(row0 - row, row - row1 + 1, 0) + max(col0 - col, col - col1 + 1, 0))
    assert away == sorted(away)


def test_a_still_camera_has_a_ring_around_it() -> None:
    levels = plain_levels(1 << 14)
    view = (1024.0, 1024.0, 1500.0, 1500.0)
    assert visible_cells(levels, 0, view) == (4, 4, 6, 6)
    ring = cells_ahead(levels, 0, view, None)
    assert sorted(ring) == sorted((r, c) for r in range(3, 7) for c in range(3, 7) if not (4 <= r < 6 and 4 <= c < 6))
    assert set(ring[-4:]) == {(3, 3), (3, 6), (6, 3), (6, 6)}


def test_a_moving_camera_has_the_cells_on_its_way() -> None:
    levels = plain_levels(1 << 14)
    view = (1024.0, 1024.0, 1500.0, 1500.0)
    right = cells_ahead(levels, 0, view, (1024.0, 1324.0, 1500.0, 1800.0))
    assert right == [(4, 6), (5, 6), (4, 7), (5, 7), (4, 8), (5, 8)]
    below = cells_ahead(levels, 0, view, (1324.0, 1024.0, 1800.0, 1500.0))
    assert below == [(6, 4), (6, 5), (7, 4), (7, 5), (8, 4), (8, 5)]
    up = cells_ahead(levels, 0, view, (724.0, 1024.0, 1200.0, 1500.0), most=3)
    assert up == [(3, 4), (3, 5), (2, 4)]


def test_the_cost_does_not_depend_on_how_far_ahead_the_motion_leads() -> None:
    levels = plain_levels(1 << 40)
    view = (1e9, 1e9, 1e9 + 2000, 1e9 + 2000)
    assert len(cells_ahead(levels, 0, view, (0.0, 0.0, 1e12, 1e12))) == 32


def test_a_cell_beyond_the_end_of_the_image_is_no_cell() -> None:
    fine = PlaneLevel((20, 20), (10, 10), (2, 2), (1.0, 1.0), (0.0, 0.0))
    coarse = PlaneLevel((11, 11), (5, 5), (3, 3), (2.0, 2.0), (0.5, 0.5))
    assert cells_ahead((fine, coarse), 1, (0.0, 0.0, 5.0, 5.0), None) == [(0, 1), (1, 0), (1, 1)]
    assert cells_ahead((fine, coarse), 1, (0.0, 0.0, 19.0, 19.0), None) == []
