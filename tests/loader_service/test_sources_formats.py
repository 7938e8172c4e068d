"""HDF5, N5, precomputed, pictures, stacks: written by their own libraries, read back voxel by voxel; and damage."""

from __future__ import annotations

import json
import sys
import types
import zlib
from pathlib import Path
from typing import Any

import bioio
import dask.array
import h5py
import numcodecs
import numpy as np
import pytest
import tensorstore
import tifffile
from PIL import Image
from tests.refusals import REFUSAL_SECONDS, cost_of, growth_of_a_process

from octree_loader.planning import plan_dataset
from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec
from octree_loader.sources.direct import DirectArray
from octree_loader.sources.local import images_inside


def voxels(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray[Any, Any]:
    """Values that differ along every axis."""
    values = np.arange(int(np.prod(shape))).reshape(shape)
    return (values * 7 % 251).astype(dtype)


def open_path(path: Path | str, **options: Any) -> Source:
    return open_source(SourceSpec("image", str(path), options))


def read_level(source: Source, level: int = 0, tile: int = 16) -> np.ndarray[Any, Any]:
    """A whole level, put together from the chunks that a client would see."""
    chunked = plan_dataset(1, "image", source, tile).levels[level].level
    whole = np.zeros(source.levels[level].shape, source.dtype)
    boxes = [chunked.chunk_extent(index) for index in np.ndindex(*chunked.grid())]
    for first in range(0, len(boxes), 6):
        portion = [
            Piece(box, np.full([high - low for low, high in box], 99, source.dtype)) for box in boxes[first : first + 6]
        ]
        for stored, (box, out) in zip(source.read(level, portion), portion, strict=True):
            whole[tuple(slice(*sides) for sides in box)] = out if stored else source.fill_value
    return whole


# --- HDF5 -----------------------------------------------------------------------------------------------------------

FILTERS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": (4, 16, 10)},
    "deflate": {"chunks": (4, 16, 10), "compression": "gzip"},
    "shuffle": {"chunks": (4, 16, 10), "compression": "gzip", "shuffle": True},
    "lzf": {"chunks": (4, 16, 10), "compression": "lzf"},
    "checksum": {"chunks": (4, 16, 10), "compression": "gzip", "fletcher32": True},
    "no filter but shuffle": {"chunks": (4, 16, 10), "shuffle": True},
}


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", ">u2"])
def test_a_dataset_of_hdf5(tmp_path: Path, filters: str, dtype: str) -> None:
    path = tmp_path / "file.h5"
    data = voxels((9, 45, 37), dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset("a/b", data=data, **FILTERS[filters])
    source = open_path(path)
    assert source.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read_level(source), data)
    np.testing.assert_array_equal(read_level(open_path(f"{path}:/a/b")), data)


