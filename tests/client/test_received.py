"""Chunks over the wire: the cache of this process, and what is asked for with it."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.transport.asking import Asking
from octree_client.transport.received import ReceivedChunks
from octree_protocol.errors import RemoteProtocolError
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Ready, Wanted

VOXELS = np.arange(24, dtype="<u2").reshape(4, 6)
DATA = memoryview(VOXELS.tobytes())


def key(number: int) -> ChunkKey:
    return ChunkKey(0, 0, (number,))


def ready(number: int, generation: int = 1) -> Ready:
    return Ready(key(number), 4096, generation, "<u2", (4, 6))


def never(_: ChunkKey) -> bool:
    return False


@pytest.mark.parametrize("encoding", ["", "lz4", "zstd"])
def test_a_chunk_comes_whole_however_it_is_encoded(encoding: str) -> None:
    encoders = {"": bytes, "lz4": imagecodecs.lz4_encode, "zstd": imagecodecs.zstd_encode}
    cache = ReceivedChunks(1 << 20, never)
    cache.add(ready(1), encoding, memoryview(encoders[encoding](bytes(DATA))))
    np.testing.assert_array_equal(cache.array(ready(1)), VOXELS)
    assert not cache.array(ready(1)).flags.writeable
    assert cache.is_current(ready(1))
    assert not cache.is_current(ready(1, generation=2))
    assert not cache.is_current(ready(2))


def test_a_chunk_may_come_in_parts_and_be_begun_anew() -> None:
    cache = ReceivedChunks(1 << 20, never)
    cache.add_part(key(7), 0, DATA[:30])
    cache.add_part(key(1), 0, DATA[:10])
    cache.add_part(key(1), 10, DATA[10:30])
    cache.add(ready(1), "", DATA[30:])
    np.testing.assert_array_equal(cache.array(ready(1)), VOXELS)


@pytest.mark.parametrize(
    ("announced", "encoding", "data"),
    [
        (ready(1), "", DATA[1:]),
        (ready(1), "lz4", DATA),
        (ready(1), "zstd", DATA),
        (ready(1), "rot13", DATA),
        (ready(1), "zstd", memoryview(imagecodecs.zstd_encode(bytes(10_000_000)))),
        (Ready(key(1), 0, 1, "O", (6,)), "", DATA),
        (Ready(key(1), 0, 1, "nonsense", (6,)), "", DATA),
        (Ready(key(1), 0, 1, "<u2", (-4, -6)), "", DATA),
        (Ready(key(1), 0, 1, "<f8", (1 << 40,)), "", DATA),
    ],
)
def test_bytes_that_are_not_what_was_announced_are_not_taken(announced: Ready, encoding: str, data: memoryview) -> None:
    cache = ReceivedChunks(1 << 20, never)
    with pytest.raises(RemoteProtocolError):
        cache.add(announced, encoding, data)
    assert not cache.held()
    assert cache.used() == 0


def test_a_part_that_follows_nothing_is_not_taken() -> None:
    cache = ReceivedChunks(1 << 20, never)
    with pytest.raises(RemoteProtocolError):
        cache.add_part(key(1), 10, DATA)
    cache.add_part(key(1), 0, DATA[:10])
    with pytest.raises(RemoteProtocolError):
        cache.add_part(key(1), 11, DATA)


def test_what_nobody_wants_goes_first_the_longest_unused_of_it() -> None:
    wanted = {key(0)}
    cache = ReceivedChunks(3 * VOXELS.nbytes, wanted.__contains__)
    for number in (0, 1, 2):
        cache.add(ready(number), "", DATA)
    assert [r.key for r in cache.announcements([key(1), key(9)])] == [key(1)]
    cache.add(ready(3), "", DATA)
    assert set(cache.held()) == {key(0), key(1), key(3)}
    cache.add(ready(1, generation=5), "", DATA)  # the same chunk anew
    assert cache.used() == 3 * VOXELS.nbytes
    kept = cache.array(ready(0))
    cache.close()
    assert cache.used() == 0
    np.testing.assert_array_equal(kept, VOXELS)


def entries(*numbers: int) -> list[Wanted]:
    return [Wanted(key(n), priority=n) for n in numbers]


def test_what_is_in_the_cache_is_not_asked_for_and_told_of_once() -> None:
    asking = Asking(1000, lambda _: 10)
    held = {key(1), key(2)}
    assert asking.want(1, entries(1, 2, 3), held) == ((Wanted(key(3), priority=3),), (key(1), key(2)))
    held.add(key(3))
    asking.arrived(key(3))
    assert asking.want(1, entries(2, 3, 4), held) == ((Wanted(key(4), priority=4),), ())
    # What was left out and comes back is told of again, and to another view anyway.
    assert asking.want(1, entries(1, 2), held).local == (key(1),)
    assert asking.want(2, entries(2), held).local == (key(2),)
    asking.start_over()
    assert asking.want(1, entries(1, 2), held).local == (key(1), key(2))


def test_the_least_important_waits_until_there_is_room() -> None:
    asking = Asking(30, lambda _: 10)
    prefetched = Wanted(key(0), tier=Tier.PREFETCH)
    coarse = Wanted(key(9), relative_level=2, priority=9)
    asked = asking.want(1, [prefetched, *entries(1, 2, 3), coarse], set())
    assert [entry.key for entry in asked.remote] == [key(9), key(1), key(2)]
    (again,) = asking.short()
    assert again[0] == 1
    assert asking.want(2, entries(5), set()).remote == ()
    asking.want(1, entries(3), set())
    assert {number for number, _ in asking.short()} == {2}
    assert len(asking.want(2, entries(5), set()).remote) == 1
    assert asking.short() == []


def test_one_chunk_goes_however_small_the_budget() -> None:
    asking = Asking(5, lambda _: 10)
    assert len(asking.want(1, entries(1, 2), set()).remote) == 1


@given(st.lists(st.tuples(st.integers(1, 3), st.sets(st.integers(0, 12))), max_size=30))
def test_what_all_views_hold_and_ask_for_stays_within_the_budget(wants: list[tuple[int, set[int]]]) -> None:
    asking, held = Asking(50, lambda _: 10), set[ChunkKey]()
    latest: dict[int, set[ChunkKey]] = {}
    for view, numbers in wants:
        asked = asking.want(view, entries(*numbers), held)
        latest[view] = {key(n) for n in numbers}
        assert {entry.key for entry in asked.remote} <= latest[view] - held
        assert len(asked.remote) * 10 <= 50
        for entry in asked.remote:
            held.add(entry.key)
            asking.arrived(entry.key)
        # As the cache does: what nobody wants goes.
        held = {chunk for chunk in held if asking.pinned(chunk)}
        assert held <= set().union(*latest.values())
        assert len(held) * 10 <= 50
