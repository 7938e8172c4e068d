"""The table of transitions: whole, and the same for both sides."""

from __future__ import annotations

import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.golden import values_1_0, values_1_1

from octree_protocol import PROTOCOL_VERSION
from octree_protocol.errors import LocalProtocolError, RemoteProtocolError
from octree_protocol.messages import ClientMessage, DaemonMessage
from octree_protocol.session import TRANSITIONS, Session, SessionState, refuse_version

MESSAGES = {
    type(value): value
    for values in (values_1_0, values_1_1)
    for value in (*values.FROM_CLIENT.values(), *values.FROM_DAEMON.values())  # type: ignore[attr-defined]
}
HELLO, WELCOME = values_1_0.FROM_CLIENT["hello"], values_1_0.FROM_DAEMON["welcome"]

any_message = st.sampled_from(sorted(MESSAGES.values(), key=lambda message: type(message).__name__))


def test_every_message_may_be_said_at_some_time() -> None:
    assert {kind for _, kind in TRANSITIONS} == {*typing.get_args(ClientMessage), *typing.get_args(DaemonMessage)}


def test_nothing_is_said_in_a_session_that_is_closed() -> None:
    assert not [kind for state, kind in TRANSITIONS if state is SessionState.CLOSED]


def test_every_state_is_reached_and_every_session_can_be_closed() -> None:
    for start in (SessionState.NEW, SessionState.OPEN):
        reached = {start}
        while more := {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached:
            reached |= more
        assert SessionState.CLOSED in reached
    assert {SessionState.NEW, *TRANSITIONS.values()} == set(SessionState)


def test_nothing_is_wanted_before_a_welcome() -> None:
    """What a client may say to a daemon that does not know it yet is Hello, and nothing else."""
    allowed = {kind for state, kind in TRANSITIONS if state is SessionState.NEW}
    assert allowed & set(typing.get_args(ClientMessage)) == {type(HELLO)}


@settings(deadline=None, max_examples=300)
@given(st.lists(any_message, max_size=30))
def test_both_sides_always_agree(messages: list[ClientMessage | DaemonMessage]) -> None:
    """One speaks, one hears: the same state after every message, and the same messages refused."""
    speaker, hearer = Session(), Session()
    for message in messages:
        before = speaker.state
        allowed = (before, type(message)) in TRANSITIONS
        for act, refusal in ((speaker.sent, LocalProtocolError), (hearer.received, RemoteProtocolError)):
            if allowed:
                act(message)
            else:
                with pytest.raises(refusal, match=f"{type(message).__name__} may not be said .* {before.value}"):
                    act(message)
        assert speaker.state is hearer.state
        assert allowed or speaker.state is before


def test_what_may_not_be_said_has_a_code() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Session().received(values_1_0.FROM_CLIENT["want"])
    assert caught.value.code == "no-session"


def test_a_second_hello_starts_over() -> None:
    session = Session()
    session.sent(HELLO)
    session.received(WELCOME)
    session.sent(HELLO)
    assert session.state is SessionState.NEW
    session.received(WELCOME)
    assert session.state is SessionState.OPEN


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_versions_with_the_same_major_talk(major: int, minor: int, other: int, other_minor: int) -> None:
    refusal = refuse_version((major, minor), (other, other_minor))
    assert (refusal is None) == (major == other)


def test_the_refusal_names_both_versions_and_who_upgrades() -> None:
    older, newer = refuse_version((0, 9), (1, 2)), refuse_version((3, 4), (1, 2))
    assert older is not None
    assert newer is not None
    assert "0.9" in older
    assert "1.2" in older
    assert "upgrade the client" in older
    assert "upgrade the daemon" in newer
    assert refuse_version(PROTOCOL_VERSION) is None