def test_several_datasets_of_hdf5_are_told(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["one"] = voxels((9, 45))
        file["group/two"] = voxels((9, 44))
        file["text"] = "no image"
    with pytest.raises(SourceError, match=r"has 2 images.*/group/two"):
        open_path(path)
    assert images_inside(str(path)) == [("group/two", f"{path}:/group/two"), ("one", f"{path}:/one")]
    assert open_path(f"{path}:/group/two").levels[0].shape == (9, 44)
    with pytest.raises(SourceError, match="no dataset 'three'"):
        open_path(f"{path}:/three")


def test_chunks_that_hdf5_never_wrote_are_missing(tmp_path: Path) -> None:
    for name, options in (("plain", {}), ("lzf", {"compression": "lzf"})):
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            made = file.create_dataset("a", (32, 32), "u2", chunks=(16, 16), fillvalue=5, **options)
            made[:16, :16] = 9
        source = open_path(path)
        assert source.fill_value == 5
        out = np.zeros((16, 16), np.uint16)
        assert source.read(0, [Piece(((16, 32), (0, 16)), out)]) == [False]
        whole = np.zeros((32, 32), np.uint16)
        assert source.read(0, [Piece(((0, 32), (0, 32)), whole)]) == [True]
        assert whole[0, 0] == 9
        assert whole[31, 31] == 5


def write_imaris(path: Path, levels: list[np.ndarray[Any, Any]]) -> None:
    """As Imaris does: levels of 5 axes, padded to whole chunks, the true sizes beside them."""

    def characters(value: Any) -> np.ndarray[Any, Any]:
        return np.array([c.encode() for c in str(value)], "S1")

    with h5py.File(path, "w") as file:
        for number, level in enumerate(levels):
            for t, c in np.ndindex(*level.shape[:2]):
                group = file.create_group(f"DataSet/ResolutionLevel {number}/TimePoint {t}/Channel {c}")
                stored = level[t, c]
                padded = np.pad(stored, [(0, -edge % 16) for edge in stored.shape])
                group.create_dataset("Data", data=padded, chunks=(8, 16, 16), compression="gzip")
                for axis, edge in zip("ZYX", stored.shape, strict=True):
                    group.attrs[f"ImageSize{axis}"] = characters(edge)
        image = file.create_group("DataSetInfo/Image")
        z, y, x = levels[0].shape[2:]
        for axis, low, high in ((0, 10.0, 10.0 + x * 0.5), (1, 0.0, y * 0.25), (2, -4.0, -4.0 + z * 2.0)):
            image.attrs[f"ExtMin{axis}"], image.attrs[f"ExtMax{axis}"] = characters(low), characters(high)
        image.attrs["Unit"] = characters("um")
        for c in range(levels[0].shape[1]):
            channel = file.create_group(f"DataSetInfo/Channel {c}")
            channel.attrs["Name"] = characters(f"stain {c}")
            channel.attrs["Color"] = characters("1.000 0.000 0.500")
            channel.attrs["ColorRange"] = characters("10.0 200.0")


def test_an_imaris_file(tmp_path: Path) -> None:
    path = tmp_path / "image.ims"
    full = voxels((2, 3, 11, 45, 37))
    levels = [full, np.ascontiguousarray(full[:, :, :, ::2, ::2])]
    write_imaris(path, levels)
    source: Any = open_path(path)
    assert "".join(axis.name for axis in source.axes) == "tczyx"
    assert [level.shape for level in source.levels] == [level.shape for level in levels]
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(read_level(source, number), level)
    assert source.levels[0].scale == (1.0, 1.0, 2.0, 0.25, 0.5)
    assert source.levels[0].translation == (0.0, 0.0, -3.0, 0.125, 10.25)
    assert source.axes[4].unit == "micrometer"
    assert source.channels[1].name == "stain 1"
    assert source.channels[1].color == "#ff0080"
    assert source.channels[1].window == (10.0, 200.0)


def test_a_bigdataviewer_file(tmp_path: Path) -> None:
    path = tmp_path / "image.h5"
    full = {setup: voxels((2, 10 + setup, 45, 37)) for setup in (0, 1)}
    with h5py.File(path, "w") as file:
        for setup, data in full.items():
            file[f"s{setup:02}/resolutions"] = np.array([[1.0, 1, 1], [2, 2, 1]])
            for t in range(2):
                for level, part in enumerate((data[t], data[t, :, ::2, ::2])):
                    file.create_dataset(
                        f"t{t:05}/s{setup:02}/{level}/cells",
                        data=part.astype("i2"),
                        chunks=(4, 16, 16),
                        compression="gzip",
                    )
    path.with_suffix(".xml").write_text(
        "<SpimData><SequenceDescription><ViewSetups><ViewSetup><id>1</id><voxelSize><unit>micron</unit>"
        "<size>0.5 0.25 2.0</size></voxelSize></ViewSetup></ViewSetups></SequenceDescription></SpimData>"
    )
    with pytest.raises(SourceError, match="has 2 images"):
        open_path(path)
    assert [name for name, _ in images_inside(str(path))] == ["s00", "s01"]
    for setup, data in full.items():
        source = open_path(f"{path}:/s{setup:02}")
        assert source.dtype == np.uint16
        np.testing.assert_array_equal(read_level(source, 0), data)
        np.testing.assert_array_equal(read_level(source, 1), data[:, :, ::2, ::2])
    assert source.levels[0].scale == (1.0, 2.0, 0.25, 0.5)
    assert source.levels[1].scale == (1.0, 2.0, 0.5, 1.0)
    assert source.axes[1].unit == "micrometer"


def test_hdf5_reads_no_other_files(tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere" / "secret.h5"
    secret.parent.mkdir()
    with h5py.File(secret, "w") as file:
        file["data"] = voxels((20, 20))
    path = tmp_path / "in.h5"
    with h5py.File(path, "w") as file:
        file["external"] = h5py.ExternalLink(str(secret), "/data")
        layout = h5py.VirtualLayout((20, 20), "u2")
        layout[...] = h5py.VirtualSource(str(secret), "data", (20, 20))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (8, 8), "u1", external=[(str(secret), 0, 64)])
    for name in ("external", "virtual", "raw"):
        with pytest.raises(SourceError, match=r"no dataset|points to other files"):
            open_path(f"{path}:/{name}")


def test_damaged_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    data = RANDOM.integers(0, 60000, (64, 64)).astype(np.uint16)
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=data, chunks=(32, 32), compression="gzip")
        place = file["a"].id.get_chunk_info(3)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[place.byte_offset : place.byte_offset + place.size] = b"\x55" * place.size
    path.write_bytes(damaged)
    source = open_path(path)
    out = np.zeros((32, 32), np.uint16)
    with pytest.raises(SourceError, match=r"\(1, 1\).*cannot be decoded"):
        source.read(0, [Piece(((32, 64), (32, 64)), out)])
    assert source.read(0, [Piece(((0, 32), (0, 32)), out)]) == [True]
    np.testing.assert_array_equal(out, data[:32, :32])
    for length in (0, 7, 100, len(whole) // 2):
        cut = tmp_path / f"cut-{length}.h5"
        cut.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"no HDF5 file|has no dataset"):
            open_path(cut)


