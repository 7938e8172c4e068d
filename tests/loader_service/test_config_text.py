"""What a text of configuration says: JSON or a Python literal, the same either way, or where it ends to be either."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_loader.config.text import parse

_SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@given(_VALUES)
def test_both_notations_say_the_same(value: Any) -> None:
    twice: list[str] = []
    assert parse(json.dumps(value), twice) == value
    assert parse(f"\n  {value!r}", twice) == value
    assert twice == []


@given(st.text(max_size=60))
def test_whatever_stands_there_is_a_value_or_a_mistake(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse(text, [])


@pytest.mark.parametrize("text", ['{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}', "{'a': 1, 'b': {'c': 1, 'c': 2}, 'a': 3}"])
def test_keys_that_stand_twice_are_told(text: str) -> None:
    twice: list[str] = []
    assert parse(text, twice) == {"a": 3, "b": {"c": 2}}
    assert sorted(twice) == ["a", "c"]


@pytest.mark.parametrize("text", ["[" * 100_000, "{'a': " * 100_000, "1 +", "open('x')"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither JSON"):
        parse(text, [])
