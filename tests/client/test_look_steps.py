"""Looks step by step: every step is a look, there and back again, and ends are ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.colormaps import FAVOURITES
from octree_client.look_steps import CUTS, PARTS, cut_of, cut_text, next_of, quantiles_of
from octree_client.looks import BLENDINGS, Look

#: Parts that go round in a circle; the others end somewhere.
CIRCLES = {"blending", "colormap", "interpolation", "alone"}


@given(st.lists(st.tuples(st.sampled_from(sorted(PARTS)), st.sampled_from([-1, 1])), max_size=40))
def test_whatever_is_stepped_is_a_look_and_is_told(steps: list[tuple[str, int]]) -> None:
    look = Look()
    for name, step in steps:
        if name == "seed":
            step = 1  # a seed has no end, and nobody goes back
        look = PARTS[name].step(look, step)  # Look itself refuses what is out of range
        assert PARTS[name].text(look)


@pytest.mark.parametrize("name", sorted(set(PARTS) - CIRCLES - {"seed"}))
def test_parts_end_somewhere_and_come_back(name: str) -> None:
    part = PARTS[name]
    ends = []
    for step in (1, -1):
        look = Look()
        for _ in range(100):
            look = part.step(look, step)
        assert part.step(look, step) == look
        assert part.step(look, -step) != look
        ends.append(part.text(look))
    assert ends[0] != ends[1]


def test_circles() -> None:
    for name, count in (("blending", len(BLENDINGS)), ("colormap", len(FAVOURITES)), ("interpolation", 2)):
        look = Look()
        seen = set()
        for _ in range(count):
            look = PARTS[name].step(look, 1)
            seen.add(PARTS[name].text(look))
        assert look == Look()
        assert len(seen) == count
        assert PARTS[name].step(PARTS[name].step(look, 1), -1) == look
    assert next_of(FAVOURITES, "#123456", 1) == FAVOURITES[0]
    assert next_of(FAVOURITES, "#123456", -1) == FAVOURITES[-1]


@given(st.floats(0.0, 49.0), st.floats(0.0, 49.0))
def test_quantiles_and_what_they_cut(dark: float, bright: float) -> None:
    dark, bright = round(dark, 3), round(bright, 3)
    quantiles = quantiles_of(dark, bright)
    assert cut_of(quantiles) == pytest.approx((dark, bright))
    Look(auto_quantiles=quantiles)
    assert cut_text(quantiles)


def test_cuts() -> None:
    assert cut_text((0.001, 0.98)) == "without the darkest 0.1 % and the brightest 2 %"
    assert cut_text((0.0, 1.0)) == "from the darkest to the brightest value"
    assert PARTS["cut"].step(Look(auto_contrast=False), 1).auto_contrast
    assert cut_of(PARTS["cut"].step(Look(), 2).auto_quantiles) == (CUTS[4], CUTS[4])
    with pytest.raises(ValueError, match="something must be left"):
        quantiles_of(60.0, 40.0)
