"""Which levels are lacking: shapes, places in the world, voxels that grow towards cubes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_loader.planning import plan_dataset
from octree_loader.pyramid import Making, first_kept, footprint, halved_axes, missing_levels, steps_of
from octree_loader.sources.base import SourceDescription, StoredLevel
from octree_protocol import limits
from octree_protocol.geometry import Axis, Level

_KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space", "s": "samples"}


def _described(names: str, shape: tuple[int, ...], scale: tuple[float, ...] | None = None) -> SourceDescription:
    axes = tuple(Axis(name, _KINDS[name]) for name in names)
    ones = (1.0,) * len(shape)
    level = StoredLevel(shape, shape, scale or ones, (10.0,) * len(shape))
    return SourceDescription(axes, np.dtype("u2"), (level,), rgb=names.endswith("s"))


def _shapes(source: SourceDescription, tile: int = 256, sampled: bool = False) -> list[tuple[int, ...]]:
    chunk = plan_dataset(0, "a", source, tile).dataset.levels[-1].chunk_shape
    return [level.shape for level in missing_levels(source, chunk, tile, sampled)]


def test_halved_until_one_tile_holds_the_image() -> None:
    assert _shapes(_described("yx", (1001, 600))) == [(501, 300), (251, 150)]
    assert _shapes(_described("yx", (256, 256))) == []
    assert _shapes(_described("yxs", (600, 300, 3))) == [(300, 150, 3), (150, 75, 3)]


def test_only_axes_of_space_are_halved() -> None:
    assert _shapes(_described("tcyx", (7, 3, 512, 300))) == [(7, 3, 256, 150)]


def test_long_voxels_wait_until_the_others_have_caught_up() -> None:
    # Voxels of 4 x 1 x 1: two halvings of y and x, and they are cubes.
    assert _shapes(_described("zyx", (64, 2048, 2048), (4.0, 1.0, 1.0))) == [
        (64, 1024, 1024), (64, 512, 512), (32, 256, 256)
    ]  # fmt: skip
    # An axis of one voxel has no say.
    assert _shapes(_described("zyx", (1, 512, 512), (0.01, 1.0, 1.0))) == [(1, 256, 256)]


def test_a_sampled_level_comes_on_top_of_many_only() -> None:
    big = _described("yx", (4096, 4096))
    assert _shapes(big, sampled=True) == [*_shapes(big), (128, 128)]
    small = _described("yx", (1024, 1024))
    assert _shapes(small, sampled=True) == _shapes(small)


@given(
    st.lists(st.integers(1, 1 << 40), min_size=2, max_size=3),
    st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
    st.integers(16, 2048),
    st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_levels_are_a_pyramid_whose_edges_stay_in_place(
    shape: list[int], scale: list[float], tile: int, sampled: bool
) -> None:
    names = "zyx"[-len(shape) :]
    source = _described(names, tuple(shape), tuple(scale[-len(shape) :]))
    chunk = plan_dataset(0, "a", source, tile).dataset.levels[-1].chunk_shape
    made = missing_levels(source, chunk, tile, sampled)
    levels = (source.levels[0], *made)
    assert len(levels) <= limits.LEVELS
    for fine, coarse in zip(levels, made, strict=False):
        ratio = [s / t for s, t in zip(coarse.scale, fine.scale, strict=True)]
        assert set(ratio) <= {1.0, 2.0}
        assert 2.0 in ratio
        axes = [a for a, r in enumerate(ratio) if r == 2.0]
        assert coarse.shape == tuple(-(-n // 2) if a in axes else n for a, n in enumerate(fine.shape))
        spread = [s for s, n in zip(fine.scale, fine.shape, strict=True) if n > 1]
        after = [s for s, n in zip(coarse.scale, fine.shape, strict=True) if n > 1]
        assert max(after) / min(after) <= max(max(spread) / min(spread), 2.0)
        for a in range(len(shape)):  # the outer edge of voxel 0 does not move
            assert math.isclose(
                fine.translation[a] - fine.scale[a] / 2,
                coarse.translation[a] - coarse.scale[a] / 2,
                abs_tol=1e-6 * coarse.scale[a],
            )
    plan = plan_dataset(0, "a", SourceDescription(source.axes, source.dtype, levels), tile)
    assert [len(axes) > 0 for axes in steps_of(plan.dataset, 1)] == [True] * len(made)
    if len(levels) < limits.LEVELS - 1 and halved_axes(source.axes, levels[-1].shape, levels[-1].scale):
        assert max(levels[-1].shape[-2:]) <= tile


def test_what_a_chunk_is_made_of() -> None:
    assert footprint(((0, 3), (4, 6)), (1,), (3, 11)) == ((0, 3), (8, 11))


@pytest.mark.parametrize(("room", "first"), [(10**9, 1), (2 * 300 * 300, 2), (1, 4)])
def test_only_the_levels_that_fit_are_kept(room: int, first: int) -> None:
    levels = [Level((1200 >> n, 600 >> n), (256, 256), (1.0, 1.0), (0.0, 0.0)) for n in range(4)]
    assert first_kept(levels, 1, 2, room) == first


def test_without_a_cache_nothing_is_kept() -> None:
    assert Making(2, sampled=True).averaged(6) == range(2, 5)
    assert list(Making(2, sampled=True).kept(6)) == []
    assert Making(2, True, 3, "/somewhere").kept(6) == range(3, 5)
