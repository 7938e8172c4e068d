"""Zarr over HTTP, from a real server on loopback: the same voxels as from the disk, and what goes wrong on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
import zarr.codecs
from numpy.typing import NDArray
from tests.http_server import HttpServer

from octree_loader.demo.pyramid import write_pyramid
from octree_loader.planning import plan_dataset
from octree_loader.sources import cloud, open_source
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec

_IMAGE = np.random.default_rng(1).integers(0, 4000, (300, 410), dtype=np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Arrays as zarr-python writes them, and a pyramid."""
    place = tmp_path_factory.mktemp("remote")
    write_pyramid(place / "pyramid.zarr", _IMAGE, chunk=64, axes="yx", codec="default")
    for name, options in {
        "v3": {"chunks": (64, 64)},
        "v3-raw": {"chunks": (64, 64), "compressors": None},
        "v3-blosc": {"chunks": (64, 64), "compressors": [zarr.codecs.BloscCodec(cname="lz4")]},
        "v2": {"chunks": (64, 64), "zarr_format": 2},
        "v2-slash": {
            "chunks": (64, 64),
            "zarr_format": 2,
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
        },
        "v2-filter": {"chunks": (64, 64), "zarr_format": 2, "filters": [numcodecs.Delta(dtype="u2")]},
        "v2-order": {"chunks": (64, 64), "zarr_format": 2, "order": "F"},
        "v2-foreign": {"chunks": (64, 64), "zarr_format": 2, "dtype": ">u2"},
        "v2-bz2": {"chunks": (64, 64), "zarr_format": 2, "compressors": [numcodecs.BZ2()]},
        "v3-turned": {"chunks": (64, 64), "filters": [zarr.codecs.TransposeCodec(order=(1, 0))]},
        "shards": {"chunks": (32, 32), "shards": (128, 128)},
        "shards-turned": {
            "chunks": (32, 32),
            "shards": (128, 128),
            "filters": [zarr.codecs.TransposeCodec(order=(1, 0))],
        },
    }.items():
        options = {"dtype": _IMAGE.dtype, **options}
        array = zarr.create_array(place / f"{name}.zarr", shape=_IMAGE.shape, **options)
        array[:] = _IMAGE
    return place


@pytest.fixture
def server(folder: Path) -> Iterator[HttpServer]:
    with HttpServer(folder) as running:
        yield running


def open_url(url: str, **options: Any) -> Source:
    return open_source(SourceSpec("image", url, options))


def read_box(source: Source, box: tuple[tuple[int, int], ...], level: int = 0) -> NDArray[Any] | None:
    out = np.full([high - low for low, high in box], 7, source.dtype)
    return out if source.read(level, [Piece(box, out)])[0] else None


RARE = ["v2-filter", "v2-order", "v2-foreign", "v2-bz2", "v3-turned", "shards-turned"]


@pytest.mark.parametrize("name", ["v3", "v3-raw", "v3-blosc", "v2", "v2-slash", "shards", *RARE])
def test_arrays_come_voxel_for_voxel(server: HttpServer, name: str) -> None:
    source = open_url(f"{server.url}/{name}.zarr")
    assert source.levels[0].shape == _IMAGE.shape
    for box in (((0, 300), (0, 410)), ((0, 64), (64, 128)), ((250, 300), (333, 410)), ((31, 33), (127, 129))):
        expected = _IMAGE[tuple(slice(*edges) for edges in box)]
        np.testing.assert_array_equal(read_box(source, box), expected)


