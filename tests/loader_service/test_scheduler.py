"""The scheduler: every event it may see, in any order, with a clock that only the tests turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.loader_service.ends import failed, forgotten, loaded

from octree_loader.planning import plan_dataset
from octree_loader.scheduling.actions import Actions, Load, PoolSpec, StopWorker
from octree_loader.scheduling.arena import Arena
from octree_loader.scheduling.chunk import ChunkState
from octree_loader.scheduling.placement import Offer
from octree_loader.scheduling.scheduler import Scheduler
from octree_loader.sources.base import StoredLevel
from octree_protocol.geometry import Axis
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Failure, Ready, Wanted

TILE = 32
#: Of one chunk: TILE x TILE float64.
CHUNK_BYTES = TILE * TILE * 8


class Described:
    """A pyramid of 16 x 16 chunks at level 0; storage chunks of level 1 hold 2 x 2 of ours."""

    axes = (Axis("y"), Axis("x"))
    dtype = np.dtype("<f8")
    rgb = False
    fill_value = 0.0
    random_access = False
    levels = (
        StoredLevel((512, 512), (32, 32), (1.0, 1.0), (0.0, 0.0)),
        StoredLevel((256, 256), (64, 64), (2.0, 2.0), (0.5, 0.5)),
        StoredLevel((128, 128), (32, 32), (4.0, 4.0), (1.5, 1.5)),
        StoredLevel((64, 64), (32, 32), (8.0, 8.0), (3.5, 3.5)),
    )


POOLS = (PoolSpec(0, 2, 0.1, 30.0), PoolSpec(2, 2, 0.0, 30.0))


def make_scheduler(
    slots: int = 64, pools: Sequence[PoolSpec] = POOLS, cores: int = 2, timeout: float = 60.0
) -> Scheduler:
    """A scheduler with one dataset, and an arena for at least so many chunks."""
    slab = 16 * (CHUNK_BYTES + 64)
    arena = Arena(4096 + -(-slots // 16) * slab, slab_bytes=slab)
    scheduler = Scheduler(arena, pools, cores, timeout)
    scheduler.add_dataset(plan_dataset(0, "test", Described(), TILE), 8)
    return scheduler


def key(level: int, row: int, col: int) -> ChunkKey:
    return ChunkKey(0, level, (row, col))


def wants(*keys: ChunkKey, relative: int = 0, tier: Tier = Tier.VISIBLE) -> tuple[Wanted, ...]:
    """Entries in falling order of importance."""
    return tuple(Wanted(k, relative, tier, n) for n, k in enumerate(keys))


class Bench:
    """Plays the pools: starts workers at once, and keeps what was asked of them until told what became of it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.now = 0.0
        self.sequence = 0
        self.under_way: dict[int, Load] = {}
        self.begun: list[Load] = []
        self.told: dict[object, dict[ChunkKey, object]] = {}
        self.generations: dict[int, int] = {}
        self.threads = 1
        self.stopped: list[StopWorker] = []

    def want(self, client: object, entries: Iterable[Wanted], view: int = 0) -> None:
        self.sequence += 1
        entries = tuple(entries)
        self.scheduler.want(client, view, self.sequence, entries, self.now)
        self.decide()

    def decide(self) -> Actions:
        """Let the scheduler decide until nothing new comes of it; returns the last actions, and all stops."""
        stops: list[StopWorker] = []
        while True:
            actions = self.scheduler.decide(self.now)
            stops += actions.stop
            self.stopped += actions.stop
            for slot, generation in actions.generations:
                assert generation > self.generations.get(slot, 0), "a generation must rise"
                self.generations[slot] = generation
            for start in actions.start:
                self.scheduler.worker_started(start.pool, start.worker, self.threads)
            for load in actions.loads:
                self.under_way[load.task] = load
                self.begun.append(load)
            for client, announce in actions.announce.items():
                told = self.told.setdefault(client, {})
                for ready in announce.ready:
                    assert self.generations[ready.slot] >= ready.generation
                    told[ready.key] = ready
                told.update(dict.fromkeys(announce.missing, "missing"))
                told.update({f.key: f for f in announce.failed})
            if not actions.start:
                actions.stop = stops
                return actions

    def finish(self, task: int, present: bool = True, wall: float = 0.001) -> None:
        load = self.under_way.pop(task)
        self.scheduler.ended(loaded(task, [present] * len(load.slots), wall), self.now)
        self.decide()

    def finish_all(self, wall: float = 0.001) -> None:
        while self.under_way:
            self.finish(next(iter(self.under_way)), wall=wall)

    def keys_of(self, load: Load) -> list[ChunkKey]:
        return [ChunkKey(load.dataset, load.level, index) for index in load.indices]

    def loading(self) -> list[ChunkKey]:
        return [k for load in self.under_way.values() for k in self.keys_of(load)]

    def told_ready(self, client: object) -> set[ChunkKey]:
        return {k for k, v in self.told.get(client, {}).items() if isinstance(v, Ready)}


