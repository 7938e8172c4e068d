"""Values of a look as attributes of what has one."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.look_attribute import LookAttribute, int_or_none, two_floats
from octree_client.looks import Look


class Lamp:
    """Has a look, and counts how often it was replaced."""

    opacity = LookAttribute(float, "How bright.")
    selected_label = LookAttribute(int_or_none, "Which one.")
    auto_quantiles = LookAttribute(two_floats, "Of which parts.")

    def __init__(self) -> None:
        self.looks = [Look()]

    @property
    def look(self) -> Look:
        return self.looks[-1]

    @look.setter
    def look(self, look: Look) -> None:
        self.looks.append(look)


@given(st.floats(0.0, 1.0), st.none() | st.integers(0, 2**64))
def test_what_is_set_is_in_the_look_and_nothing_else_is_touched(opacity: float, label: int | None) -> None:
    lamp, other = Lamp(), Lamp()
    lamp.opacity = opacity
    lamp.selected_label = label
    assert (lamp.opacity, lamp.selected_label) == (opacity, label)
    assert lamp.looks[1:] == [Look(opacity=opacity), Look(opacity=opacity, selected_label=label)]
    assert other.looks == [Look()]


def test_values_are_brought_to_their_type_and_checked_by_the_look() -> None:
    lamp = Lamp()
    lamp.opacity = 1
    assert type(lamp.opacity) is float
    lamp.auto_quantiles = (0, 1)
    assert repr(lamp.auto_quantiles) == "(0.0, 1.0)"
    count = len(lamp.looks)
    with pytest.raises(ValueError, match="opacity is 0"):
        lamp.opacity = 2.0
    assert len(lamp.looks) == count


def test_it_says_what_it_means_and_what_a_look_lacks_is_no_attribute() -> None:
    assert inspect.getdoc(Lamp.opacity) == "How bright."
    assert "opacity" in dir(Lamp())
    with pytest.raises((AttributeError, RuntimeError)):
        type("Bad", (), {"brightness": LookAttribute(float, "No look has that.")})