def test_a_pyramid_comes_with_one_round_of_requests_after_the_root(server: HttpServer) -> None:
    source = open_url(f"{server.url}/pyramid.zarr/")
    reference = zarr.open_group(Path(server._folder) / "pyramid.zarr", mode="r")
    asked = server.behaviour.paths()
    assert len(asked) == len(set(asked))
    assert len(asked) <= 7 + len(source.levels)
    for number, level in enumerate(source.levels):
        expected = np.asarray(reference[str(number)])
        box = tuple((0, edge) for edge in level.shape)
        np.testing.assert_array_equal(read_box(source, box, number), expected)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_spare_requests(tmp_path: Path, zarr_format: Any) -> None:
    group = zarr.create_group(tmp_path / "image.zarr", zarr_format=zarr_format)
    datasets = []
    for level in range(3):
        array = group.create_array(str(level), shape=(64 >> level, 64 >> level), chunks=(16, 16), dtype="u1")
        array[:] = level + 1
        datasets.append(
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [1 << level] * 2}]}
        )
    image = {"axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}], "datasets": datasets}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    group.attrs["multiscales"] = [{"version": "0.4", **image}]
    if zarr_format == 3:
        with pytest.warns(UserWarning, match="Consolidated"):
            zarr.consolidate_metadata(tmp_path / "image.zarr", zarr_format=3)
    else:
        zarr.consolidate_metadata(tmp_path / "image.zarr", zarr_format=2)
    with HttpServer(tmp_path) as server:
        source = open_url(f"{server.url}/image.zarr")
        assert len(source.levels) == 3
        assert all(path.count("/") == 2 for path in server.behaviour.paths()), "only the root was asked for"
        read = read_box(source, ((0, 16), (0, 16)), 2)
        assert read is not None
        assert (read == 3).all()


def test_chunks_of_one_read_come_at_once(server: HttpServer) -> None:
    source = open_url(f"{server.url}/v3.zarr")
    server.behaviour.requests.clear()
    server.behaviour.latency = 0.1
    began = time.perf_counter()
    assert read_box(source, ((0, 256), (0, 256))) is not None
    assert len(server.behaviour.requests) == 16
    assert server.behaviour.under_way_most == 16
    assert time.perf_counter() - began < 16 * 0.1 / 2


def test_neighbours_in_a_shard_come_with_one_request_and_its_index_comes_once(server: HttpServer) -> None:
    source = open_url(f"{server.url}/shards.zarr")
    server.behaviour.requests.clear()
    np.testing.assert_array_equal(read_box(source, ((0, 128), (0, 128))), _IMAGE[:128, :128])
    assert len(server.behaviour.requests) == 2  # index; sixteen chunks
    np.testing.assert_array_equal(read_box(source, ((32, 64), (32, 64))), _IMAGE[32:64, 32:64])
    assert len(server.behaviour.requests) == 3
    assert all(request.span is not None for request in server.behaviour.requests)


def test_chunks_of_a_distant_shard_are_planned_to_be_read_together(server: HttpServer) -> None:
    remote = plan_dataset(0, "image", open_url(f"{server.url}/shards.zarr"), 32)
    assert remote.levels[0].gathers
    assert remote.levels[0].block_shape == (4, 4)
    assert not plan_dataset(0, "image", open_url(f"{server.url}/v3.zarr"), 32).levels[0].gathers
    local = plan_dataset(0, "image", open_url(str(Path(server._folder) / "shards.zarr")), 32)
    assert local.levels[0].block_shape == (1, 1)


def test_what_is_not_there_is_missing(server: HttpServer) -> None:
    for name, part in (("v3", "/c/1/1"), ("v2", "/1.1"), ("shards", "/c/0/0")):
        source = open_url(f"{server.url}/{name}.zarr")
        server.behaviour.fail(part, 404)
        assert read_box(source, ((64, 96), (64, 96))) is None
        # Beside others, it is the fill value.
        read = read_box(source, ((64, 192), (64, 192)))
        assert read is not None
        assert (read[:32, :32] == 0).all()
        np.testing.assert_array_equal(read[64:, 64:], _IMAGE[128:192, 128:192])
        server.behaviour.fault = lambda _: None
        np.testing.assert_array_equal(read_box(source, ((64, 96), (64, 96))), _IMAGE[64:96, 64:96])


@pytest.mark.parametrize("name", RARE)
def test_rare_codecs_cost_no_more_requests_than_common_ones(server: HttpServer, name: str) -> None:
    source = open_url(f"{server.url}/{name}.zarr")
    server.behaviour.requests.clear()
    server.behaviour.latency = 0.05
    assert read_box(source, ((0, 256), (0, 256))) is not None
    requests = server.behaviour.requests
    assert len(requests) <= 16, "one a chunk, or an index and one for each of four shards"
    assert all(request.method == "GET" for request in requests)
    server.behaviour.latency = 0.0
    if "shards" not in name:
        assert server.behaviour.under_way_most >= 8
        server.behaviour.fail("", 404)
        assert read_box(source, ((64, 128), (64, 128))) is None
    for fault, transient in ((503, True), ("garbage", False)):
        server.behaviour.fail("", fault)
        with pytest.raises(SourceError) as caught:
            read_box(source, ((128, 192), (128, 192)))
        assert caught.value.transient == transient


@pytest.mark.parametrize(
    ("fault", "words", "transient"),
    [
        (401, "answers 401 .*credentials", False),
        (400, "answers 400", False),
        (410, "answers 410", False),
        (429, "answers 429", True),
        (500, "answers 500", True),
        (503, "answers 503", True),
        ("reset", "connection ended", True),
        ("truncate", "connection ended in the middle", True),
        ("garbage", "cannot be decoded", False),
        ("endless", "longer than it can be", False),
        (302, "redirects to nowhere", False),
    ],
)
def test_what_goes_wrong_is_told_with_place_and_reason(
    server: HttpServer, fault: int | str, words: str, transient: bool
) -> None:
    source = open_url(f"{server.url}/v3.zarr")
    server.behaviour.requests.clear()
    server.behaviour.fail("/c/1/1", fault)
    with pytest.raises(SourceError, match=words) as caught:
        read_box(source, ((64, 128), (64, 128)))
    assert "/v3.zarr/c/1/1" in str(caught.value)
    assert caught.value.transient == transient
    assert len(server.behaviour.requests) <= 2, "retries are few: the scheduler tries again later"
    # Several at once fail no otherwise.
    with pytest.raises(SourceError, match=words):
        read_box(source, ((0, 128), (0, 128)))
    server.behaviour.fault = lambda _: None
    np.testing.assert_array_equal(read_box(source, ((64, 128), (64, 128))), _IMAGE[64:128, 64:128])


def test_a_server_that_recovers_at_once_is_not_noticed(server: HttpServer) -> None:
    source = open_url(f"{server.url}/v3.zarr")
    server.behaviour.fail("/c/1/1", 503, times=1)
    np.testing.assert_array_equal(read_box(source, ((64, 128), (64, 128))), _IMAGE[64:128, 64:128])


def test_a_server_that_hangs_is_given_up(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "TIMEOUT_SECONDS", 0.3)
    source = open_url(f"{server.url}/v3.zarr")
    server.behaviour.fail("/c/1/1", "hang")
    began = time.perf_counter()
    with pytest.raises(SourceError, match="did not answer in time") as caught:
        read_box(source, ((64, 128), (64, 128)))
    assert caught.value.transient
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("whole", "whole files only"),
        ("garbage", "checksum|truncated"),
        ("truncate", "connection ended"),
        (416, "shorter than its index"),
    ],
)
def test_shards_that_cannot_be_read_in_parts(server: HttpServer, fault: int | str, words: str) -> None:
    source = open_url(f"{server.url}/shards.zarr")
    server.behaviour.fail("/c/0/0", fault)
    with pytest.raises(SourceError, match=words):
        read_box(source, ((0, 32), (0, 32)))
    server.behaviour.fault = lambda _: None
    np.testing.assert_array_equal(read_box(source, ((0, 32), (0, 32))), _IMAGE[:32, :32])


