"""When a connection has something to do by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octree_client.transport.timetable import CONNECT_AGAIN, HELLO_AGAIN, Timetable
from octree_protocol import limits


def test_the_first_greeting_is_due_at_once_and_then_again_and_again() -> None:
    times = Timetable(over_network=False, now=10.0)
    assert times.beat_due(10.0)
    times.greeted(10.0)
    assert not times.beat_due(10.0 + 0.9 * HELLO_AGAIN)
    assert times.next_due(is_open=False) == 10.0 + HELLO_AGAIN
    assert times.beat_due(10.0 + HELLO_AGAIN)


def test_only_over_a_network_a_connection_is_made_anew() -> None:
    here, far = Timetable(over_network=False, now=0.0), Timetable(over_network=True, now=0.0)
    for times in (here, far):
        times.lost(1.0)
    assert not here.connection_due(1e9)
    assert not far.connection_due(1.0)
    assert far.connection_due(1.0 + CONNECT_AGAIN)
    assert not here.give_up(1.1)
    assert far.give_up(1.1)
    assert far.connection_due(1.1)
    far.connecting(1.1)
    assert not far.connection_due(1.2)
    far.connected()
    assert not far.connection_due(1e9)


@given(st.lists(st.tuples(st.sampled_from(["heard", "greeted", "beaten", "lost", "connecting"]), st.floats(0, 3))))
def test_nothing_is_due_before_it_is_said_to_be(steps: list[tuple[str, float]]) -> None:
    times, now = Timetable(over_network=True, now=0.0), 0.0
    for event, later in steps:
        now += later
        getattr(times, event)(now)
        for is_open in (False, True):
            due = times.next_due(is_open)
            assert due <= now + max(HELLO_AGAIN, limits.HEARTBEAT_INTERVAL)
            before = due - 1e-6 * (1.0 + abs(due))
            assert not times.beat_due(before)
            assert not times.connection_due(before)
            assert not (is_open and times.silent(before))
            after = due + 1e-6 * (1.0 + abs(due))
            assert times.beat_due(after) or times.connection_due(after) or (is_open and times.silent(after))
