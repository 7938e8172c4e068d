"""The minimap: rectangles lie within it, and a click leads where it points."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.minimap import Minimap

numbers = st.floats(-1e6, 1e6)
spans = st.floats(1e-3, 1e6)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    y, x = draw(numbers), draw(numbers)
    return y, x, y + draw(spans), x + draw(spans)


@given(boxes(), st.floats(20, 400))
def test_the_map_fits_and_keeps_its_shape(extent: tuple[float, float, float, float], longest: float) -> None:
    width, height = Minimap.fitting(extent, longest).size
    assert max(width, height) == pytest.approx(longest)
    assert min(width, height) >= longest / 8 * (1 - 1e-9)
    ratio = (extent[3] - extent[1]) / (extent[2] - extent[0])
    if 1 / 8 < ratio < 8:
        assert width / height == pytest.approx(ratio, rel=1e-3)


@given(boxes(), boxes())
def test_the_views_rectangle_lies_within_and_can_be_seen(
    extent: tuple[float, float, float, float], view: tuple[float, float, float, float]
) -> None:
    a_map = Minimap.fitting(extent, 176)
    left, top, width, height = a_map.rectangle(view)
    assert left >= 0
    assert top >= 0
    assert left + width <= a_map.size[0] + 1e-9
    assert top + height <= a_map.size[1] + 1e-9
    assert min(width, height) >= 5.0 - 1e-9


def test_a_click_leads_where_it_points() -> None:
    a_map = Minimap.fitting((100.0, 0.0, 500.0, 1000.0), 200)
    assert a_map.size == (200.0, 80.0)
    assert a_map.world_at((100.0, 40.0)) == (300.0, 500.0)
    assert a_map.world_at((-50.0, 900.0)) == (500.0, 0.0)
    assert a_map.rectangle((200.0, 250.0, 300.0, 500.0)) == pytest.approx((50.0, 20.0, 50.0, 20.0))
