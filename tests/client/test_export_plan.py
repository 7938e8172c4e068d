"""What an export reads: every voxel once, in the order that the format needs, never more than a budget."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_client.export_metadata import tiff_metadata
from octree_client.export_plan import TILE, ExportRefused, format_of, pieces, plan_export, total_bytes
from octree_protocol.geometry import Axis, Dataset, Level


def dataset(shape: tuple[int, ...], levels: int = 3, axes: str = "zyx", rgb: bool = False, edge: int = 64) -> Dataset:
    def level(n: int) -> Level:
        size = tuple(
            s if axis in "cs" or (axis == "z" and n) else max(1, s >> n) for axis, s in zip(axes, shape, strict=True)
        )
        factor = [1.0 if axis in "cs" else a / b for axis, a, b in zip(axes, shape, size, strict=True)]
        chunk = tuple(min(s, edge) for s in size)
        return Level(size, chunk, tuple(0.5 * f for f in factor), tuple(0.25 * (f - 1) for f in factor))

    kinds = {"c": "channel", "s": "samples", "t": "time"}
    details = tuple(Axis(axis, kinds.get(axis, "space"), "micrometer") for axis in axes)
    return Dataset(0, "image", details, "<u2", tuple(level(n) for n in range(levels)), rgb=rgb)


@settings(deadline=None, max_examples=80)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 700), st.integers(1, 1500)),
    name=st.sampled_from(["a.zarr", "a.tif"]),
    level=st.integers(0, 2),
    displayed=st.sampled_from([(1, 2), (2, 1), (0, 2)]),
    corners=st.lists(st.floats(-100, 800), min_size=4, max_size=4),
    budget=st.sampled_from([1, 5000, 300_000, 10**9]),
)
def test_every_voxel_is_read_once(shape: Any, name: str, level: int, displayed: Any, corners: Any, budget: int) -> None:
    data = dataset(shape)
    try:
        plan = plan_export(data, name, level, tuple(corners), displayed)
    except ExportRefused:
        extents = [(-0.25, 0.5 * size - 0.25) for size in shape]
        ends = [sorted(corners[n::2]) for n in (0, 1)]
        beside = [
            last < extents[axis][0] + 0.5 or first > extents[axis][1] - 0.5
            for axis, (first, last) in zip(displayed, ends, strict=True)
        ]
        assert any(beside), "the region lies in the image"
        return
    for number, box in enumerate(plan.boxes):
        found = data.levels[level + number]
        if prod(found.shape) > 10**6:
            continue
        seen = np.zeros(found.shape, np.uint8)
        for piece in pieces(plan, number, 2, found.chunk_shape, budget):
            assert all(low < high for low, high in piece)
            seen[tuple(slice(*ends) for ends in piece)] += 1
        inside = seen[tuple(slice(*ends) for ends in box)]
        assert (inside == 1).all()
        assert seen.sum() == inside.size


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(1, 3), st.integers(1, 3000), st.integers(1, 3000)), st.integers(10**6, 10**7))
def test_pieces_keep_to_the_budget_and_to_the_tiles(shape: tuple[int, ...], budget: int) -> None:
    data = dataset(shape)
    plan = plan_export(data, "a.tif", 0, None)
    expected = []
    for z in range(shape[0]):
        for y in range(0, shape[1], TILE):
            expected += [(z, y, x) for x in range(0, shape[2], TILE)]
    order = []
    for (z, _), (y0, y1), (x0, x1) in pieces(plan, 0, 2, data.levels[0].chunk_shape, budget):
        assert y1 - y0 <= TILE
        assert (y1 - y0) * (x1 - x0) * 2 <= max(budget, TILE * TILE * 2)
        order += [(z, y0, x) for x in range(x0, x1, TILE)]
    assert order == expected
    zarr = plan_export(data, "a.zarr", 0, None)
    for piece in pieces(zarr, 0, 2, data.levels[0].chunk_shape, budget):
        assert prod(high - low for low, high in piece) * 2 <= budget
        for (low, _), edge in zip(piece, data.levels[0].chunk_shape, strict=True):
            assert low % edge == 0


def test_rows_of_a_png_are_whole_and_in_order() -> None:
    data = dataset((3, 1000, 900), axes="zyx")
    plan = plan_export(data, "a.PNG", 1, None, point={"z": 0.5})
    assert plan.box == ((1, 2), (0, 500), (0, 450))
    rows = pieces(plan, 0, 2, data.levels[1].chunk_shape, 450 * 2 * 100)
    assert [piece[1] for piece in rows] == [(n, min(n + 64, 500)) for n in range(0, 500, 64)]
    assert all(piece[2] == (0, 450) for piece in rows)


def test_a_region_is_the_voxels_that_it_meets() -> None:
    data = dataset((8, 1000, 1000))
    # Voxel i of level 0 covers [0.5 i - 0.25, 0.5 i + 0.25).
    plan = plan_export(data, "a.tif", 0, (9.75, 19.75, 20.25, 24.75), point={"z": 1.1})
    assert plan.box == ((2, 3), (20, 41), (40, 50))
    assert total_bytes(plan, 2) == 21 * 10 * 2
    swapped = plan_export(data, "a.tif", 0, (20.25, 24.75, 9.75, 19.75), point={"z": 1.1})
    assert swapped.box == plan.box
    assert plan_export(data, "a.zarr", 1, None).boxes == (
        ((0, 8), (0, 500), (0, 500)),
        ((0, 8), (0, 250), (0, 250)),
    )
    cut = plan_export(data, "a.tif", 0, (0.0, 0.0, 100.0, 2.0), displayed=(0, 2), point={"y": 3.0, "x": 9.0})
    assert cut.box == ((0, 8), (6, 7), (0, 5))
    assert cut.order == (1, 0, 2)


@pytest.mark.parametrize(
    ("name", "level", "region", "point", "reason"),
    [
        ("a.jpg", 0, None, {}, "ending"),
        ("a", 0, None, {}, "ending"),
        ("a.tif", 7, None, {}, "levels 0 to 2"),
        ("a.tif", 0, (1e6, 0.0, 2e6, 1.0), {}, "nothing of image is there: along y"),
        ("a.tif", 0, (0.0, -9.0, 1.0, -2.0), {}, "along x"),
        ("a.tif", 0, (0.0, float("nan"), 1.0, 2.0), {}, "finite"),
        ("a.tif", 0, None, {"w": 1.0}, "not w"),
        ("a.tif", 0, None, {"z": 1e9}, "along z"),
        ("a.png", 0, None, {}, "one plane: say where on z"),
    ],
)
def test_what_cannot_be_is_refused(name: str, level: int, region: Any, point: Any, reason: str) -> None:
    with pytest.raises(ExportRefused, match=reason):
        plan_export(dataset((4, 100, 100)), name, level, region, point=point)


def test_a_png_has_an_end() -> None:
    with pytest.raises(ExportRefused, match="65,535"):
        plan_export(dataset((1, 10, 70000)), "a.png", 0, None)


def test_endings() -> None:
    assert [format_of(name) for name in ("a.ome.zarr/", "b.TIFF", "c.ome.tif", "d.png")] == [
        "zarr",
        "tiff",
        "tiff",
        "png",
    ]


def test_each_axis_of_a_tiff_has_its_own_size() -> None:
    """Its plane is OME's Y and X whatever is displayed; the axis left over is Z; what has no letter is left out."""
    axes = (Axis("t", "time", "second"), *(Axis(name, "space", "micrometer") for name in "zyx"))
    level = Level((4, 30, 20, 10), (1, 30, 20, 10), (1.5, 2.0, 0.5, 0.25), (0.0,) * 4)
    data = Dataset(0, "image", axes, "<u2", (level,))

    def sizes(displayed: tuple[int, int], **point: float) -> tuple[str, list[float | None], tuple[int, ...]]:
        found = tiff_metadata(data, plan_export(data, "a.tif", 0, None, displayed, point))
        assert found.is_ome
        return (
            found.metadata["axes"],
            [found.metadata.get(f"PhysicalSize{letter}") for letter in "YXZ"],
            found.shape,
        )

    assert sizes((2, 3)) == ("TZYX", [0.5, 0.25, 2.0], (4, 30, 20, 10))
    assert sizes((1, 3)) == ("TZYX", [2.0, 0.25, 0.5], (4, 20, 30, 10))
    assert sizes((1, 2), x=1.0) == ("TZYX", [2.0, 0.5, 0.25], (4, 1, 30, 20))
    # Time is displayed: a second is no length. Of what is left, the first is Z; the other has one place, and goes.
    assert sizes((0, 3), z=4.0, y=1.0) == ("ZYX", [None, 0.25, 2.0], (1, 4, 10))
    plain = tiff_metadata(data, plan_export(data, "a.tif", 0, None, (0, 3)))
    assert not plain.is_ome
    assert plain.metadata["axis_names"] == ["z", "y", "t", "x"]
    assert plain.metadata["scale"] == [2.0, 0.5, 1.5, 0.25]
