"""Files of every format over HTTP and S3: each voxel as its own library reads it; few requests; faults."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
import zarr.codecs
from PIL import Image
from tests.http_server import HttpServer
from tests.loader_service.reading import open_at, read_level, voxels

from octree_loader.demo.pyramid import write_pyramid
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec
from octree_loader.sources.inside import specs_inside
from octree_loader.sources.remote_file import HEAD_BYTES, RemoteFile

Levels = list[np.ndarray[Any, Any]]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


# --- what there is -------------------------------------------------------------------------------------------------


def write_tiffs(place: Path) -> dict[str, Levels]:
    plane, stack = voxels((331, 277)), voxels((5, 61, 77))
    colours = voxels((203, 151, 3), "uint8")
    known: dict[str, Levels] = {}
    for name, data, options in (
        ("tiled.tif", plane, {"tile": (32, 48), "compression": "zlib", "predictor": True}),
        ("tiled raw.tif", plane, {"tile": (32, 48)}),
        ("strips.tif", plane, {"rowsperstrip": 7, "compression": "zlib", "byteorder": ">"}),
        ("one strip+é.tif", plane, {"byteorder": ">"}),
        ("stack.tif", stack, {"compression": "zlib"}),
        ("stack raw.tif", stack, {}),
        ("float.tif", voxels((90, 70), "float32"), {"rowsperstrip": 9}),
        ("bits.tif", voxels((70, 90), "bool"), {}),
        ("imagej.tif", stack, {"imagej": True}),
        ("separate.tif", np.moveaxis(colours, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
        ("colours.tif", colours, {"photometric": "rgb", "tile": (64, 64), "compression": "zlib"}),
    ):
        tifffile.imwrite(place / name, data, **options)
        known[name] = [tifffile.imread(place / name) if name != "separate.tif" else colours]
    five = voxels((2, 3, 2, 45, 37))
    tifffile.imwrite(place / "five.ome.tif", five, tile=(16, 32), compression="zlib", metadata={"axes": "TCZYX"})
    known["five.ome.tif"] = [five]
    levels = [colours, colours[::2, ::2].copy(), colours[::4, ::4].copy()]
    with tifffile.TiffWriter(place / "pyramid.ome.tif", ome=True) as writer:
        common: dict[str, Any] = {"tile": (32, 32), "photometric": "rgb", "compression": "zlib"}
        writer.write(levels[0], subifds=2, metadata={"axes": "YXS"}, **common)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **common)
    known["pyramid.ome.tif"] = levels
    with tifffile.TiffWriter(place / "slide.svs") as writer:
        for number, level in enumerate(levels):
            writer.write(
                level, tile=(64, 64), photometric="rgb", compression="jpeg", subfiletype=int(number > 0), metadata=None
            )
    known["slide.svs"] = [tifffile.imread(place / "slide.svs", key=number) for number in range(3)]
    return known


def write_hdf5s(place: Path) -> dict[str, Levels]:
    volume = voxels((11, 45, 37))
    known: dict[str, Levels] = {}
    for name, options in (
        ("gzip.h5", {"chunks": (4, 16, 16), "compression": "gzip", "shuffle": True}),
        ("plain.h5", {"chunks": (4, 16, 16)}),
        ("lzf.h5", {"chunks": (4, 16, 16), "compression": "lzf"}),
        ("contiguous.h5", {}),
        ("sums.h5", {"chunks": (4, 16, 16), "compression": "gzip", "fletcher32": True}),
    ):
        with h5py.File(place / name, "w") as file:
            file.create_dataset("data", data=volume, **options)
        known[name] = [volume]
    with h5py.File(place / "foreign.hdf5", "w", userblock_size=512) as file:
        file.create_dataset("data", data=volume.astype(">u2"), chunks=(4, 16, 16), compression="gzip")
    known["foreign.hdf5"] = [volume]
    with h5py.File(place / "big.h5", "w") as file:
        file.create_dataset("data", data=volume.astype(">u2"))
    known["big.h5"] = [volume]
    with h5py.File(place / "pair.h5", "w") as file:
        file.create_dataset("a/one", data=volume, chunks=(4, 16, 16), compression="gzip")
        file.create_dataset("two", data=volume + 1, chunks=(4, 16, 16))
    known["pair.h5:/a/one"], known["pair.h5/two"] = [volume], [volume + 1]
    full = voxels((2, 2, 11, 45, 37))
    levels = [full, np.ascontiguousarray(full[:, :, :, ::2, ::2])]
    with h5py.File(place / "image.ims", "w") as file:
        for number, level in enumerate(levels):
            for t, c in np.ndindex(*level.shape[:2]):
                group = file.create_group(f"DataSet/ResolutionLevel {number}/TimePoint {t}/Channel {c}")
                padded = np.pad(level[t, c], [(0, -edge % 16) for edge in level.shape[2:]])
                group.create_dataset("Data", data=padded, chunks=(8, 16, 16), compression="gzip")
                for axis, edge in zip("ZYX", level.shape[2:], strict=True):
                    group.attrs[f"ImageSize{axis}"] = np.array([d.encode() for d in str(edge)], "S1")
    known["image.ims"] = levels
    moving = voxels((2, 10, 45, 37))
    with h5py.File(place / "bdv.h5", "w") as file:
        file["s00/resolutions"] = np.array([[1.0, 1, 1], [2, 2, 1]])
        for t in range(2):
            for number, part in enumerate((moving[t], moving[t, :, ::2, ::2])):
                cells = f"t{t:05}/s00/{number}/cells"
                file.create_dataset(cells, data=part.astype("i2"), chunks=(4, 16, 16), compression="gzip")
    (place / "bdv.xml").write_text(
        "<SpimData><ViewSetup><id>0</id><voxelSize><unit>micron</unit><size>0.5 0.25 2.0</size></voxelSize>"
        "</ViewSetup></SpimData>"
    )
    known["bdv.h5"] = [moving, moving[:, :, ::2, ::2]]
    return known


def write_others(place: Path) -> dict[str, Levels]:
    known: dict[str, Levels] = {}
    volume = voxels((7, 61, 83))
    for name, data in (
        ("c.npy", volume),
        ("f.npy", np.asfortranarray(volume)),
        ("big.npy", volume.astype(">u2")),
        ("bool.npy", voxels((50, 70), "bool")),
        ("wide.npy", voxels((900, 1100), "uint32")),
        ("deep.npy", np.asfortranarray(voxels((1100, 900), "uint32"))),
    ):
        np.save(place / name, data)
        known[name] = [np.load(place / name)]
    for name, data in (("grey.png", voxels((120, 90), "uint8")), ("colours.png", voxels((90, 120, 3), "uint8"))):
        Image.fromarray(data).save(place / name)
        known[name] = [data]
    import imagecodecs

    deep = voxels((64, 48, 3), "uint16")
    (place / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    known["deep.png"] = [deep]
    noise = np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(place / "photo.jpg", quality=95)
    assert (place / "photo.jpg").stat().st_size > HEAD_BYTES
    known["photo.jpg"] = [np.asarray(Image.open(place / "photo.jpg"))]
    shutil.copy(place / "c.npy", place / "download")
    known["download"] = known["c.npy"]
    image = voxels((300, 210))
    write_pyramid(place / "p.zarr", image, chunk=64, axes="yx")
    group = zarr.open_group(place / "p.zarr", mode="r")
    pyramid = [np.asarray(group[str(number)]) for number in range(len(list(group.array_keys())))]
    array = zarr.create_array(place / "s.zarr", shape=(300, 210), dtype="u2", chunks=(32, 32), shards=(128, 128))
    array[:] = image
    turned = [zarr.codecs.TransposeCodec(order=(1, 0))]
    array = zarr.create_array(place / "t.zarr", shape=(300, 210), dtype="u2", chunks=(32, 32), filters=turned)
    array[:] = image
    for name, folder, way, top in (
        ("rare.zip", "t.zarr", zipfile.ZIP_STORED, ""),
        ("stored.zip", "p.zarr", zipfile.ZIP_STORED, ""),
        ("deflated.zip", "p.zarr", zipfile.ZIP_DEFLATED, "inside/"),
        ("shards.zip", "s.zarr", zipfile.ZIP_STORED, ""),
        ("packed shards.zip", "s.zarr", zipfile.ZIP_DEFLATED, ""),
    ):
        with zipfile.ZipFile(place / name, "w", way) as file:
            for path in sorted((place / folder).rglob("*")):
                if path.is_file():
                    file.write(path, top + path.relative_to(place / folder).as_posix())
        known[name] = pyramid if folder == "p.zarr" else [image]
    return known


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Levels]]:
    """A folder of files, and what is in each."""
    place = tmp_path_factory.mktemp("files") / "data"
    place.mkdir()
    known = write_tiffs(place) | write_hdf5s(place) | write_others(place)
    (place / "planes").mkdir()
    stack = voxels((12, 60, 44))
    for number, plane in enumerate(stack):
        tifffile.imwrite(place / "planes" / f"z{number}.tif", plane, compression="zlib")
    return place, known | {"planes": [stack]}


@pytest.fixture
def server(known: tuple[Path, dict[str, Levels]]) -> Iterator[HttpServer]:
    with HttpServer(known[0].parent) as running:
        yield running


@pytest.fixture(scope="module")
def s3(s3_server: str, fill_bucket: Callable[..., None], known: tuple[Path, dict[str, Levels]]) -> str:
    fill_bucket("files", known[0].parent, listed=True)
    return s3_server


NAMES = [
    "tiled.tif", "tiled raw.tif", "strips.tif", "one strip+é.tif", "stack.tif", "stack raw.tif", "float.tif",
    "bits.tif", "imagej.tif", "separate.tif", "colours.tif", "five.ome.tif", "pyramid.ome.tif", "slide.svs",
    "gzip.h5", "plain.h5", "lzf.h5", "contiguous.h5", "sums.h5", "foreign.hdf5", "big.h5", "pair.h5:/a/one",
    "pair.h5/two", "image.ims",
    "bdv.h5", "c.npy", "f.npy", "big.npy", "bool.npy", "wide.npy", "deep.npy", "grey.png", "colours.png", "deep.png",
    "photo.jpg", "download", "stored.zip", "deflated.zip", "shards.zip", "packed shards.zip", "rare.zip",
]  # fmt: skip


def check(source: Source, levels: Levels) -> None:
    assert [level.shape for level in source.levels] == [level.shape for level in levels]
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(read_level(source, number), level)


@pytest.mark.parametrize("name", NAMES)
def test_over_http(server: HttpServer, known: tuple[Path, dict[str, Levels]], name: str) -> None:
    check(open_at(f"{server.url}/data/{name}"), known[1][name])


@pytest.mark.parametrize("name", [*NAMES, "planes"])
def test_over_s3(s3: str, known: tuple[Path, dict[str, Levels]], name: str) -> None:
    check(open_at(f"s3://files/data/{name}", endpoint=s3, anonymous=True), known[1][name])


# --- names ---------------------------------------------------------------------------------------------------------


def test_images_inside_of_a_file_are_found(server: HttpServer) -> None:
    def inside(name: str) -> list[tuple[str, str]]:
        found = specs_inside(SourceSpec("far", f"{server.url}/data/{name}?sig=1", {"levels": "stored"}))
        return [(spec.name, spec.location.removeprefix(server.url)) for spec in found]

    assert inside("pair.h5") == [("far/a/one", "/data/pair.h5:/a/one?sig=1"), ("far/two", "/data/pair.h5:/two?sig=1")]
    assert inside("pair.h5:/two") == inside("tiled.tif") == []
    source = open_at(f"{server.url}/data/pair.h5:/two?sig=1")
    np.testing.assert_array_equal(read_level(source), voxels((11, 45, 37)) + 1)


def test_what_a_bdv_file_says_beside_it_is_read(server: HttpServer) -> None:
    source = open_at(f"{server.url}/data/bdv.h5")
    assert source.levels[0].scale == (1.0, 2.0, 0.25, 0.5)
    assert source.axes[1].unit == "micrometer"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing.tif", "there is no file at .*nothing.tif"),
        ("tiled.tif/7", "has no image '7': it has 1"),
        ("pair.h5:/three", "has no dataset 'three'"),
        ("pair.h5", "has 2 images"),
        ("bdv.xml", "no dataset at|no image that can be opened from afar"),
        ("planes", "there is no dataset at"),  # a web server does not tell what is in a folder
    ],
)
def test_what_is_not_there(server: HttpServer, name: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_at(f"{server.url}/data/{name}")


def test_no_other_file_is_opened_for_one_far_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An OME-TIFF that names another one: that of this machine is not meant."""
    data = voxels((2, 40, 50))
    (tmp_path / "far").mkdir()
    (tmp_path / "here").mkdir()
    for folder, other in ((tmp_path / "far", data), (tmp_path / "here", data + 1)):
        for number, name in enumerate(("a.ome.tif", "b.ome.tif")):
            described = (
                f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{name[0]}">'
                '<Image ID="Image:0">'
                '<Pixels ID="P:0" DimensionOrder="XYZCT" Type="uint16" SizeX="50" SizeY="40" SizeZ="2" SizeC="1" '
                'SizeT="1"><Channel ID="C:0" SamplesPerPixel="1"/>'
                '<TiffData FirstZ="0" IFD="0" PlaneCount="1"><UUID FileName="a.ome.tif">urn:uuid:a</UUID></TiffData>'
                '<TiffData FirstZ="1" IFD="0" PlaneCount="1"><UUID FileName="b.ome.tif">urn:uuid:b</UUID></TiffData>'
                "</Pixels></Image></OME>"
            )
            tifffile.imwrite(folder / name, other[number], description=described, metadata=None)
    monkeypatch.chdir(tmp_path / "here")
    with HttpServer(tmp_path / "far") as server:
        source = open_at(f"{server.url}/a.ome.tif")
        np.testing.assert_array_equal(read_level(source), data[0])


