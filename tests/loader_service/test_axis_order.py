"""Axes in any order: those of the screen come last, and every voxel, size and place goes with its axis."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from octree_loader.catalog import plan_spec
from octree_loader.downsample import downsample
from octree_loader.sources import open_source
from octree_loader.sources.base import Box, Piece, Source, SourceSpec
from octree_loader.sources.derived import derive_source
from octree_loader.sources.placement import axis_named, shown_order

EDGES = {"t": 2, "c": 5, "z": 6, "y": 45, "x": 70, "s": 3}
SIZES = {"t": 9.0, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.25, "s": 1.0}


def voxels(order: str) -> NDArray[np.uint16]:
    shape = [EDGES[name] for name in order]
    return np.random.default_rng(len(order)).integers(0, 60_000, shape).astype(np.uint16)


def write(path: Path, order: str, way: str = "plain") -> NDArray[np.uint16]:
    """An OME-Zarr of two levels, the coarser one every second voxel along y and x."""
    data = voxels(order)
    coarse = data[tuple(slice(None, None, 2) if name in "yx" else slice(None) for name in order)]
    group = zarr.create_group(str(path), zarr_format=3)
    datasets = []
    for number, level in enumerate((data, coarse)):
        chunks = tuple(min(edge, 16) for edge in level.shape)
        options: dict[str, Any] = {"compressors": [zarr.codecs.Crc32cCodec()]} if way == "tensorstore" else {}
        if way == "sharded":
            options["shards"] = tuple(-(-edge // n) * n for edge, n in zip(level.shape, chunks, strict=True))
        group.create_array(str(number), shape=level.shape, chunks=chunks, dtype="u2", **options)[...] = level
        scale = [SIZES[name] * (1 + number if name in "yx" else 1) for name in order]
        shift = [100.0 * SIZES[name] for name in order]
        placed = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
        datasets.append({"path": str(number), "coordinateTransformations": placed})
    axes = [{"name": name, "type": {"t": "time", "c": "channel"}.get(name, "space")} for name in order]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return data


def read(source: Source, level: int, box: Box | None = None) -> NDArray[Any]:
    box = tuple((0, edge) for edge in source.levels[level].shape) if box is None else box
    out = np.zeros([high - low for low, high in box], source.dtype)
    assert source.read(level, [Piece(box, out)]) == [True]
    return out


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("yxc", "cyx"), ("xy", "yx"), ("txy", "tyx"), ("zyxc", "zcyx"), ("xyz", "zyx"), ("yzx", "zyx"),
        ("xyzct", "zctyx"), ("yxt", "tyx"), ("tczyx", "tczyx"), ("zcyx", "zcyx"), ("xz", "xz"), ("xzc", "cxz"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["plain", "sharded", "tensorstore"])
def test_the_axes_of_the_screen_come_last(tmp_path: Path, stored: str, shown: str, way: str) -> None:
    data = write(tmp_path / "a", stored, way)
    source = open_source(SourceSpec("image", str(tmp_path / "a")))
    assert "".join(axis.name for axis in source.axes) == shown
    turned = data.transpose([stored.index(name) for name in shown])
    for number, level in enumerate(source.levels):
        step = 1 + number
        expected = turned[tuple(slice(None, None, step) if name in "yx" else slice(None) for name in shown)]
        np.testing.assert_array_equal(read(source, number), expected)
        inner = tuple((edge // 3, edge - edge // 4) for edge in level.shape)
        cut = tuple(slice(low, high) for low, high in inner)
        np.testing.assert_array_equal(read(source, number, inner), expected[cut])
        assert level.scale == tuple(SIZES[name] * (step if name in "yx" else 1) for name in shown)
        assert level.translation == tuple(100.0 * SIZES[name] for name in shown)


def test_missing_chunks_stay_missing_when_axes_are_turned(tmp_path: Path) -> None:
    array = zarr.create_array(
        str(tmp_path / "a"), shape=(64, 48), chunks=(16, 16), dtype="u2", fill_value=7, dimension_names=["x", "y"]
    )
    array[16:32, :16] = 5
    source = open_source(SourceSpec("image", str(tmp_path / "a")))
    assert source.levels[0].shape == (48, 64)
    out = np.zeros((16, 16), np.uint16)
    assert source.read(0, [Piece(((0, 16), (0, 16)), out)]) == [False]
    expected = np.full((48, 64), 7)
    expected[:16, 16:32] = 5
    np.testing.assert_array_equal(read(source, 0), expected)


@pytest.mark.parametrize("stored", ["yxs", "xys", "syx", "ysx", "zsyx", "sxzy"])
def test_the_samples_of_a_colour_come_behind_the_axes_of_the_screen(
    monkeypatch: pytest.MonkeyPatch, stored: str
) -> None:
    source = _made(monkeypatch, voxels(stored), stored)
    assert source.rgb
    shown = "".join(axis.name for axis in source.axes)
    assert shown == ("z" if "z" in stored else "") + "yxs"
    assert source.axes[-1].kind == "samples"
    np.testing.assert_array_equal(read(source, 0), voxels(stored).transpose([stored.index(name) for name in shown]))


def test_two_samples_are_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    source = _made(monkeypatch, voxels("yxs")[..., :2], "yxs")
    assert not source.rgb
    assert [(axis.name, axis.kind) for axis in source.axes] == [("s", "channel"), ("y", "space"), ("x", "space")]


@pytest.mark.parametrize("kind", ["numpy", "dask"])
def test_options_stand_in_the_order_of_the_file(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    data = voxels("xyz")
    made: Any = data if kind == "numpy" else dask.array.from_array(data, chunks=(32, 20, 4))
    source = _made(monkeypatch, made, "xyz", scale=[1, 2, 3], translation=[10, 20, 30])
    assert "".join(axis.name for axis in source.axes) == "zyx"
    assert source.levels[0].scale == (3, 2, 1)
    assert source.levels[0].translation == (30, 20, 10)
    np.testing.assert_array_equal(read(source, 0), data.T)


def test_levels_are_made_of_turned_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(3).integers(0, 60_000, (300, 200, 5)).astype(np.uint16)
    _factory(monkeypatch, dask.array.from_array(data, chunks=(64, 64, 5)))
    spec = SourceSpec("image", "made_for_axes:make", {"axes": "xyc"})
    plan = plan_spec(0, spec, 64)
    assert [level.shape for level in plan.dataset.levels[:3]] == [(5, 200, 300), (5, 100, 150), (5, 50, 75)]
    source = derive_source(open_source(spec), plan.dataset, plan.making)  # type: ignore[arg-type]
    expected = downsample(data.transpose(2, 1, 0), (1, 2))
    level = plan.dataset.levels[1]
    for index in np.ndindex(level.grid()):
        box = level.chunk_extent(index)
        out = np.zeros([high - low for low, high in box], np.uint16)
        assert source.read(1, [Piece(box, out)]) == [True]
        np.testing.assert_array_equal(out, expected[tuple(slice(low, high) for low, high in box)])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({}, "yx"),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}, "yx"),
        ({"PhysicalSizeZ": 2.5}, "zyx"),
        ({"Channel": {"Name": ["DAPI"]}}, "cyx"),
        ({"Channel": {"Name": ["DAPI"]}, "PhysicalSizeZ": 2.5, "TimeIncrement": 3.0}, "tczyx"),
    ],
)
def test_a_tiff_keeps_an_axis_of_length_1_if_it_says_something_of_it(
    tmp_path: Path, said: dict[str, Any], shown: str
) -> None:
    path = tmp_path / "image.ome.tif"
    data = voxels("tczyx")[:1, :1, :1]
    tifffile.imwrite(path, data, metadata={"axes": "TCZYX", **said}, tile=(16, 16))
    source = open_source(SourceSpec("image", str(path)))
    assert "".join(axis.name for axis in source.axes) == shown
    assert source.levels[0].shape == (1,) * (len(shown) - 2) + (45, 70)
    if "z" in shown:
        assert source.levels[0].scale[shown.index("z")] == 2.5
    if "c" in shown:
        assert source.channels[0].name == "DAPI"  # type: ignore[attr-defined]
    np.testing.assert_array_equal(read(source, 0).reshape(45, 70), data.reshape(45, 70))


@given(st.permutations("tczyxs").flatmap(lambda names: st.integers(2, 6).map(lambda count: names[:count])))
def test_any_order_is_a_permutation_with_the_screen_last(names: list[str]) -> None:
    axes = [axis_named(name) for name in names]
    colour = names.index("s") if "s" in names and len(names) > 2 else None
    order = shown_order(axes, colour)
    assert sorted(order) == list(range(len(axes)))
    shown = [names[a] for a in order]
    if colour is not None:
        assert shown.pop() == "s"
    if {"y", "x"} <= set(shown):
        assert shown[-2:] == ["y", "x"]
    front = [name for name in names if name in shown[:-2]]
    assert shown[:-2] == front
    # What is shown is not turned again.
    again = [axes[a] for a in order]
    assert shown_order(again, None if colour is None else len(axes) - 1) == tuple(range(len(axes)))


def _factory(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    module = types.ModuleType("made_for_axes")
    module.make = lambda: made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_for_axes", module)


def _made(monkeypatch: pytest.MonkeyPatch, made: Any, axes: str, **options: Any) -> Source:
    _factory(monkeypatch, made)
    return open_source(SourceSpec("image", "made_for_axes:make", {"axes": axes, **options}))
