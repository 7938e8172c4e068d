"""What goes wrong with files on other machines: told with place and reason, and never taken for another image."""

from __future__ import annotations

import contextlib
import gc
import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from tests.http_server import HttpServer
from tests.loader_service.reading import open_at, read_level, voxels

from octree_loader.sources import cloud, readahead, remote_file
from octree_loader.sources.base import Piece, Source, SourceError
from octree_loader.sources.remote_file import HEAD_BYTES

NAMES = ["tiled.tif", "one strip+é.tif", "gzip.h5", "contiguous.h5", "lzf.h5", "wide.npy", "photo.jpg", "stored.zip"]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files whose voxels do not come with the first block: what goes wrong, goes wrong with them."""
    place = tmp_path_factory.mktemp("far")
    noise = np.random.default_rng(0).integers(0, 1 << 16, (600, 700), dtype=np.uint16)
    volume = np.random.default_rng(0).integers(0, 1 << 16, (20, 120, 140), dtype=np.uint16)
    tifffile.imwrite(place / "tiled.tif", noise, tile=(64, 96), compression="zlib")
    tifffile.imwrite(place / "one strip+é.tif", noise)
    for name, options in (
        ("gzip.h5", {"chunks": (4, 16, 16), "compression": "gzip"}),
        ("lzf.h5", {"chunks": (4, 16, 16), "compression": "lzf"}),
        ("contiguous.h5", {}),
    ):
        with h5py.File(place / name, "w") as file:
            file.create_dataset("data", data=volume, **options)
    np.save(place / "wide.npy", voxels((900, 1100), "uint32"))
    pixels = np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(place / "photo.jpg", quality=95)
    assert all(path.stat().st_size > HEAD_BYTES for path in place.iterdir())
    array = zarr.create_array(place / "noise.zarr", shape=noise.shape, dtype="u2", chunks=(64, 64))
    array[:] = noise
    with zipfile.ZipFile(place / "stored.zip", "w") as file:
        for path in sorted((place / "noise.zarr").rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(place / "noise.zarr").as_posix())
    return place


def far_box(source: Source) -> tuple[tuple[int, int], ...]:
    """The last chunk: it lies at the end of the file, or does not come with its beginning."""
    return tuple((max(0, edge - 20), edge) for edge in source.levels[0].shape)


def read_box(source: Source, box: tuple[tuple[int, int], ...]) -> np.ndarray[Any, Any]:
    out = np.empty([high - low for low, high in box], source.dtype)
    assert source.read(0, [Piece(box, out)]) == [True]
    return out


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fault", "words", "transient"),
    [
        (503, "answers 503", True),
        ("truncate", "connection ended", True),
        (403, "vanished|may not be read", False),
        (404, "vanished", False),
    ],
)
def test_what_goes_wrong_with_voxels(far: Path, name: str, fault: int | str, words: str, transient: bool) -> None:
    with HttpServer(far) as server:
        source = open_at(f"{server.url}/{name}")
        box = far_box(source)
        server.behaviour.requests.clear()
        server.behaviour.fail("", fault)
        with pytest.raises(SourceError, match=words) as caught:
            read_box(source, box)
        assert caught.value.transient == transient
        assert f"/{name}" in str(caught.value)
        assert len(server.behaviour.requests) <= 4, "retries are few: the scheduler tries again later"
        server.behaviour.fault = lambda _: None
        expected = read_box(open_at(str(far / name)), box)
        np.testing.assert_array_equal(read_box(source, box), expected)
        # What passes soon is not even noticed.
        again = open_at(f"{server.url}/{name}")
        server.behaviour.fail("", 503, times=1)
        np.testing.assert_array_equal(read_box(again, box), expected)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith((".tif", "gzip.h5", "lzf.h5", ".zip"))])
def test_garbage_is_told_or_is_voxels(far: Path, name: str) -> None:
    with HttpServer(far) as server:
        source = open_at(f"{server.url}/{name}")
        server.behaviour.fail("", "garbage")
        if name == "one strip+é.tif":
            read_box(source, far_box(source))  # any bytes are voxels there
        else:
            with pytest.raises(SourceError, match=r"cannot be decoded|damaged|cannot be read|cannot be found"):
                read_box(source, far_box(source))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", [500, "truncate", "garbage", 404])
def test_what_does_not_open_is_told(far: Path, name: str, fault: int | str) -> None:
    with HttpServer(far) as server:
        server.behaviour.fail("", fault)
        with pytest.raises(SourceError) as caught:
            open_at(f"{server.url}/{name}")
        assert caught.value.transient == (fault in (500, "truncate"))


def read_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """More requests that may fail: a file's structure does not come with its beginning, but block by small block."""
    monkeypatch.setattr(remote_file, "HEAD_BYTES", 256)
    for module in (readahead, remote_file):
        monkeypatch.setattr(module, "BLOCK_BYTES", 2048)


