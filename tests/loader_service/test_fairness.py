"""Turns: who has been given least comes next, and nobody saves turns up."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from octree_loader.scheduling.fairness import FairShare


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(1, 300))
def test_clients_that_always_want_get_the_same_within_two_of_the_largest(costs: list[int], turns: int) -> None:
    """The bound of start-time fair queueing (Goyal, Vin, Cheng 1996, theorem 1): the sum of the two largest costs."""
    fair, given_to = FairShare(), Counter[int]()
    for _ in range(turns):
        client = fair.choose(range(len(costs)))
        fair.charge(client, costs[client])
        given_to[client] += costs[client]
    shares = [given_to[client] for client in range(len(costs))]
    assert max(shares) - min(shares) <= 2 * max(costs)


def test_who_comes_later_starts_at_the_present() -> None:
    fair = FairShare()
    for _ in range(1000):
        fair.charge(fair.choose(["old"]), 1)
    turns = Counter[str]()
    for _ in range(20):
        client = fair.choose(["old", "new"])
        fair.charge(client, 1)
        turns[client] += 1
    assert abs(turns["old"] - turns["new"]) <= 2


def test_who_is_forgotten_and_returns_is_new() -> None:
    fair = FairShare()
    fair.charge("a", 100)
    fair.charge("b", 1)
    fair.forget("a")
    assert fair.choose(["b", "a"]) == "a"
