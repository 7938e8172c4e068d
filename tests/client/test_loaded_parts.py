"""Runs of loaded places: they cover exactly what is there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from octree_client.loaded_parts import runs


@given(st.lists(st.sampled_from([0.0, 0.3, 1.0]), max_size=60))
def test_runs_cover_what_is_there(shares: list[float]) -> None:
    painted = [0.0] * len(shares)
    found = runs(np.array(shares))
    for first, last, whole in found:
        assert first < last
        painted[first:last] = [1.0 if whole else 0.3] * (last - first)
    assert painted == shares
    assert found == sorted(found)
    for (_, end, whole), (start, _, next_whole) in pairwise(found):
        assert end < start or whole != next_whole, "two runs that are one"
