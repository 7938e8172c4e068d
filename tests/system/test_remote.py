"""A daemon with a web server behind it: pictures, what is missing, what fails, and a server that recovers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from tests.http_server import HttpServer
from tests.system.daemons import wait_for

import octree_client
from octree_loader.downsample import downsample
from octree_protocol.errors import OctreeError

_PIXELS = np.random.default_rng(5).integers(1, 60_000, (512, 512), dtype=np.uint16)

_SETTINGS = {"loader_defaults": {"num_workers": 2, "delay_queue_ms": 0}, "octree": {"loaders": {}, "tile_size": 64}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    plain = zarr.create_array(tmp_path / "plain.zarr", shape=_PIXELS.shape, chunks=(64, 64), dtype=_PIXELS.dtype)
    plain[:] = _PIXELS
    sharded = zarr.create_array(
        tmp_path / "shards.zarr", shape=_PIXELS.shape, chunks=(64, 64), shards=(256, 256), dtype=_PIXELS.dtype
    )
    sharded[:] = _PIXELS
    tifffile.imwrite(tmp_path / "tiled.tif", _PIXELS, tile=(64, 64), compression="zlib")
    with h5py.File(tmp_path / "chunks.h5", "w") as file:
        file.create_dataset("data", data=_PIXELS, chunks=(64, 64), compression="gzip")
    np.save(tmp_path / "plain.npy", _PIXELS)
    with HttpServer(tmp_path) as running:
        yield running


@pytest.mark.parametrize("name", ["plain", "shards"])
def test_pixels_come_over_http(server: HttpServer, name: str) -> None:
    with octree_client.open(f"{server.url}/{name}.zarr", settings=_SETTINGS) as session:
        level = session.dataset().levels[0]
        server.behaviour.requests.clear()
        np.testing.assert_array_equal(level[:256, :256], _PIXELS[:256, :256])
        if name == "shards":
            # An index for each worker, and few requests for sixteen chunks; opening asks for other files.
            assert len([path for path in server.behaviour.paths() if "/c/" in path]) <= 4
        np.testing.assert_array_equal(level[:, :], _PIXELS)


def test_a_server_that_is_busy_for_a_while_is_waited_for(server: HttpServer) -> None:
    with octree_client.open(f"{server.url}/plain.zarr", settings=_SETTINGS) as session:
        server.behaviour.fail("/c/1/1", 503, times=3)
        np.testing.assert_array_equal(session.dataset().levels[0][:128, :128], _PIXELS[:128, :128])


def test_missing_is_the_fill_value_and_failed_says_where_and_why(server: HttpServer) -> None:
    with octree_client.open(f"{server.url}/plain.zarr", settings=_SETTINGS) as session:
        level = session.dataset().levels[0]
        server.behaviour.fail("/c/1/1", 404)
        assert (level[64:128, 64:128] == 0).all()
        server.behaviour.fail("/c/2/2", 410)
        with pytest.raises(OctreeError, match=r"plain\.zarr/c/2/2 .*410"):
            level[128:192, 128:192]
        np.testing.assert_array_equal(level[:64, :64], _PIXELS[:64, :64])


@pytest.mark.parametrize("name", ["tiled.tif", "chunks.h5", "plain.npy"])
def test_files_come_over_http_and_failures_pass(server: HttpServer, name: str) -> None:
    with octree_client.open(f"{server.url}/{name}", settings=_SETTINGS) as session:
        server.behaviour.fail(name, 503, times=3)
        level = session.dataset().levels[0]
        np.testing.assert_array_equal(level[:128, :128], _PIXELS[:128, :128])
        np.testing.assert_array_equal(level[:, :], _PIXELS)
        np.testing.assert_array_equal(session.dataset().levels[1][...], downsample(_PIXELS, (0, 1)))


def test_levels_from_afar_are_made_in_the_background_if_that_is_said(server: HttpServer, tmp_path: Path) -> None:
    settings = {**_SETTINGS, "memory": {"arena_bytes": "64MiB", "cache_directory": str(tmp_path / "cache")}}
    with octree_client.open(f"{server.url}/tiled.tif", settings=settings, make_levels="background") as session:
        image = session.dataset()
        wait_for(lambda: image.progress()[1] and image.progress()[0] == image.progress()[1], 45.0)
    with octree_client.open(f"{server.url}/tiled.tif", settings=settings) as session:
        assert session.dataset().progress() == (0, 0)