@pytest.fixture
def bench() -> Bench:
    return Bench(make_scheduler())


# --- delay, pools, priorities ----------------------------------------------------------------------------------------


def test_ideal_chunks_wait_in_the_delay_queue(bench: Bench) -> None:
    bench.want("a", wants(key(0, 0, 0)))
    assert not bench.under_way
    assert bench.scheduler.next_wakeup(0.0) == pytest.approx(0.1)
    bench.now = 0.099
    bench.decide()
    assert not bench.under_way
    bench.now = 0.101
    bench.decide()
    assert bench.loading() == [key(0, 0, 0)]


def test_coverage_has_a_pool_of_its_own_and_no_delay(bench: Bench) -> None:
    bench.want("a", (*wants(key(0, 0, 0)), *wants(key(2, 0, 0), relative=2)))
    (load,) = bench.under_way.values()
    assert (load.pool, bench.keys_of(load)) == (1, [key(2, 0, 0)])


def test_one_level_above_ideal_belongs_to_the_pool_of_the_ideal_ones() -> None:
    bench = Bench(make_scheduler(pools=[PoolSpec(0, 2, 0.0, 30.0), PoolSpec(2, 2, 0.0, 30.0)]))
    for relative, pool in ((-1, 0), (0, 0), (1, 0), (2, 1), (3, 1), (40, 1)):
        bench.want("a", wants(key(0, 1, 1), relative=relative))
        (load,) = bench.under_way.values()
        assert load.pool == pool, relative
        bench.finish_all()
        bench.scheduler.drop_client("a")
        bench = Bench(make_scheduler(pools=[PoolSpec(0, 2, 0.0, 30.0), PoolSpec(2, 2, 0.0, 30.0)]))


def test_fast_datasets_skip_the_delay_queue(bench: Bench) -> None:
    bench.want("a", wants(key(3, 0, 0), relative=3))
    bench.finish_all(wall=0.002)
    bench.want("a", wants(key(0, 5, 5)))
    assert bench.loading() == [key(0, 5, 5)]


def test_slow_datasets_do_not_skip_it(bench: Bench) -> None:
    bench.want("a", wants(key(3, 0, 0), relative=3))
    bench.finish_all(wall=0.031)
    bench.want("a", wants(key(0, 5, 5)))
    assert not bench.under_way


def test_order_is_tier_then_coverage_then_distance() -> None:
    bench = Bench(make_scheduler(pools=[PoolSpec(0, 1, 0.0, 30.0, True)]))
    first, second, third, fourth, fifth = (key(0, 9, n) for n in range(5))
    bench.want(
        "a",
        [
            Wanted(fifth, 3, Tier.PREFETCH, 0),
            Wanted(fourth, 0, Tier.VISIBLE, 40),
            Wanted(second, 1, Tier.VISIBLE, 900),
            Wanted(third, 0, Tier.VISIBLE, 4),
            Wanted(first, 2, Tier.VISIBLE, 5),
        ],
    )
    bench.finish_all()
    assert [bench.keys_of(load)[0] for load in bench.begun] == [first, second, third, fourth, fifth]


def test_what_is_not_in_the_next_want_never_starts(bench: Bench) -> None:
    bench.want("a", wants(*(key(0, 0, n) for n in range(10))))
    bench.now = 0.05
    bench.want("a", wants(key(0, 3, 3)))
    bench.now = 5.0
    bench.decide()
    assert bench.loading() == [key(0, 3, 3)]
    assert bench.scheduler.forgotten_waiting == 10


