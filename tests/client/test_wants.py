"""What is said to the daemon for each view: the last that was wanted, once, and not too much at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from octree_client.transport.wants import AGAIN_SECONDS, WANTED_AT_ONCE, WANTED_SECONDS, Wants
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Wanted


def _entries(count: int, first: int = 0) -> list[Wanted]:
    return [Wanted(ChunkKey(0, 0, (first + number,))) for number in range(count)]


def _say(wants: Wants, now: float, sent: bool = True) -> dict[int, Sequence[Wanted]]:
    taken = wants.take(now)
    for view, entries in taken.items():
        wants.begin(view)
        wants.end(view, entries, sent)
    return taken


class _Conversation(RuleBasedStateMachine):
    """A daemon that knows what it was told last, beside views that know what they want."""

    def __init__(self) -> None:
        super().__init__()
        self.wants = Wants()
        self.now = 0.0
        self.wanted: dict[int, list[Wanted]] = {}
        self.heard: dict[int, Sequence[Wanted]] = {}
        self.sequences: dict[int, int] = {}
        self.views = 0
        self.free_at = 0.0

    @rule()
    def open(self) -> None:
        self.views += 1
        self.wants.open(self.views)
        self.wanted[self.views] = []

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), count=st.sampled_from([0, 1, 2, 150, 900]))
    def want(self, data: st.DataObject, count: int) -> None:
        view = data.draw(st.sampled_from(sorted(self.wanted)))
        self.wanted[view] = _entries(count, view)
        self.wants.want(view, self.wanted[view])

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        view = data.draw(st.sampled_from(sorted(self.wanted)))
        del self.wanted[view]
        self.wants.close(view)

    @rule()
    def refuse(self) -> None:
        """The daemon has not taken what it was told last."""
        self.heard = {}
        self.wants.refused(self.now)

    @rule(later=st.floats(0.0, 2.0), sent=st.booleans())
    def speak(self, later: float, sent: bool) -> None:
        self.now += later
        taken = self.wants.take(self.now)
        assert not taken or self.now >= self.free_at
        for view, entries in taken.items():
            sequence = self.wants.begin(view)
            assert sequence > self.sequences.get(view, 0)
            self.sequences[view] = sequence
            self.wants.end(view, entries, sent)
            if sent:
                self.heard[view] = entries
        if taken:
            chunks = sum(map(len, taken.values()))
            self.free_at = self.now + max(0, chunks - WANTED_AT_ONCE) * WANTED_SECONDS

    @invariant()
    def what_is_held_back_is_due(self) -> None:
        assert self.wants.next_due(self.now) > self.now

    @invariant()
    def in_the_end_the_daemon_knows_what_is_wanted(self) -> None:
        """Tried on a copy: two more rounds, far enough apart."""
        rest = Wants()
        for name in Wants.__slots__:
            value = getattr(self.wants, name)
            setattr(rest, name, value.copy() if isinstance(value, (dict, set)) else value)
        heard = dict(self.heard)
        for seconds in (AGAIN_SECONDS, 2 * AGAIN_SECONDS):
            heard |= _say(rest, self.now + seconds)
        assert {view: list(entries) for view, entries in heard.items() if entries} == {
            view: entries for view, entries in self.wanted.items() if entries
        }
        assert not rest.take(self.now + 10.0)
        assert len(rest) <= len(self.wanted)  # of closed views nothing is remembered


_Conversation.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestConversation = _Conversation.TestCase


def test_after_a_large_one_the_next_waits_and_the_last_is_said() -> None:
    wants = Wants()
    wants.open(1)
    wants.want(1, _entries(8100))
    assert len(_say(wants, 5.0)[1]) == 8100
    wants.want(1, _entries(2))
    wants.want(1, _entries(1))
    assert wants.take(5.079) == {}
    assert abs(wants.next_due(5.0) - 5.08) < 1e-9
    assert _say(wants, 5.081) == {1: _entries(1)}
    assert wants.next_due(5.081) == math.inf


def test_what_was_refused_is_said_again_by_views_that_are_there() -> None:
    wants = Wants()
    for view in (1, 2, 3):
        wants.open(view)
        wants.want(view, _entries(view))
    _say(wants, 0.0)
    wants.refused(1.0)
    wants.want(2, _entries(5))
    wants.close(3)
    assert _say(wants, 1.5) == {2: _entries(5), 3: ()}
    assert wants.next_due(1.5) == 1.0 + AGAIN_SECONDS
    assert _say(wants, 1.0 + AGAIN_SECONDS) == {1: _entries(1), 2: _entries(5)}
    assert _say(wants, 60.0) == {}


def test_what_could_not_be_sent_goes_next_unless_there_is_a_newer_one() -> None:
    wants = Wants()
    for view in (1, 2):
        wants.open(view)
        wants.want(view, _entries(1))
    taken = wants.take(0.0)
    wants.want(2, _entries(2))
    for view, entries in taken.items():
        wants.begin(view)
        wants.end(view, entries, sent=False)
    assert _say(wants, 0.1) == {1: _entries(1), 2: _entries(2)}
