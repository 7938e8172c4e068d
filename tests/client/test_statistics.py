"""Figures about frames: percentiles by nearest rank, and a rate of the last second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.statistics import FrameRecord, FrameStatistics, Spread, spread


def record(at: float, plan: float = 1.0) -> FrameRecord:
    return FrameRecord(at, plan, 2.0, 3.0, 4.0, 5, 6, 7, 8, 0)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_a_spread_is_made_of_values_that_are_there(values: list[float]) -> None:
    found = spread(values)
    assert {found.p50, found.p99, found.most} <= set(values)
    assert found.p50 <= found.p99 <= found.most == max(values)


def test_percentiles_of_a_hundred_and_one() -> None:
    assert spread(list(range(101))) == Spread(50, 99, 100)
    assert spread([]) == Spread(0.0, 0.0, 0.0)


def test_our_own_work_is_all_but_the_drawing() -> None:
    statistics = FrameStatistics()
    statistics.add(record(0.0))
    assert statistics.summary()["own"].most == 6.0
    assert statistics.summary()["draw"].most == 4.0


def test_the_rate_is_that_of_the_last_second() -> None:
    statistics = FrameStatistics()
    assert statistics.frame_rate() == 0.0
    for n in range(100):
        statistics.add(record(n / 50))
    assert statistics.frame_rate() == pytest.approx(50.0, rel=0.05)
    assert statistics.count == 100
    statistics.reset()
    assert statistics.frame_rate() == 0.0
    assert statistics.count == 100