RANDOM = np.random.default_rng(1)


def test_hdf5_bombs_and_giants_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("giant", (1 << 40, 1 << 20), "u1", chunks=(1 << 16, 1 << 15))
        file.create_dataset("many", (1 << 40, 1 << 20), "u1", chunks=(64, 64))
        bomb = file.create_dataset("bomb", (64, 64), "u1", chunks=(64, 64), compression="gzip")
        bomb.id.write_direct_chunk((0, 0), zlib.compress(bytes(4_000_000)))
        # Its own filter: the library decodes that.
        lzf = file.create_dataset("lzf", (1024, 1024), "u1", chunks=(1024, 1024), compression="lzf")
        # Of LZF, a run of 264 bytes takes 3: these are 87 MB.
        lzf.id.write_direct_chunk((0, 0), b"\x00\x00" + b"\xe0\xff\x00" * 330_000)
        checked = file.create_dataset("checked", (64, 64), "u1", chunks=(64, 64), compression="gzip", fletcher32=True)
        bomb = zlib.compress(bytes(4_000_000))
        checked.id.write_direct_chunk((0, 0), bytes(numcodecs.Fletcher32().encode(bomb)))

    def giant() -> None:
        with pytest.raises(SourceError, match="no worker can decode"):
            open_path(f"{path}:/giant")

    def many() -> None:
        source = open_path(f"{path}:/many")
        assert source.read(0, [Piece(((1 << 39, (1 << 39) + 64), (0, 64)), np.empty((64, 64), np.uint8))]) == [False]

    def explode() -> None:
        for name in ("bomb", "checked"):
            with pytest.raises(SourceError, match="decodes to more"):
                open_path(f"{path}:/{name}").read(0, [Piece(((0, 64), (0, 64)), np.empty((64, 64), np.uint8))])

    for refuse in (giant, many, explode):
        cost = cost_of(refuse)
        assert cost.seconds < REFUSAL_SECONDS
        assert cost.nbytes < 16 << 20
    assert growth_of_a_process(f"{path}:/lzf", (64, 64), "lzf") < 40 << 20


