"""The order in which chunks are sent to a client that cannot map the arena."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octree_loader.scheduling.priority import rank
from octree_loader.transport.delivery import Delivery
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Ready, Wanted


def key(number: int) -> ChunkKey:
    return ChunkKey(0, 0, (number,))


def ready(number: int) -> Ready:
    return Ready(key(number), 4096, 1, "|u1", (1,))


def taken(delivery: Delivery) -> list[int]:
    found = []
    while (one := delivery.take()) is not None:
        found.append(one.key.index[0])
    return found


def test_the_most_important_goes_first_whatever_came_first() -> None:
    delivery = Delivery()
    delivery.want(1, [Wanted(key(n), priority=n) for n in range(5)])
    for number in (3, 1, 4, 0, 2):
        delivery.add(ready(number))
    assert taken(delivery) == [0, 1, 2, 3, 4]


def test_a_camera_that_has_moved_on_waits_for_nothing_that_it_left_behind() -> None:
    delivery = Delivery()
    delivery.want(1, [Wanted(key(n), priority=n) for n in range(5)])
    for number in range(5):
        delivery.add(ready(number))
    delivery.want(1, [Wanted(key(n), priority=9 - n) for n in (1, 3, 7)])
    assert len(delivery) == 2
    assert taken(delivery) == [3, 1]
    delivery.add(ready(0))
    assert taken(delivery) == []


def test_what_two_views_want_stays_until_both_have_left_it() -> None:
    delivery = Delivery()
    delivery.want(1, [Wanted(key(0), tier=Tier.PREFETCH)])
    delivery.want(2, [Wanted(key(0)), Wanted(key(1), priority=5)])
    delivery.add(ready(1))
    delivery.add(ready(0))
    delivery.want(2, [Wanted(key(1), priority=5)])
    assert taken(delivery) == [1, 0]
    delivery.add(ready(0))
    delivery.want(1, [])
    assert len(delivery) == 0


_entries = st.lists(
    st.builds(Wanted, st.integers(0, 8).map(key), st.integers(-2, 2), st.sampled_from(Tier), st.integers(0, 3)),
    max_size=9,
    unique_by=lambda entry: entry.key,
)


@given(st.lists(st.tuples(st.integers(0, 2), _entries) | st.integers(0, 8) | st.none(), max_size=40))
def test_it_sends_what_a_plain_model_sends(steps: list[tuple[int, list[Wanted]] | int | None]) -> None:
    delivery = Delivery()
    views: dict[int, list[Wanted]] = {}
    waiting: set[int] = set()

    def best(number: int) -> int:
        return min(rank(e) for entries in views.values() for e in entries if e.key == key(number))

    for step in steps:
        wanted = {e.key.index[0] for entries in views.values() for e in entries}
        if isinstance(step, int):
            delivery.add(ready(step))
            waiting |= {step} & wanted
        elif step is None:
            one = delivery.take()
            assert (one is None) == (not waiting)
            if one is not None:
                number = one.key.index[0]
                assert best(number) == min(best(n) for n in waiting)
                waiting.remove(number)
        else:
            views[step[0]] = step[1]
            delivery.want(*step)
            waiting &= {e.key.index[0] for entries in views.values() for e in entries}
        assert len(delivery) == len(waiting)
