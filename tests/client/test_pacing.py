"""When frames are drawn, on a clock that only the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_client.pacing import HOLD_S, REFRESH_S, REST_S, BetweenPacer, FramePacer


def test_nothing_changed_nothing_is_drawn() -> None:
    pacer = FramePacer()
    assert pacer.next_frame_at(5.0) is None
    pacer.changed(5.0)
    assert pacer.next_frame_at(5.0) == 5.0
    pacer.frame_drawn(5.0, 5.002, whole=True, more=False)
    assert pacer.next_frame_at(9.0) is None


def test_changes_between_two_refreshes_are_drawn_together() -> None:
    pacer = FramePacer()
    pacer.frame_drawn(1.0, 1.002, whole=True, more=False)
    for now in (1.003, 1.007, 1.012):
        pacer.changed(now)
        assert pacer.next_frame_at(now) == pytest.approx(1.0 + REFRESH_S)


def test_a_slow_frame_leaves_time_for_events() -> None:
    pacer = FramePacer()
    pacer.frame_drawn(1.0, 1.050, whole=False, more=True)
    assert pacer.next_frame_at(1.050) == pytest.approx(1.050 + REST_S)


def test_a_jump_over_a_fast_dataset_waits_for_its_chunks() -> None:
    pacer = FramePacer()
    pacer.camera_moved(1.0, awaited=12, load_ms=0.3)
    assert pacer.held
    assert pacer.next_frame_at(1.0) == pytest.approx(1.0 + HOLD_S)
    pacer.chunks_announced(1.004, awaited=5)
    assert pacer.next_frame_at(1.004) == pytest.approx(1.0 + HOLD_S)
    pacer.chunks_announced(1.006, awaited=0)
    assert not pacer.held
    assert pacer.next_frame_at(1.006) == 1.006


@pytest.mark.parametrize(("awaited", "load_ms"), [(0, 0.3), (5, 31.0), (5, None)])
def test_there_is_no_hold_for_nothing_for_slow_data_or_for_the_unknown(awaited: int, load_ms: float | None) -> None:
    pacer = FramePacer(auto_sync_ms=30.0)
    pacer.camera_moved(1.0, awaited, load_ms)
    assert not pacer.held
    assert pacer.next_frame_at(1.0) == 1.0


def test_a_later_movement_does_not_prolong_a_hold() -> None:
    pacer = FramePacer()
    for step in range(10):
        pacer.camera_moved(1.0 + step * 0.001, awaited=9, load_ms=0.3)
        pacer.validate()
    assert pacer.next_frame_at(1.009) == pytest.approx(1.0 + HOLD_S)


def test_nor_does_it_while_the_screen_is_waited_for() -> None:
    pacer = FramePacer()
    pacer.frame_drawn(1.0, 1.002, whole=True, more=False)
    for now in (1.006, 1.012):
        pacer.camera_moved(now, awaited=9, load_ms=0.3)
    assert pacer.next_frame_at(1.012) == pytest.approx(1.006 + HOLD_S)


def test_a_frame_that_is_overdue_is_held_no_longer_than_from_when_it_was_due() -> None:
    pacer = FramePacer()
    pacer.changed(1.0)
    pacer.camera_moved(1.008, awaited=9, load_ms=0.3)
    pacer.validate()
    assert pacer.next_frame_at(1.008) == pytest.approx(1.0 + HOLD_S)


def test_nor_does_one_after_the_chunks_came() -> None:
    pacer = FramePacer()
    pacer.camera_moved(1.0, awaited=9, load_ms=0.3)
    pacer.chunks_announced(1.004, awaited=0)
    pacer.camera_moved(1.010, awaited=3, load_ms=0.3)
    assert pacer.next_frame_at(1.010) == pytest.approx(1.0 + HOLD_S)


def test_a_hold_that_did_not_pay_is_not_repeated_until_all_is_final() -> None:
    pacer = FramePacer()
    pacer.camera_moved(1.0, awaited=9, load_ms=0.3)
    pacer.frame_drawn(1.0 + HOLD_S, 1.015, whole=False, more=False)
    pacer.camera_moved(1.1, awaited=9, load_ms=0.3)
    assert not pacer.held
    pacer.frame_drawn(1.1, 1.103, whole=True, more=False)
    pacer.camera_moved(1.2, awaited=9, load_ms=0.3)
    assert pacer.held


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["changed", "moved", "announced", "wait"]),
        st.floats(0.0, 0.03),
        st.integers(0, 3),
        st.sampled_from([None, 0.2, 50.0]),
        st.booleans(),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=300)
@given(EVENTS)
def test_no_frame_is_too_early_too_late_or_for_nothing(
    events: list[tuple[str, float, int, float | None, bool]],
) -> None:
    pacer = FramePacer()
    now, changed_at, started, ended = 0.0, None, float("-inf"), float("-inf")

    def earliest() -> float:
        assert changed_at is not None
        return max(changed_at, started + REFRESH_S, ended + REST_S)

    for what, passed, awaited, load_ms, whole in events:
        # Whoever runs it draws when it is due: let the time pass until then, as often as it comes up.
        until = now + passed
        while (due := pacer.next_frame_at(now)) is not None and due <= until:
            assert due >= now
            assert due <= max(now, earliest() + HOLD_S + 1e-12), "late beyond the budget"
            assert due >= started + REFRESH_S, "faster than the screen"
            started, ended = due, due + 0.004
            now, changed_at = ended, None
            pacer.frame_drawn(started, ended, whole=whole, more=False)
            until = max(until, now)
        now = until
        if what == "changed":
            pacer.changed(now)
        elif what == "moved":
            pacer.camera_moved(now, awaited, load_ms)
        elif what == "announced":
            pacer.chunks_announced(now, awaited)
        if what != "wait" and changed_at is None:
            changed_at = now
        pacer.validate()
        assert (pacer.next_frame_at(now) is None) == (changed_at is None)
        if changed_at is not None:
            due = pacer.next_frame_at(now)
            assert due is not None
            assert due <= max(now, earliest() + HOLD_S + 1e-12), "a frame starves"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["heard", "frame", "due", "call"]), st.floats(0.0, 0.05), st.floats(0.0005, 0.05), st.booleans()
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=200)
@given(STEPS)
def test_uploads_between_frames_keep_out_of_the_way_of_frames(steps: list[tuple[str, float, float, bool]]) -> None:
    pacer = BetweenPacer()
    now, frame_at = 100.0, None
    drawn_at, since_frame, last = float("-inf"), 0, float("-inf")
    for what, pause, cost, more in steps:
        now += pause
        if what == "heard":
            pacer.heard(now)
            assert pacer.next_at() is not None
        elif what == "due":
            frame_at = now
        elif what == "frame":
            began, now = now, now + cost
            pacer.drawn(began, now, more)
            drawn_at, since_frame, frame_at = began, 0, None
            assert (pacer.next_at() is not None) == more
        elif pacer.goes_first(now, frame_at):
            assert now >= last + REST_S, "the GUI thread had no rest"
            if frame_at is not None and now >= frame_at:
                assert since_frame == 0, "a frame waited twice"
                assert now - drawn_at > REFRESH_S, "a fast frame waited"
            began, now = now, now + cost
            pacer.paged(began, now, more)
            since_frame += 1
            last = now
            assert more or pacer.next_at() is None
