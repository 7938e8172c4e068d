"""What every transport must do alike, over every backend of the pools: shared memory, and bytes over a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.contract.test_pool_backends import BACKENDS, _open, cluster  # noqa: F401 - a fixture
from tests.system.daemons import Daemon, merged, wait_for
from tests.system.lab import Lab, inline_session, start_lab
from tests.system.obedience import Obedience

import octree_client
from octree_client.session import Session
from octree_client.transport.received import ReceivedChunks
from octree_client.transport.shared import SharedArena
from octree_loader.demo.pyramid import write_pyramid

TRANSPORTS = ("ipc", "ipc inline", "tcp", "tcp with CURVE")

COMMON: dict[str, Any] = {"octree": {"tile_size": 256}, "loader_defaults": {"delay_queue_ms": 0}}


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    """Structure and noise: some chunks compress, some do not."""
    rng = np.random.default_rng(2)
    image = np.add.outer(np.arange(500), np.arange(700)).astype(np.uint16)
    image[:, 350:] = rng.integers(0, 60_000, (500, 350))
    return np.stack([image, image // 2])


@pytest.fixture(scope="module")
def stores(module_folder: Path, voxels: np.ndarray) -> dict[str, str]:
    """A chunk of the large one takes several messages."""
    small = write_pyramid(module_folder / "image.zarr", voxels, axes="zyx", chunk=(1, 128, 128))
    large = write_pyramid(module_folder / "large.zarr", voxels.astype(np.float32), axes="zyx", chunk=(1, 512, 512))
    return {"image": str(small), "large": str(large)}


@pytest.fixture(scope="module", params=["processes", "threads", "synchronous", "dask"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def labs(
    backend: str,
    start_module_daemon: Callable[..., Daemon],
    module_folder: Path,
    stores: dict[str, str],
    cluster: dict[str, Any],  # noqa: F811
) -> Iterator[dict[bool, Lab]]:
    """Two daemons, without and with keys."""
    found = {}
    for guarded in (False, True):
        name = f"{backend}{'-guarded' if guarded else ''}"
        obeys = Obedience(module_folder / f"obeys-{name}", edge=1024)
        datasets = {**stores, "obeys": obeys.source}
        config = merged(COMMON, BACKENDS[backend], cluster, {"datasets": datasets})
        found[guarded] = start_lab(start_module_daemon, module_folder, config, guarded=guarded, name=name)
        if cluster:
            wait_for(lambda daemon=found[guarded].daemon: _open(daemon) == 2, 30.0, "two workers of dask")
    yield found
    for lab in found.values():
        lab.daemon.end()  # before the cluster


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connect(labs: dict[bool, Lab], transport: str) -> Iterator[Callable[[], Session]]:
    sessions: list[Session] = []

    def start() -> Session:
        if transport == "ipc":
            sessions.append(octree_client.connect(labs[False].daemon.address))
        elif transport == "ipc inline":
            sessions.append(inline_session(labs[False].daemon.address))
        elif transport == "tcp":
            sessions.append(inline_session(labs[False].tcp))
        else:
            sessions.append(inline_session(labs[True].tcp, labs[True].keys_of("alice")))
        return sessions[-1]

    yield start
    for session in sessions:
        session.close()


def test_every_voxel_arrives_and_twice_the_same(
    connect: Callable[[], Session], transport: str, voxels: np.ndarray
) -> None:
    session = connect()
    kind = SharedArena if transport == "ipc" else ReceivedChunks
    assert isinstance(session.connection.arena, kind)
    for name in ("image", "large"):
        level = session.dataset(name).levels[0]
        np.testing.assert_array_equal(level[...], voxels)
        np.testing.assert_array_equal(level[1, ::-7, 100:3:-5], voxels[1, ::-7, 100:3:-5])
    coarse = session.dataset("image").levels[1]
    assert coarse[...].shape == coarse.shape


def test_what_is_in_the_cache_is_not_asked_for_again(connect: Callable[[], Session], transport: str) -> None:
    session = connect()
    level = session.dataset("image").levels[0]
    level[0]
    before = next(c.announced for c in session.status().clients if c.announced)
    level[0]
    clients = [c.announced for c in session.status().clients if c.announced]
    assert (clients == [before]) == (transport != "ipc")


def test_missing_and_failed_are_told(
    connect: Callable[[], Session], transport: str, labs: dict[bool, Lab], request: pytest.FixtureRequest
) -> None:
    lab = labs[transport == "tcp with CURVE"]
    folder = lab.keys.parent / f"obeys-{lab.keys.name.removesuffix('-keys')}"
    level = connect().dataset("obeys").levels[0]
    row, edge = TRANSPORTS.index(transport), level.chunk_shape[0]
    per_chunk = edge // 64
    missing = folder / f"missing-0-{row * per_chunk}-0"
    failing = folder / f"fail-0-{row * per_chunk}-{per_chunk}"
    missing.touch()
    failing.write_text("the disk is full of bees")
    request.addfinalizer(missing.unlink)
    rows = slice(row * edge, (row + 1) * edge)
    assert not level[rows, :edge].any()
    with pytest.raises(octree_client.ChunkUnreadable, match="full of bees"):
        level[rows, edge : 2 * edge]
    failing.unlink()
    assert level[rows, edge : 2 * edge].any()


def test_a_viewer_shows_it(connect: Callable[[], Session], labs: dict[bool, Lab]) -> None:
    if "threads" not in labs[False].keys.name:
        pytest.skip("pictures come over one backend as over another")
    voxels = connect().dataset("image")
    with octree_client.Viewer(voxels, size=(200, 150), visible=False) as viewer:
        viewer.layers[0].interpolation = "nearest"
        viewer.layers[0].contrast_limits = (0, 1200)
        viewer.set_view(center=(249.5, 174.5), pixel_size=1.0)
        viewer.wait_until_final(30)
        chunks = viewer.statistics()["chunks"]
        picture = viewer.render()[..., 0].astype(float)
        assert chunks > 0
        expected = np.add.outer(np.arange(500), np.arange(700))[175:325, 75:275] // 2
        assert np.abs(picture - expected / 1200 * 255).max() <= 1