def write_structures(place: Path) -> np.ndarray[Any, Any]:
    """Files with much to parse and few voxels; returns the voxels of the Imaris file's finest level."""
    full = voxels((2, 2, 9, 35, 37))
    with h5py.File(place / "image.ims", "w") as file:
        for number, level in enumerate((full, full[:, :, :, ::2, ::2])):
            for t, c in np.ndindex(*level.shape[:2]):
                group = file.create_group(f"DataSet/ResolutionLevel {number}/TimePoint {t}/Channel {c}")
                padded = np.pad(level[t, c], [(0, -edge % 16) for edge in level.shape[2:]])
                group.create_dataset("Data", data=padded, chunks=(8, 16, 16), compression="gzip")
                for axis, edge in zip("ZYX", level.shape[2:], strict=True):
                    group.attrs[f"ImageSize{axis}"] = np.array([d.encode() for d in str(edge)], "S1")
    with h5py.File(place / "bdv.h5", "w") as file:
        file["s00/resolutions"] = np.array([[1.0, 1, 1], [2, 2, 1]])
        for t, level in np.ndindex(3, 2):
            cells = full[0, 0, :, :: level + 1, :: level + 1].astype("i2")
            file.create_dataset(f"t{t:05}/s00/{level}/cells", data=cells, chunks=(4, 16, 16), compression="gzip")
    tifffile.imwrite(place / "five.ome.tif", full, tile=(16, 32), compression="zlib", metadata={"axes": "TCZYX"})
    return full


