"""Missing, truncated, corrupt and hostile data: one `SourceError` in plain words, soon, and with little memory."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import mmap
import os
import shutil
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.refusals import REFUSAL_SECONDS, cost_of

from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec
from octree_loader.sources.codecs import CODECS, decoder_of
from octree_loader.sources.zarr_metadata import parse_array

COMPRESSORS: dict[str, Any] = {
    "none": None,
    "blosc": numcodecs.Blosc("lz4", 5, 1),
    "zstd": numcodecs.Zstd(3),
    "gzip": numcodecs.GZip(3),
    "zlib": numcodecs.Zlib(3),
    "lz4": numcodecs.LZ4(),
}
DATA = (np.arange(64 * 64, dtype=np.uint16) % 251).reshape(64, 64)
WHOLE = ((0, 64), (0, 64))


def write(path: Path, codec: str, **options: Any) -> Path:
    array = zarr.create_array(
        str(path), shape=(64, 64), chunks=(64, 64), dtype="u2", zarr_format=2, compressors=COMPRESSORS[codec], **options
    )
    array[...] = DATA
    return path


def open_path(path: Path | str) -> Source:
    return open_source(SourceSpec("image", str(path)))


def read(source: Source, box: Any = WHOLE) -> np.ndarray[Any, Any]:
    out = np.zeros([high - low for low, high in box], source.dtype)
    source.read(0, [Piece(box, out)])
    return out


def test_the_measure_of_memory_measures() -> None:
    def use_memory() -> None:
        # Of the system's, not of the allocator's: what other tests gave back to that may still be resident.
        with mmap.mmap(-1, 48 << 20) as memory:
            for page in range(0, len(memory), mmap.PAGESIZE):
                memory[page] = 1

    assert cost_of(use_memory).nbytes > 40 << 20


# --- chunks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", COMPRESSORS)
@pytest.mark.parametrize("keep", [0, 1, 3, 4, 15, 16, 40, -1])
def test_a_truncated_chunk_names_its_file(tmp_path: Path, codec: str, keep: int) -> None:
    path = write(tmp_path / "a", codec)
    chunk = path / "0.0"
    chunk.write_bytes(chunk.read_bytes()[:keep])
    with pytest.raises(SourceError, match=r"a/0\.0"):
        read(open_path(path))


@pytest.mark.parametrize("codec", COMPRESSORS)
def test_a_chunk_that_decodes_to_another_size_is_refused(tmp_path: Path, codec: str) -> None:
    source = open_path(write(tmp_path / "a", codec))
    for values in (np.zeros(64 * 64 - 1, "u2"), np.zeros(64 * 64 + 1, "u2")):
        compressor = COMPRESSORS[codec]
        encoded = values.tobytes() if compressor is None else bytes(compressor.encode(values))
        (tmp_path / "a" / "0.0").write_bytes(encoded)
        with pytest.raises(SourceError, match=r"a/0\.0"):
            read(source)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(CODECS)), st.binary(max_size=300), st.integers(0, 400), st.booleans())
def test_no_bytes_do_anything_but_decode_or_be_refused(codec: str, garbage: bytes, at: int, whole: bool) -> None:
    nbytes = 2048
    data = (np.arange(nbytes) % 7).astype(np.uint8)
    compressor = COMPRESSORS[codec]
    honest = data.tobytes() if compressor is None else bytes(compressor.encode(data))
    encoded = garbage if whole else honest[:at] + garbage + honest[at + len(garbage) :]
    out = np.zeros(nbytes + 64, np.uint8)
    try:
        decoder_of(codec, nbytes)(memoryview(encoded), out[:nbytes])
    except (ValueError, RuntimeError, zlib.error):
        pass
    assert not out[nbytes:].any()


def bombs(nbytes: int) -> dict[str, bytes]:
    zeros = bytes(1 << 30)
    frames = {
        "zstd": bytes(numcodecs.Zstd(1).encode(np.frombuffer(zeros, "u1"))),
        "gzip": gzip.compress(zeros, 1),
        "zlib": zlib.compress(zeros, 1),
        "blosc": struct.pack("<4B3I", 2, 1, 0x21, 2, (1 << 31) - 17, 1 << 20, 16 + 100) + bytes(100),
        "lz4": struct.pack("<i", (1 << 31) - 1) + bytes(100),
        "none": bytes(nbytes * 3),
    }
    return frames


def test_bombs_cost_no_memory_and_no_time(tmp_path: Path) -> None:
    made = bombs(DATA.nbytes)
    for codec, bomb in made.items():
        path = write(tmp_path / codec, codec)
        (path / "0.0").write_bytes(bomb)
        source = open_path(path)

        def explode(source: Source = source) -> None:
            with pytest.raises(SourceError):
                read(source)

        grown, seconds = cost_of(explode)
        assert grown < 16 << 20, codec
        assert seconds < REFUSAL_SECONDS, codec


@pytest.mark.parametrize("codec", ["gzip", "zlib", "zstd", "bz2", "lzma"])
def test_bombs_behind_filters_and_in_rarer_codecs(tmp_path: Path, codec: str) -> None:
    zeros = bytes(1 << 26)
    compressor, compress = {
        "gzip": (numcodecs.GZip(1), lambda: gzip.compress(zeros, 1)),
        "zlib": (numcodecs.Zlib(1), lambda: zlib.compress(zeros, 1)),
        "zstd": (numcodecs.Zstd(1), lambda: bytes(numcodecs.Zstd(1).encode(zeros))),
        "bz2": (numcodecs.BZ2(1), lambda: bz2.compress(zeros, 1)),
        "lzma": (numcodecs.LZMA(), lambda: lzma.compress(zeros, preset=0)),
    }[codec]
    array = zarr.create_array(
        str(tmp_path / "a"), shape=(1024, 1024), chunks=(1024, 1024), dtype="u2", zarr_format=2,
        compressors=compressor, filters=[numcodecs.Delta("<u2")],
    )  # fmt: skip
    array[...] = 7
    (tmp_path / "a" / "0.0").write_bytes(compress())
    source = open_path(tmp_path / "a")

    def explode() -> None:
        with pytest.raises(SourceError, match="decodes to"):
            read(source, ((0, 16), (0, 16)))

    cost = cost_of(explode)
    assert cost.nbytes < 16 << 20
    assert cost.seconds < REFUSAL_SECONDS


def test_a_zstd_bomb_that_hides_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "zstd")
    # A frame without a content size (descriptor 0): a window of 1 KiB, then blocks of type RLE, 128 KiB each.
    block = struct.pack("<I", (131072 << 3) | 2)[:3] + b"\0"
    (path / "0.0").write_bytes(b"\x28\xb5\x2f\xfd\x00\x58" + block * 2000)
    source = open_path(path)

    def explode() -> None:
        with pytest.raises(SourceError):
            read(source)

    grown, seconds = cost_of(explode)
    assert grown < 16 << 20
    assert seconds < REFUSAL_SECONDS


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
def test_garbage_in_shards_and_in_what_tensorstore_reads(tmp_path: Path, shards: bool, checksum: bool) -> None:
    options: dict[str, Any] = {"shards": (64, 64)} if shards else {}
    if checksum:
        options["compressors"] = [zarr.codecs.Crc32cCodec()]
    array = zarr.create_array(str(tmp_path / "a"), shape=(64, 64), chunks=(32, 32), dtype="u2", **options)
    array[...] = DATA
    source = open_path(tmp_path / "a")
    chunk = tmp_path / "a" / "c" / "0" / "0"
    honest = chunk.read_bytes()
    for garbage in (b"", b"garbage", honest[:-1], honest[: len(honest) // 2], honest[:-30] + b"x" * 30, b"y" * 10**7):
        chunk.write_bytes(garbage)
        with pytest.raises(SourceError, match="a"):
            read(source, ((0, 32), (0, 32)))


def test_a_disk_that_is_unmounted_is_not_empty(tmp_path: Path) -> None:
    source = open_path(write(tmp_path / "a", "zstd"))
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(SourceError, match="vanished") as caught:
        read(source)
    assert caught.value.transient


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_chunk_that_may_not_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "zstd")
    (path / "0.0").chmod(0)
    with pytest.raises(SourceError, match=r"a/0\.0.*Permission denied"):
        read(open_path(path))


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_chunk_that_is_no_file(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a", "none")
    (path / "0.0").unlink()
    (os.mkfifo if kind == "pipe" else os.mkdir)(path / "0.0")
    with pytest.raises(SourceError, match=r"a/0\.0"):
        read(open_path(path))


# --- links -----------------------------------------------------------------------------------------------------------


def write_nested(path: Path) -> Path:
    encoding = {"name": "v2", "separator": "/"}
    zarr.create_array(
        str(path),
        shape=(64, 64),
        chunks=(64, 64),
        dtype="u2",
        zarr_format=2,
        compressors=None,
        chunk_key_encoding=encoding,
    )[...] = DATA
    return path


@pytest.mark.parametrize("what", ["file", "folder", "metadata"])
def test_no_link_leads_out_of_the_dataset(tmp_path: Path, what: str) -> None:
    path = write_nested(tmp_path / "a")
    secret = tmp_path / "secret"
    inside = {"file": path / "0" / "0", "folder": path / "0", "metadata": path / ".zarray"}[what]
    inside.rename(secret)
    inside.symlink_to(secret)
    with pytest.raises(SourceError, match="leads out of the dataset"):
        read(open_path(path))


@pytest.mark.parametrize("compressors", ["auto", [zarr.codecs.Crc32cCodec()]])
def test_no_link_leads_to_shards_outside_the_dataset(tmp_path: Path, compressors: Any) -> None:
    array = zarr.create_array(
        str(tmp_path / "a"), shape=(64, 64), chunks=(32, 32), shards=(64, 64), dtype="u2", compressors=compressors
    )
    array[...] = DATA
    (tmp_path / "a" / "c").rename(tmp_path / "secret")
    (tmp_path / "a" / "c").symlink_to(tmp_path / "secret")
    with pytest.raises(SourceError, match="leads out of the dataset"):
        read(open_path(tmp_path / "a"))


@pytest.mark.parametrize("what", ["file", "folder"])
def test_links_inside_the_dataset_are_followed(tmp_path: Path, what: str) -> None:
    path = write_nested(tmp_path / "a")
    inside = {"file": path / "0" / "0", "folder": path / "0"}[what]
    inside.rename(path / "elsewhere")
    inside.symlink_to(path / "elsewhere")
    np.testing.assert_array_equal(read(open_path(path)), DATA)


@pytest.mark.parametrize("level", ["../secret", "/etc", "a/../../secret", "..", "x\0y", "\\\\host\\share", "link"])
def test_no_level_lies_outside_the_dataset(tmp_path: Path, level: str) -> None:
    write(tmp_path / "secret", "none")
    path = tmp_path / "a"
    path.mkdir()
    (path / "link").symlink_to(tmp_path / "secret")
    (path / ".zattrs").write_text(json.dumps({"multiscales": [{"datasets": [{"path": level}]}]}))
    with pytest.raises(SourceError, match=r"downwards only|leads out"):
        open_path(path)


# --- metadata --------------------------------------------------------------------------------------------------------

HONEST = {
    "shape": [64, 64],
    "chunks": [64, 64],
    "dtype": "<u2",
    "compressor": None,
    "fill_value": 0,
    "filters": None,
    "order": "C",
    "zarr_format": 2,
}


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"shape": [-1, 64]}, "at least one voxel"),
        ({"shape": [0, 64]}, "at least one voxel"),
        ({"shape": [1 << 60, 64]}, r"2\^52"),
        ({"shape": [64]}, "2 to 8"),
        ({"shape": [2] * 9, "chunks": [2] * 9}, "2 to 8"),
        ({"shape": [64.5, 64]}, "whole numbers"),
        ({"shape": "big"}, "whole numbers"),
        ({"shape": None}, "whole numbers"),
        ({"chunks": [64]}, "chunks of shape"),
        ({"chunks": [0, 64]}, "chunks of shape"),
        ({"chunks": [1 << 20, 1 << 20]}, "GiB"),
        ({"chunks": [1 << 18, 1 << 17], "shape": [1 << 40, 1 << 40]}, "64 GiB"),
        ({"dtype": "<M8[ns]"}, "only booleans and numbers"),
        ({"dtype": "|O"}, "only booleans and numbers"),
        ({"dtype": [["r", "u1"], ["g", "u1"]]}, "structured"),
        ({"dtype": "nonsense"}, "not valid metadata"),
        ({"fill_value": "abc"}, "fill_value"),
        ({"fill_value": -1}, "fill_value"),
        ({"fill_value": 70000}, "fill_value"),
        ({"compressor": 17}, "not valid metadata"),
        ({"compressor": {}}, "lacks the key 'id'"),
        ({"compressor": {"id": "no-such-codec"}}, "does not open"),
        ({"dimension_separator": "-"}, "dimension_separator"),
        ({"zarr_format": 9}, "zarr_format"),
    ],
)
def test_metadata_that_lie(tmp_path: Path, lie: dict[str, Any], words: str) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / ".zarray").write_text(json.dumps(HONEST | lie))
    with pytest.raises(SourceError, match=words) as caught:
        open_path(path)
    assert "\n" not in str(caught.value)[:300]


@pytest.mark.parametrize("text", ["", "{", "[]", "17", "nul", '{"shape": 1e999}', "[" * 100_000, "\x00", "9" * 10_000])
@pytest.mark.parametrize("name", [".zarray", "zarr.json", ".zattrs"])
def test_broken_json(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=r"image"):
        open_path(tmp_path)


def test_metadata_without_end_are_not_read(tmp_path: Path) -> None:
    with open(tmp_path / ".zarray", "wb") as file:
        file.truncate(64 << 30)

    def refuse() -> None:
        with pytest.raises(SourceError, match="longer than"):
            open_path(tmp_path)

    grown, seconds = cost_of(refuse)
    assert grown < 32 << 20
    assert seconds < REFUSAL_SECONDS


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["default", "regular"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "configuration", "id"]), inner)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=400)
@given(
    st.dictionaries(
        st.sampled_from(["shape", "chunks", "dtype", "data_type", "codecs", "fill_value", "chunk_grid", "compressor"]),
        _JSON,
    ),
    st.sampled_from([2, 3]),
)
def test_any_metadata_are_read_or_refused(lie: dict[str, Any], zarr_format: int) -> None:
    version_3 = {
        "zarr_format": 3,
        "data_type": "uint8",
        "shape": [4, 4],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}},
        "codecs": [{"name": "bytes"}],
        "fill_value": 0,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parse_array((version_3 if zarr_format == 3 else HONEST) | lie, "here")
        except SourceError:
            pass


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("no/such/place.zarr", "does not exist"),
        ("", "is a path"),
        ("a\0b", "is a path"),
        ("x" * 5000, "does not"),
        ("ftp://bucket/image.zarr", "cannot be opened: give a path, or a URL"),
        ("http:///image.zarr", "names no machine"),
        ("file://elsewhere/image.zarr", "machine 'elsewhere'"),
        ("file:///%00", "NUL"),
        ("/dev/zero", "neither"),
        (__file__, "no image"),
        (str(Path(__file__).parent), "is no Zarr"),
    ],
)
def test_a_location_that_is_no_image(location: str, words: str) -> None:

    def refuse() -> None:
        with pytest.raises(SourceError, match=words):
            open_source(SourceSpec("image", location))

    assert cost_of(refuse).seconds < REFUSAL_SECONDS


def test_zip_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr.zip"
    for data in (b"", b"PK\3\4 nonsense", bytes(1000)):
        path.write_bytes(data)
        with pytest.raises(SourceError, match="no valid zip"):
            open_path(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(".zarray", json.dumps(HONEST))
        file.writestr("0.0", bytes(50 << 20))
    with pytest.raises(SourceError, match="longer than"):
        read(open_path(path))


@pytest.mark.parametrize("header", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY\x09\x00" + bytes(99)])
def test_npy_files_that_are_none(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(header)
    with pytest.raises(SourceError, match=r"a\.npy"):
        open_path(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", ["(1000000, 1000000)", "(-1, 5)", "(5,)", "(0, 5)"])
def test_npy_files_that_lie(tmp_path: Path, shape: str) -> None:
    text = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(100))
    with pytest.raises(SourceError, match=r"a\.npy"):
        open_path(tmp_path / "a.npy")


def test_a_bomb_in_a_shard(tmp_path: Path) -> None:
    array = zarr.create_array(str(tmp_path / "a"), shape=(64, 64), chunks=(32, 32), shards=(64, 64), dtype="u2")
    array[...] = DATA
    bomb = bytes(numcodecs.Zstd(19).encode(np.zeros(1 << 27, np.uint8)))
    assert len(bomb) < 16 << 10  # more than a shard can have would be refused for that
    index = struct.pack("<8Q", *(number for _ in range(4) for number in (0, len(bomb))))
    source = open_path(tmp_path / "a")
    read(source, ((0, 32), (0, 32)))
    chunk = tmp_path / "a" / "c" / "0" / "0"
    chunk.write_bytes(bomb + index + struct.pack("<I", google_crc32c.value(index)))

    def explode() -> None:
        with pytest.raises(SourceError):
            read(source, ((0, 32), (0, 32)))

    grown, seconds = cost_of(explode)
    assert grown < 16 << 20
    assert seconds < REFUSAL_SECONDS


@pytest.mark.parametrize("entry", [(0, 1 << 40), (1 << 62, 10), ((1 << 64) - 1, 5), (50, 1000)])
def test_the_index_of_a_shard_that_lies(tmp_path: Path, entry: tuple[int, int]) -> None:
    array = zarr.create_array(str(tmp_path / "a"), shape=(64, 64), chunks=(32, 32), shards=(64, 64), dtype="u2")
    array[...] = DATA
    index = struct.pack("<8Q", *entry * 4)
    data = bytes(100) + index + struct.pack("<I", google_crc32c.value(index))
    (tmp_path / "a" / "c" / "0" / "0").write_bytes(data)
    source = open_path(tmp_path / "a")

    def explode() -> None:
        with pytest.raises(SourceError, match="damaged"):
            read(source, ((0, 32), (0, 32)))

    assert cost_of(explode).nbytes < 16 << 20