def test_chunks_with_checksums_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    data = voxels((70, 90))
    with h5py.File(path, "w") as file:
        for name, options in {"deflated": {"compression": "gzip", "shuffle": True}, "plain": {}}.items():
            stored = file.create_dataset(name, data.shape, "u2", chunks=(32, 32), fletcher32=True, **options)
            stored[...] = data
            assert stored.id.get_create_plist().get_filter(len(options))[0] == 3
    for name in ("deflated", "plain"):
        source = open_path(f"{path}:/{name}")
        assert isinstance(source.arrays[0], DirectArray)
        np.testing.assert_array_equal(read_level(source), data)
    corrupt = tmp_path / "corrupt.h5"
    with h5py.File(corrupt, "w") as file:
        stored = file.create_dataset("plain", (32, 32), "u2", chunks=(32, 32), fletcher32=True)
        good = bytes(numcodecs.Fletcher32().encode(data[:32, :32].tobytes()))
        stored.id.write_direct_chunk((0, 0), bytes([good[0] ^ 1]) + good[1:])
    with pytest.raises(SourceError, match=r"plain cannot be decoded.*corrupt"):
        read_level(open_path(f"{corrupt}:/plain"))


# --- N5 and precomputed ---------------------------------------------------------------------------------------------


def write_n5(path: Path, data: np.ndarray[Any, Any], compression: str = "gzip", **more: Any) -> None:
    """Written in n5's own order of axes: x first."""
    array = tensorstore.open(
        {
            "driver": "n5",
            "kvstore": {"driver": "file", "path": str(path)},
            "metadata": {
                "dimensions": list(data.shape[::-1]),
                "blockSize": [16, 12, 8, 2, 1][: data.ndim],
                "dataType": str(data.dtype),
                "compression": {"type": compression},
                **more,
            },
            "create": True,
        }
    ).result()
    array[...].write(data.T).result()


@pytest.mark.parametrize("compression", ["raw", "gzip", "bzip2"])
def test_an_n5_dataset(tmp_path: Path, compression: str) -> None:
    data = voxels((11, 45, 37))
    path = tmp_path / "volume.n5"
    write_n5(path, data, compression)
    source = open_path(path)
    assert [axis.name for axis in source.axes] == ["z", "y", "x"]
    assert source.levels[0].storage_chunk == (8, 12, 16)
    np.testing.assert_array_equal(read_level(source), data)


def test_levels_of_n5(tmp_path: Path) -> None:
    data = voxels((11, 45, 37), "uint8")
    path = tmp_path / "volume.n5"
    levels = [data, np.ascontiguousarray(data[:, ::2, ::2]), np.ascontiguousarray(data[::2, ::4, ::4])]
    for number, level in enumerate(levels):
        write_n5(path / f"setup0/timepoint0/s{number}", level)
    (path / "attributes.json").write_text('{"n5": "2.5.0"}')
    group = {"downsamplingFactors": [[1, 1, 1], [2, 2, 1], [4, 4, 2]], "resolution": [0.5, 0.25, 2.0]}
    (path / "setup0/timepoint0/attributes.json").write_text(json.dumps(group))
    with pytest.raises(SourceError, match="setup0/timepoint0"):
        open_path(path)
    assert images_inside(str(path)) == [("setup0/timepoint0", f"{path}/setup0/timepoint0")]
    source = open_path(path / "setup0/timepoint0")
    assert [level.scale for level in source.levels] == [(2.0, 0.25, 0.5), (2.0, 0.5, 1.0), (4.0, 1.0, 2.0)]
    assert [level.translation for level in source.levels][1] == (0.0, 0.125, 0.25)
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(read_level(source, number), level)
    (path / "setup0/timepoint0/s0/0/0/0").unlink()
    out = np.zeros((8, 12, 16), np.uint8)
    assert source.read(0, [Piece(((0, 8), (0, 12), (0, 16)), out)]) == [False]


