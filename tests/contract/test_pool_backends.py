"""What every backend of the pools must do alike: processes, threads, the daemon's own thread, a cluster of dask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.system.clusters import FAR_AWAY, DaskCluster
from tests.system.daemons import Daemon, Peer, merged, wait_for
from tests.system.factories import plane
from tests.system.obedience import Obedience

import octree_client
from octree_client.transport.shared import SharedArena
from octree_loader.demo.pyramid import write_pyramid
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import AskStatus, Status

BACKENDS: dict[str, dict[str, Any]] = {
    "processes": {"loader_defaults": {"use_processes": True, "num_workers": 3}},
    "threads": {"loader_defaults": {"use_processes": False, "num_workers": 3}},
    "synchronous": {"loader_defaults": {"force_synchronous": True}},
    # Workers that write into the arena; and others that send bytes, as those of other machines do.
    "dask": {"octree": {"loaders": {"0": {"backend": "dask"}, "2": {"backend": "dask"}}}},
    "dask-far": {"octree": {"loaders": {"0": {"backend": "dask"}, "2": {"backend": "dask"}}}},
}

COMMON: dict[str, Any] = {"octree": {"tile_size": 64}, "loader_defaults": {"delay_queue_ms": 20}}

EDGE = 512


#: An image for each test that must be the first to read it: what was read before lies in the arena.
NAMES = ("image", "missing", "once", "failing")


@pytest.fixture(scope="module")
def images(module_folder: Path) -> dict[str, Obedience]:
    return {name: Obedience(module_folder / name) for name in NAMES}


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    return np.random.default_rng(2).integers(1, 60_000, (3, 300, 420)).astype(np.uint16)


@pytest.fixture(scope="module")
def stores(module_folder: Path, voxels: np.ndarray) -> dict[str, Path]:
    """The same voxels in storage chunks that are too large, too small, and in shards."""
    return {
        "cut": write_pyramid(module_folder / "cut.zarr", voxels, axes="zyx", chunk=(1, 256, 256)),
        "grouped": write_pyramid(module_folder / "grouped.zarr", voxels, axes="zyx", chunk=(1, 16, 16)),
        "sharded": write_pyramid(
            module_folder / "sharded.zarr", voxels, axes="zyx", chunk=(1, 32, 32), shards=(1, 128, 128)
        ),
    }


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def cluster(module_folder: Path, backend: str) -> Iterator[dict[str, Any]]:
    """What a configuration says of the cluster that the backend needs, if it needs one."""
    if not backend.startswith("dask"):
        yield {}
        return
    folder = module_folder / f"cluster-{backend}"
    folder.mkdir()
    with DaskCluster(folder) as cluster:
        cluster.start_scheduler()
        preload = FAR_AWAY if backend == "dask-far" else ""
        cluster.start_worker(threads=2, preload=preload)
        cluster.start_worker(preload=preload)
        yield {"dask": {"scheduler": cluster.address}}


@pytest.fixture(scope="module")
def daemon(
    start_module_daemon: Callable[..., Daemon],
    backend: str,
    cluster: dict[str, Any],
    images: dict[str, Obedience],
    stores: dict[str, Path],
) -> Iterator[Daemon]:
    datasets = {
        **{name: image.source for name, image in images.items()},
        **{name: str(path) for name, path in stores.items()},
    }
    daemon = start_module_daemon(merged(COMMON, BACKENDS[backend], cluster, {"datasets": datasets}), name=backend)
    if cluster:
        wait_for(lambda: _open(daemon) == 2, 30.0, "two workers of dask")
    yield daemon
    daemon.end()  # before the cluster


def _open(daemon: Daemon) -> int:
    cluster = daemon.status().cluster
    return cluster.workers if cluster is not None and cluster.state == "open" else 0


@pytest.fixture
def session(daemon: Daemon) -> Iterator[octree_client.Session]:
    with octree_client.connect(daemon.address) as session:
        yield session


@pytest.fixture
def peer(daemon: Daemon) -> Iterator[Peer]:
    with Peer(daemon.address) as peer:
        yield peer


def test_it_is_the_backend_that_was_asked_for(session: octree_client.Session, backend: str) -> None:
    assert {pool.backend for pool in session.status().pools} == {backend.removesuffix("-far")}
    cluster = session.status().cluster
    if cluster is not None:
        assert (cluster.workers, cluster.threads, cluster.direct) == (2, 3, 0 if backend == "dask-far" else 2)


@pytest.mark.parametrize("store", ["cut", "grouped", "sharded"])
def test_whatever_the_storage_chunks_the_voxels_are_the_same(
    session: octree_client.Session, voxels: np.ndarray, store: str
) -> None:
    image = session.dataset(store)
    assert image.levels[0].chunk_shape[1] in (64, 128)
    np.testing.assert_array_equal(image.levels[0][...], voxels)
    np.testing.assert_array_equal(image.levels[0][1, ::-7, 100:3:-5], voxels[1, ::-7, 100:3:-5])


def test_every_level_comes_in_place(session: octree_client.Session) -> None:
    for number, level in enumerate(session.dataset("image").levels):
        np.testing.assert_array_equal(level[...], plane(number, (EDGE >> number, EDGE >> number)))


def test_what_is_announced_lies_in_its_slot_at_its_generation(peer: Peer) -> None:
    dataset = peer.describe("image")
    keys = [dataset.key(0, (row, column)) for row in range(3) for column in range(3)]
    peer.want(keys)
    peer.until(lambda: peer.settled(keys))
    assert peer.welcome is not None
    assert peer.welcome.arena is not None
    address = peer.welcome.arena
    expected = plane(0, (EDGE, EDGE))
    with SharedArena(address.path, address.nbytes, address.token) as arena:
        for key in keys:
            ready = peer.ready[key]
            assert (ready.dtype, ready.shape) == ("<u2", (64, 64))
            row, column = (64 * index for index in key.index)
            np.testing.assert_array_equal(arena.array(ready), expected[row : row + 64, column : column + 64])
            assert arena.is_current(ready)
    assert len({ready.slot for ready in peer.ready.values()}) == len(keys)


def test_missing_and_failed_are_told_apart_and_tried_anew_when_wanted_anew(
    peer: Peer, images: dict[str, Obedience]
) -> None:
    image = images["missing"]
    dataset = peer.describe("missing")
    good, missing, failing = (dataset.key(1, (3, column)) for column in range(3))
    gone = image.order("missing", 1, 3, 1)
    bad = image.order("fail", 1, 3, 2, "the disk is full of bees")
    peer.want([good, missing, failing])
    peer.until(lambda: peer.settled([good, missing, failing]))
    assert set(peer.ready) == {good}
    assert peer.missing == {missing}
    assert "the disk is full of bees" in peer.failed[failing]
    gone.unlink()
    bad.unlink()
    peer.want([])
    peer.want([good, missing, failing])
    peer.until(lambda: set(peer.ready) == {good, missing, failing})


def test_what_two_clients_want_is_read_once(daemon: Daemon, peer: Peer, images: dict[str, Obedience]) -> None:
    image = images["once"]
    with Peer(daemon.address) as other:
        dataset = peer.describe("once")
        other.describe("once")
        keys = [dataset.key(0, (6, column)) for column in range(8)]
        before = len(image.reads())
        peer.want(keys)
        other.want(reversed(keys))
        peer.until(lambda: peer.settled(keys))
        other.until(lambda: other.settled(keys))
        assert len(image.reads()) - before == len(keys)
        assert {key: ready.slot for key, ready in peer.ready.items()} == {
            key: ready.slot for key, ready in other.ready.items()
        }


def test_what_one_lets_go_the_other_keeps(daemon: Daemon, peer: Peer) -> None:
    with Peer(daemon.address) as other:
        dataset = peer.describe("image")
        keys = [dataset.key(2, (0, 0)), dataset.key(2, (1, 1))]
        for one in (peer, other):
            one.want(keys)
            one.until(lambda one=one: one.settled(keys))
        # What others held before has been let go.
        held = wait_for(lambda: _held(daemon), 10.0)
        peer.want([])
        peer.say(AskStatus(1))  # obeyed after the Want
        assert peer.hear(Status).arena.wanted == held
        other.want([])
        wait_for(lambda: daemon.status().arena.wanted == 0, 5.0)


def _held(daemon: Daemon) -> int:
    """Bytes that are wanted, once the two peers are the only ones who are there."""
    status = daemon.status()
    return status.arena.wanted if sum(client.wanted for client in status.clients) == 4 else 0


def test_four_clients_at_once_get_numpys_result(daemon: Daemon, voxels: np.ndarray) -> None:
    wrong: list[str] = []

    def read(number: int) -> None:
        with octree_client.connect(daemon.address) as mine:
            for name in ("cut", "grouped"):
                level = mine.dataset(name).levels[0]
                for start in range(0, 300, 150):
                    box = (slice(None), slice(start, None), slice(number * 100, None))
                    same = np.array_equal(level[box], voxels[box])
                    wrong.extend([] if same else [f"client {number}, {name}, from {start}"])

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
        assert not thread.is_alive()
    assert not wrong


def test_a_viewer_settles_and_shows_what_failed(session: octree_client.Session, images: dict[str, Obedience]) -> None:
    bad = images["failing"].order("fail", 0, 4, 4, "no such luck")
    try:
        with octree_client.Viewer(session.dataset("failing"), size=(192, 192), visible=False) as viewer:
            viewer.layers[0].interpolation = "nearest"
            viewer.layers[0].contrast_limits = (0, 4000)
            viewer.set_view(center=(287.5, 287.5), pixel_size=1.0)  # chunks 3 to 5
            viewer.wait_until_final(30)
            assert (viewer.status().final, viewer.status().failed) == (8, 1)
            assert "no such luck" in viewer.layers[0].failures[0, 4, 4]
            bad.unlink()
            assert viewer.retry() == 1
            viewer.wait_until_final(30)
            assert viewer.status().final == 9
            expected = plane(0, (EDGE, EDGE))[192:384, 192:384] / 4000 * 255
            assert np.abs(viewer.render()[..., 0] - expected).max() <= 1
    finally:
        bad.unlink(missing_ok=True)


def test_a_key_of_another_dataset_is_another_chunk(peer: Peer) -> None:
    first, second = peer.describe("cut"), peer.describe("grouped")
    keys = [ChunkKey(first.id, 0, (0, 0, 0)), ChunkKey(second.id, 0, (0, 0, 0))]
    peer.want(keys)
    peer.until(lambda: peer.settled(keys))
    assert peer.ready[keys[0]].slot != peer.ready[keys[1]].slot