def test_waiting_time_counts_from_the_first_want(bench: Bench) -> None:
    for moment in (0.0, 0.03, 0.06, 0.09):
        bench.now = moment
        bench.want("a", wants(key(0, 0, 0), key(0, 7, round(moment * 100))))
    bench.now = 0.101
    bench.decide()
    assert bench.loading() == [key(0, 0, 0)]


# --- cancelling and taking up again ----------------------------------------------------------------------------------


def running(bench: Bench, chunk: ChunkKey) -> int:
    """Have a chunk of level 2 loaded for client "a"; returns the task."""
    bench.want("a", wants(chunk, relative=2))
    (task,) = bench.under_way
    return task


def test_a_load_under_way_that_is_forgotten_finishes_into_the_cache(bench: Bench) -> None:
    task = running(bench, key(2, 0, 0))
    bench.want("a", ())
    bench.finish(task)
    assert bench.told_ready("a") == set()
    assert bench.scheduler.arena.usage().recent >= CHUNK_BYTES
    bench.want("a", wants(key(2, 0, 0), relative=2))
    assert bench.told_ready("a") == {key(2, 0, 0)}
    assert len(bench.begun) == 1, "it must not be loaded twice"


def test_a_load_under_way_is_taken_up_again(bench: Bench) -> None:
    task = running(bench, key(2, 0, 0))
    bench.want("a", ())
    bench.want("a", wants(key(2, 0, 0), relative=2))
    bench.finish(task)
    assert bench.told_ready("a") == {key(2, 0, 0)}
    assert len(bench.begun) == 1


def test_two_clients_that_want_the_same_chunk_share_its_load(bench: Bench) -> None:
    task = running(bench, key(2, 0, 0))
    bench.want("b", wants(key(2, 0, 0), relative=2))
    bench.want("a", ())
    bench.finish(task)
    assert bench.told_ready("b") == {key(2, 0, 0)}
    assert bench.told_ready("a") == set()
    assert len(bench.begun) == 1


def test_views_of_one_client_do_not_replace_each_other(bench: Bench) -> None:
    bench.want("a", wants(key(2, 0, 0), relative=2), view=1)
    bench.want("a", wants(key(2, 1, 1), relative=2), view=2)
    bench.finish_all()
    assert bench.told_ready("a") == {key(2, 0, 0), key(2, 1, 1)}
    bench.want("a", (), view=1)
    assert (("a", 1) in bench.scheduler.views, ("a", 2) in bench.scheduler.views) == (False, True)


def test_an_old_want_is_ignored(bench: Bench) -> None:
    bench.scheduler.want("a", 0, 5, wants(key(2, 0, 0), relative=2), 0.0)
    bench.scheduler.want("a", 0, 4, wants(key(2, 1, 1), relative=2), 0.0)
    assert set(bench.scheduler.views["a", 0].wanted) == {key(2, 0, 0)}


# --- the arena -------------------------------------------------------------------------------------------------------


def test_wanted_chunks_stay_and_others_are_evicted() -> None:
    bench = Bench(make_scheduler(slots=16, pools=[PoolSpec(0, 2, 0.0, 30.0)]))
    kept = [key(0, 0, n) for n in range(8)]
    bench.want("a", wants(*kept))
    bench.finish_all()
    for row in range(1, 6):
        bench.want("a", wants(*kept, *(key(0, row, n) for n in range(8))))
        bench.finish_all()
    assert all(bench.scheduler.chunks[k].state is ChunkState.READY for k in kept)
    assert bench.scheduler.arena.usage().evictions == 32
    bench.scheduler.validate()


def test_nothing_starts_without_a_slot_and_goes_on_when_there_is_one() -> None:
    bench = Bench(make_scheduler(slots=16, pools=[PoolSpec(0, 2, 0.0, 30.0)]))
    first, second = [key(0, 0, n) for n in range(16)], [key(0, 1, n) for n in range(8)]
    bench.want("a", wants(*first, *second))
    bench.finish_all()
    assert bench.told_ready("a") == set(first)
    bench.want("a", wants(*second))
    bench.finish_all()
    assert bench.told_ready("a") == {*first, *second}


def test_a_storage_chunk_that_holds_several_chunks_is_read_once(bench: Bench) -> None:
    four = [key(1, 0, 0), key(1, 0, 1), key(1, 1, 0), key(1, 1, 1)]
    bench.want("a", wants(*four, relative=2))
    (load,) = bench.under_way.values()
    assert set(bench.keys_of(load)) == set(four)


