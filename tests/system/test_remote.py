"""A daemon with a web server behind it: pictures, what is missing, what fails, and a server that recovers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr
from tests.http_server import HttpServer

import octree_client
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
