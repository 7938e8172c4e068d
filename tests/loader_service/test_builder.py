"""What is made in the background: bottom-up, a few at a time, nothing twice; and that it gives way."""

from __future__ import annotations

import numpy as np
from tests.loader_service.ends import loaded, unfinished

from octree_loader.builder import Builder
from octree_loader.planning import DatasetPlan, plan_dataset
from octree_loader.pyramid import Making
from octree_loader.scheduling.actions import BACKGROUND, PoolSpec
from octree_loader.scheduling.arena import Arena
from octree_loader.scheduling.scheduler import Scheduler
from octree_loader.sources.base import SourceDescription, StoredLevel
from octree_protocol.geometry import Axis
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Announce, Failure, Wanted


def _plan() -> DatasetPlan:
    levels = tuple(StoredLevel((512 >> n, 512 >> n), (64, 64), (2.0**n,) * 2, (2.0**n / 2,) * 2) for n in range(4))
    described = SourceDescription((Axis("y"), Axis("x")), np.dtype("u2"), levels)
    plan = plan_dataset(0, "a", described, 64)
    return DatasetPlan(plan.dataset, plan.levels, Making(1, False, 1, "/cache"))


def test_all_levels_are_made_from_the_finest_up() -> None:
    plan, made = _plan(), []
    assert plan.making is not None
    builder = Builder(3)
    builder.add(plan.dataset, plan.making, lambda level, index: (level, index) in made)
    assert builder.progress(0) == (0, 16 + 4 + 1)
    while builder.busy:
        wanted = builder.wants()
        assert 0 < len(wanted) <= 3
        assert {one.tier for one in wanted} == {Tier.RECENT}
        made.append((wanted[0].key.level, wanted[0].key.index))
        builder.heard(Announce(missing=(wanted[0].key,)))
    assert [level for level, _ in made] == [1] * 16 + [2] * 4 + [3]
    assert builder.progress(0) == (21, 21)
    assert [(told.done, told.total) for told in builder.news()] == [(21, 21)]
    assert builder.news() == ()


def test_what_is_there_is_not_made_again() -> None:
    plan = _plan()
    assert plan.making is not None
    builder = Builder(2)
    builder.add(plan.dataset, plan.making, lambda *_: True)
    assert builder.wants() == []
    assert not builder.busy
    assert builder.progress(0) == (21, 21)


def test_where_nothing_can_be_kept_it_gives_up() -> None:
    plan = _plan()
    assert plan.making is not None
    builder = Builder(2)
    builder.add(plan.dataset, plan.making, lambda *_: False)
    rounds = 0
    while builder.busy:
        rounds += 1
        for one in builder.wants()[:1]:
            builder.heard(Announce(failed=(Failure(one.key, "no"),)))
    assert rounds <= 22
    assert builder.progress(0) == (0, 21)


def _scheduler() -> Scheduler:
    scheduler = Scheduler(Arena(16 << 20), [PoolSpec(0, 2, 0.0, 0.0), PoolSpec(2, 2, 0.0, 0.0)], cores=2)
    scheduler.add_dataset(_plan(), 2)
    for pool, _ in enumerate(scheduler.pools):
        scheduler.want("warm", pool, 1, [Wanted(ChunkKey(0, 0, (7, 7 - pool)), 2 * pool)], 0.0)
        for start in scheduler.decide(0.0).start:
            scheduler.worker_started(start.pool, start.worker)
        for load in scheduler.decide(0.0).loads:
            scheduler.ended(loaded(load.task, wall=0.001), 0.0)
        scheduler.want("warm", pool, 2, [], 0.0)
    scheduler.decide(0.0)
    return scheduler


def _background(scheduler: Scheduler, count: int) -> list[ChunkKey]:
    keys = [ChunkKey(0, 1, (row, 0)) for row in range(count)]
    scheduler.want(BACKGROUND, 0, 1, [Wanted(key, 0, Tier.RECENT) for key in keys], 1.0)
    return keys


def test_nothing_is_begun_in_the_background_while_a_client_waits_for_any_pool() -> None:
    scheduler = _scheduler()
    _background(scheduler, 2)
    many = [Wanted(ChunkKey(0, 0, (row, column)), 2) for row in range(8) for column in range(8)]
    scheduler.want("viewer", 0, 1, many, 1.0)
    begun = scheduler.decide(1.0).loads
    assert begun
    assert {load.level for load in begun} == {0}
    scheduler.validate()


def test_what_was_made_in_the_background_leaves_the_arena_as_it_was() -> None:
    scheduler = _scheduler()
    before = scheduler.arena.usage()
    keys = _background(scheduler, 2)
    told: list[ChunkKey] = []
    for _ in range(4):
        actions = scheduler.decide(2.0)
        for start in actions.start:
            scheduler.worker_started(start.pool, start.worker)
        for load in actions.loads:
            scheduler.ended(loaded(load.task), 2.0)
        if BACKGROUND in actions.announce:
            told += actions.announce[BACKGROUND].missing
        scheduler.validate()
    assert sorted(told, key=lambda key: key.index) == keys
    assert scheduler.arena.usage().recent == before.recent
    assert scheduler.arena.usage().held == before.held


def test_what_a_client_wants_too_stays_for_it() -> None:
    scheduler = _scheduler()
    (key,) = _background(scheduler, 1)
    (load,) = scheduler.decide(1.0).loads
    scheduler.want("viewer", 0, 1, [Wanted(key)], 1.5)
    scheduler.ended(loaded(load.task), 2.0)
    assert [ready.key for ready in scheduler.decide(2.0).announce["viewer"].ready] == [key]
    scheduler.validate()


def test_what_is_not_finished_goes_on_after_the_others() -> None:
    scheduler = _scheduler()
    long = ChunkKey(0, 2, (1, 1))
    scheduler.want("viewer", 0, 1, [Wanted(long)], 1.0)
    (load,) = scheduler.decide(1.0).loads
    others = [Wanted(ChunkKey(0, 0, (row, 0)), 0, priority=row) for row in range(3)]
    scheduler.want("viewer", 0, 2, [Wanted(long), *others], 1.1)
    scheduler.ended(unfinished(load.task), 1.2)
    order = []
    for _ in range(10):
        actions = scheduler.decide(1.3)
        scheduler.validate()
        for start in actions.start:
            scheduler.worker_started(start.pool, start.worker)
        for load in actions.loads:
            order.append(load.level)
            scheduler.ended(loaded(load.task, [True] * len(load.slots)), 1.3)
    assert order == [0, 0, 0, 2]


def test_a_stand_in_that_is_made_of_everything_comes_last_until_all_are_made() -> None:
    for built in (False, True):
        scheduler = _scheduler()
        if built:
            scheduler.levels_built(0)
        top = ChunkKey(0, 3, (0, 0))
        ideal = [Wanted(ChunkKey(0, 1, (row, 0)), 0, priority=row) for row in range(8)]
        scheduler.want("viewer", 0, 1, [Wanted(top, 2), *ideal], 1.0)
        begun = [(*load.indices[0], load.level) for load in scheduler.decide(1.0).loads]
        assert begun
        assert ((0, 0, 3) in begun) == built
        scheduler.validate()
