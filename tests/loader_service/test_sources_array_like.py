"""Arrays that code makes: numpy, dask, own classes, lists and dicts of them, and ``.npy`` files."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec
from octree_loader.sources.delayed import DelayedSource

MODULE = "factories_of_this_test"
RAMP = np.arange(64 * 96, dtype="<u2").reshape(64, 96)


class Computed:
    """An own class: what is asked for is computed, and remembered for the test."""

    def __init__(self, chunks: Any = None) -> None:
        self.shape = (64, 96)
        self.dtype = np.dtype("u2")
        self.asked: list[Any] = []
        if chunks is not None:
            self.chunks = chunks

    def __getitem__(self, slices: tuple[slice, ...]) -> NDArray[Any] | None:
        self.asked.append(slices)
        return None if slices[0].start >= 48 else RAMP[slices]


@pytest.fixture
def factories(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    module = types.ModuleType(MODULE)
    monkeypatch.setitem(__import__("sys").modules, MODULE, module)
    return module


def open_made(factories: types.ModuleType, made: Any, **options: Any) -> Source:
    factories.make = lambda **arguments: made(**arguments) if isinstance(made, types.FunctionType) else made
    return open_source(SourceSpec("image", f"{MODULE}:make", options))


def read(source: Source, level: int, *boxes: tuple[tuple[int, int], ...]) -> tuple[list[NDArray[Any]], list[bool]]:
    pieces = [Piece(box, np.zeros([high - low for low, high in box], source.dtype)) for box in boxes]
    stored = source.read(level, pieces)
    return [piece.out for piece in pieces], stored


def test_a_numpy_array_is_random_access(factories: types.ModuleType) -> None:
    source = open_made(factories, RAMP)
    assert source.levels[0].random_access
    (out,), stored = read(source, 0, ((3, 60), (5, 9)))
    np.testing.assert_array_equal(out, RAMP[3:60, 5:9])
    assert stored == [True]


def test_a_foreign_byte_order_is_turned(factories: types.ModuleType) -> None:
    source = open_made(factories, RAMP.astype(">u2"))
    assert source.dtype == np.dtype("u2")
    np.testing.assert_array_equal(read(source, 0, ((0, 64), (0, 96)))[0][0], RAMP)


def test_options_reach_the_factory_but_for_the_common_ones(factories: types.ModuleType) -> None:
    def make(size: int, seed: int = 0) -> NDArray[Any]:
        return np.full((size, size), seed, np.uint8)

    source = open_made(factories, make, size=20, seed=5, axes="ab", scale=[2, 3], delay_ms=0)
    assert [axis.name for axis in source.axes] == ["a", "b"]
    assert source.levels[0].scale == (2, 3)
    assert (read(source, 0, ((0, 20), (0, 20)))[0][0] == 5).all()
    with pytest.raises(SourceError, match="colour"):
        open_made(factories, make, colour=1)


@pytest.mark.parametrize(
    ("shape", "dtype", "names"),
    [
        ((8, 9), "u2", "yx"),
        ((5, 8, 9), "u2", "zyx"),
        ((2, 5, 8, 9), "u2", "czyx"),
        ((3, 2, 5, 8, 9), "u2", "tczyx"),
        ((8, 9, 3), "u1", "yxs"),
        ((5, 8, 9, 4), "u1", "zyxs"),
        ((8, 9, 3), "u2", "zyx"),
    ],
)
def test_default_names_of_axes(factories: types.ModuleType, shape: tuple[int, ...], dtype: str, names: str) -> None:
    source = open_made(factories, np.zeros(shape, dtype))
    assert "".join(axis.name for axis in source.axes) == names
    assert source.rgb == names.endswith("s")


def test_a_list_of_levels_is_placed_by_its_shapes(factories: types.ModuleType) -> None:
    source = open_made(factories, [RAMP[::4, ::4], RAMP, RAMP[::2, ::2]])
    assert [level.scale for level in source.levels] == [(1, 1), (2, 2), (4, 4)]
    assert [level.translation for level in source.levels] == [(0, 0), (0.5, 0.5), (1.5, 1.5)]
    np.testing.assert_array_equal(read(source, 2, ((0, 16), (0, 24)))[0][0], RAMP[::4, ::4])


@pytest.mark.parametrize("as_object", [False, True])
def test_a_dict_or_an_object_says_more(factories: types.ModuleType, as_object: bool) -> None:
    said = {
        "levels": [RAMP, RAMP[::2]],
        "axes": ["q", "x"],
        "scale": [[3, 1], [6, 1]],
        "translation": [1, 1],
        "fill_value": 4,
    }
    source = open_made(factories, types.SimpleNamespace(**said) if as_object else said)
    assert [axis.name for axis in source.axes] == ["q", "x"]
    assert [level.scale for level in source.levels] == [(3, 1), (6, 1)]
    assert [level.translation for level in source.levels] == [(1, 1), (2.5, 1)]
    assert source.fill_value == 4


def test_an_own_class_is_asked_once_for_what_lies_in_one_chunk(factories: types.ModuleType) -> None:
    made = Computed(chunks=(16, 32))
    source = open_made(factories, made)
    assert source.levels[0].storage_chunk == (16, 32)
    boxes = [((0, 8), (0, 8)), ((8, 16), (24, 32)), ((16, 20), (0, 8)), ((10, 20), (0, 96)), ((48, 60), (0, 8))]
    outs, stored = read(source, 0, *boxes)
    assert stored == [True, True, True, True, False]
    assert len(made.asked) == 4
    for box, out in list(zip(boxes, outs, strict=True))[:4]:
        np.testing.assert_array_equal(out, RAMP[tuple(slice(*side) for side in box)])


def test_a_zarr_array_keeps_its_chunks(factories: types.ModuleType) -> None:
    array = zarr.array(RAMP, chunks=(16, 32))
    source = open_made(factories, array)
    assert source.levels[0].storage_chunk == (16, 32)
    np.testing.assert_array_equal(read(source, 0, ((3, 60), (5, 90)))[0][0], RAMP[3:60, 5:90])


def test_a_dask_chunk_is_computed_once_for_all_that_is_wanted_of_it(factories: types.ModuleType) -> None:
    computed = []

    def block(block_info: Any = None) -> NDArray[Any]:
        (rows, columns) = block_info[None]["array-location"]
        computed.append((rows, columns))
        return RAMP[slice(*rows), slice(*columns)]

    array = dask.array.map_blocks(block, chunks=((10, 30, 24), (32, 32, 32)), dtype="u2", meta=np.empty((0, 0), "u2"))
    source = open_made(factories, array)
    assert source.levels[0].storage_chunk == (30, 32)
    boxes = [((10, 20), (0, 16)), ((20, 30), (16, 32)), ((5, 50), (30, 34))]
    outs, stored = read(source, 0, *boxes)
    assert stored == [True] * 3
    for box, out in zip(boxes, outs, strict=True):
        np.testing.assert_array_equal(out, RAMP[tuple(slice(*side) for side in box)])
    assert sorted(computed) == sorted(set(computed))
    assert len(computed) == 6


class Lying(Computed):
    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def __getitem__(self, slices: tuple[slice, ...]) -> Any:
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (np.zeros((3, 3), "u2"), "shape"),
        (np.zeros((8, 8), "f8"), "float64 where its dtype is uint16"),
        (ZeroDivisionError("boom"), "ZeroDivisionError: boom"),
        (SystemExit(3), "SystemExit"),
        ("text", "shape"),
    ],
)
def test_an_array_that_does_not_keep_its_word(factories: types.ModuleType, what: Any, words: str) -> None:
    source = open_made(factories, Lying(what))
    with pytest.raises(SourceError, match=words):
        read(source, 0, ((0, 8), (0, 8)))


def test_dask_computes_only_what_a_chunk_needs_and_without_its_cluster(
    factories: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing distributed costs a worker most of a second; dask does so wherever it looks for a scheduler."""
    monkeypatch.setattr("dask.base._distributed_available", lambda: pytest.fail("distributed is looked for"))
    computed: list[tuple[int, ...]] = []

    def block(block_id: tuple[int, ...]) -> NDArray[Any]:
        computed.append(block_id)
        return RAMP[block_id[0] * 16 :, block_id[1] * 16 :][:16, :16]

    made = dask.array.map_blocks(block, chunks=((16,) * 4, (16,) * 6), dtype="u2", meta=np.empty((0, 0), "u2"))
    source = open_made(factories, (made + made[:, ::-1]).rechunk(24)[3:])
    computed.clear()
    (out,), _ = read(source, 0, ((0, 9), (30, 40)))
    np.testing.assert_array_equal(out, (RAMP + RAMP[:, ::-1])[3:12, 30:40])
    assert set(computed) < set(np.ndindex(2, 6))