def test_what_is_read_along_is_kept_for_later(bench: Bench) -> None:
    bench.want("a", wants(key(1, 0, 0), relative=2))
    bench.finish_all()
    bench.want("a", wants(key(1, 1, 1), relative=2))
    assert bench.told_ready("a") >= {key(1, 1, 1)}
    assert len(bench.begun) == 1


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_dead_workers_chunk_is_tried_once_more_then_failed(bench: Bench) -> None:
    for death in (1, 2):
        if not bench.under_way:
            running(bench, key(2, 0, 0))
        (load,) = bench.under_way.values()
        del bench.under_way[load.task]
        bench.scheduler.worker_died(load.pool, load.worker, "SIGKILL", bench.now)
        bench.decide()
        assert len(bench.under_way) == (1 if death == 1 else 0)
    failure = bench.told["a"][key(2, 0, 0)]
    assert isinstance(failure, Failure)
    assert "SIGKILL" in failure.reason
    bench.scheduler.validate()


def test_a_chunk_that_kills_five_workers_is_quarantined(bench: Bench) -> None:
    deaths = 0
    while deaths < 5:
        bench.want("a", ())
        bench.want("a", wants(key(2, 0, 0), relative=2))
        while bench.under_way:
            _, load = bench.under_way.popitem()
            bench.scheduler.worker_died(load.pool, load.worker, "SIGSEGV", bench.now)
            deaths += 1
            bench.decide()
    begun = len(bench.begun)
    bench.want("a", ())
    bench.want("a", wants(key(2, 0, 0), relative=2))
    assert len(bench.begun) == begun
    failure = bench.told["a"][key(2, 0, 0)]
    assert isinstance(failure, Failure)
    assert "quarantined" in failure.reason


def test_an_error_that_may_pass_is_tried_again_later_but_not_for_ever(bench: Bench) -> None:
    running(bench, key(2, 0, 0))
    for wait in (0.25, 1.0):
        task, _ = bench.under_way.popitem()
        bench.scheduler.ended(failed(task, "timeout", True), bench.now)
        bench.decide()
        assert not bench.under_way
        bench.now += wait + 0.01
        bench.decide()
    task, _ = bench.under_way.popitem()
    bench.scheduler.ended(failed(task, "timeout", True), bench.now)
    bench.decide()
    assert bench.told["a"][key(2, 0, 0)] == Failure(key(2, 0, 0), "timeout")


def test_a_failed_chunk_is_tried_anew_when_it_is_wanted_anew(bench: Bench) -> None:
    task = running(bench, key(2, 0, 0))
    del bench.under_way[task]
    bench.scheduler.ended(failed(task, "truncated", False), bench.now)
    bench.decide()
    bench.want("a", ())
    bench.want("a", wants(key(2, 0, 0), relative=2))
    bench.finish_all()
    assert bench.told_ready("a") == {key(2, 0, 0)}


def test_a_missing_chunk_holds_no_slot_and_is_told_to_whoever_wants_it(bench: Bench) -> None:
    task = running(bench, key(2, 0, 0))
    bench.finish(task, present=False)
    bench.want("b", wants(key(2, 0, 0), relative=2))
    assert bench.told["a"][key(2, 0, 0)] == bench.told["b"][key(2, 0, 0)] == "missing"
    usage = bench.scheduler.arena.usage()
    assert (usage.held, usage.filling, usage.recent) == (0, 0, 0)


@pytest.mark.parametrize(
    "bad", [ChunkKey(7, 0, (0, 0)), key(9, 0, 0), key(0, 16, 0), key(0, -1, 0), ChunkKey(0, 0, (0,))]
)
def test_a_chunk_that_does_not_exist_fails_alone(bench: Bench, bad: ChunkKey) -> None:
    bench.want("a", (*wants(bad), *wants(key(2, 0, 0), relative=2)))
    bench.finish_all()
    assert isinstance(bench.told["a"][bad], Failure)
    assert bench.told_ready("a") == {key(2, 0, 0)}


