"""Vertices for a wider camera: a view within it shows what vertices of its own would show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.scene import Scene, plane_level

from octree_client.camera import Camera
from octree_client.canvas import Canvas
from octree_client.visuals.wide_camera import place_in, wide_camera

CANVAS = (640, 480)
MOVES = st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000), st.floats(0.2, 5))


@settings(deadline=None, max_examples=200)
@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e4), st.lists(MOVES, max_size=6))
def test_a_view_lies_within_and_its_corners_come_out_at_its_corners(
    center: float, pixel_size: float, moves: list[tuple[float, float, float]]
) -> None:
    camera, wide = Camera((center, -center), pixel_size, CANVAS), None
    for x, y, factor in [(0.0, 0.0, 1.0), *moves]:
        camera = camera.panned((x, y)).zoomed(factor)
        before, wide = wide, wide_camera(camera, wide)
        assert wide.canvas == (3 * CANVAS[0], 3 * CANVAS[1])
        assert wide.pixel_size < 2 * camera.pixel_size
        y0, x0, y1, x1 = camera.view()
        top, left, bottom, right = wide.view()
        assert top <= y0 < y1 <= bottom
        assert left <= x0 < x1 <= right
        assert wide == before or wide.center == camera.center
        scale_x, scale_y, offset_x, offset_y = np.float32(place_in(wide, camera))
        # As `quads` does: differences in float64, then float32.
        corner_x = np.float32((x0 - wide.center[1]) * 2 / (wide.pixel_size * wide.canvas[0]))
        corner_y = np.float32((wide.center[0] - y0) * 2 / (wide.pixel_size * wide.canvas[1]))
        rounding = 4 * np.spacing(abs(center) + 1e6 * pixel_size) / (camera.pixel_size * CANVAS[1]) + 4e-6
        assert corner_x * scale_x + offset_x == pytest.approx(-1, abs=rounding)
        assert corner_y * scale_y + offset_y == pytest.approx(1, abs=rounding)


def test_it_stays_while_the_view_moves_nearby() -> None:
    camera = Camera((100.0, 200.0), 1.0, CANVAS)
    wide = wide_camera(camera)
    assert wide_camera(camera.panned((-600.0, 400.0)), wide) is wide
    assert wide_camera(camera.zoomed(1.9), wide) is wide
    assert wide_camera(camera.zoomed(0.5), wide) is wide
    for other in (
        camera.panned((-700.0, 0.0)),
        camera.zoomed(2.0),
        camera.zoomed(0.3),
        replace(camera, canvas=(641, 480)),
    ):
        assert wide_camera(other, wide) is not wide


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_moved_without_new_vertices_the_picture_is_that_of_new_ones(canvas: Canvas, interpolation: str) -> None:
    array = np.random.default_rng(3).integers(0, 65536, (300, 300)).astype(np.uint16)
    scene = Scene([plane_level((300, 300), (32, 48))], [lambda y, x: array[y, x]], grid=(16, 16))
    scene.image.interpolation = interpolation  # type: ignore[assignment]
    scene.image.contrast_limits = (0, 65535)
    start = Camera((150.0, 150.0), 0.75, (160, 120))
    pieces = scene.pieces(replace(start, canvas=(600, 600)))
    for move, zoom in (((0.0, 0.0), 1.0), ((31.3, -17.9), 1.0), ((-3.1, 8.7), 1.37), ((11.0, 5.0), 0.71)):
        camera = start.panned(move).zoomed(zoom)
        scene.image.set_frame(pieces, scene.resident, 0, camera, (), revision="the same")
        canvas.resize(camera.canvas)
        canvas.handlers.on_draw = scene.image.draw
        moved = canvas.render()
        fresh = scene.render(canvas, camera, pieces)
        scene.image.set_frame(pieces, scene.resident, 0, start, (), revision="the same")
        # Where a pixel's centre falls on a voxel's border, rounding decides.
        assert np.mean(np.abs(moved.astype(int) - fresh) > 1) < 0.002
    assert moved.std() > 20