def test_a_dask_array_that_fails(factories: types.ModuleType) -> None:
    source = open_made(
        factories,
        dask.array.from_array(RAMP, chunks=16).map_blocks(lambda x: x / 0 if x.size else x, dtype="u2", meta=RAMP[:0]),
    )
    with pytest.raises(SourceError):
        read(source, 0, ((0, 8), (0, 8)))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "no array"),
        ([], "no levels"),
        ({}, "without levels"),
        ([1, 2], "no array"),
        (np.zeros(5), "2 to 8"),
        (np.zeros((0, 5)), "at least one voxel"),
        (np.zeros((5, 5), "U3"), "only booleans and numbers"),
        (np.zeros((5, 5), object), "only booleans and numbers"),
        ([RAMP, RAMP.astype("u1")], "no pyramid"),
        ({"levels": RAMP, "scale": "big"}, "are none"),
        ({"levels": RAMP, "axes": "zyx"}, "not 3"),
    ],
)
def test_what_a_factory_may_not_yield(factories: types.ModuleType, made: Any, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_made(factories, made)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("no_such_module_at_all:make", "cannot be imported"),
        ("math:no_such", "no no_such"),
        ("math:sqrt", "failed with the options"),
        ("sys:exit", "SystemExit"),
    ],
)
def test_a_factory_that_cannot_be_called(location: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_source(SourceSpec("image", location))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "f4"])
def test_npy_files_are_mapped(tmp_path: Path, order: Any, dtype: str) -> None:
    data = np.asarray(RAMP % 200, dtype, order=order)
    np.save(tmp_path / "a.npy", data)
    source = open_source(SourceSpec("image", str(tmp_path / "a.npy"), {"scale": [2, 2]}))
    assert source.levels[0].random_access
    (out,), _ = read(source, 0, ((3, 60), (5, 90)))
    np.testing.assert_array_equal(out, data[3:60, 5:90])


