"""What clients have not been told yet: nothing is lost or said twice, and nothing waits for longer than it may."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octree_loader.untold import Untold
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Announce, LoadTime

_PAUSE_MOST = 0.008


def _missing(number: int) -> Announce:
    return Announce(missing=(ChunkKey(0, 0, (number,)),))


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.booleans(), st.floats(0.0, 0.01)), max_size=40),
    st.integers(1, 30),
)
def test_everything_is_told_once_in_order_and_in_time(steps: list[tuple[bytes, bool, float]], clients: int) -> None:
    untold, now = Untold(), 100.0
    said: dict[bytes, list[int]] = {}
    told: dict[bytes, list[int]] = {}
    last = now
    for number, (client, busy, later) in enumerate(steps):
        now += later
        untold.add(client, _missing(number))
        said.setdefault(client, []).append(number)
        due = untold.due(clients)
        taken = untold.take(now, clients, busy)
        assert bool(taken) == (not busy or now >= due)
        if taken:
            last = now
            assert not untold
        else:
            assert last <= due <= last + _PAUSE_MOST
        for identity, announce in taken.items():
            told.setdefault(identity, []).extend(key.index[0] for key in announce.missing)
    for identity, announce in untold.take(now, clients, busy=False).items():
        told.setdefault(identity, []).extend(key.index[0] for key in announce.missing)
    assert told == said


def test_one_client_alone_never_waits() -> None:
    untold = Untold()
    for _ in range(2):
        untold.add(b"a", _missing(1))
        assert untold.take(5.0, 1, busy=True)


def test_nothing_is_due_when_there_is_nothing() -> None:
    assert Untold().due(3) == float("inf")
    assert Untold().take(1.0, 3, busy=False) == {}


def test_who_is_gone_is_told_nothing() -> None:
    untold = Untold()
    untold.add(b"a", _missing(1))
    untold.add(b"b", _missing(2))
    untold.forget(b"a")
    untold.forget(b"never there")
    assert set(untold.take(0.0, 2, busy=False)) == {b"b"}


def test_of_how_long_loads_take_the_latest_is_said() -> None:
    untold = Untold()
    for milliseconds in (1.0, 2.0):
        untold.add(b"a", Announce(load_times=(LoadTime(0, milliseconds),)))
    untold.add(b"a", _missing(1))
    (announce,) = untold.take(0.0, 2, busy=False).values()
    assert announce.load_times == (LoadTime(0, 2.0),)
    assert announce.missing
