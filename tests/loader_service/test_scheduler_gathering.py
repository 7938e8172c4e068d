"""Chunks of a distant shard: those that wait come with one load, and one that is bad harms no other."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from tests.loader_service.ends import failed
from tests.loader_service.test_scheduler import CHUNK_BYTES, POOLS, TILE, Bench, wants

from octree_loader.planning import GATHERED_EDGE, plan_dataset
from octree_loader.scheduling.arena import Arena
from octree_loader.scheduling.gathering import GATHERED_MOST
from octree_loader.scheduling.scheduler import Scheduler
from octree_loader.sources.base import StoredLevel
from octree_protocol.geometry import Axis
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Failure, Ready


class Sharded:
    """32 x 32 chunks in shards of 16 x 16 at level 0; shards of one chunk at level 1."""

    axes = (Axis("y"), Axis("x"))
    dtype = np.dtype("<f8")
    rgb = False
    fill_value = 0.0
    levels: ClassVar = (
        StoredLevel((1024, 1024), (TILE, TILE), (1.0, 1.0), (0.0, 0.0), (512, 512), gathers=True),
        StoredLevel((512, 512), (TILE, TILE), (2.0, 2.0), (0.5, 0.5), (TILE, TILE), gathers=True),
    )


@pytest.fixture
def bench() -> Bench:
    slab = 16 * (CHUNK_BYTES + 64)
    scheduler = Scheduler(Arena(4096 + 16 * slab, slab_bytes=slab), POOLS, 2)
    scheduler.add_dataset(plan_dataset(0, "test", Sharded(), TILE), 8)
    return Bench(scheduler)


def window(rows: range, columns: range, level: int = 0) -> list[ChunkKey]:
    return [ChunkKey(0, level, (row, column)) for row in rows for column in columns]


def start(bench: Bench, keys: list[ChunkKey]) -> None:
    bench.want("a", wants(*keys))
    bench.now += 1.0
    bench.decide()


def test_shards_are_cut_into_blocks_of_which_a_window_touches_few() -> None:
    plan = plan_dataset(0, "test", Sharded(), TILE)
    assert plan.block_shape == ((16, 16), (1, 1))
    assert GATHERED_EDGE == 16


def test_what_waits_in_one_shard_comes_with_one_load_and_nothing_else_does(bench: Bench) -> None:
    keys = window(range(2, 6), range(3, 8))
    start(bench, keys)
    (load,) = bench.begun
    assert set(bench.keys_of(load)) == set(keys)
    bench.finish_all()
    assert bench.told_ready("a") == set(keys)
    bench.scheduler.validate()


def test_two_shards_are_two_loads(bench: Bench) -> None:
    keys = window(range(2), range(14, 18))
    start(bench, keys)
    assert [set(bench.keys_of(load)) for load in bench.begun] == [
        {key for key in keys if key.index[1] < 16},
        {key for key in keys if key.index[1] >= 16},
    ]


def test_a_load_has_no_more_than_its_share_and_takes_the_nearest(bench: Bench) -> None:
    keys = window(range(16), range(16))
    start(bench, [ChunkKey(0, 0, (8, 8)), *keys])
    first = [key.index for key in bench.keys_of(bench.begun[0])]
    assert first[0] == (8, 8)
    assert len(first) == GATHERED_MOST
    assert max((y - 8) ** 2 + (x - 8) ** 2 for y, x in first) <= 25


def test_a_bad_chunk_fails_alone(bench: Bench) -> None:
    keys = window(range(2), range(2))
    start(bench, keys)
    (load,) = bench.begun
    bench.under_way.pop(load.task)
    bench.scheduler.ended(failed(load.task, "one of them is corrupt", False), bench.now)
    bench.now += 1.0
    bench.decide()
    bench.scheduler.validate()
    while bench.under_way:
        task, single = next(iter(bench.under_way.items()))
        (key,) = bench.keys_of(single)
        if key == keys[1]:
            bench.under_way.pop(task)
            bench.scheduler.ended(failed(task, "corrupt", False), bench.now)
            bench.decide()
        else:
            bench.finish(task)
    assert bench.told_ready("a") == {*keys} - {keys[1]}
    assert isinstance(bench.told["a"][keys[1]], Failure)
    bench.scheduler.validate()


def test_a_busy_server_is_asked_again_for_all_together_and_at_last_for_each(bench: Bench) -> None:
    keys = window(range(2), range(2))
    start(bench, keys)
    together = 0
    for _ in range(40):
        if not bench.under_way:
            break
        for task, load in list(bench.under_way.items()):
            together += len(load.slots) == len(keys)
            bench.under_way.pop(task)
            bench.scheduler.ended(failed(task, "503", True), bench.now)
        bench.now += 5.0
        bench.decide()
        bench.scheduler.validate()
    assert together == 3
    assert not bench.under_way, "never for ever"
    assert all(isinstance(bench.told["a"][key], Failure) for key in keys)


def test_shards_of_one_chunk_are_read_by_themselves(bench: Bench) -> None:
    start(bench, window(range(2), range(2), level=1))
    assert all(len(load.slots) == 1 for load in bench.begun)
    bench.finish_all()
    assert all(isinstance(told, Ready) for told in bench.told["a"].values())