def test_damaged_n5(tmp_path: Path) -> None:
    path = tmp_path / "volume.n5"
    data = voxels((11, 45, 37))
    write_n5(path, data)
    block = path / "1/0/0"
    source = open_path(path)
    box = ((0, 8), (0, 12), (16, 32))
    out = np.zeros((8, 12, 16), np.uint16)
    for content in (block.read_bytes()[:40], b"\xff" * 300, b"\0" * (1 << 20)):
        block.write_bytes(content)
        with pytest.raises(SourceError):
            source.read(0, [Piece(box, out)])
    box = ((0, 8), (0, 12), (0, 16))
    block = path / "0/0/0"
    block.unlink()
    (tmp_path / "secret").write_bytes(b"1" * 100)
    block.symlink_to(tmp_path / "secret")
    with pytest.raises(SourceError, match="link that leads out"):
        source.read(0, [Piece(box, out)])
    (path / "attributes.json").write_text(
        '{"dimensions": [1000000000000, 1000000, 1000000], "blockSize": [65536, 65536, 16], "dataType": "uint8",'
        '"compression": {"type": "raw"}}'
    )

    def refuse() -> None:
        with pytest.raises(SourceError, match="no worker can decode"):
            open_path(path)

    assert cost_of(refuse).seconds < REFUSAL_SECONDS


def write_precomputed(
    path: Path, levels: list[np.ndarray[Any, Any]], encoding: str, sharded: bool, kind: str = "image"
) -> None:
    """Levels in the order c, z, y, x."""
    for number, level in enumerate(levels):
        factor = 2**number
        scale: dict[str, Any] = {
            "key": f"level{number}",
            "size": list(level.shape[:0:-1]),
            "resolution": [4 * factor, 4 * factor, 40],
            "chunk_size": [16, 12, 8],
            "encoding": encoding,
            "voxel_offset": [5, 0, 3] if number == 0 else [0, 0, 0],
        }
        if encoding == "compressed_segmentation":
            scale["compressed_segmentation_block_size"] = [8, 8, 8]
        if sharded:
            scale["sharding"] = {
                "@type": "neuroglancer_uint64_sharded_v1", "preshift_bits": 1, "minishard_bits": 2, "shard_bits": 2,
                "hash": "identity", "data_encoding": "gzip", "minishard_index_encoding": "gzip",
            }  # fmt: skip
        array = tensorstore.open(
            {
                "driver": "neuroglancer_precomputed",
                "kvstore": {"driver": "file", "path": str(path)},
                "multiscale_metadata": {"type": kind, "data_type": str(level.dtype), "num_channels": level.shape[0]},
                "scale_metadata": scale,
                "scale_index": number,
                "create": True,
            }
        ).result()
        array[...].write(level.T).result()


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_precomputed(tmp_path: Path, sharded: bool, channels: int) -> None:
    full = voxels((channels, 11, 45, 37), "uint8")
    levels = [full, np.ascontiguousarray(full[:, :, ::2, ::2])]
    write_precomputed(tmp_path / "volume", levels, "raw", sharded)
    source: Any = open_path(tmp_path / "volume")
    assert "".join(axis.name for axis in source.axes) == ("zyx" if channels == 1 else "czyx")
    assert source.axes[-1].unit == "nanometer"
    assert source.kind == "intensity"
    assert source.levels[1].scale[-3:] == (40.0, 8.0, 8.0)
    assert source.levels[0].translation[-3:] == (140.0, 2.0, 22.0)
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(read_level(source, number), level[0] if channels == 1 else level)


def test_precomputed_labels_and_missing_chunks(tmp_path: Path) -> None:
    full = voxels((1, 11, 45, 37), "uint64") + 1
    write_precomputed(tmp_path / "labels", [full], "compressed_segmentation", False, "segmentation")
    source: Any = open_path(tmp_path / "labels")
    assert source.kind == "labels"
    np.testing.assert_array_equal(read_level(source), full[0])
    (tmp_path / "labels/level0/5-21_0-12_3-11").unlink()
    out = np.zeros((8, 12, 16), np.uint64)
    assert source.read(0, [Piece(((0, 8), (0, 12), (0, 16)), out)]) == [False]
    assert source.read(0, [Piece(((0, 8), (12, 24), (0, 16)), out)]) == [True]
    (tmp_path / "labels/info").write_text("{}")
    with pytest.raises(SourceError, match="no description"):
        open_path(tmp_path / "labels")