def test_an_npy_file_that_is_cut_while_it_is_open_is_an_error_and_no_crash(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((512, 512)))
    source = open_source(SourceSpec("image", str(tmp_path / "a.npy")))
    with open(tmp_path / "a.npy", "r+b") as file:
        file.truncate(4096)
    with pytest.raises(SourceError, match="truncated"):
        read(source, 0, ((500, 512), (0, 512)))


def test_a_read_of_a_delayed_source_waits_once(factories: types.ModuleType) -> None:
    waited: list[float] = []
    source = DelayedSource(open_made(factories, RAMP), 0.05, waited.append)
    outs, stored = read(source, 0, ((0, 8), (0, 8)), ((8, 16), (8, 16)))
    assert waited == [0.05]
    assert stored == [True, True]
    np.testing.assert_array_equal(outs[1], RAMP[8:16, 8:16])


def test_the_delay_is_an_option_of_any_dataset(factories: types.ModuleType) -> None:
    assert isinstance(open_made(factories, RAMP, delay_ms=50), DelayedSource)
    assert not isinstance(open_made(factories, RAMP), DelayedSource)


@pytest.mark.parametrize(
    "options",
    [
        {"axes": "yy"},
        {"axes": 3},
        {"axes": ""},
        {"scale": [0, 1]},
        {"scale": [1]},
        {"scale": "x"},
        {"translation": [float("nan"), 0]},
        {"translation": [True, False]},
        {"rgb": 1},
        {"rgb": True},
        {"delay_ms": -1},
        {"delay_ms": "5"},
    ],
)
def test_an_option_that_cannot_be_is_named(factories: types.ModuleType, options: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match=next(iter(options))):
        open_made(factories, RAMP, **options)
