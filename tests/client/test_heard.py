"""What a daemon says is remembered whenever it comes: before, while and after it is wanted."""

from __future__ import annotations

from tests.client.pyramids import plain_dataset

from octree_client.slices import KeyTemplate
from octree_client.transport.heard import Heard, News
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Announce, Failure, LoadTime, Ready, Wanted

DATASET = plain_dataset(1024, ndim=3)


def key(z: int, row: int, col: int) -> ChunkKey:
    return ChunkKey(DATASET.id, 0, (z, row, col))


def ready(one: ChunkKey, slot: int = 0) -> Ready:
    return Ready(one, slot, 1, "<u2", (1, 256, 256))


def test_what_comes_while_nobody_wants_it_counts_later() -> None:
    heard = Heard(KeyTemplate(DATASET, (0,)))
    first, second, third = key(3, 0, 0), key(3, 0, 1), key(3, 0, 2)
    said = Announce(ready=(ready(first),), missing=(second,), failed=(Failure(third, "broken"),))
    assert heard.take(said, DATASET.id, {}) == News()
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
    assert heard.take(said, DATASET.id, {foreign: Wanted(foreign)}) == News()
    assert (heard.load_ms, len(heard.ready), heard.missing, heard.failed) == (None, 0, {}, {})
    for tier, news in ((Tier.VISIBLE, News(picture=True)), (Tier.PREFETCH, News(ahead=True))):
        wanted = {key(0, 1, 1): Wanted(key(0, 1, 1), 0, tier)}
        assert heard.take(Announce(ready=(ready(key(0, 1, 1)),)), DATASET.id, wanted) == news
    heard.forget_slots()
    assert not heard.ready
