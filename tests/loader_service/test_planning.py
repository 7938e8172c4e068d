"""How datasets are cut: every voxel in one chunk, blocks inside storage chunks, sizes within bounds."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_loader.planning import DatasetPlan, chunk_bytes, largest_divisor, plan_dataset
from octree_loader.sources.base import SourceDescription, SourceError, StoredLevel
from octree_loader.sources.placement import default_axes
from octree_protocol import limits


def describe_image(
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    dtype: str = "<u2",
    rgb: bool = False,
    random_access: bool = False,
) -> SourceDescription:
    ones, zeros = (1.0,) * len(shape), (0.0,) * len(shape)
    level = StoredLevel(shape, chunk, ones, zeros, random_access=random_access)
    return SourceDescription(default_axes(len(shape), rgb), np.dtype(dtype), (level,), rgb)


def plan_image(source: SourceDescription, tile_size: int = 256) -> DatasetPlan:
    return plan_dataset(7, "image", source, tile_size)


@st.composite
def images(draw: st.DrawFn) -> tuple[SourceDescription, int]:
    rgb = draw(st.booleans())
    count = draw(st.integers(2, 4))
    shape = tuple(draw(st.lists(st.integers(1, 40), min_size=count, max_size=count)))
    chunk = tuple(draw(st.lists(st.integers(1, 50), min_size=count, max_size=count)))
    random_access = draw(st.booleans())
    if random_access:
        chunk = shape
    if rgb:
        samples = draw(st.sampled_from((3, 4)))
        shape, chunk = (*shape, samples), (*chunk, draw(st.integers(1, 4)))
    dtype = draw(st.sampled_from(("|u1", "<u2", "<f4", "<c16", ">i8")))
    return describe_image(shape, chunk, dtype, rgb, random_access), draw(st.integers(1, 48))


@settings(deadline=None, max_examples=150)
@given(images())
def test_every_voxel_lies_in_exactly_one_chunk_and_every_chunk_in_exactly_one_block(
    image: tuple[SourceDescription, int],
) -> None:
    source, tile_size = image
    plan = plan_image(source, tile_size)
    level = plan.dataset.levels[0]
    seen = np.zeros(level.shape, np.uint8)
    for index in itertools.product(*map(range, level.grid())):
        assert index in set(plan.chunks_of_block(0, plan.block(0, index)))
        seen[tuple(slice(low, high) for low, high in level.chunk_extent(index))] += 1
    assert (seen == 1).all()
    blocks = {plan.block(0, index) for index in itertools.product(*map(range, level.grid()))}
    assert sum(len(list(plan.chunks_of_block(0, block))) for block in blocks) == math.prod(level.grid())


@settings(deadline=None, max_examples=300)
@given(images())
def test_chunks_of_a_block_lie_in_one_storage_chunk_and_sizes_are_bounded(
    image: tuple[SourceDescription, int],
) -> None:
    source, tile_size = image
    plan = plan_image(source, tile_size)
    level, stored = plan.dataset.levels[0], source.levels[0]
    down, across = plan.dataset.displayed()
    for axis, (edge, share) in enumerate(zip(level.chunk_shape, plan.block_shape[0], strict=True)):
        assert 1 <= edge <= level.shape[axis]
        if share > 1:
            # All edges of chunks that matter lie on the storage chunk's, so a block never straddles two of them.
            whole = edge * share
            assert whole == stored.storage_chunk[axis] or whole >= stored.shape[axis] <= stored.storage_chunk[axis]
            assert not stored.random_access
    assert max(level.chunk_shape[down], level.chunk_shape[across]) <= tile_size
    if source.rgb:
        assert level.chunk_shape[-1] == level.shape[-1]
    assert math.prod(level.chunk_shape) * source.dtype.itemsize <= limits.CHUNK_BYTES
    assert chunk_bytes(level, source.dtype.itemsize, (0,) * len(level.shape)) <= limits.CHUNK_BYTES


@pytest.mark.parametrize(
    ("size", "chunk", "edge", "share"),
    [
        (10_000, 256, 256, 1),
        (10_000, 512, 256, 2),
        (10_000, 1000, 250, 4),
        (10_000, 1022, 146, 7),  # the largest divisor that is above half a tile
        (10_000, 514, 256, 1),  # its divisors 257 and 2 are too large and too small: cut without regard to it
        (10_000, 521, 256, 1),  # a prime
        (10_000, 64, 256, 1),
        (10_000, 100, 200, 1),
        (200, 64, 200, 1),
        (200, 4096, 200, 1),
        (1000, 4096, 256, 4),  # the one storage chunk of the axis: any cut lies in it
        (1, 1, 1, 1),
    ],
)
def test_an_axis_of_the_screen_is_cut_at_the_storage_chunks_where_that_fits(
    size: int, chunk: int, edge: int, share: int
) -> None:
    plan = plan_image(describe_image((size, size), (chunk, chunk)))
    assert plan.dataset.levels[0].chunk_shape == (edge, edge)
    assert plan.block_shape[0] == (share, share)


def test_memory_is_cut_at_the_tile_size_without_sharing_and_one_plane_deep() -> None:
    plan = plan_image(describe_image((50, 1000, 100), (50, 1000, 100), random_access=True))
    assert plan.dataset.levels[0].chunk_shape == (1, 256, 100)
    assert not plan.levels[0].shares


def test_axes_that_are_not_shown_keep_the_storage_chunks_depth_while_the_payload_is_small() -> None:
    shallow = plan_image(describe_image((8, 64, 5000, 5000), (1, 16, 256, 256)))
    assert shallow.dataset.levels[0].chunk_shape == (1, 16, 256, 256)
    deep = plan_image(describe_image((8, 4096, 5000, 5000), (4, 64, 128, 128)))
    assert deep.dataset.levels[0].chunk_shape == (1, 16, 256, 256)
    assert deep.block_shape[0] == (4, 4, 1, 1)


def test_a_tile_that_would_be_too_large_is_halved_until_it_fits() -> None:
    plan = plan_image(describe_image((9000, 9000), (9000, 9000), "<c16"), tile_size=8192)
    edge = plan.dataset.levels[0].chunk_shape[0]
    assert edge * edge * 16 <= limits.CHUNK_BYTES < 4 * edge * edge * 16


def test_samples_stay_together_and_the_dtype_is_little_endian() -> None:
    plan = plan_image(describe_image((600, 600, 3), (600, 600, 1), ">u2", rgb=True))
    assert plan.dataset.levels[0].chunk_shape == (256, 256, 3)
    assert plan.dataset.dtype == "<u2"
    assert plan.dataset.rgb
    assert plan.dataset.displayed() == (0, 1)


def test_a_grid_of_a_thousand_million_chunks_costs_what_a_grid_of_ten_costs() -> None:
    huge = describe_image((1 << 23, 1 << 23), (512, 512))
    began = time.perf_counter()
    plan = plan_image(huge)
    assert math.prod(plan.dataset.levels[0].grid()) > 10**9
    index = (30_001, 20_002)
    assert plan.block(0, index) == (15_000, 10_001)
    assert set(plan.chunks_of_block(0, (15_000, 10_001))) == {(30_000 + i, 20_002 + j) for i in (0, 1) for j in (0, 1)}
    assert time.perf_counter() - began < 0.1


def test_levels_that_are_no_pyramid_are_refused() -> None:
    fine, coarse = describe_image((64, 64), (64, 64)), describe_image((128, 64), (64, 64))
    wrong = SourceDescription(fine.axes, fine.dtype, (*fine.levels, *coarse.levels))
    with pytest.raises(SourceError, match="larger than the finer"):
        plan_image(wrong)
    with pytest.raises(SourceError, match="1 to 64"):
        plan_image(SourceDescription(fine.axes, fine.dtype, ()))


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 10**6), st.integers(1, 3000))
def test_the_largest_divisor_is_one_and_there_is_no_larger(number: int, most: int) -> None:
    found = largest_divisor(number, most)
    assert found == max(d for d in range(1, min(most, number) + 1) if number % d == 0)