def test_a_worker_that_hangs_is_stopped_once() -> None:
    bench = Bench(make_scheduler(timeout=2.0))
    task = running(bench, key(2, 0, 0))
    bench.now = 1.9
    assert not bench.decide().stop
    bench.now = 2.1
    (stop,) = bench.decide().stop
    assert stop.worker == bench.under_way[task].worker
    assert not bench.decide().stop


# --- workers and clients ---------------------------------------------------------------------------------------------


def test_workers_start_when_they_are_needed_and_not_beyond_the_cores() -> None:
    bench = Bench(make_scheduler(pools=[PoolSpec(0, 10, 0.0, 30.0)], cores=2))
    assert not bench.scheduler.pools[0].workers
    bench.want("a", wants(*(key(0, 0, n) for n in range(16))))
    bench.finish_all()
    assert len(bench.scheduler.pools[0].workers) == 2


def test_loads_that_wait_get_all_workers_and_several_each() -> None:
    bench = Bench(make_scheduler(slots=256, pools=[PoolSpec(0, 5, 0.0, 0.0)], cores=2))
    bench.want("a", wants(key(3, 0, 0)))
    for task in list(bench.under_way):
        load = bench.under_way.pop(task)
        bench.scheduler.ended(loaded(task, [True] * len(load.slots), 0.05, 0.0002, 0.0498), bench.now)
    bench.want("a", wants(*(key(0, r, n) for r in range(2) for n in range(8))))
    assert len(bench.scheduler.pools[0].workers) == 1, "a second one would only take the processor from the first"
    assert len(bench.under_way) == 16
    bench.want("a", wants(*(key(0, r, n) for r in range(16) for n in range(8))))
    assert len(bench.scheduler.pools[0].workers) == 5
    assert len(bench.under_way) == 80
    assert all(load.concurrent for load in bench.under_way.values())


def test_views_of_a_client_take_turns() -> None:
    bench = Bench(make_scheduler(slots=256, pools=(PoolSpec(0, 2, 0.0, 30.0),)))
    large = [key(0, r, n) for r in range(8) for n in range(16)]
    small = [key(0, 12, n) for n in range(8)]
    bench.want("a", wants(*large), view=0)
    bench.want("a", wants(*small), view=1)
    begun = len(bench.begun)
    while not set(small) <= bench.told_ready("a"):
        bench.finish(next(iter(bench.under_way)))
    since = [k for load in bench.begun[begun:] for k in bench.keys_of(load)]
    assert sum(k in large for k in since) <= 3 * len(small), "the large view has gone on, but not before the small one"
    bench.finish_all()
    assert bench.told_ready("a") == {*large, *small}


def test_what_is_in_sight_comes_before_another_view_s_prefetch() -> None:
    bench = Bench(make_scheduler(pools=(PoolSpec(0, 1, 0.0, 30.0),)))
    bench.want("a", wants(*(key(0, 0, n) for n in range(16)), tier=Tier.PREFETCH), view=0)
    begun = len(bench.begun)
    seen = [key(0, 5, n) for n in range(6)]
    bench.want("a", wants(*seen), view=1)
    bench.finish_all()
    assert [k for load in bench.begun[begun:] for k in bench.keys_of(load)][: len(seen)] == seen


@pytest.mark.parametrize("known", [True, False], ids=["known to be slow", "slow for the first time"])
def test_what_is_fast_is_not_put_behind_what_is_slow(known: bool) -> None:
    bench = Bench(make_scheduler(pools=(PoolSpec(0, 8, 0.0, 30.0),)))
    bench.scheduler.add_dataset(plan_dataset(1, "fast", Described(), TILE), 8)
    if known:
        bench.want("a", wants(key(0, 15, 15)))
        bench.finish_all(wall=0.4)
    bench.want("a", wants(*(key(0, 0, n) for n in range(16))), view=0)
    bench.now += 0.1
    if known:
        assert len(bench.under_way) == 2, "slow loads have as many workers as there are cores, and one each"
    taken = {load.worker for load in bench.under_way.values()}
    quick = [ChunkKey(1, 0, (3, n)) for n in range(4)]
    bench.want("a", wants(*quick), view=1)
    waiting = [load for load in bench.under_way.values() if load.dataset == 1]
    assert waiting, "it does not wait for the slow ones"
    assert not taken & {load.worker for load in waiting}
    while waiting:
        bench.finish(waiting[0].task)
        waiting = [load for load in bench.under_way.values() if load.dataset == 1]
    assert set(quick) <= bench.told_ready("a")
    bench.finish_all(wall=0.4)
    bench.scheduler.validate()


