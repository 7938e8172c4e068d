"""Shares of time: what a client gets does not depend on how much it asks for, nor on how dear its chunks are."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.loader_service.test_scheduler import TILE, Bench, Described, make_scheduler

from octree_loader.planning import plan_dataset
from octree_loader.scheduling.actions import PoolSpec
from octree_loader.scheduling.profile import LoadProfile
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Wanted

#: Seconds of a load of each dataset.
SECONDS = {0: 0.02, 1: 0.002}


def keys(dataset: int) -> list[Wanted]:
    return [Wanted(ChunkKey(dataset, 0, (n // 16, n % 16)), priority=n) for n in range(256)]


def served(clients: dict[str, tuple[int, int]], seconds: float) -> tuple[Counter[str], Counter[str]]:
    """Seconds and chunks of each client of (dataset, chunks wanted at a time), at one worker."""
    bench = Bench(make_scheduler(2048, (PoolSpec(0, 1, 0.0, 0.0, True),), cores=1))
    bench.scheduler.add_dataset(plan_dataset(1, "other", Described(), TILE), 8)
    time, chunks = Counter[str](), Counter[str]()
    todo = {name: keys(dataset) for name, (dataset, _) in clients.items()}
    # Each client has chunks of its own: a part of the image.
    for number, name in enumerate(clients):
        todo[name] = todo[name][number * 16 :] + todo[name][: number * 16]
    waiting = {name: {entry.key: entry for entry in todo[name][: clients[name][1]]} for name in clients}
    for name in clients:
        bench.want(name, waiting[name].values())
    while bench.now < seconds and bench.under_way:
        task, load = next(iter(bench.under_way.items()))
        bench.now += SECONDS[load.dataset]
        key = bench.keys_of(load)[0]
        bench.finish(task, wall=SECONDS[load.dataset])
        for name, wanted in waiting.items():
            if wanted.pop(key, None) is not None:
                time[name] += SECONDS[load.dataset]
                chunks[name] += 1
    bench.scheduler.validate()
    return time, chunks


def test_dear_chunks_and_cheap_ones_share_the_time() -> None:
    time, chunks = served({"dear": (0, 200), "cheap": (1, 200)}, 0.5)
    assert time["dear"] == pytest.approx(time["cheap"], abs=3 * SECONDS[0])
    assert chunks["cheap"] > 5 * chunks["dear"]


def test_one_that_wants_everything_costs_fifteen_others_little() -> None:
    others = {f"client {n}": (1, 8) for n in range(15)}
    _, alone = served({**others, "sixteenth": (1, 8)}, 0.2)
    _, beside = served({**others, "greedy": (1, 240)}, 0.2)
    _, dear = served({**others, "greedy": (0, 240)}, 0.4)
    for name in others:
        assert beside[name] >= 0.8 * alone[name]
        assert dear[name] >= 0.8 * alone[name]


def test_waiting_costs_others_less_than_computing() -> None:
    waiting, computing = LoadProfile(), LoadProfile()
    waiting.observe(0.05, 0.001, 0.049)
    computing.observe(0.05, 0.05, 0.0)
    assert waiting.cost(0) < computing.cost(0) / 5
    assert waiting.cost(8 << 20) > waiting.cost(1 << 10)
    assert LoadProfile().cost(1) > 0