def test_an_index_that_lies_costs_an_error_and_no_memory(folder: Path, tmp_path: Path) -> None:
    import shutil
    import struct

    import google_crc32c

    shutil.copytree(folder / "shards.zarr", tmp_path / "shards.zarr")
    shard = tmp_path / "shards.zarr" / "c" / "0" / "0"
    data = shard.read_bytes()
    index = bytearray(data[-(16 * 16 + 4) : -4])
    for number, entry in enumerate([(0, 1 << 40), ((1 << 62), 100), ((1 << 64) - 2, 100)]):
        struct.pack_into("<QQ", index, 16 * number, *entry)
    shard.write_bytes(data[: -len(index) - 4] + index + struct.pack("<I", google_crc32c.value(bytes(index))))
    with HttpServer(tmp_path) as server:
        source = open_url(f"{server.url}/shards.zarr")
        for column, words in enumerate(
            ["damaged: its index", "shorter than its index|cannot be read", "damaged: its index"]
        ):
            with pytest.raises(SourceError, match=words):
                read_box(source, ((0, 32), (32 * column, 32 * column + 32)))
        np.testing.assert_array_equal(read_box(source, ((0, 32), (96, 128))), _IMAGE[:32, 96:128])


@pytest.mark.parametrize(
    ("name", "fault", "words"),
    [
        ("nothing.zarr", None, "no dataset at"),
        ("v3.zarr", 500, "answers 500"),
        ("v3.zarr", 403, "may not be read.*403"),
        ("v3.zarr", "garbage", "no valid JSON"),
        ("v3.zarr", "endless", "longer than it can be"),
    ],
)
def test_what_does_not_open(server: HttpServer, name: str, fault: int | str | None, words: str) -> None:
    if fault is not None:
        server.behaviour.fail("", fault)
    with pytest.raises(SourceError, match=words) as caught:
        open_url(f"{server.url}/{name}")
    assert "dataset 'image'" in str(caught.value)


def test_nobody_there() -> None:
    with pytest.raises(SourceError, match=r"there is no connection to it .*refused") as caught:
        open_url("http://127.0.0.1:1/image.zarr")
    assert caught.value.transient


def test_a_page_for_everything_that_is_not_there_is_no_metadata(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "image.zarr", shape=(64, 64), chunks=(32, 32), dtype="u1")
    array[:] = 5
    for name in (".zattrs", ".zgroup", ".zarray", ".zmetadata", "info", "attributes.json"):
        (tmp_path / "image.zarr" / name).write_text("<!doctype html><title>Welcome</title>")
    with HttpServer(tmp_path) as server:
        read = read_box(open_url(f"{server.url}/image.zarr"), ((0, 64), (0, 64)))
    assert read is not None
    assert (read == 5).all()


def test_no_secret_stands_in_an_error(server: HttpServer) -> None:
    secretly = server.url.replace("//", "//user:QQsecretQQ@") + "/v3.zarr?sig=QQsecretQQ"
    source = open_url(secretly)
    assert server.behaviour.requests[-1].authorization.startswith("Basic ")
    told = []
    for fault in (400, 401, 403, 500, "reset", "truncate", "garbage", "endless", 302):
        server.behaviour.fail("", fault)
        with pytest.raises(SourceError) as caught:
            open_url(secretly)
        told.append(str(caught.value))
        if fault != 403:
            with pytest.raises(SourceError) as caught:
                read_box(source, ((64, 128), (64, 128)))
            told.append(str(caught.value))
    with pytest.raises(SourceError) as caught:
        open_url(secretly, nonsense="QQsecretQQ")
    told.append(str(caught.value))
    assert not [text for text in told if "QQsecretQQ" in text]
