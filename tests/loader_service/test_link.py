"""How much is sent at a time: the rate of a link is found out, whatever it is, and its queue stays short."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from octree_loader.transport.link import Link
from octree_protocol import limits

MESSAGE = 128 << 10


def drive(rate: float, delay: float, seconds: float, link: Link | None = None) -> tuple[Link, float, float]:
    """A sender with enough to send, over a link of `rate` bytes/s and `delay` seconds each way.

    Returns the link, the bytes a second that got through, and the longest time that a message was under way.
    """
    link = link or Link(0.0)
    now, free, arrived, longest = 0.0, 0.0, 0, 0.0
    acks: list[tuple[float, int, float]] = []
    while now < seconds:
        while link.under_way < link.window():
            free = max(free, now) + MESSAGE / rate
            link.count(MESSAGE, now)
            acks.append((free + 2 * delay, link.sent, now))
        now, total, sent_at = acks.pop(0)
        link.acknowledge(total, now)
        arrived, longest = total, max(longest, now - sent_at)
    return link, arrived / now, longest


@settings(deadline=None, max_examples=60)
@given(st.floats(1.25e6, 1e9), st.floats(0.0, 0.15))
def test_a_link_is_used_and_its_queue_stays_short(rate: float, delay: float) -> None:
    link, through, longest = drive(rate, delay, 60 * delay + 500 * MESSAGE / rate)
    assert link.rate is not None
    # What four MiB under way carry, if that is less.
    reachable = min(rate, limits.UNDER_WAY_BYTES / (2 * delay + MESSAGE / rate))
    assert through > 0.7 * reachable
    assert link.rate < 1.3 * rate
    assert longest < 4 * delay + 0.25 + 5 * MESSAGE / rate


def test_10_mbit_and_50_ms_hold_up_a_heartbeat_for_less_than_a_second() -> None:
    _, through, longest = drive(1.25e6, 0.05, 30.0)
    assert through > 0.9 * 1.25e6
    assert longest < 0.7


def test_a_message_takes_a_tenth_of_a_second_at_most() -> None:
    assert Link(0.0).message() == MESSAGE
    assert drive(1.25e6, 0.01, 5.0)[0].message() == MESSAGE
    assert drive(1e9, 0.0, 0.1)[0].message() == limits.PART_BYTES


def test_a_client_at_leisure_does_not_make_the_link_slow() -> None:
    link, _, _ = drive(100e6, 0.0, 2.0)
    rate = link.rate
    assert rate is not None
    now = 2.0 + link.under_way / 100e6
    link.acknowledge(link.sent, now)
    for _ in range(50):
        link.count(1000, now)
        now += 0.01
        link.acknowledge(link.sent, now)  # 100 kB/s, but nothing else was asked of it
    assert link.rate < 1.05 * rate
    assert link.rate > 90e6


def test_a_link_that_has_become_slow_is_found_out() -> None:
    link, _, _ = drive(100e6, 0.0, 2.0)
    now = 2.0
    while now < 20.0:
        while link.under_way < link.window():
            link.count(MESSAGE, now)
        now += MESSAGE / 1e6
        link.acknowledge(link.received + MESSAGE, now)
    assert link.rate is not None
    assert link.rate < 1.5e6


def test_who_acknowledges_nothing_is_stuck_and_who_is_owed_nothing_is_not() -> None:
    link = Link(0.0)
    assert not link.stuck(100.0)
    link.count(10, 100.0)
    assert not link.stuck(100.0 + limits.ACKNOWLEDGE_TIMEOUT)
    assert link.stuck(100.1 + limits.ACKNOWLEDGE_TIMEOUT)
    link.acknowledge(10, 200.0)
    assert not link.stuck(300.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 40)), max_size=60))
def test_whatever_is_acknowledged_the_books_stay_sound(steps: list[tuple[bool, int]]) -> None:
    link, now = Link(0.0), 0.0
    for sending, number in steps:
        now += 0.01
        if sending:
            link.count(number % (1 << 20), now)
        else:
            link.acknowledge(number, now)
        assert 0 <= link.received <= link.sent
        assert 2 * MESSAGE <= link.window() <= limits.UNDER_WAY_BYTES


def test_more_than_a_client_ever_leaves_unread_is_too_much() -> None:
    link = Link(0.0)
    link.count(limits.UNDER_WAY_BYTES, 0.0)
    assert not link.overfull()
    link.count(2 * limits.FRAME_BYTES, 0.0)
    assert link.overfull()
