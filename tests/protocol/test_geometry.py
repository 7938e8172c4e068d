"""Levels, grids and chunks against the plainest model there is: every voxel, one by one."""

from __future__ import annotations

import math
import time
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_protocol import limits
from octree_protocol.geometry import Axis, Dataset, Level
from octree_protocol.keys import ChunkKey

_EXACT = st.integers(-64, 64).map(lambda n: n / 8)


@st.composite
def levels(draw: st.DrawFn, most_axes: int = 3, longest: int = 12) -> Level:
    count = draw(st.integers(1, most_axes))

    def per_axis(element: st.SearchStrategy[float]) -> tuple[float, ...]:
        return tuple(draw(st.lists(element, min_size=count, max_size=count)))

    return Level(
        per_axis(st.integers(1, longest)),  # type: ignore[arg-type]
        per_axis(st.integers(1, longest)),  # type: ignore[arg-type]
        per_axis(st.sampled_from([0.125, 0.5, 1.0, 3.0])),
        per_axis(_EXACT),
    )


@settings(deadline=None, max_examples=200)
@given(levels())
def test_the_chunks_cover_every_voxel_once(level: Level) -> None:
    seen: set[tuple[int, ...]] = set()
    for index in product(*map(range, level.grid())):
        assert level.contains(index)
        voxels = set(product(*(range(low, high) for low, high in level.chunk_extent(index))))
        assert len(voxels) == math.prod(level.chunk_voxels(index)) > 0
        assert not voxels & seen
        seen |= voxels
    assert seen == set(product(*map(range, level.shape)))


@settings(deadline=None, max_examples=200)
@given(levels(), st.data())
def test_contains_knows_the_grid(level: Level, data: st.DataObject) -> None:
    index = tuple(data.draw(st.lists(st.integers(-2, 14), min_size=0, max_size=4)))
    assert level.contains(index) == (index in set(product(*map(range, level.grid()))))


@settings(deadline=None, max_examples=400)
@given(levels(), st.data())
def test_chunks_between_is_what_a_search_through_all_finds(level: Level, data: st.DataObject) -> None:
    edge = st.lists(st.integers(-16, 128).map(lambda n: n / 8), min_size=len(level.shape), max_size=len(level.shape))
    low, high = data.draw(edge), data.draw(edge)

    def meets(index: tuple[int, ...]) -> bool:
        # Two half-open intervals have something in common.
        extent = level.chunk_extent(index)
        return all(max(a, first) < min(b, last) for a, b, (first, last) in zip(low, high, extent, strict=True))

    assert list(level.chunks_between(low, high)) == [i for i in product(*map(range, level.grid())) if meets(i)]


def test_chunks_between_costs_what_it_finds() -> None:
    """10**18 chunks or ten: the grid is never walked."""
    level = Level((1 << 38,) * 2, (256, 256), (1.0, 1.0), (0.0, 0.0))
    began = time.perf_counter()
    for _ in range(100):
        found = list(level.chunks_between((1e11, 1e11), (1e11 + 1000, 1e11 + 1000)))
    assert len(found) in (16, 20, 25)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("bad", [math.nan, -math.inf, math.inf])
def test_chunks_between_takes_any_number(bad: float) -> None:
    level = Level((10,), (4,), (1.0,), (0.0,))
    expected = {math.inf: [(0,), (1,), (2,)], -math.inf: []}.get(bad)
    if expected is not None:
        assert list(level.chunks_between((0.0,), (bad,))) == expected
    else:
        assert list(level.chunks_between((bad,), (bad,))) == []


@given(levels(), st.data())
def test_world_and_voxel_are_inverse(level: Level, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(level.shape) - 1))
    voxel = data.draw(_EXACT)
    world = level.voxel_to_world(axis, voxel)
    assert level.world_to_voxel(axis, world) == pytest.approx(voxel, abs=1e-9)


@given(levels())
def test_the_centre_of_voxel_0_lies_at_the_translation(level: Level) -> None:
    for axis, (scale, translation) in enumerate(zip(level.scale, level.translation, strict=True)):
        assert level.voxel_to_world(axis, 0.5) == translation
        assert level.voxel_to_world(axis, 1.5) - level.voxel_to_world(axis, 0.5) == scale


def test_neighbouring_voxels_differ_at_the_far_end_of_the_largest_image() -> None:
    level = Level((limits.EXTENT_VOXELS,), (256,), (1.0,), (0.0,))
    assert level.voxel_to_world(0, limits.EXTENT_VOXELS) > level.voxel_to_world(0, limits.EXTENT_VOXELS - 1)


@pytest.mark.parametrize(("rgb", "expected"), [(False, (1, 2)), (True, (0, 1))])
def test_displayed_are_the_last_two_axes_of_space(rgb: bool, expected: tuple[int, int]) -> None:
    axes = (Axis("z"), Axis("y"), Axis("x")) if not rgb else (Axis("y"), Axis("x"), Axis("c", "samples"))
    assert Dataset(0, "image", axes, "|u1", (), rgb=rgb).displayed() == expected


def test_a_dataset_names_its_chunks() -> None:
    assert Dataset(4, "image", (), "|u1", ()).key(2, (0, 1)) == ChunkKey(4, 2, (0, 1))
