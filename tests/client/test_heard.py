"""What a daemon says is remembered whenever it comes: before, while and after it is wanted."""

from __future__ import annotations

from tests.client.pyramids import plain_dataset

from octree_client.slices import KeyTemplate
from octree_client.transport.heard import Heard
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Announce, Failure, LoadTime, Ready

DATASET = plain_dataset(1024, ndim=3)


def key(z: int, row: int, col: int) -> ChunkKey:
    return ChunkKey(DATASET.id, 0, (z, row, col))


def ready(one: ChunkKey, slot: int = 0) -> Ready:
    return Ready(one, slot, 1, "<u2", (1, 256, 256))


def test_what_comes_while_nobody_wants_it_counts_later() -> None:
    heard = Heard(KeyTemplate(DATASET, (0,)))
    first, second, third = key(3, 0, 0), key(3, 0, 1), key(3, 0, 2)
    said = Announce(ready=(ready(first),), missing=(second,), failed=(Failure(third, "broken"),))
    assert not heard.take(said, DATASET.id, ())
    assert (list(heard.ready), heard.missing, heard.failed) == ([first], {}, {})
    heard.show(KeyTemplate(DATASET, (3,)))
    heard.recall(third)
    assert heard.missing == {(0, 0, 1): None}
    assert heard.failed == {(0, 0, 2): "broken"}
    assert heard.retry() == 1
    heard.recall(third)
    assert heard.failed == {}


def test_others_are_none_of_its_business() -> None:
    heard = Heard(KeyTemplate(DATASET, (0,)))
    foreign = ChunkKey(DATASET.id + 1, 0, (0, 0, 0))
    said = Announce(
        ready=(ready(foreign),), missing=(foreign,), failed=(Failure(foreign, "broken"),),
        load_times=(LoadTime(DATASET.id + 1, 9.0),),
    )  # fmt: skip
    assert not heard.take(said, DATASET.id, {foreign})
    assert (heard.load_ms, len(heard.ready), heard.missing, heard.failed) == (None, 0, {}, {})
    assert heard.take(Announce(ready=(ready(key(0, 1, 1)),)), DATASET.id, {key(0, 1, 1)})
    heard.forget_slots()
    assert not heard.ready
