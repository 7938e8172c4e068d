"""Drags and zooms: exact to the pixel, anchored at the cursor, and within bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_client.camera import Camera, PlaneLevel, camera_on, image_extent
from octree_client.canvas import MouseEvent
from octree_client.navigation import STEP_FACTOR, WHEEL_FACTOR, Navigation, finest_scale

LEVELS = tuple(
    PlaneLevel((8192 >> n, 16384 >> n), (256, 256), (32 >> n or 1, 64 >> n or 1), (0.5 * 2**n,) * 2, (0.0, 0.0))
    for n in range(6)
)
CAMERA = Camera((1000.0, 2000.0), 0.7, (980, 830))
LEFT = frozenset({"left"})
pixels = st.tuples(st.integers(0, 979), st.integers(0, 829)).map(lambda p: (float(p[0]), float(p[1])))


def navigation(camera: Camera = CAMERA) -> Navigation:
    return Navigation(camera, finest_scale(LEVELS), image_extent(LEVELS))


@settings(deadline=None, max_examples=60)
@given(st.lists(pixels, min_size=2, max_size=8))
def test_what_is_grabbed_stays_under_the_cursor(way: list[tuple[float, float]]) -> None:
    nav = navigation()
    grabbed = nav.camera.world_at(way[0])
    nav.mouse(MouseEvent("press", way[0], "left", LEFT), 0.0)
    for place in way[1:]:
        nav.mouse(MouseEvent("move", place, "", LEFT), 0.0)
        assert nav.camera.world_at(place) == pytest.approx(grabbed, abs=1e-9)
    nav.mouse(MouseEvent("release", way[-1], "left"), 0.0)
    before = nav.camera
    assert not nav.mouse(MouseEvent("move", (1.0, 2.0)), 0.0)
    assert nav.camera == before
    assert nav.camera.pixel_size == CAMERA.pixel_size


def test_a_release_that_was_not_seen_ends_the_drag() -> None:
    nav = navigation()
    nav.mouse(MouseEvent("press", (10.0, 10.0), "left", LEFT), 0.0)
    assert not nav.mouse(MouseEvent("move", (50.0, 10.0)), 0.0)
    assert not nav.dragging
    assert nav.camera == CAMERA


@settings(deadline=None, max_examples=100)
@given(pixels, st.floats(-6, 6), st.lists(st.floats(0.0, 0.05), min_size=1, max_size=40))
def test_the_wheel_keeps_what_is_under_the_cursor(
    pixel: tuple[float, float], notches: float, steps: list[float]
) -> None:
    nav = navigation()
    anchor = nav.camera.world_at(pixel)
    nav.mouse(MouseEvent("wheel", pixel, delta=(0.0, notches)), 0.0)
    now, sizes = 0.0, [CAMERA.pixel_size]
    for step in steps:
        now += step
        sizes.append(nav.step(now).pixel_size)
        assert nav.camera.world_at(pixel) == pytest.approx(anchor, abs=1e-6)
    assert sizes == sorted(sizes, reverse=notches > 0)
    nav.step(now + 10.0)
    assert not nav.gliding
    assert nav.camera.pixel_size == pytest.approx(CAMERA.pixel_size / WHEEL_FACTOR**notches)


def test_notches_add_up_while_it_glides() -> None:
    nav = navigation()
    for n in range(4):
        nav.mouse(MouseEvent("wheel", (100.0, 100.0), delta=(0.0, 1.0)), n * 0.01)
        nav.step(n * 0.01 + 0.005)
    nav.step(9.0)
    assert nav.camera.pixel_size == pytest.approx(CAMERA.pixel_size / WHEEL_FACTOR**4)


def test_a_trackpad_is_followed_at_once() -> None:
    nav = navigation()
    assert nav.mouse(MouseEvent("wheel", (100.0, 100.0), delta=(0.0, 0.1)), 0.0)
    assert not nav.gliding
    assert nav.camera.pixel_size == pytest.approx(CAMERA.pixel_size / WHEEL_FACTOR**0.1)


@pytest.mark.parametrize(("modifiers", "factor"), [(frozenset(), STEP_FACTOR), (frozenset({"shift"}), 1 / STEP_FACTOR)])
def test_a_double_click_zooms_there(modifiers: frozenset[str], factor: float) -> None:
    nav = navigation()
    anchor = nav.camera.world_at((700.0, 100.0))
    nav.mouse(MouseEvent("double", (700.0, 100.0), "left", LEFT, modifiers=modifiers), 0.0)
    nav.step(5.0)
    assert nav.camera.pixel_size == pytest.approx(CAMERA.pixel_size / factor)
    assert nav.camera.world_at((700.0, 100.0)) == pytest.approx(anchor)


@settings(deadline=None, max_examples=60)
@given(pixels, st.sampled_from([1e-9, 1e-3, 1e3, 1e9]))
def test_nobody_zooms_out_of_what_makes_sense(pixel: tuple[float, float], factor: float) -> None:
    nav = navigation()
    nav.glide(factor, pixel, 0.0)
    nav.step(100.0)
    whole = camera_on(image_extent(LEVELS), CAMERA.canvas).pixel_size
    assert finest_scale(LEVELS) / 256 * 0.999 <= nav.camera.pixel_size <= whole * 16 * 1.001
    far = navigation(replace(CAMERA, pixel_size=1e6))
    far.glide(0.5, pixel, 0.0)
    assert far.step(100.0).pixel_size == 1e6


def test_keys() -> None:
    nav = navigation()
    assert nav.panned(0.0, 1 / 8).center[1] == pytest.approx(2000.0 + round(980 / 8) * 0.7)
    assert nav.one_to_one().pixel_size == 0.5