# --- requests ------------------------------------------------------------------------------------------------------


def test_requests_of_a_view_are_few(tmp_path: Path) -> None:
    """Of a view of 3x4 chunks (96 x 96 voxels each; a tile of TIFF and a plane of HDF5 chunks), in one load."""
    noise = np.random.default_rng(0).integers(0, 1 << 16, (1200, 1600), dtype=np.uint16)
    volume = np.random.default_rng(1).integers(0, 1 << 16, (16, 384, 480), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "tiled.tif", noise, tile=(96, 96), compression="zlib")
    tifffile.imwrite(tmp_path / "plain.tif", noise)
    tifffile.imwrite(tmp_path / "stack.tif", volume, compression="zlib", metadata={"axes": "ZYX"})
    np.save(tmp_path / "plain.npy", noise)
    with h5py.File(tmp_path / "chunks.h5", "w") as file:
        file.create_dataset("data", data=volume, chunks=(1, 96, 96), compression="gzip")
    asked = {}
    with HttpServer(tmp_path) as server:
        for name in ("tiled.tif", "plain.tif", "stack.tif", "plain.npy", "chunks.h5"):
            server.behaviour.requests.clear()
            source = open_at(f"{server.url}/{name}")
            opened = len(server.behaviour.requests)
            front = ((7, 8),) if len(source.levels[0].shape) == 3 else ()
            pieces = [
                Piece((*front, (y, y + 96), (x, x + 96)), np.empty((*(1 for _ in front), 96, 96), source.dtype))
                for y in range(96, 384, 96)
                for x in range(96, 480, 96)
            ]
            assert source.read(0, pieces) == [True] * 12
            asked[name] = (opened, len(server.behaviour.requests) - opened)
    assert asked["tiled.tif"] <= (2, 3), asked  # a run of tiles each row
    assert asked["plain.tif"] <= (2, 2), asked
    assert asked["plain.npy"] <= (1, 2), asked
    assert asked["stack.tif"][1] <= 2, asked
    assert asked["chunks.h5"][1] <= 5, asked


def test_pages_far_apart_are_found_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(0).integers(0, 1 << 16, (120, 300, 400), dtype=np.uint16)
    with tifffile.TiffWriter(tmp_path / "stack.ome.tif", ome=True) as writer:
        for plane in data:  # each page behind its voxels, 240 kB away from the next
            writer.write(plane, contiguous=False, compression="zlib")
    rounds = []
    read = RemoteFile.read_spans
    monkeypatch.setattr(RemoteFile, "read_spans", lambda *a, **k: (rounds.append(1), read(*a, **k))[1])
    with HttpServer(tmp_path) as server:
        source = open_at(f"{server.url}/stack.ome.tif/60")
        assert len(rounds) <= 20, "one after the other it would take 120"
        np.testing.assert_array_equal(read_level(source, tile=256), data[60])