def test_one_worker_that_is_held_up_gets_what_there_is_all_the_same() -> None:
    bench = Bench(make_scheduler(pools=(PoolSpec(0, 1, 0.0, 30.0),)))
    bench.scheduler.add_dataset(plan_dataset(1, "fast", Described(), TILE), 8)
    bench.want("a", wants(key(0, 0, 0)), view=0)
    bench.now += 1.0
    bench.want("a", wants(ChunkKey(1, 0, (0, 0))), view=1)
    bench.finish_all(wall=0.4)
    assert bench.told_ready("a") == {key(0, 0, 0), ChunkKey(1, 0, (0, 0))}


def test_a_greedy_client_does_not_starve_another() -> None:
    bench = Bench(make_scheduler(slots=512, pools=[PoolSpec(0, 1, 0.0, 30.0, True)]))
    bench.want("greedy", wants(*(key(0, r, n) for r in range(12) for n in range(16))))
    for _ in range(20):
        bench.finish(next(iter(bench.under_way)))
    bench.want("modest", wants(*(key(0, 15, n) for n in range(10))))
    before = len(bench.begun)
    for _ in range(20):
        bench.finish(next(iter(bench.under_way)))
    mine = [load for load in bench.begun[before : before + 20] if load.indices[0][0] == 15]
    assert 8 <= len(mine) <= 10


def test_when_a_client_is_gone_what_it_wanted_is_free(bench: Bench) -> None:
    bench.want("a", wants(*(key(2, 0, n) for n in range(4)), relative=2))
    bench.finish_all()
    bench.want("a", (*wants(*(key(2, 0, n) for n in range(4)), relative=2), *wants(key(0, 0, 0))), view=3)
    assert bench.scheduler.arena.usage().held > 0
    bench.scheduler.drop_client("a")
    bench.decide()
    assert bench.scheduler.arena.usage().held == 0
    assert not bench.scheduler.views
    bench.scheduler.validate()


def test_the_same_events_give_the_same_actions() -> None:
    def play() -> list[Load]:
        bench = Bench(make_scheduler())
        for step in range(20):
            bench.now += 0.03
            bench.want("a", wants(*(key(0, step % 16, n) for n in range(8)), key(2, step % 4, 0)))
            if step % 3 == 0:
                bench.finish_all()
        return bench.begun

    assert play() == play()


# --- workers of a cluster --------------------------------------------------------------------------------------------


def clustered(workers: int = 2, threads: int = 1) -> Bench:
    """A bench whose one pool is offered workers of a cluster."""
    bench = Bench(make_scheduler(slots=512, pools=[PoolSpec(0, 8, 0.0, 30.0)]))
    bench.threads = threads
    bench.scheduler.pool_offered(0, Offer(workers, workers * threads))
    return bench


def test_a_cluster_gives_as_many_workers_as_it_has_whatever_our_processors() -> None:
    bench = clustered(workers=5)
    bench.want("a", wants(*(key(0, 1, n) for n in range(16))))
    assert len({load.worker for load in bench.under_way.values()}) == 5
    bench.scheduler.validate()


def test_without_a_cluster_everything_waits_and_nothing_fails() -> None:
    bench = clustered(workers=0)
    bench.want("a", wants(key(0, 1, 1)))
    assert not bench.under_way
    bench.scheduler.pool_offered(0, Offer(1, 1))
    bench.decide()
    assert bench.loading() == [key(0, 1, 1)]


@pytest.mark.parametrize(("wall", "each"), [(0.02, 2), (0.001, 30), (0.00001, 128)])
def test_so_much_lies_ready_at_a_cluster_that_the_way_there_is_no_pause(wall: float, each: int) -> None:
    bench = clustered(workers=1, threads=1)
    bench.want("a", wants(key(0, 0, 0)))
    bench.finish_all(wall=wall)
    bench.want("a", wants(*(key(0, row, n) for row in range(16) for n in range(16))))
    assert len(bench.under_way) == each


def test_each_thread_of_a_worker_has_its_share() -> None:
    bench = clustered(workers=1, threads=4)
    bench.want("a", wants(key(0, 0, 0)))
    bench.finish_all(wall=0.02)
    bench.want("a", wants(*(key(0, row, n) for row in range(4) for n in range(16))))
    assert len(bench.under_way) == 8


