"""Ready is who has everything; who is not says for want of what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octree_loader.monitoring.readiness import PARTS, DatasetState, judge, next_try

_STATES = st.sampled_from(["closed", "opening", "open", "unreadable"])
_DATASETS = st.lists(
    st.builds(DatasetState, st.text(min_size=1, max_size=8), _STATES, st.text(max_size=500)), max_size=40
)


def test_a_daemon_with_everything_is_ready() -> None:
    found = judge(PARTS, [DatasetState("a", "open"), DatasetState("b", "open")])
    assert found.ready
    assert found.settled
    assert found.sentence() == "2 of 2 datasets open"
    assert judge(PARTS, []).ready


def test_what_is_not_up_is_named() -> None:
    begun = judge(["arena"], None)
    assert not begun.ready
    assert begun.reasons == ("the sockets are not up yet",)
    assert not judge(PARTS, None).ready

    states = [
        DatasetState("good", "open"),
        DatasetState("slow", "opening"),
        DatasetState("bad", "unreadable", "dataset 'bad': /data/bad.zarr\ndoes not exist"),
    ]
    found = judge(PARTS, states)
    assert not found.ready
    assert not found.settled
    assert found.unreadable == ("bad",)
    assert found.reasons == (
        "dataset 'slow' is being opened",
        "dataset 'bad' does not open: /data/bad.zarr does not exist",
    )
    # What failed will not come by itself: whoever waits for the start need not wait for it.
    assert judge(PARTS, [states[0], states[2]]).settled


@given(st.sets(st.sampled_from(PARTS)), st.none() | _DATASETS)
def test_ready_is_the_same_as_having_no_reason_not_to_be(parts: set[str], datasets: list[DatasetState] | None) -> None:
    found = judge(parts, datasets)
    assert found.ready == (not found.reasons)
    assert found.ready == (parts == set(PARTS) and datasets is not None and all(d.state == "open" for d in datasets))
    assert found.settled or not found.ready
    assert len(found.reasons) <= 21
    assert all(len(reason) <= 400 and "\n" not in reason for reason in found.reasons)
    assert len(found.unreadable) <= found.datasets - found.datasets_open


@given(st.integers(0, 10**6))
def test_tries_become_seldom_but_never_end(tries: int) -> None:
    assert 5.0 <= next_try(tries) <= next_try(tries + 1) <= 60.0
