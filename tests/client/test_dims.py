"""Dimensions: positions are voxel centres, whatever is asked for; who listens hears what changed, and only that."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.dims import Dims
from octree_client.placing import WorldAxis


def stack() -> Dims:
    dims = Dims()
    dims.tell_axes(
        [
            WorldAxis("t", "time", "second", 0.0, 9.0, 1.0),
            WorldAxis("z", "space", "micrometer", -2.0, 2.0, 0.5),
            WorldAxis("y", "space", "micrometer", 0.0, 99.0, 1.0),
            WorldAxis("x", "space", "micrometer", 0.0, 199.0, 1.0),
        ]
    )
    return dims


def test_one_begins_in_the_middle_of_what_is_not_displayed() -> None:
    dims = stack()
    assert dims.displayed == ("y", "x")
    assert dims.hidden == ("t", "z")
    assert dims.point == {"t": 5.0, "z": 0.0}
    assert (dims.count("t"), dims.count("z"), dims.index("z")) == (10, 9, 4)
    assert dims.units["z"] == "micrometer"


@given(st.sampled_from("tzyx"), st.floats(allow_nan=True))
def test_any_number_becomes_a_voxel_centre(axis: str, world: float) -> None:
    dims = stack()
    dims.set_point(axis, world)
    dims.validate()
    low, high, step = dims.ranges[axis]
    found = dims.full_point[axis]
    assert low <= found <= high
    if low <= world <= high:
        assert abs(found - world) <= step / 2 + 1e-9
    elif not math.isnan(world):
        assert found == (low if world < low else high)


def test_who_listens_hears_what_changed_and_nothing_else() -> None:
    dims, heard = stack(), []
    dims.events.point_changed.connect(lambda axis, world: heard.append((axis, world)))
    dims.events.displayed_changed.connect(lambda down, across: heard.append((down, across)))
    dims.events.ranges_changed.connect(lambda: heard.append("ranges"))
    dims.set_point("z", 0.7)
    dims.set_point("z", 0.6)
    dims.step_by("t", -100)
    dims.set_displayed("y", "x")
    dims.swap()
    dims.set_displayed("z", "x")
    dims.tell_axes([WorldAxis(name, dims.kinds[name], "", *dims.ranges[name]) for name in dims.axes])
    assert heard == [("z", 0.5), ("t", 0.0), ("x", "y"), ("z", "x")]
    assert dims.point == {"t": 0.0, "y": 50.0}
    dims.tell_axes([WorldAxis("y", "space", "", 0.0, 1.0, 1.0), WorldAxis("x", "space", "", 0.0, 1.0, 1.0)])
    assert heard[-1] == "ranges"
    assert dims.displayed == ("y", "x")
    dims.validate()


def test_what_does_not_exist_is_refused_by_name() -> None:
    dims = stack()
    with pytest.raises(ValueError, match="no axis 'c'; the axes are t, z, y, x"):
        dims.set_point("c", 0.0)
    with pytest.raises(ValueError, match="twice"):
        dims.set_displayed("y", "y")
    with pytest.raises(ValueError, match="no axis 'c'"):
        dims.set_displayed("c", "x")


def test_positions_stay_when_another_image_comes() -> None:
    dims = stack()
    dims.set_index("t", 3)
    dims.tell_axes([WorldAxis("t", "time", "", 0.0, 4.0, 0.5), WorldAxis("y", "space", "", 0, 1, 1.0),
                    WorldAxis("x", "space", "", 0, 1, 1.0)])  # fmt: skip
    assert dims.point == {"t": 3.0}
    dims.tell_axes([WorldAxis("t", "time", "", 0.0, 2.0, 1.0), WorldAxis("y", "space", "", 0, 1, 1.0),
                    WorldAxis("x", "space", "", 0, 1, 1.0)])  # fmt: skip
    assert dims.point == {"t": 2.0}
