"""Every key of the configuration, by its effect on a daemon and on a viewer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.system.daemons import Daemon, Peer, wait_for
from tests.system.factories import plane
from tests.system.obedience import Obedience

import octree_client
from octree_protocol.geometry import Dataset
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Wanted

Start = Callable[..., Daemon]

#: So long that no test lives to see its end.
NEVER_MS = 60_000


@pytest.fixture
def image(folder: Path) -> Obedience:
    return Obedience(folder / "image")


def configured(image: Obedience, **sections: Any) -> dict[str, Any]:
    return {"octree": {"tile_size": 64}, "datasets": {"image": image.source}, **sections}


def row_of(dataset: Dataset, row: int, count: int = 8) -> list[ChunkKey]:
    return [dataset.key(0, (row, column)) for column in range(count)]


def relative(key: ChunkKey, level: int) -> Wanted:
    return Wanted(key, relative_level=level)


def log_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def load_all(peer: Peer, keys: Sequence[ChunkKey]) -> None:
    peer.want(keys)
    peer.until(lambda: peer.settled(keys))


def test_loaders_share_out_the_relative_levels_and_log_path_tells(
    start_daemon: Start, image: Obedience, folder: Path
) -> None:
    """A chunk goes to the pool with the largest key that is not above its relative level, else to the first."""
    log = folder / "loads.txt"
    loaders = {"-1": {"num_workers": 1}, "1": {"num_workers": 1}, "3": {"num_workers": 1}}
    defaults = {"log_path": str(log), "delay_queue_ms": 0}
    daemon = start_daemon(configured(image, octree={"tile_size": 64, "loaders": loaders}, loader_defaults=defaults))
    with Peer(daemon.address) as peer:
        dataset = peer.describe("image")
        pool_of = {-5: 0, -1: 0, 0: 0, 1: 1, 2: 1, 3: 2, 40: 2}
        keys = dict(zip(pool_of, row_of(dataset, 0), strict=False))
        peer.want([relative(key, level) for level, key in keys.items()])
        peer.until(lambda: peer.settled(list(keys.values())))
        lines = log_of(log)
        for level, key in keys.items():
            mine = [line for line in lines if list(key.index) in line["chunks"]]
            assert [line["pool"] for line in mine] == [pool_of[level]], f"relative level {level}"
            assert 0 <= mine[0]["ms"] < 60_000
            assert mine[0]["cpu_ms"] >= 0
            assert mine[0]["level"] == 0
            assert mine[0]["present"] == [True]
        pools = daemon.status().pools
        assert [pool.relative_level for pool in pools] == [-1, 1, 3]
        assert [pool.loaded for pool in pools] == [3, 2, 2]


def test_each_pool_may_differ_in_every_key(start_daemon: Start, image: Obedience) -> None:
    loaders = {
        "0": {"num_workers": 1, "use_processes": False, "delay_queue_ms": NEVER_MS, "auto_sync_ms": 0},
        "2": {"num_workers": 3, "use_processes": True, "delay_queue_ms": 0},
    }
    daemon = start_daemon(configured(image, octree={"tile_size": 64, "loaders": loaders}))
    with Peer(daemon.address) as peer:
        dataset = peer.describe("image")
        near, far = dataset.key(0, (0, 0)), dataset.key(2, (0, 0))
        peer.want([near, relative(far, 2)])
        peer.until(lambda: far in peer.ready)
        first, second = daemon.status().pools
        assert (first.backend, first.workers_most, first.delayed, first.loaded) == ("threads", 1, 1, 0)
        assert (second.backend, second.workers_most, second.delayed, second.loaded) == ("processes", 3, 0, 1)
        assert near not in peer.ready


@pytest.mark.parametrize("count", [1, 5])
def test_num_workers_bounds_the_workers_of_a_pool(start_daemon: Start, folder: Path, count: int) -> None:
    """Over a store that makes one wait, all of them are used; and never more."""
    image = Obedience(folder / "image", delay_ms=40, edge=1024)
    defaults = {"num_workers": count, "delay_queue_ms": 0}
    daemon = start_daemon(configured(image, octree={"tile_size": 64, "loaders": {}}, loader_defaults=defaults))
    with Peer(daemon.address) as peer:
        dataset = peer.describe("image")
        keys = [key for row in range(10) for key in row_of(dataset, row, 16)]
        load_all(peer, keys)
        pool = daemon.status().pools[0]
        assert (pool.workers, pool.workers_most) == (count, count)
        assert len({read.pid for read in image.reads()}) == count
        assert daemon.workers() >= {read.pid for read in image.reads()}


def test_workers_start_when_needed(start_daemon: Start, image: Obedience) -> None:
    daemon = start_daemon(configured(image))
    assert [pool.workers for pool in daemon.status().pools] == [0, 0]
    assert daemon.workers() == set()
    with Peer(daemon.address) as peer:
        load_all(peer, [peer.describe("image").key(0, (0, 0))])
    assert sum(pool.workers for pool in daemon.status().pools) == 1


@pytest.mark.parametrize("processes", [True, False])
def test_use_processes_says_where_reads_happen(start_daemon: Start, image: Obedience, processes: bool) -> None:
    daemon = start_daemon(configured(image, loader_defaults={"use_processes": processes, "delay_queue_ms": 0}))
    with Peer(daemon.address) as peer:
        load_all(peer, row_of(peer.describe("image"), 0))
    readers = {read.pid for read in image.reads()}
    assert readers
    if processes:
        assert readers <= daemon.workers()
        assert daemon.pid not in readers
    else:
        assert readers == {daemon.pid}
        assert daemon.workers() == set()
        assert all(read.thread != "MainThread" for read in image.reads())


def test_force_synchronous_loads_one_by_one_in_the_daemon(start_daemon: Start, image: Obedience) -> None:
    defaults = {"force_synchronous": True, "delay_queue_ms": NEVER_MS, "num_workers": 8}
    daemon = start_daemon(configured(image, loader_defaults=defaults))
    with Peer(daemon.address) as peer:
        keys = row_of(peer.describe("image"), 0)
        load_all(peer, keys)
        assert peer.welcome is not None
        assert peer.welcome.settings.force_synchronous
    assert [pool.backend for pool in daemon.status().pools] == ["synchronous"]
    reads = image.reads()
    assert {(read.pid, read.thread) for read in reads} == {(daemon.pid, "MainThread")}
    assert all(earlier.ended <= later.began for earlier, later in pairwise(reads))
    # And in the order of their importance.
    assert [read.chunk for read in reads] == [(0, 0, column) for column in range(8)]


def test_force_synchronous_shows_only_final_frames(image: Obedience) -> None:
    settings = {
        "memory": {"arena_bytes": "64MiB"},
        "octree": {"tile_size": 64},
        "loader_defaults": {"force_synchronous": True},
    }
    with (
        octree_client.open(datasets={"image": image.source}, settings=settings) as session,
        octree_client.Viewer(session.dataset(), size=(128, 128), visible=False) as viewer,
    ):
        viewer.layers[0].interpolation = "nearest"
        viewer.layers[0].contrast_limits = (0, 4000)
        viewer.wait_until_final(20)
        home = viewer.render()
        with image.held():
            viewer.set_view(center=(63.5, 63.5), pixel_size=1.0)
            for _ in range(3):
                np.testing.assert_array_equal(viewer.render(), home)
            assert not viewer.status().is_final
        viewer.wait_until_final(20)
        picture = viewer.render()
        expected = plane(0, (512, 512))[:128, :128].astype(float) / 4000 * 255
        assert np.abs(picture[..., 0] - expected).max() <= 1


def test_force_synchronous_never_shows_a_part_not_even_at_first(folder: Path) -> None:
    image = Obedience(folder / "image", delay_ms=80)
    settings = {
        "memory": {"arena_bytes": "64MiB"},
        "octree": {"tile_size": 64},
        "loader_defaults": {"force_synchronous": True},
    }
    with (
        octree_client.open(datasets={"image": image.source}, settings=settings) as session,
        octree_client.Viewer(session.dataset(), size=(128, 128), visible=False) as viewer,
    ):
        viewer.set_view(center=(63.5, 63.5), pixel_size=1.0)
        parts = 0
        while not viewer.is_final():
            uploads = viewer.statistics()["chunks"]
            viewer._driver.wait(lambda before=uploads: viewer.statistics()["chunks"] > before, 10.0)
            picture = viewer.render()
            if not viewer.status().is_final:
                parts += 1
                assert np.ptp(picture.reshape(-1, 4), axis=0).max() == 0
        assert parts > 0, "all came at once, so nothing was seen"
        assert np.ptp(viewer.render()) > 0


@pytest.mark.parametrize("auto_sync_ms", [10_000, 0])
def test_auto_sync_ms_lets_a_fast_dataset_skip_the_delay_queue(
    start_daemon: Start, image: Obedience, auto_sync_ms: int
) -> None:
    loaders = {"0": {"delay_queue_ms": NEVER_MS, "auto_sync_ms": auto_sync_ms}, "2": {"delay_queue_ms": 0}}
    daemon = start_daemon(configured(image, octree={"tile_size": 64, "loaders": loaders}))
    with Peer(daemon.address) as peer:
        dataset = peer.describe("image")
        far = [dataset.key(2, (0, 0)), dataset.key(2, (1, 1))]
        peer.want([relative(key, 2) for key in far])
        peer.until(lambda: peer.settled(far))
        near = dataset.key(0, (3, 3))
        peer.want([near])
        if auto_sync_ms:
            peer.until(lambda: near in peer.ready)
        else:
            wait_for(lambda: daemon.status().pools[0].delayed == 1, 10.0)
        assert (near in peer.ready) == bool(auto_sync_ms)


def test_a_slow_dataset_does_not_skip_the_delay_queue(start_daemon: Start, folder: Path) -> None:
    image = Obedience(folder / "image", delay_ms=60)
    loaders = {"0": {"delay_queue_ms": NEVER_MS, "auto_sync_ms": 30}, "2": {"delay_queue_ms": 0}}
    daemon = start_daemon(configured(image, octree={"tile_size": 64, "loaders": loaders}))
    with Peer(daemon.address) as peer:
        dataset = peer.describe("image")
        peer.want([relative(dataset.key(2, (0, 0)), 2)])
        peer.until(lambda: peer.ready)
        peer.want([dataset.key(0, (0, 0))])
        wait_for(lambda: daemon.status().pools[0].delayed == 1, 10.0)
        assert daemon.status().datasets[0].load_ms >= 60


def test_what_is_withdrawn_within_delay_queue_ms_never_starts(
    start_daemon: Start, image: Obedience, folder: Path
) -> None:
    log = folder / "loads.txt"
    defaults = {"delay_queue_ms": NEVER_MS, "log_path": str(log)}
    daemon = start_daemon(configured(image, octree={"tile_size": 64, "loaders": {}}, loader_defaults=defaults))
    with Peer(daemon.address) as peer:
        dataset = peer.describe("image")
        for row in range(4):  # each takes the place of the one before
            peer.want(row_of(dataset, row))
        wait_for(lambda: daemon.status().requests_forgotten == 24, 10.0)
        status = daemon.status()
        assert status.pools[0].delayed == 8
        assert status.requests_started == 0
        peer.want([])
        wait_for(lambda: daemon.status().requests_forgotten == 32, 10.0)
        assert daemon.status().requests_started == 0
        assert not peer.ready
    assert log.read_text() == ""
    assert image.reads() == []


def test_a_request_leaves_the_delay_queue_after_delay_queue_ms(start_daemon: Start, image: Obedience) -> None:
    defaults = {"delay_queue_ms": 300, "auto_sync_ms": 0}
    daemon = start_daemon(configured(image, octree={"tile_size": 64, "loaders": {}}, loader_defaults=defaults))
    with Peer(daemon.address) as peer:
        keys = row_of(peer.describe("image"), 0)
        said = time.monotonic()
        load_all(peer, keys)
        # The clock of the reads is the machine's, as is ours.
        assert min(read.began for read in image.reads()) >= said + 0.3


def test_load_timeout_ms_ends_a_load_that_hangs(start_daemon: Start, image: Obedience) -> None:
    image.order("hang", 0, 0, 3)
    defaults = {"load_timeout_ms": 400, "delay_queue_ms": 0, "num_workers": 2}
    daemon = start_daemon(configured(image, octree={"tile_size": 64, "loaders": {}}, loader_defaults=defaults))
    with Peer(daemon.address) as peer:
        keys = row_of(peer.describe("image"), 0)
        load_all(peer, keys)
        assert set(peer.failed) == {keys[3]}
        assert "no answer for 0.4 s" in peer.failed[keys[3]]
        assert set(peer.ready) == set(keys) - {keys[3]}
        assert daemon.status().pools[0].deaths == 2


def test_arena_bytes_is_the_size_of_the_shared_memory(start_daemon: Start, shm: Path, image: Obedience) -> None:
    daemon = start_daemon(configured(image, memory={"arena_bytes": "24MiB", "directory": str(shm)}))
    (segment,) = shm.iterdir()
    assert segment.stat().st_size <= 24 << 20
    assert segment.stat().st_blocks * 512 >= 23 << 20, "it is not there for real"
    assert 23 << 20 <= daemon.status().arena.nbytes <= 24 << 20


def test_more_chunks_than_the_arena_holds_pass_through_it(start_daemon: Start, folder: Path, shm: Path) -> None:
    np.save(folder / "big.npy", np.arange(6000 * 5000, dtype=np.uint16).reshape(6000, 5000))
    daemon = start_daemon(
        {"memory": {"arena_bytes": "16MiB", "directory": str(shm)}, "datasets": {"big": str(folder / "big.npy")}}
    )
    with octree_client.connect(daemon.address) as session:
        whole = session.dataset().levels[0][...]
        np.testing.assert_array_equal(whole, np.load(folder / "big.npy", mmap_mode="r"))
        arena = session.status().arena
        assert arena.evictions > 0
        assert arena.wanted + arena.recent + arena.free <= arena.nbytes


@pytest.mark.parametrize("tile_size", [64, 160])
def test_tile_size_is_the_edge_of_a_chunk(start_daemon: Start, folder: Path, tile_size: int) -> None:
    np.save(folder / "a.npy", np.zeros((500, 700), np.uint8))
    daemon = start_daemon({"octree": {"tile_size": tile_size}, "datasets": {"a": str(folder / "a.npy")}})
    with Peer(daemon.address) as peer:
        assert peer.describe("a").levels[0].chunk_shape == (tile_size, tile_size)
        assert peer.welcome is not None
        assert peer.welcome.settings.tile_size == tile_size


def test_without_the_octree_one_level_is_shown_whole(image: Obedience, folder: Path) -> None:
    log, decisions = folder / "loads.txt", folder / "octree.txt"
    settings = {
        "memory": {"arena_bytes": "64MiB"},
        "octree": {"enabled": False, "tile_size": 64, "log_path": str(decisions)},
        "loader_defaults": {"log_path": str(log)},
    }
    with (
        octree_client.open(datasets={"image": image.source}, settings=settings) as session,
        octree_client.Viewer(session.dataset(), size=(100, 100), visible=False) as viewer,
    ):
        viewer.set_view(center=(50, 50), pixel_size=0.5)  # a corner of it
        viewer.wait_until_final(20)
        assert viewer.status().final == 64  # all of level 0, in view or not
        requests = viewer.statistics()["requests"]
        viewer.set_view(center=(400, 400), pixel_size=4.0)
        viewer.wait_until_final(20)
        assert viewer.status().final == 64
        assert viewer.statistics()["requests"] == requests
    assert {line["level"] for line in log_of(log)} == {0}
    assert {line["level"] for line in log_of(decisions)} == {0}


def test_octree_log_path_tells_what_was_decided(image: Obedience, folder: Path) -> None:
    decisions = folder / "octree.txt"
    settings = {"memory": {"arena_bytes": "64MiB"}, "octree": {"tile_size": 64, "log_path": str(decisions)}}
    with (
        octree_client.open(datasets={"image": image.source}, settings=settings) as session,
        octree_client.Viewer(session.dataset(), size=(128, 128), visible=False) as viewer,
    ):
        for pixel_size in (1.0, 4.0):
            viewer.set_view(center=(256, 256), pixel_size=pixel_size)
            viewer.wait_until_final(20)
    lines = log_of(decisions)
    assert [line["frame"] for line in lines] == list(range(1, len(lines) + 1))
    assert {line["level"] for line in lines} >= {0, 2}
    assert lines[-1]["pixel_size"] == 4.0
    assert lines[-1]["cells"]["provisional"] == 0
    assert lines[-1]["cells"]["final"] > 0
    assert sum(line["uploads"] for line in lines) > 0
