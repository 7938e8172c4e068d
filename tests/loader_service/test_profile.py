"""How loads behave: fast or not, waiting or computing; and rates that fade."""

from __future__ import annotations

import math

import pytest

from octree_loader.scheduling.profile import LoadProfile, Rate


def observed(wall: float, cpu: float, blocked: float, times: int = 30) -> LoadProfile:
    profile = LoadProfile()
    for _ in range(times):
        profile.observe(wall, cpu, blocked)
    return profile


def test_nothing_is_fast_before_it_was_seen() -> None:
    assert not LoadProfile().fast(1e9)


def test_fast_is_less_than_auto_sync_ms() -> None:
    profile = observed(0.02, 0.02, 0.0)
    assert profile.fast(30)
    assert not profile.fast(20)
    assert not profile.fast(0)


def test_one_slow_load_does_not_make_a_dataset_slow_and_many_do() -> None:
    profile = observed(0.001, 0.001, 0.0)
    profile.observe(0.1, 0.001, 0.1)
    assert profile.fast(30)
    for _ in range(20):
        profile.observe(0.1, 0.001, 0.1)
    assert not profile.fast(30)
    assert profile.waiting


def test_over_a_slow_store_more_loads_are_under_way_than_where_the_processor_decides() -> None:
    waiting = observed(0.05, 0.0005, 0.049)
    computing = observed(0.05, 0.05, 0.0)
    crowded = observed(0.05, 0.01, 0.0)  # it waited for a processor, not for its store
    assert waiting.waiting
    assert not computing.waiting
    assert not crowded.waiting
    assert waiting.depth(4, 2) > computing.depth(4, 2) == crowded.depth(4, 2) == 2


def test_a_rate_is_that_of_a_steady_stream_and_fades() -> None:
    rate = Rate()
    for n in range(3000):
        rate.add(1000, n / 100)
    chunks, nbytes = rate.per_second(30.0)
    assert chunks == pytest.approx(100, rel=0.05)
    assert nbytes == pytest.approx(100_000, rel=0.05)
    assert rate.per_second(32.0)[0] == pytest.approx(chunks / 2, rel=0.01)
    assert rate.per_second(90.0)[0] < math.exp(-10)