def test_what_nobody_wants_any_more_is_taken_back_from_a_cluster() -> None:
    bench = clustered()
    bench.want("a", wants(key(0, 0, 0), key(0, 0, 1)))
    bench.want("b", wants(key(0, 0, 1)))
    assert bench.scheduler.decide(bench.now).forget == []
    bench.sequence += 1
    bench.scheduler.want("a", 0, bench.sequence, (), bench.now)
    (load,) = bench.scheduler.decide(bench.now).forget
    assert bench.keys_of(load) == [key(0, 0, 0)]
    del bench.under_way[load.task]
    bench.scheduler.ended(forgotten(load.task), bench.now)
    assert key(0, 0, 0) not in bench.scheduler.chunks
    bench.scheduler.validate()


def test_who_thinks_better_of_it_waits_anew_for_what_was_taken_back() -> None:
    bench = clustered()
    bench.want("a", wants(key(0, 0, 0)))
    (first,) = bench.under_way
    bench.want("a", ())
    bench.want("a", wants(key(0, 0, 0)))
    del bench.under_way[first]
    bench.scheduler.ended(forgotten(first), bench.now)
    bench.decide()
    assert bench.loading() == [key(0, 0, 0)]
    bench.scheduler.validate()


def test_a_worker_that_left_is_nobodys_fault() -> None:
    bench = clustered(workers=1)
    bench.want("a", wants(key(0, 0, 0), key(0, 0, 1)))
    for _ in range(8):
        (worker,) = {load.worker for load in bench.under_way.values()}
        bench.under_way.clear()
        bench.scheduler.worker_left(0, worker, bench.now)
        bench.decide()
    assert set(bench.loading()) == {key(0, 0, 0), key(0, 0, 1)}
    assert bench.scheduler.pools[0].deaths == 0
    bench.finish_all()
    assert bench.told_ready("a") == {key(0, 0, 0), key(0, 0, 1)}


def test_when_the_cluster_is_back_our_own_workers_end_what_they_have_and_then_end() -> None:
    bench = clustered(workers=0)
    bench.scheduler.pool_offered(0, None)
    bench.want("a", wants(key(0, 0, 0), key(0, 0, 1)))
    mine = set(bench.scheduler.pools[0].workers)
    assert mine
    bench.scheduler.pool_offered(0, Offer(2, 2))
    bench.want("a", wants(*(key(0, 1, n) for n in range(4)), key(0, 0, 0), key(0, 0, 1)))
    while bench.under_way:
        task = next(iter(bench.under_way))
        load = bench.under_way.pop(task)
        assert load.worker in mine or load.indices[0][0] == 1
        bench.scheduler.ended(loaded(task, wall=0.02), bench.now)
        bench.decide()
    assert {stop.worker for stop in bench.stopped} == mine
    assert all(not stop.reason for stop in bench.stopped)
    assert not mine & set(bench.scheduler.pools[0].workers)
    bench.scheduler.validate()


# --- any order of events ---------------------------------------------------------------------------------------------

CHUNKS = [key(0, r, c) for r in range(3) for c in range(4)] + [key(1, r, c) for r in range(4) for c in range(4)]
CHUNKS += [key(2, r, c) for r in range(2) for c in range(2)] + [ChunkKey(0, 0, (99, 0))]


