"""What is known of datasets, and what a new daemon is asked before anything is wanted of it."""

from __future__ import annotations

import itertools

from msgspec.structs import replace

from octree_client.transport.known import KnownDatasets
from octree_protocol.geometry import Axis, Dataset, Level
from octree_protocol.messages import Describe, Described

IMAGE = Dataset(3, "a", (Axis("y"), Axis("x")), "<u2", (Level((9, 9), (9, 9), (1.0, 1.0), (0.0, 0.0)),))


def test_a_new_daemon_is_asked_for_all_that_is_known() -> None:
    known = KnownDatasets()
    assert known.ask_again(itertools.count(1)) == []
    assert known.complete
    known.learn(IMAGE, "a")
    known.learn(replace(IMAGE, id=4, name="b"), "b")
    assert known.ask_again(itertools.count(7)) == [Describe("a", 7), Describe("b", 8)]
    assert not known.complete
    renumbered = replace(IMAGE, id=9)
    assert known.described(Described(renumbered, 7))
    assert not known.complete
    assert known.refused(8) == "b"
    assert known.complete
    assert known.all() == {"a": renumbered}
    assert known.numbered(9) is renumbered
    assert known.numbered(3) is None


def test_answers_to_others_are_left_to_them() -> None:
    known = KnownDatasets()
    known.learn(IMAGE, "a")
    known.ask_again(itertools.count(7))
    assert not known.described(Described(replace(IMAGE, id=5), 1))
    assert known.refused(1) is None
    assert known.all() == {"a": IMAGE}


def test_a_daemon_that_comes_while_another_is_asked_is_asked_for_all() -> None:
    known = KnownDatasets()
    known.learn(IMAGE, "a")
    known.ask_again(itertools.count(1))
    (again,) = known.ask_again(itertools.count(2))
    assert not known.described(Described(IMAGE, 1))
    assert known.described(Described(IMAGE, again.about))
    assert known.complete
