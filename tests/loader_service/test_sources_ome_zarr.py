"""Pyramids: where levels lie in the world, which axes they have, and what is said of a folder that is none."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_loader.sources import open_source
from octree_loader.sources.base import Source, SourceError, SourceSpec
from octree_loader.sources.placement import downsampling, place_levels
from octree_protocol.geometry import Level

AXES = [{"name": "y", "type": "space", "unit": "micrometer"}, {"name": "x", "type": "space", "unit": "micrometer"}]


def scale(*numbers: float) -> dict[str, Any]:
    return {"type": "scale", "scale": list(numbers)}


def translation(*numbers: float) -> dict[str, Any]:
    return {"type": "translation", "translation": list(numbers)}


def write_pyramid(
    path: Path,
    shapes: list[tuple[int, ...]],
    placed: list[Any],
    version: str = "0.5",
    axes: Any = AXES,
    outer: Any = None,
    dtype: str = "uint8",
    paths: list[str] | None = None,
) -> Path:
    """An OME-Zarr image; each level holds its own number."""
    paths = paths or [str(i) for i in range(len(shapes))]
    image = {
        "axes": axes,
        "datasets": [
            {"path": name} | ({} if one is None else {"coordinateTransformations": one})
            for name, one in zip(paths, placed, strict=True)
        ],
    }
    if outer is not None:
        image["coordinateTransformations"] = outer
    attributes = {"ome": {"version": version, "multiscales": [image]}} if version == "0.5" else {"multiscales": [image]}
    group = zarr.create_group(str(path), zarr_format=3 if version == "0.5" else 2, attributes=attributes)
    for number, (name, shape) in enumerate(zip(paths, shapes, strict=True)):
        chunks = tuple(min(16, edge) for edge in shape)
        group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, fill_value=0)[...] = number + 1
    return path


def open_path(path: Path, **options: Any) -> Source:
    return open_source(SourceSpec("image", str(path), options))


def edges(source: Source, axis: int) -> list[float]:
    """World coordinate of the first edge of every level."""
    return [
        Level(level.shape, level.shape, level.scale, level.translation).voxel_to_world(axis, 0)
        for level in source.levels
    ]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_without_translations_the_edges_of_all_levels_coincide(tmp_path: Path, version: str) -> None:
    placed = [[scale(2, 3)], [scale(4, 6)], [scale(8, 12)]]
    source = open_path(write_pyramid(tmp_path / "a", [(40, 60), (20, 30), (10, 15)], placed, version))
    assert [level.scale for level in source.levels] == [(2, 3), (4, 6), (8, 12)]
    assert edges(source, 0) == [-1, -1, -1]
    assert edges(source, 1) == [-1.5, -1.5, -1.5]


def test_translations_of_levels_are_trusted(tmp_path: Path) -> None:
    placed = [[scale(1, 1), translation(0, 0)], [scale(2, 2), translation(0, 0)]]
    source = open_path(write_pyramid(tmp_path / "a", [(40, 60), (20, 30)], placed))
    assert [level.translation for level in source.levels] == [(0, 0), (0, 0)]


def test_transformations_of_the_image_come_after_those_of_the_level(tmp_path: Path) -> None:
    placed = [[scale(1, 1), translation(1, 1)], [scale(2, 2), translation(1.5, 1.5)]]
    path = write_pyramid(tmp_path / "a", [(40, 60), (20, 30)], placed, outer=[scale(10, 100), translation(5, 7)])
    source = open_path(path)
    assert [level.scale for level in source.levels] == [(10, 100), (20, 200)]
    assert [level.translation for level in source.levels] == [(15, 107), (20, 157)]


def test_a_translation_of_the_image_alone_leaves_the_edges_together(tmp_path: Path) -> None:
    placed = [[scale(1, 1)], [scale(2, 2)]]
    source = open_path(write_pyramid(tmp_path / "a", [(40, 60), (20, 30)], placed, outer=[translation(100, 0)]))
    assert edges(source, 0) == [99.5, 99.5]
    assert edges(source, 1) == [-0.5, -0.5]


def test_missing_transformations_follow_from_the_shapes(tmp_path: Path) -> None:
    source = open_path(write_pyramid(tmp_path / "a", [(41, 61), (21, 31), (11, 16)], [None, None, None], "0.4"))
    assert [level.scale for level in source.levels] == [(1, 1), (2, 2), (4, 4)]


def test_levels_come_finest_first_whatever_their_order(tmp_path: Path) -> None:
    placed = [[scale(4, 4)], [scale(1, 1)], [scale(2, 2)]]
    source = open_path(write_pyramid(tmp_path / "a", [(10, 15), (40, 60), (20, 30)], placed))
    assert [level.shape for level in source.levels] == [(40, 60), (20, 30), (10, 15)]
    assert [level.scale for level in source.levels] == [(1, 1), (2, 2), (4, 4)]


def test_the_options_move_the_whole_pyramid(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a", [(40, 60), (20, 30)], [[scale(1, 1)], [scale(2, 2)]])
    source = open_path(path, scale=[10, 1], translation=[100, 0])
    assert [level.scale for level in source.levels] == [(10, 1), (20, 2)]
    assert edges(source, 0) == [95, 95]


def test_five_axes_with_kinds_and_units(tmp_path: Path) -> None:
    axes = [{"name": "t", "type": "time", "unit": "second"}, {"name": "c", "type": "channel"}, {"name": "z"}, *AXES]
    shapes = [(2, 3, 4, 40, 60), (2, 3, 4, 20, 30)]
    placed = [[scale(1, 1, 5, 1, 1)], [scale(1, 1, 5, 2, 2)]]
    source = open_path(write_pyramid(tmp_path / "a", shapes, placed, "0.4", axes))
    assert [axis.name for axis in source.axes] == list("tczyx")
    assert [axis.kind for axis in source.axes] == ["time", "channel", "space", "space", "space"]
    assert source.axes[0].unit == "second"
    assert not source.rgb


def test_axes_of_version_0_3_are_names(tmp_path: Path) -> None:
    source = open_path(write_pyramid(tmp_path / "a", [(3, 40, 60)], [None], "0.4", ["c", "y", "x"]))
    assert [axis.kind for axis in source.axes] == ["channel", "space", "space"]


@pytest.mark.parametrize(
    ("shape", "axes", "option", "rgb"),
    [
        ((20, 30, 3), [*AXES, {"name": "c", "type": "channel"}], None, True),
        ((20, 30, 5), [*AXES, {"name": "c", "type": "channel"}], None, False),
        ((20, 30, 3), [{"name": "z", "type": "space"}, *AXES], None, False),
        ((20, 30, 3), [{"name": "z", "type": "space"}, *AXES], True, True),
        ((20, 30, 3), None, None, True),
        ((20, 30, 3), None, False, False),
        ((20, 3), None, None, False),
    ],
)
def test_a_colour_is_told_from_an_axis(
    tmp_path: Path, shape: tuple[int, ...], axes: Any, option: bool | None, rgb: bool
) -> None:
    path = write_pyramid(tmp_path / "a", [shape], [None], "0.4", axes)
    source = open_path(path) if option is None else open_path(path, rgb=option)
    assert source.rgb is rgb
    assert (source.axes[-1].kind == "samples") is rgb


@pytest.mark.parametrize(
    ("shapes", "placed", "words"),
    [
        ([(40, 60), (20, 30, 3)], [None, None], "axes.*no pyramid"),
        ([(40, 60), (20, 80)], [None, None], "no pyramid"),
        ([(40, 60)], [[scale(-1, 1)]], "above 0"),
        ([(40, 60)], [[scale(1, 1, 1)]], "3 numbers for 2 axes"),
        ([(40, 60)], [[{"type": "affine", "affine": [1]}]], "cannot be understood"),
        ([(40, 60)], [[{"type": "scale"}]], "cannot be understood"),
        ([(40, 60)], [17], "cannot be understood"),
    ],
)
def test_a_pyramid_that_cannot_be(tmp_path: Path, shapes: Any, placed: Any, words: str) -> None:
    path = write_pyramid(tmp_path / "a", shapes, placed, "0.4")
    with pytest.raises(SourceError, match=words):
        open_path(path)


def test_levels_of_different_dtypes_are_no_pyramid(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a", [(40, 60), (20, 30)], [None, None], "0.4")
    document = path / "1" / ".zarray"
    document.write_text(json.dumps(json.loads(document.read_text()) | {"dtype": "<f4"}))
    with pytest.raises(SourceError, match=r"float32.*uint8.*no pyramid"):
        open_path(path)


def test_a_group_without_ome_metadata_names_its_arrays(tmp_path: Path) -> None:
    group = zarr.create_group(str(tmp_path / "a"))
    group.create_array("here", shape=(4, 4), dtype="u1")
    group.create_group("deep").create_array("there", shape=(4, 4), dtype="u1")
    with pytest.raises(SourceError, match=r"give one of the arrays in it \(.*a/here, .*a/deep/there\)"):
        open_path(tmp_path / "a")


def test_a_pyramid_of_a_thousand_million_chunks_opens_at_once(tmp_path: Path) -> None:
    edge = 1 << 23
    levels = [(edge >> k, edge >> k) for k in range(16)]
    path = tmp_path / "a"
    placed = [{"path": str(k), "coordinateTransformations": [scale(2**k, 2**k)]} for k in range(16)]
    path.mkdir()
    (path / ".zattrs").write_text(json.dumps({"multiscales": [{"axes": AXES, "datasets": placed}]}))
    for k, shape in enumerate(levels):
        (path / str(k)).mkdir()
        array = {
            "shape": shape,
            "chunks": [256, 256],
            "dtype": "<u2",
            "compressor": None,
            "fill_value": 0,
            "filters": None,
        }
        (path / str(k) / ".zarray").write_text(json.dumps(array | {"order": "C", "zarr_format": 2}))

    began = time.perf_counter()
    source = open_path(path)
    assert time.perf_counter() - began < 0.3
    assert math.prod(source.levels[0].shape) // 256**2 > 10**9


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(1, 10**6), min_size=2, max_size=3),
    st.sampled_from((2, 3, 4)),
    st.booleans(),
    st.integers(2, 6),
)
def test_the_factor_is_found_in_edges_rounded_up_or_down(first: list[int], factor: int, up: bool, count: int) -> None:
    shapes = [tuple(first)]
    for _ in range(count - 1):
        shapes.append(tuple(max(1, -(-n // factor) if up else n // factor) for n in shapes[-1]))
    for number, found in enumerate(downsampling(shapes)):
        for axis, value in enumerate(found):
            # Where an edge of a few voxels rounds, other factors explain it as well.
            if shapes[number][axis] > 4 * factor:
                assert value == factor**number


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)), min_size=1, max_size=5))
def test_edges_coincide_for_any_scales(scales: list[tuple[float, float]]) -> None:
    shapes = [(64, 64)] * len(scales)
    placed = place_levels(shapes, list(scales), [(3.0, -5.0)], "image")
    for axis in (0, 1):
        found = [t[axis] - s[axis] / 2 for s, t in placed]
        np.testing.assert_allclose(found, found[0])
