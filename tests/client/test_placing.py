"""Units, planes and positions: voxel centres of datasets in different units fall together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.pyramids import plain_dataset

from octree_client.placing import (
    WorldAxis,
    axes_of_world,
    hidden_axes,
    middle,
    placed,
    plane_of,
    position_at,
    unit_factor,
    world_units,
)
from octree_protocol.geometry import Axis, Dataset, Level


def dataset(
    names: str,
    shape: tuple[int, ...],
    scale: tuple[float, ...],
    translation: tuple[float, ...] | None = None,
    unit: str = "",
    name: str = "one",
) -> Dataset:
    kinds = {"t": "time", "c": "channel"}
    axes = tuple(Axis(n, kinds.get(n, "space"), unit if n in "zyx" else "") for n in names)
    level = Level(shape, shape, scale, translation or (0.0,) * len(shape))
    return Dataset(0, name, axes, "<u2", (level,))


@pytest.mark.parametrize(
    ("unit", "world", "factor"),
    [
        ("nanometer", "micrometer", 1e-3),
        ("micrometer", "nanometer", 1000.0),
        ("millimeter", "micrometer", 1000.0),
        ("nm", "µm", 1e-3),
        ("angstrom", "nanometer", 0.1),
        ("millisecond", "second", 1e-3),
        ("minute", "second", 60.0),
        ("", "micrometer", 1.0),
        ("micrometer", "", 1.0),
        ("second", "micrometer", 1.0),
        ("furlong", "micrometer", 1.0),
    ],
)
def test_units_are_converted_where_both_are_known(unit: str, world: str, factor: float) -> None:
    assert unit_factor(unit, world) == factor


def test_the_world_has_the_first_unit_of_space() -> None:
    nano = dataset("zyx", (4, 8, 8), (50.0, 10.0, 10.0), unit="nanometer")
    micro = dataset("yx", (8, 8), (0.01, 0.01), unit="micrometer")
    assert world_units([nano, micro]) == {"z": "nanometer", "y": "nanometer", "x": "nanometer"}
    units = world_units([micro, nano])
    assert units == {"y": "micrometer", "x": "micrometer", "z": "micrometer"}
    assert placed(micro, units) is micro
    moved = placed(nano, units)
    assert moved.levels[0].scale == (0.05, 0.01, 0.01)
    assert {axis.unit for axis in moved.axes} == {"micrometer"}
    # z of one image and x of another lie in one space: they share the unit even within one image.
    mixed = Dataset(
        0, "m", (Axis("z", unit="nanometer"), Axis("y", unit="micrometer"), Axis("x", unit="micrometer")), "|u1", ()
    )
    assert world_units([mixed])["z"] == "micrometer"


@given(st.integers(0, 4), st.sampled_from(["zyx", "xzy", "yx"]), st.booleans())
def test_planes_and_what_is_left(front: int, names: str, rgb: bool) -> None:
    whole = "tcuvw"[:front] + names
    count = len(whole) + rgb
    axes = tuple(Axis(n) for n in whole) + ((Axis("s", "samples"),) if rgb else ())
    one = Dataset(0, "one", axes, "|u1", (Level((3,) * count, (3,) * count, (1.0,) * count, (0.0,) * count),), rgb=rgb)
    for down in whole:
        for across in whole:
            plane = plane_of(one, (down, across))
            if down == across:
                assert plane is None
                continue
            assert plane is not None
            assert (whole[plane[0]], whole[plane[1]]) == (down, across)
            hidden = hidden_axes(one, plane)
            assert sorted({*hidden, *plane}) == list(range(len(whole)))
            assert len(middle(one, plane)) == len(hidden)
    assert plane_of(one, ("q", "x")) is None


def test_a_point_is_the_voxel_it_lies_in_and_nothing_outside() -> None:
    stack = dataset("tzyx", (3, 5, 8, 8), (1.0, 2.0, 1.0, 1.0), (0.0, 10.0, 0.0, 0.0))
    plane = (2, 3)
    assert position_at(stack, plane, {"t": 0.0, "z": 10.0}) == (0, 0)
    assert position_at(stack, plane, {"t": 0.4, "z": 10.99}) == (0, 0)
    assert position_at(stack, plane, {"t": 2.0, "z": 18.9}) == (2, 4)
    assert position_at(stack, plane, {"t": 2.0, "z": 19.1}) is None
    assert position_at(stack, plane, {"t": 2.0, "z": 8.9}) is None
    assert position_at(stack, plane, {"z": 14.0}) == (1, 2)
    assert position_at(stack, plane, {"t": 99.0, "z": 14.0}, {0: 1}) == (1, 2)
    assert position_at(stack, (1, 3), {"t": 0.0, "y": 3.2}) == (0, 3)


def test_the_world_reaches_over_all_datasets_in_the_finest_step() -> None:
    stack = dataset("tzyx", (3, 5, 8, 8), (1.0, 2.0, 1.0, 1.0))
    fine = dataset("zyx", (9, 4, 4), (0.5, 1.0, 1.0), (-1.0, 0.0, 0.0))
    channels = dataset("cyx", (2, 4, 4), (1.0, 1.0, 1.0))
    found = axes_of_world([(stack, frozenset()), (fine, frozenset()), (channels, frozenset({0}))])
    assert found[:2] == (WorldAxis("t", "time", "", 0.0, 2.0, 1.0), WorldAxis("z", "space", "", -1.0, 8.0, 0.5))
    assert [axis.name for axis in found] == ["t", "z", "y", "x"]
    merged = axes_of_world([(fine, frozenset()), (channels, frozenset())])
    assert [axis.name for axis in merged] == ["z", "c", "y", "x"]


def test_samples_of_colours_are_no_axis() -> None:
    one = plain_dataset(64, chunk=64, rgb=True)
    assert [axis.name for axis in axes_of_world([(one, frozenset())])] == ["y", "x"]
