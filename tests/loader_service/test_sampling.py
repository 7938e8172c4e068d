"""Sampling: exact where there is time, a few chunks of all where there is none, each chunk once a grid."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from octree_loader.catalog import plan_spec
from octree_loader.level_cache import CacheRoot
from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, SourceError, SourceSpec
from octree_loader.sources.derived import derive_source
from octree_loader.sources.sampling import sample_array


class Clock:
    """Stands still until a chunk is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Chunked:
    """A `LevelArray` that takes a while for every chunk, and remembers which it was asked for."""

    where = "here"
    shard = None
    random_access = False

    def __init__(self, voxels: NDArray[Any], chunk: tuple[int, ...], clock: Clock, seconds: float = 0.0) -> None:
        self.voxels, self.storage_chunk, self.clock, self.seconds = voxels, chunk, clock, seconds
        self.shape, self.dtype, self.fill_value = voxels.shape, voxels.dtype, 9.0
        self.missing: set[tuple[int, ...]] = set()
        self.calls: list[list[tuple[int, ...]]] = []

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        indices = []
        for box, out in pieces:
            index = tuple(low // edge for (low, _), edge in zip(box, self.storage_chunk, strict=True))
            assert all((high - 1) // e == i for (_, high), e, i in zip(box, self.storage_chunk, index, strict=True))
            indices.append(index)
            self.clock.now += self.seconds
            out[...] = self.voxels[tuple(slice(low, high) for low, high in box)]
        self.calls.append(indices)
        return [index not in self.missing for index in indices]

    @property
    def read_chunks(self) -> int:
        return sum(len(call) for call in self.calls)


def middles(shape: Sequence[int], factor: int) -> list[NDArray[np.intp]]:
    return [np.minimum(np.arange(0, n, factor) + factor // 2, n - 1) for n in shape]


@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=3),
    st.integers(1, 9),
    st.lists(st.integers(1, 30), min_size=3, max_size=3),
)
def test_with_time_enough_it_is_exact(shape: list[int], factor: int, chunk: list[int]) -> None:
    edges = tuple(max(edge, n // 8) for edge, n in zip(chunk, shape, strict=False))
    voxels = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)
    array = Chunked(voxels, edges, Clock())
    places = middles(shape, factor)
    found, present = sample_array(array, places, 1.0, array.clock)
    assert present
    np.testing.assert_array_equal(found, voxels[np.ix_(*places)])


def test_without_time_a_few_chunks_stand_for_all() -> None:
    clock = Clock()
    voxels = np.add.outer(np.arange(4096), np.arange(4096)).astype(np.uint16)
    array = Chunked(voxels, (32, 32), clock, seconds=1.0)
    places = middles(voxels.shape, 32)
    found, present = sample_array(array, places, 0.5, clock)
    assert present
    assert array.read_chunks == 4
    assert found.shape == (128, 128)
    # Nowhere further off than half a quarter of the image.
    assert np.abs(found.astype(int) - voxels[np.ix_(*places)]).max() <= 2 * 4096 // 4 + 32


@pytest.mark.parametrize("until", [1.0, 10.0, 100.0, 1000.0])
def test_the_time_there_is_is_used_and_not_exceeded(until: float) -> None:
    clock = Clock()
    array = Chunked(np.zeros((4096, 4096), np.uint8), (32, 32), clock, seconds=0.1)
    sample_array(array, middles((4096, 4096), 32), until, clock)
    assert until - 0.2 <= clock.now <= until + 0.1


def test_what_lies_in_one_chunk_is_read_once() -> None:
    clock = Clock()
    voxels = np.random.default_rng(1).integers(0, 255, (1000, 1000)).astype(np.uint8)
    array = Chunked(voxels, (500, 250), clock)
    places = middles(voxels.shape, 8)
    found, _ = sample_array(array, places, 1.0, clock)
    np.testing.assert_array_equal(found, voxels[np.ix_(*places)])
    # A first grid of four voxels, then all eight chunks.
    assert array.read_chunks <= 4 + 8
    assert len(array.calls) == 2


def test_what_is_missing_is_the_fill_value_and_nothing_at_all_is_told() -> None:
    array = Chunked(np.ones((64, 64), np.uint8), (32, 32), Clock())
    array.missing = {(0, 1)}
    found, present = sample_array(array, middles((64, 64), 4), 1.0, array.clock)
    assert present
    assert (found[:8, 8:] == 9).all()
    assert (found[:8, :8] == 1).all()
    array.missing = {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert not sample_array(array, middles((64, 64), 4), 1.0, array.clock)[1]


# --- through a dataset -----------------------------------------------------------------------------------------------


def made(monkeypatch: pytest.MonkeyPatch, array: Any) -> SourceSpec:
    module = types.ModuleType("made_for_sampling")
    module.make = lambda: array  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_for_sampling", module)
    return SourceSpec("image", "made_for_sampling:make", {"axes": "yx"})


@pytest.mark.parametrize("kind", ["dask", "own"])
def test_a_first_picture_of_a_huge_computed_array_needs_little_of_it(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    edge, chunk, computed, clock = 1 << 20, 512, [0], Clock()

    def compute(y: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
        computed[0] += 1
        clock.now += 0.01
        return ((y // 4096)[:, None] + (x // 4096)[None]).astype(np.uint16)

    class Own:
        shape, dtype, chunks = (edge, edge), np.dtype("u2"), (chunk, chunk)

        def __getitem__(self, box: tuple[slice, slice]) -> NDArray[Any]:
            return compute(np.arange(box[0].start, box[0].stop), np.arange(box[1].start, box[1].stop))

    def block(block_info: Any = None) -> NDArray[Any]:
        (y0, y1), (x0, x1) = block_info[None]["array-location"]
        return compute(np.arange(y0, y1), np.arange(x0, x1))

    if kind == "own":
        array: Any = Own()
    else:
        edge = 1 << 14  # dask's graph has every chunk of an array
        array = dask.array.map_blocks(
            block, chunks=((chunk,) * (edge // chunk),) * 2, dtype="u2", meta=np.empty((0, 0), "u2")
        )
    spec = made(monkeypatch, array)
    plan = plan_spec(0, spec, 256)
    top = len(plan.dataset.levels) - 1
    assert plan.making is not None
    assert plan.making.sampled
    source = derive_source(open_source(spec), plan.dataset, plan.making)
    source._clock = clock  # type: ignore[attr-defined]
    shape = plan.dataset.levels[top].shape
    out = np.zeros(shape, np.uint16)
    assert source.read(top, [Piece(tuple((0, n) for n in shape), out)]) == [True]
    assert 20 <= computed[0] <= 4 + 26
    # Darkest where the image begins, brightest where it ends.
    assert out[0, 0] < out[shape[0] // 2, shape[1] // 2] < out[-1, -1]
    whole = 2 * (edge // 4096 - 1)
    expected = np.add.outer(np.linspace(0, whole / 2, shape[0]), np.linspace(0, whole / 2, shape[1]))
    assert np.abs(out - expected).max() <= whole / 2


def test_what_has_been_averaged_by_now_is_shown_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = np.random.default_rng(2).integers(0, 60_000, (1024, 1024)).astype(np.uint16)
    spec = made(monkeypatch, dask.array.from_array(voxels, chunks=128))
    root = CacheRoot(str(tmp_path / "cache"), 1 << 30)
    try:
        plan = plan_spec(0, spec, 64, root)
        levels = plan.dataset.levels
        source = derive_source(open_source(spec), plan.dataset, plan.making)
        source._clock = Clock()  # type: ignore[attr-defined]  # there is time

        def whole(level: int) -> NDArray[Any]:
            out = np.zeros(levels[level].shape, np.uint16)
            for index in np.ndindex(levels[level].grid()):
                box = levels[level].chunk_extent(index)
                part = np.empty([high - low for low, high in box], np.uint16)
                assert source.read(level, [Piece(box, part)]) == [True]
                out[tuple(slice(low, high) for low, high in box)] = part
            return out

        top = len(levels) - 1
        factor = 1024 // levels[top].shape[0]
        np.testing.assert_array_equal(whole(top), voxels[factor // 2 :: factor, factor // 2 :: factor])
        finer = whole(top - 1)
        halves = finer.reshape(levels[top].shape[0], 2, levels[top].shape[1], 2).mean(axis=(1, 3))
        assert np.abs(whole(top) - halves).max() <= 0.5
    finally:
        root.close()


def test_a_chunk_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        shape, dtype, chunks = (8192, 8192), np.dtype("u2"), (256, 256)

        def __getitem__(self, box: tuple[slice, slice]) -> NDArray[Any]:
            raise RuntimeError("the laser is off")

    spec = made(monkeypatch, Broken())
    plan = plan_spec(0, spec, 256)
    source = derive_source(open_source(spec), plan.dataset, plan.making)
    top = len(plan.dataset.levels) - 1
    shape = plan.dataset.levels[top].shape
    with pytest.raises(SourceError, match=f"level {top} cannot be sampled from level 0.*the laser is off"):
        source.read(top, [Piece(tuple((0, n) for n in shape), np.empty(shape, np.uint16))])
