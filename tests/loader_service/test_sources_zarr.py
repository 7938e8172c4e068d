"""What zarr-python writes comes back pixel for pixel, whatever the format, codec, chunk shape and dtype."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
import zarr.codecs
from numpy.typing import NDArray

from octree_loader.planning import plan_dataset
from octree_loader.sources import open_source
from octree_loader.sources.assembled import AssembledSource
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec
from octree_loader.sources.direct import DirectArray
from octree_loader.sources.tensor import TensorArray, ZarrPythonArray

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"


def open_path(path: Path | str, **options: Any) -> AssembledSource:
    source = open_source(SourceSpec("image", str(path), options))
    assert isinstance(source, AssembledSource)
    return source


def read_whole(source: Source, level: int) -> NDArray[Any]:
    """A level, read in chunks as the daemon would, a block at a time."""
    plan = plan_dataset(0, "image", source, 48)
    described = plan.dataset.levels[level]
    whole = np.full(described.shape, 99, source.dtype)
    blocks = {plan.block(level, index) for index in itertools.product(*map(range, described.grid()))}
    for block in sorted(blocks):
        pieces = [
            Piece(plan.box(level, index), np.full(described.chunk_voxels(index), 77, source.dtype))
            for index in plan.chunks_of_block(level, block)
        ]
        for piece, stored in zip(pieces, source.read(level, pieces), strict=True):
            values = piece.out if stored else np.asarray(source.fill_value).astype(source.dtype)
            whole[tuple(slice(low, high) for low, high in piece.box)] = values
    return whole


def picture(shape: tuple[int, ...], dtype: str, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 200, shape) + np.arange(shape[-1])
    if np.dtype(dtype).kind == "c":
        return (numbers + 1j * rng.integers(0, 200, shape)).astype(dtype)
    return (numbers > 150 if dtype == "bool" else numbers % 120).astype(dtype)


def write(path: Path, data: NDArray[Any], **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # codecs that the specification does not name yet
        zarr.create_array(str(path), shape=data.shape, dtype=data.dtype, **options)[...] = data
    return path


V2 = {
    "none": None,
    "blosc-lz4": numcodecs.Blosc("lz4", 5, 1),
    "blosc-zstd-bitshuffle": numcodecs.Blosc("zstd", 3, 2),
    "zstd": numcodecs.Zstd(3),
    "gzip": numcodecs.GZip(3),
    "zlib": numcodecs.Zlib(3),
    "lz4": numcodecs.LZ4(),
}
V3 = {
    "none": None,
    "blosc-lz4": zarr.codecs.BloscCodec(cname="lz4", shuffle="shuffle"),
    "zstd": zarr.codecs.ZstdCodec(level=3),
    "zstd-checksum": zarr.codecs.ZstdCodec(level=3, checksum=True),
    "gzip": zarr.codecs.GzipCodec(level=3),
}


@pytest.mark.parametrize("codec", V2)
@pytest.mark.parametrize("separator", [".", "/"])
def test_zarr_v2_is_read_by_hand(tmp_path: Path, codec: str, separator: str) -> None:
    data = picture((101, 97), "uint16")
    encoding = {"name": "v2", "separator": separator}
    path = write(
        tmp_path / "a", data, chunks=(32, 29), zarr_format=2, compressors=V2[codec], chunk_key_encoding=encoding
    )
    source = open_path(path)
    assert isinstance(source.arrays[0], DirectArray)
    np.testing.assert_array_equal(read_whole(source, 0), data)


@pytest.mark.parametrize("codec", V3)
@pytest.mark.parametrize(("name", "separator"), [("default", "/"), ("default", "."), ("v2", ".")])
def test_zarr_v3_is_read_by_hand(tmp_path: Path, codec: str, name: str, separator: str) -> None:
    data = picture((101, 97), "uint16")
    encoding = {"name": name, "separator": separator}
    path = write(
        tmp_path / "a", data, chunks=(32, 29), zarr_format=3, compressors=V3[codec], chunk_key_encoding=encoding
    )
    source = open_path(path)
    assert isinstance(source.arrays[0], DirectArray)
    np.testing.assert_array_equal(read_whole(source, 0), data)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "uint32", "int64", "float16", "float32", "complex64"]
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_every_dtype_comes_back(tmp_path: Path, dtype: str, zarr_format: int) -> None:
    data = picture((40, 70), dtype)
    source = open_path(write(tmp_path / "a", data, chunks=(16, 16), zarr_format=zarr_format))
    assert source.dtype == data.dtype
    np.testing.assert_array_equal(read_whole(source, 0), data)


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [((7, 50, 60), (3, 16, 50)), ((2, 3, 9, 33, 35), (1, 2, 4, 10, 35)), ((3, 5), (64, 64)), ((130, 130), (1, 1000))],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_odd_chunks_and_many_axes(
    tmp_path: Path, shape: tuple[int, ...], chunks: tuple[int, ...], zarr_format: int
) -> None:
    data = picture(shape, "uint16")
    source = open_path(write(tmp_path / "a", data, chunks=chunks, zarr_format=zarr_format))
    np.testing.assert_array_equal(read_whole(source, 0), data)


@pytest.mark.parametrize("codec", ["none", "blosc-lz4", "zstd", "gzip"])
@pytest.mark.parametrize("location", ["end", "start"])
def test_shards_are_read_by_hand(tmp_path: Path, codec: str, location: str) -> None:
    data = picture((5, 130, 100), "uint16")
    shards = zarr.codecs.ShardingCodec(
        chunk_shape=(2, 16, 20),
        codecs=[zarr.codecs.BytesCodec(), *([V3[codec]] if V3[codec] else [])],
        index_location=location,
    )
    path = write(tmp_path / "a", data, chunks=(4, 64, 60), serializer=shards, compressors=None)
    source = open_path(path)
    assert isinstance(source.arrays[0], DirectArray)
    assert source.levels[0].storage_chunk == (2, 16, 20)
    assert source.levels[0].shard == (4, 64, 60)
    np.testing.assert_array_equal(read_whole(source, 0), data)


def test_other_shards_are_read_by_tensorstore(tmp_path: Path) -> None:
    data = picture((130, 100), "uint16")
    codecs = [zarr.codecs.ZstdCodec(), zarr.codecs.Crc32cCodec()]
    source = open_path(write(tmp_path / "a", data, chunks=(16, 20), shards=(64, 60), compressors=codecs))
    assert isinstance(source.arrays[0], TensorArray)
    assert source.levels[0].storage_chunk == (16, 20)
    np.testing.assert_array_equal(read_whole(source, 0), data)


def test_a_shard_that_is_written_anew_is_noticed(tmp_path: Path) -> None:
    array = zarr.create_array(str(tmp_path / "a"), shape=(64, 64), chunks=(16, 16), shards=(64, 64), dtype="u2")
    array[...] = picture((64, 64), "uint16", 1)
    source = open_path(tmp_path / "a")
    read_whole(source, 0)
    array[:40] = picture((40, 64), "uint16", 2) * 0 + 3
    np.testing.assert_array_equal(read_whole(source, 0), array[...])


FOREIGN: dict[str, dict[str, Any]] = {
    "big-endian": {"zarr_format": 2, "dtype": ">u2", "expected": TensorArray},
    "fortran": {"zarr_format": 2, "order": "F", "expected": TensorArray},
    "bz2": {"zarr_format": 2, "compressors": numcodecs.BZ2(1), "expected": TensorArray},
    "delta": {"zarr_format": 2, "filters": [numcodecs.Delta("<u2")], "expected": DirectArray},
    "lzma": {"zarr_format": 2, "compressors": numcodecs.LZMA(), "expected": DirectArray},
    "two filters": {
        "zarr_format": 2,
        "order": "F",
        "filters": [numcodecs.Delta("<u2", "<i4"), numcodecs.Shuffle(4)],
        "compressors": numcodecs.BZ2(1),
        "expected": DirectArray,
    },
    "big-endian lzma": {"zarr_format": 2, "dtype": ">u2", "compressors": numcodecs.LZMA(), "expected": DirectArray},
    "numcodecs in 3": {
        "zarr_format": 3,
        "filters": [zarr.codecs.TransposeCodec(order=(1, 0))],
        "compressors": [partial(zarr.codecs.numcodecs.BZ2), zarr.codecs.Crc32cCodec()],
        "expected": DirectArray,
    },
    "numcodecs' blosc in 3": {
        "zarr_format": 3,
        "compressors": [partial(zarr.codecs.numcodecs.Blosc, cname="zstd")],
        "expected": DirectArray,
    },
    "numcodecs' filter in 3": {
        "zarr_format": 3,
        "filters": [partial(zarr.codecs.numcodecs.Delta, dtype="<u2")],
        "expected": ZarrPythonArray,
    },
    "numcodecs in shards": {
        "zarr_format": 3,
        "chunks": (16, 20),
        "shards": (32, 20),
        "compressors": [partial(zarr.codecs.numcodecs.LZMA)],
        "expected": ZarrPythonArray,
    },
    "transpose": {"zarr_format": 3, "filters": [zarr.codecs.TransposeCodec(order=(1, 0))], "expected": TensorArray},
    "crc32c": {"zarr_format": 3, "compressors": [zarr.codecs.Crc32cCodec()], "expected": TensorArray},
    "big-endian-3": {"zarr_format": 3, "serializer": zarr.codecs.BytesCodec(endian="big"), "expected": TensorArray},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_read_by_hand_is_read_by_tensorstore_or_zarr(tmp_path: Path, kind: str) -> None:
    options = dict(FOREIGN[kind])
    expected: Any = options.pop("expected")
    data = picture((90, 70), "uint16").astype(options.pop("dtype", "<u2"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr warns of codecs that the specification does not name
        for part in ("filters", "compressors"):
            if isinstance(options.get(part), list):
                options[part] = [codec() if isinstance(codec, partial) else codec for codec in options[part]]
        path = write(tmp_path / "a", data, fill_value=9, **{"chunks": (32, 20), **options})
    source = open_path(path)
    assert isinstance(source.arrays[0], expected)
    assert source.dtype == np.dtype("uint16")
    np.testing.assert_array_equal(read_whole(source, 0), data)


@pytest.mark.parametrize("kind", ["v2", "v3", "shards", "crc32c", "crc32c-shards", "lzma"])
def test_what_is_not_stored_is_told_and_filled_where_a_piece_is_stored_in_part(tmp_path: Path, kind: str) -> None:
    options: dict[str, Any] = {
        "v2": {"zarr_format": 2},
        "v3": {"zarr_format": 3},
        "shards": {"shards": (32, 32)},
        "crc32c": {"compressors": [zarr.codecs.Crc32cCodec()]},
        "crc32c-shards": {"compressors": [zarr.codecs.Crc32cCodec()], "shards": (32, 32)},
        "lzma": {"zarr_format": 2, "compressors": numcodecs.LZMA()},
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = zarr.create_array(
            str(tmp_path / "a"), shape=(64, 64), chunks=(16, 16), dtype="uint16", fill_value=7, **options
        )
        array[:16, :16] = 5
    source = open_path(tmp_path / "a")
    assert source.fill_value == 7
    boxes = [((0, 16), (0, 16)), ((0, 16), (16, 32)), ((0, 32), (0, 32)), ((32, 64), (32, 64)), ((3, 9), (20, 31))]
    pieces = [Piece(box, np.zeros([high - low for low, high in box], np.uint16)) for box in boxes]
    assert source.read(0, pieces) == [True, False, True, False, False]
    assert (pieces[0].out == 5).all()
    expected = np.full((32, 32), 7)
    expected[:16, :16] = 5
    np.testing.assert_array_equal(pieces[2].out, expected)


@pytest.mark.parametrize(("value", "expected"), [(None, 0.0), ("NaN", np.nan), ("-Infinity", -np.inf), (2.5, 2.5)])
def test_fill_values_that_json_lacks(tmp_path: Path, value: Any, expected: float) -> None:
    write(tmp_path / "a", picture((8, 8), "float32"), chunks=(8, 8), zarr_format=2)
    document = tmp_path / "a" / ".zarray"
    document.write_text(json.dumps(json.loads(document.read_text()) | {"fill_value": value}))
    np.testing.assert_equal(open_path(tmp_path / "a").fill_value, expected)


def test_a_storage_chunk_is_decoded_once_for_all_pieces(tmp_path: Path) -> None:
    data = picture((64, 64), "uint16")
    source = open_path(write(tmp_path / "a", data, chunks=(32, 32), zarr_format=3))
    array = source.arrays[0]
    assert isinstance(array, DirectArray)
    decoded = []
    decode = array._decode
    array._decode = lambda encoded, out: (decoded.append(1), decode(encoded, out))[1]
    boxes = [((i, i + 8), (j, j + 8)) for i in range(0, 32, 8) for j in range(0, 64, 8)] + [((0, 32), (0, 32))]
    pieces = [Piece(box, np.zeros([high - low for low, high in box], np.uint16)) for box in boxes]
    assert all(source.read(0, pieces))
    assert len(decoded) == 2
    for (rows, columns), out in pieces:
        np.testing.assert_array_equal(out, data[slice(*rows), slice(*columns)])


@pytest.mark.parametrize("kind", ["direct", "shards", "tensor"])
def test_several_threads_read_at_once(tmp_path: Path, kind: str) -> None:
    data = picture((256, 256), "uint16")
    options: dict[str, Any] = {
        "direct": {},
        "shards": {"shards": (64, 64)},
        "tensor": {"shards": (64, 64), "compressors": [zarr.codecs.Crc32cCodec()]},
    }[kind]
    source = open_path(write(tmp_path / "a", data, chunks=(32, 32), **options))
    start, wrong = threading.Barrier(4), []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        start.wait(10)
        for _ in range(100):
            low, extent = rng.integers(0, 200, 2), rng.integers(1, 56, 2)
            box = tuple((int(a), int(a + n)) for a, n in zip(low, extent, strict=True))
            if seed % 2:
                box = tuple((a // 32 * 32, a // 32 * 32 + 32) for a, _ in box)
            out = np.zeros([b - a for a, b in box], np.uint16)
            source.read(0, [Piece(box, out)])
            if not np.array_equal(out, data[tuple(slice(a, b) for a, b in box)]):
                wrong.append(box)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_a_zip_file_is_read_by_hand_and_by_zarr(tmp_path: Path) -> None:
    data = picture((50, 60), "uint16")
    for name, compressor in (("zstd", numcodecs.Zstd(1)), ("lzma", numcodecs.LZMA())):
        with zarr.storage.ZipStore(tmp_path / f"{name}.zarr.zip", mode="w") as store:
            zarr.create_array(
                store, shape=data.shape, dtype="u2", chunks=(16, 16), zarr_format=2, compressors=compressor
            )[...] = data
        np.testing.assert_array_equal(read_whole(open_path(tmp_path / f"{name}.zarr.zip"), 0), data)


def test_axes_of_an_array_are_its_dimension_names_and_options_override(tmp_path: Path) -> None:
    path = write(tmp_path / "a", picture((4, 5, 6), "uint8"), chunks=(4, 5, 6), dimension_names=("t", "y", "x"))
    source = open_path(path)
    assert [(axis.name, axis.kind) for axis in source.axes] == [("t", "time"), ("y", "space"), ("x", "space")]
    source = open_path(path, axes="zyx", scale=[2, 1, 0.5], translation=[1, 2, 3])
    assert [axis.name for axis in source.axes] == ["z", "y", "x"]
    assert (source.levels[0].scale, source.levels[0].translation) == ((2, 1, 0.5), (1, 2, 3))
    with pytest.raises(SourceError, match="not 2"):
        open_path(path, axes="yx")
    with pytest.raises(SourceError, match=r"does not take the option colour.*axes"):
        open_path(path, colour=1)


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_path_and_a_file_url_are_the_same(tmp_path: Path, form: str) -> None:
    data = picture((8, 8), "uint8")
    source = open_path(form.format(write(tmp_path / "an image", data, chunks=(8, 8))))
    np.testing.assert_array_equal(read_whole(source, 0), data)


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a", picture((8, 8), "uint8"), chunks=(8, 8))
    assert open_path("~/a").levels[0].shape == (8, 8)


def test_nothing_heavy_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    write(tmp_path / "a", picture((8, 8), "uint8"), chunks=(8, 8))
    script = (
        "import sys; from octree_loader.sources import open_source; from octree_loader.sources.base import SourceSpec;"
        f"open_source(SourceSpec('a', {str(tmp_path / 'a')!r}));"
        "assert not {'zarr', 'tensorstore', 'dask'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="shared/samples is absent")
@pytest.mark.parametrize("name", ["ome-zarr-0.4", "ome-zarr-0.5"])
def test_sample_pyramids(name: str) -> None:
    source = open_path(SAMPLES / name)
    assert [axis.unit for axis in source.axes] == ["nanometer", "nanometer"]
    assert [level.shape for level in source.levels] == [(10, 10), (5, 5), (2, 2)]
    assert [level.scale for level in source.levels] == [(4, 30), (8, 60), (16, 120)]
    assert [level.translation for level in source.levels] == [(0, 0), (2, 15), (6, 45)]
    for number in range(3):
        expected = zarr.open_array(SAMPLES / name / f"scale{number}" / "image", mode="r")[...]
        np.testing.assert_array_equal(read_whole(source, number), expected)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="shared/samples is absent")
def test_sample_in_a_zip_file() -> None:
    source = open_path(SAMPLES / "float32.zarr.zip")
    assert source.rgb
    assert source.levels[0].scale == (1, 1, 1)  # the file says 0, which no voxel is
    with zarr.storage.ZipStore(SAMPLES / "float32.zarr.zip", mode="r") as store:
        expected = zarr.open_array(store, path="0", mode="r")[...]
    np.testing.assert_array_equal(read_whole(source, 0), expected)