@pytest.mark.parametrize("name", ["image.ims", "bdv.h5", "five.ome.tif"])
def test_an_error_while_a_file_is_parsed_never_makes_another_image_of_it(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries take what they cannot read for what is not there: a level, a channel, a page."""
    read_little(monkeypatch)
    write_structures(tmp_path)
    with HttpServer(tmp_path) as server:
        whole = open_at(f"{server.url}/{name}")
        expected = [level.shape for level in whole.levels]
        count = len(server.behaviour.requests)
        failed = 0
        for failing in range(0, count, max(1, count // 12)):
            left = [failing]

            def fault(_: str, left: list[int] = left) -> int | None:
                left[0] -= 1
                return 500 if left[0] < 0 else None

            server.behaviour.fault = fault
            try:
                source = open_at(f"{server.url}/{name}")
            except SourceError as error:
                failed += error.transient
            else:
                assert [level.shape for level in source.levels] == expected
        assert failed >= 6


def test_no_hdf5_is_left_to_the_garbage_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs in any thread, and would wait there for the lock that somebody holds who waits for that thread."""
    read_little(monkeypatch)
    write_structures(tmp_path)
    gc.collect()
    with HttpServer(tmp_path) as server:
        gc.disable()
        try:
            for name in ("image.ims", "bdv.h5"):
                for requests in (2, 9, 20):
                    left = [requests]

                    def fault(_: str, left: list[int] = left) -> int | None:
                        left[0] -= 1
                        return 500 if left[0] < 0 else None

                    server.behaviour.fault = fault
                    with contextlib.suppress(SourceError):
                        open_at(f"{server.url}/{name}")
            assert not [found for found in gc.get_objects() if isinstance(found, h5py.File)]
        finally:
            gc.enable()


def test_a_part_that_cannot_be_parsed_fails_and_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_little(monkeypatch)
    whole = write_structures(tmp_path)
    with HttpServer(tmp_path) as server:
        source = open_at(f"{server.url}/image.ims")
        server.behaviour.fail("", 500)
        box = ((1, 2), (1, 2), (0, 8), (0, 16), (0, 16))
        with pytest.raises(SourceError, match="answers 500") as caught:
            read_box(source, box)
        assert caught.value.transient
        server.behaviour.fault = lambda _: None
        np.testing.assert_array_equal(read_box(source, box), whole[1:2, 1:2, :8, :16, :16])


@pytest.mark.parametrize("name", ["tiled.tif", "gzip.h5", "wide.npy", "stored.zip"])
def test_a_file_that_changes_is_no_mixture(far: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(far / name, tmp_path)
    with HttpServer(tmp_path) as server:
        source = open_at(f"{server.url}/{name}")
        with (tmp_path / name).open("ab") as file:
            file.write(b"more")
        with pytest.raises(SourceError, match="has changed since it was opened") as caught:
            read_box(source, far_box(source))
        assert not caught.value.transient


@pytest.mark.parametrize("name", ["tiled.tif", "gzip.h5", "wide.npy", "contiguous.h5", "stored.zip", "photo.jpg"])
def test_a_truncated_file_is_told(far: Path, tmp_path: Path, name: str) -> None:
    data = (far / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])

    def attempt() -> None:
        source = open_at(f"{server.url}/{name}")
        read_box(source, far_box(source))

    with HttpServer(tmp_path) as server, pytest.raises(SourceError, match=r"truncated|damaged|corrupt"):
        attempt()


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.tif").touch()
    with HttpServer(tmp_path) as server, pytest.raises(SourceError, match="is empty"):
        open_at(f"{server.url}/empty.tif")


@pytest.mark.parametrize("name", ["tiled.tif", "gzip.h5", "wide.npy", "stored.zip", "photo.jpg"])
def test_of_a_server_that_sends_no_parts_small_files_come_whole(
    far: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpServer(far) as server:
        server.behaviour.fail("", "whole")
        source = open_at(f"{server.url}/{name}")
        np.testing.assert_array_equal(read_level(source, 0, 200), read_level(open_at(str(far / name)), 0, 200))
        monkeypatch.setattr(remote_file, "WHOLE_BYTES", 1000)
        with pytest.raises(SourceError, match=r"sends whole files only.*Range"):
            open_at(f"{server.url}/{name}")


def test_a_server_that_hangs_is_given_up(far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "TIMEOUT_SECONDS", 0.3)
    with HttpServer(far) as server:
        source = open_at(f"{server.url}/gzip.h5")
        server.behaviour.fail("", "hang")
        with pytest.raises(SourceError, match="did not answer in time") as caught:
            read_box(source, far_box(source))
        assert caught.value.transient


def test_no_secret_stands_in_an_error_about_a_file(far: Path) -> None:
    with HttpServer(far) as server:
        secretly = server.url.replace("//", "//user:QQsecretQQ@") + "/tiled.tif?sig=QQsecretQQ"
        source = open_at(secretly)
        for fault in (400, 401, 403, 404, 412, 500, "reset", "truncate", "garbage", "endless", 302):
            server.behaviour.fail("", fault)
            for attempt in (lambda: open_at(secretly), lambda: read_box(source, far_box(source))):
                with pytest.raises(SourceError) as caught:
                    attempt()
                assert "QQsecretQQ" not in str(caught.value), fault
