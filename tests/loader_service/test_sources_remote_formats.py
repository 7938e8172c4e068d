"""N5 and precomputed volumes over HTTP, S3 and Google's storage: as tensorstore reads them from the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
from tests.http_server import HttpServer

from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, SourceError, SourceSpec

_VOLUME = np.random.default_rng(2).integers(1, 4000, (20, 70, 90), dtype=np.uint16)


pytestmark = pytest.mark.leaves_behind("the connections of tensorstore, which it keeps open for the next request")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("formats")
    for level, step in (("s0", 1), ("s1", 2)):
        data = _VOLUME[::step, ::step, ::step]
        array = tensorstore.open(
            {
                "driver": "n5",
                "kvstore": {"driver": "file", "path": f"{place}/bucket/v.n5/{level}/"},
                "metadata": {"compression": {"type": "gzip"}, "blockSize": [32, 32, 8]},
            },
            create=True,
            dtype="uint16",
            shape=data.shape[::-1],
        ).result()
        array.T[...] = data
        attributes = place / "bucket" / "v.n5" / level / "attributes.json"
        attributes.write_text(json.dumps({**json.loads(attributes.read_text()), "downsamplingFactors": [step] * 3}))
    (place / "bucket" / "v.n5" / "attributes.json").write_text('{"n5": "2.0.0"}')
    volume = tensorstore.open(
        {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{place}/bucket/v/"},
            "multiscale_metadata": {"type": "image", "data_type": "uint16", "num_channels": 1},
            "scale_metadata": {
                "size": [90, 70, 20],
                "resolution": [4, 4, 40],
                "chunk_size": [32, 32, 8],
                "encoding": "raw",
            },
        },
        create=True,
    ).result()
    volume[..., 0].T[...] = _VOLUME
    return place


@pytest.fixture
def server(folder: Path) -> Iterator[HttpServer]:
    with HttpServer(folder) as running:
        yield running


def read_level(location: str, level: int = 0, **options: Any) -> np.ndarray:
    source = open_source(SourceSpec("image", location, options))
    out = np.empty(source.levels[level].shape, source.dtype)
    assert source.read(level, [Piece(tuple((0, edge) for edge in out.shape), out)]) == [True]
    return out


@pytest.mark.parametrize("name", ["v.n5", "v"])
def test_over_http(server: HttpServer, name: str) -> None:
    np.testing.assert_array_equal(read_level(f"{server.url}/bucket/{name}"), _VOLUME)


def test_levels_of_n5_are_found_where_nothing_can_be_listed(server: HttpServer) -> None:
    np.testing.assert_array_equal(read_level(f"{server.url}/bucket/v.n5", 1), _VOLUME[::2, ::2, ::2])


@pytest.mark.parametrize("name", ["v.n5", "v"])
def test_over_s3(server: HttpServer, name: str) -> None:
    found = read_level(f"s3://bucket/{name}", endpoint=server.url, region="us-east-1", anonymous=True)
    np.testing.assert_array_equal(found, _VOLUME)


@pytest.mark.parametrize("name", ["v.n5", "v"])
def test_over_gs_at_an_endpoint_of_ones_own(server: HttpServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    np.testing.assert_array_equal(read_level(f"gs://bucket/{name}", endpoint=server.url), _VOLUME)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url.removeprefix("http://"))
    np.testing.assert_array_equal(read_level(f"gs://bucket/{name}"), _VOLUME)


@pytest.mark.parametrize(("fault", "transient"), [(404, None), (503, True)])
def test_what_goes_wrong(server: HttpServer, fault: int | str, transient: bool | None) -> None:
    location = f"{server.url}/bucket/v?key=QQsecretQQ"
    source = open_source(SourceSpec("image", location, {}))
    server.behaviour.fail("/0-32_0-32_0-8", fault)
    out = np.empty((8, 32, 32), source.dtype)
    box = ((0, 8), (0, 32), (0, 32))
    if transient is None:
        assert source.read(0, [Piece(box, out)]) == [False]
    else:
        with pytest.raises(SourceError) as caught:
            source.read(0, [Piece(box, out)])
        assert caught.value.transient == transient
        assert "QQsecretQQ" not in str(caught.value)