class AnyOrder(RuleBasedStateMachine):
    """Clients, workers and stores behave in any way that they can."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(make_scheduler(slots=16, timeout=1.0))

    @rule(
        client=st.sampled_from("abc"),
        view=st.integers(0, 1),
        chosen=st.lists(st.tuples(st.sampled_from(CHUNKS), st.integers(-1, 3), st.sampled_from(Tier)), max_size=20),
    )
    def want(self, client: str, view: int, chosen: list[tuple[ChunkKey, int, Tier]]) -> None:
        self.bench.want(client, [Wanted(k, relative, tier, n) for n, (k, relative, tier) in enumerate(chosen)], view)

    @rule(client=st.sampled_from("abc"))
    def leave(self, client: str) -> None:
        self.bench.scheduler.drop_client(client)
        self.bench.told.pop(client, None)

    @rule(seconds=st.sampled_from([0.01, 0.11, 0.6]))
    def wait(self, seconds: float) -> None:
        self.bench.now += seconds
        for stop in self.bench.decide().stop:
            self._bury(stop.pool, stop.worker)

    @rule(pick=st.integers(0, 99), present=st.booleans(), wall=st.sampled_from([0.0005, 0.06]))
    def finish(self, pick: int, present: bool, wall: float) -> None:
        if self.bench.under_way:
            self.bench.finish(list(self.bench.under_way)[pick % len(self.bench.under_way)], present, wall)

    @rule(pick=st.integers(0, 99), transient=st.booleans())
    def fail(self, pick: int, transient: bool) -> None:
        if self.bench.under_way:
            task = list(self.bench.under_way)[pick % len(self.bench.under_way)]
            del self.bench.under_way[task]
            self.bench.scheduler.ended(failed(task, "broken", transient), self.bench.now)
            self.bench.decide()

    @rule(pick=st.integers(0, 99))
    def die(self, pick: int) -> None:
        living = [(p.number, w) for p in self.bench.scheduler.pools for w in p.workers]
        if living:
            self._bury(*living[pick % len(living)])
            self.bench.decide()

    @rule(pool=st.integers(0, 1), workers=st.sampled_from([None, 0, 1, 2]))
    def offer(self, pool: int, workers: int | None) -> None:
        offered = None if workers is None else Offer(workers, workers)
        self.bench.scheduler.pool_offered(pool, offered)
        self.bench.decide()

    @rule(pick=st.integers(0, 99))
    def forget(self, pick: int) -> None:
        """Not only what nobody wants: whatever a cluster has lost comes back like this."""
        if self.bench.under_way:
            task = list(self.bench.under_way)[pick % len(self.bench.under_way)]
            del self.bench.under_way[task]
            self.bench.scheduler.ended(forgotten(task), self.bench.now)
            self.bench.decide()

    @rule(pick=st.integers(0, 99), at_once=st.booleans())
    def go(self, pick: int, at_once: bool) -> None:
        """A worker of a cluster is lost, with all that it has or bit by bit."""
        scheduler = self.bench.scheduler
        living = [(p.number, w) for p in scheduler.pools for w in p.workers]
        if not living:
            return
        pool, worker = living[pick % len(living)]
        scheduler.worker_leaves(pool, worker)
        if at_once:
            for load in scheduler.loads_at(pool, worker):
                del self.bench.under_way[load.task]
            scheduler.worker_left(pool, worker, self.bench.now)
        self.bench.decide()

    def _bury(self, pool: int, worker: int) -> None:
        for task, load in list(self.bench.under_way.items()):
            if (load.pool, load.worker) == (pool, worker):
                del self.bench.under_way[task]
        self.bench.scheduler.worker_died(pool, worker, "SIGKILL", self.bench.now)

    @invariant()
    def nothing_contradicts(self) -> None:
        self.bench.scheduler.validate()

    @invariant()
    def no_slot_is_written_by_two_loads(self) -> None:
        slots = [slot for load in self.bench.under_way.values() for slot in load.slots]
        assert len(slots) == len(set(slots))

    def teardown(self) -> None:
        """Whatever happened: once stores and workers behave, all that is wanted and fits comes to an end."""
        for pool in self.bench.scheduler.pools:
            self.bench.scheduler.pool_offered(pool.number, None)
            for worker in [w.number for w in pool.workers.values() if w.stopping and not w.retired]:
                self._bury(pool.number, worker)
        for _ in range(200):
            self.bench.now += 0.2
            for stop in self.bench.decide().stop:
                self._bury(stop.pool, stop.worker)
            self.bench.finish_all()
        for view in self.bench.scheduler.views.values():
            told = self.bench.told.get(view.client, {})
            for k, chunk in view.wanted.items():
                if chunk.state is ChunkState.WAITING:
                    usage = self.bench.scheduler.arena.usage()
                    assert usage.free + usage.recent < CHUNK_BYTES + 64, f"{k} waits though there is room"
                else:
                    assert chunk.state in (ChunkState.READY, ChunkState.MISSING, ChunkState.FAILED)
                    assert k in told, f"nobody told {view.client} of {k}"
        self.bench.scheduler.validate()


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_any_order_of_events = AnyOrder.TestCase