# --- pictures and stacks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "gif"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_picture(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    data = voxels((45, 37) if mode == "L" else (45, 37, 3), "uint8")
    Image.fromarray(data).save(path)
    source = open_path(path)
    with Image.open(path) as picture:
        expected = np.asarray(picture if picture.mode != "P" else picture.convert("RGB"))
    assert source.rgb == (expected.ndim == 3)
    assert source.levels[0].random_access
    np.testing.assert_array_equal(read_level(source), expected)


def test_pictures_of_rarer_kinds(tmp_path: Path) -> None:
    import imagecodecs

    deep = voxels((21, 33, 3)) * 257
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    np.testing.assert_array_equal(read_level(open_path(tmp_path / "deep.png")), deep)
    grey = voxels((21, 33)) * 257
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_level(open_path(tmp_path / "grey.png")), grey)
    mask = voxels((21, 33)) % 2 == 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    source = open_path(tmp_path / "mask.png")
    assert source.dtype == bool
    np.testing.assert_array_equal(read_level(source), mask)
    alpha = voxels((21, 33, 4), "uint8")
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_level(open_path(tmp_path / "alpha.png")), alpha)


def test_pictures_that_are_damaged_or_far_too_large(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(RANDOM.integers(0, 255, (64, 64), np.uint8)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="truncated or corrupt"):
        read_level(open_path(path))
    path.write_bytes(b"\x89PNG" + b"\1" * 50)
    with pytest.raises(SourceError, match="no picture"):
        open_path(path)
    bomb = bytearray(whole)
    bomb[16:24] = (60000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    path.write_bytes(bomb)

    def refuse() -> None:
        with pytest.raises(SourceError, match=r"too large for a picture.*tiled TIFF"):
            open_path(path)

    assert cost_of(refuse).seconds < REFUSAL_SECONDS


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_numbered_planes_are_a_stack(tmp_path: Path, suffix: str) -> None:
    data = voxels((12, 45, 37), "uint8")
    for number, plane in enumerate(data):
        path = tmp_path / f"plane {number + 1}.{suffix}"  # 9 stands before 10
        tifffile.imwrite(path, plane, compression="zlib") if suffix == "tif" else Image.fromarray(plane).save(path)
    (tmp_path / "notes.txt").write_text("nothing to see")
    source = open_path(tmp_path)
    assert [axis.name for axis in source.axes] == ["z", "y", "x"]
    np.testing.assert_array_equal(read_level(source), data)


def test_a_plane_that_differs_fails_alone(tmp_path: Path) -> None:
    for number in range(5):
        tifffile.imwrite(tmp_path / f"t{number:03}.tif", np.full((20, 30), number, "u1" if number != 3 else "u2"))
    source = open_path(tmp_path)
    assert source.axes[0].name == "t"
    assert source.axes[0].kind == "time"
    out = np.zeros((1, 20, 30), np.uint8)
    with pytest.raises(SourceError, match=r"t003\.tif .*uint16"):
        source.read(0, [Piece(((3, 4), (0, 20), (0, 30)), out)])
    assert source.read(0, [Piece(((4, 5), (0, 20), (0, 30)), out)]) == [True]
    assert (out == 4).all()
    (tmp_path / "t002.tif").unlink()
    with pytest.raises(SourceError, match=r"t002\.tif"):
        source.read(0, [Piece(((2, 3), (0, 20), (0, 30)), out)])


# --- what nothing else opens ----------------------------------------------------------------------------------------


def test_an_unknown_file_says_what_can_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bioio", None)
    path = tmp_path / "experiment.czi"
    path.write_bytes(b"ZISRAWFILE")
    with pytest.raises(SourceError, match=r"OME-Zarr.*TIFF.*HDF5.*pip install bioio bioio-<reader>"):
        open_path(path)


def test_an_unknown_file_is_refused_in_one_sentence_with_bioio_too(tmp_path: Path) -> None:
    path = tmp_path / "experiment.czi"
    path.write_bytes(b"ZISRAWFILE")
    with pytest.raises(SourceError, match=r"is no image that can be opened here.*pip install bioio-<reader>") as caught:
        open_path(path)
    assert len(str(caught.value)) < 600


@pytest.fixture
def only_bioio(monkeypatch: pytest.MonkeyPatch) -> None:
    """TIFFs are read by bioio's reader: what else it would be asked for needs readers that are not installed here."""
    monkeypatch.setattr("octree_loader.sources.tiff.is_tiff", lambda _: False)


@pytest.mark.usefixtures("only_bioio")
def test_what_bioio_reads_is_what_bioio_gives(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    metadata = {"axes": "TZCYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(path, voxels((2, 3, 2, 45, 71)), imagej=True, resolution=(4, 2), metadata=metadata)
    image = bioio.BioImage(path)
    source = open_path(path)
    assert "".join(axis.name for axis in source.axes) == image.dims.order.lower() == "tczyx"
    assert source.levels[0].scale[2:] == tuple(image.physical_pixel_sizes) == (2.0, 0.5, 0.25)
    np.testing.assert_array_equal(read_level(source), image.data)
    assert images_inside(str(path)) == []


@pytest.mark.usefixtures("only_bioio")
def test_colours_through_bioio(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, voxels((45, 71, 3), "uint8"), photometric="rgb")
    source = open_path(path)
    assert source.rgb
    np.testing.assert_array_equal(read_level(source), bioio.BioImage(path).data)


@pytest.mark.usefixtures("only_bioio")
def test_scenes_through_bioio_are_images_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(voxels((45, 71)))
        writer.write(voxels((3, 22, 30)), photometric="minisblack")
    inside = images_inside(str(path))
    assert [name for name, _ in inside] == ["Image:0", "Image:1"]
    for number, (_, location) in enumerate(inside):
        image = bioio.BioImage(path)
        image.set_scene(number)
        np.testing.assert_array_equal(read_level(open_path(location)), image.data)
    with pytest.raises(SourceError, match="has no image '2': it has 2"):
        open_path(f"{path}/2")


@pytest.mark.usefixtures("only_bioio")
def test_what_bioio_stumbles_over_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, voxels((45, 71)))
    path.write_bytes(path.read_bytes()[:12])
    with pytest.raises(SourceError, match=r"cut\.tif") as caught:
        open_path(path)
    assert "\n" not in str(caught.value)


def test_levels_of_bioio_are_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = voxels((2, 3, 4, 21, 33))

    class BioImage:
        """A reader of pyramids: none of those installed here is one."""

        scenes = ("one",)
        channel_names = ("DAPI", "GFP", "Cy5")
        resolution_levels = (0, 1)

        def __init__(self, path: str) -> None:
            assert path.endswith("experiment.czi")
            self.dims = types.SimpleNamespace(order="TCZYX")
            self.physical_pixel_sizes = types.SimpleNamespace(Z=2.0, Y=0.5, X=None)
            self._level = 0

        def set_resolution_level(self, level: int) -> None:
            self._level = level

        @property
        def dask_data(self) -> Any:
            step = 1 + self._level
            return dask.array.from_array(data[..., ::step, ::step], chunks=(1, 1, 4, 8, 8))

    monkeypatch.setitem(sys.modules, "bioio", types.SimpleNamespace(BioImage=BioImage))
    path = tmp_path / "experiment.czi"
    path.write_bytes(b"ZISRAWFILE")
    source = open_path(path)
    assert source.levels[0].scale == (1.0, 1.0, 2.0, 0.5, 1.0)
    np.testing.assert_array_equal(read_level(source), data)
    np.testing.assert_array_equal(read_level(source, 1), data[..., ::2, ::2])
    assert [channel.name for channel in source.channels] == ["DAPI", "GFP", "Cy5"]  # type: ignore[attr-defined]
