"""Playing: every place is due once a turn, in order, whatever the clock does in between."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.playing import MODES, Playback, neighbours

PLAYS = st.builds(
    lambda count, start, fps, mode: Playback("t", count, start % count, 100.0, fps, mode),
    st.integers(1, 12),
    st.integers(0, 11),
    st.floats(0.5, 60.0),
    st.sampled_from(MODES),
)


@given(PLAYS)
def test_a_timer_that_obeys_sees_every_place_in_order(play: Playback) -> None:
    now, seen = play.began, [play.index_at(play.began)]
    for _ in range(40):
        after = play.next_at(now)
        if after is None:
            break
        assert after > now
        now = after
        seen.append(play.index_at(now))
        assert play.ahead(now) == [] or play.count > 1
    if play.mode == "once":
        assert seen == list(range(play.start, play.count))
    elif play.count > 1:
        steps = {abs(b - a) for a, b in pairwise(seen)}
        assert steps <= ({1, play.count - 1} if play.mode == "loop" else {1})
        assert set(seen) == set(range(play.count))


@given(PLAYS, st.floats(0.0, 1000.0))
def test_a_late_timer_skips_and_does_not_lag(play: Playback, late: float) -> None:
    place = play.index_at(play.began + late)
    assert 0 <= place < play.count
    ahead = play.ahead(play.began + late)
    assert place not in ahead
    assert len(set(ahead)) == len(ahead) <= 8
    assert all(0 <= one < play.count for one in ahead)


@given(st.integers(0, 9), st.sampled_from([-3, 0, 1]))
def test_neighbours_are_there_and_in_the_direction_first(index: int, direction: int) -> None:
    found = neighbours(index, 10, direction)
    assert index not in found
    assert all(0 <= place < 10 for place in found)
    if direction and 0 < index < 9:
        assert found[0] == index + (1 if direction > 0 else -1)


@pytest.mark.parametrize(
    ("options", "told"), [({"fps": 0.0}, "frames a second"), ({"mode": "twice"}, "mode is one of"), ({"start": 9}, "9")]
)
def test_what_makes_no_sense_is_refused(options: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Playback(**({"axis": "t", "count": 5, "start": 0, "began": 0.0} | options))
