"""TIFF files written by tifffile: every voxel of every level as tifffile itself reads it; damage and lies."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.refusals import REFUSAL_SECONDS, cost_of, growth_of_a_process

from octree_loader.planning import plan_dataset
from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec
from octree_loader.sources.codecs import encoded_bytes_most

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
RANDOM = np.random.default_rng(3)


def voxels(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray[Any, Any]:
    """Smooth enough to survive being compared after any lossless codec, and nowhere the same."""
    grid = np.indices(shape).astype(np.int64)
    values = sum(axis * (7 + 13 * number) for number, axis in enumerate(grid)) + RANDOM.integers(0, 5, shape)
    if dtype == "bool":
        return values % 3 == 0
    return (values % 251 - (60 if np.dtype(dtype).kind in "if" else 0)).astype(dtype)


def open_path(path: Path | str, **options: Any) -> Source:
    return open_source(SourceSpec("image", str(path), options))


def read_level(source: Source, level: int = 0, tile: int = 48) -> np.ndarray[Any, Any]:
    """A whole level, put together from the chunks that a client would see."""
    plan = plan_dataset(1, "image", source, tile)
    whole = np.zeros(source.levels[level].shape, source.dtype)
    pieces = []
    chunked = plan.levels[level].level
    for index in np.ndindex(*chunked.grid()):
        box = chunked.chunk_extent(index)
        pieces.append((box, np.full([high - low for low, high in box], 99, source.dtype)))
    # In portions of several, out of order, as workers get them.
    pieces = pieces[::2] + pieces[1::2]
    for first in range(0, len(pieces), 5):
        portion = [Piece(box, out) for box, out in pieces[first : first + 5]]
        for stored, (box, out) in zip(source.read(level, portion), portion, strict=True):
            whole[tuple(slice(*sides) for sides in box)] = out if stored else source.fill_value
    return whole


LAYOUTS: dict[str, dict[str, Any]] = {
    "tiled": {"tile": (32, 48)},
    "tiled deflate": {"tile": (32, 48), "compression": "zlib"},
    "tiled deflate predictor": {"tile": (64, 64), "compression": "zlib", "predictor": True},
    "tiled zstd": {"tile": (16, 16), "compression": "zstd"},
    "tiled lzw": {"tile": (32, 32), "compression": "lzw"},
    "strips": {"rowsperstrip": 7},
    "strips of one row": {"rowsperstrip": 1, "compression": "zlib"},
    "strips deflate": {"rowsperstrip": 10, "compression": "zlib"},
    "one strip": {},
    "one strip deflate": {"compression": "zlib", "rowsperstrip": 1000},
    "jpeg2000": {"tile": (64, 64), "compression": "jpeg2000"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_plane_is_what_tifffile_reads(tmp_path: Path, layout: str, byteorder: str) -> None:
    path = tmp_path / "plane.tif"
    tifffile.imwrite(path, voxels((131, 77)), byteorder=byteorder, **LAYOUTS[layout])
    source = open_path(path)
    assert [axis.name for axis in source.axes] == ["y", "x"]
    np.testing.assert_array_equal(read_level(source), tifffile.imread(path))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "uint32", "float16", "float32", "float64"])
def test_every_type_of_voxels(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "plane.tif"
    tifffile.imwrite(path, voxels((61, 33), dtype), tile=(16, 16), compression=None if dtype == "bool" else "zlib")
    source = open_path(path)
    assert source.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read_level(source), tifffile.imread(path))


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("layout", ["tiled deflate", "strips", "strips deflate", "one strip"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colours_lie_last_however_they_are_stored(tmp_path: Path, planarconfig: str, layout: str, samples: int) -> None:
    path = tmp_path / "colours.tif"
    data = voxels((75, 93, samples), "uint8")
    written = data if planarconfig == "contig" else np.moveaxis(data, -1, 0)
    tifffile.imwrite(path, written, photometric="rgb", planarconfig=planarconfig, metadata=None, **LAYOUTS[layout])
    source = open_path(path)
    assert source.rgb
    assert source.levels[0].shape == data.shape
    np.testing.assert_array_equal(read_level(source), data)


def test_a_lossy_jpeg_is_decoded_as_tifffile_decodes_it(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    data = voxels((100, 90, 3), "uint8")
    tifffile.imwrite(path, data, photometric="rgb", tile=(32, 32), compression="jpeg", metadata=None)
    np.testing.assert_array_equal(read_level(open_path(path)), tifffile.imread(path))


@pytest.mark.parametrize("order", ["TCZYX", "CTZYX", "ZTCYX", "ZCTYX"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_ome_tiff_shows_its_axes_in_one_order(tmp_path: Path, order: str, compression: str | None) -> None:
    path = tmp_path / "image.ome.tif"
    sizes = {"T": 2, "C": 3, "Z": 4, "Y": 45, "X": 37}
    data = voxels(tuple(sizes[axis] for axis in order))
    tifffile.imwrite(
        path, data, tile=(16, 32), compression=compression, metadata={
            "axes": order, "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 500.0,
            "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 2.0, "TimeIncrement": 1.5, "TimeIncrementUnit": "ms",
            "Channel": {"Name": ["DAPI", "GFP", "Cy5"], "Color": [-16776961, 0x00FF00FF, 65535]},
        }
    )  # fmt: skip
    source = open_path(path)
    assert "".join(axis.name for axis in source.axes) == "tczyx"
    assert [axis.unit for axis in source.axes] == ["millisecond", "", "micrometer", "nanometer", "micrometer"]
    assert source.levels[0].scale == (1.5, 1.0, 2.0, 500.0, 0.25)
    assert [channel.name for channel in source.channels] == ["DAPI", "GFP", "Cy5"]  # type: ignore[attr-defined]
    assert [channel.color for channel in source.channels] == ["#ff0000", "#00ff00", "#0000ff"]  # type: ignore[attr-defined]
    moved = data.transpose([order.index(axis) for axis in "TCZYX"])
    np.testing.assert_array_equal(read_level(source, tile=20), moved)


def write_pyramid(path: Path, subifds: bool, colours: bool = True) -> list[np.ndarray[Any, Any]]:
    shape = (301, 203, 3) if colours else (3, 301, 203)
    full = voxels(shape, "uint8")
    levels = [full]
    while min(levels[-1].shape[:2] if colours else levels[-1].shape[1:]) > 60:
        levels.append(np.ascontiguousarray(levels[-1][::2, ::2] if colours else levels[-1][:, ::2, ::2]))
    options: dict[str, Any] = {
        "tile": (64, 64),
        "compression": "zlib",
        "photometric": "rgb" if colours else "minisblack",
    }
    with tifffile.TiffWriter(path, ome=subifds) as writer:
        if subifds:
            writer.write(full, subifds=len(levels) - 1, metadata={"axes": "YXS" if colours else "CYX"}, **options)
            for level in levels[1:]:
                writer.write(level, subfiletype=1, **options)
        else:
            for number, level in enumerate(levels):
                writer.write(level, metadata=None, description=None, subfiletype=1 if number else 0, **options)
    return levels


@pytest.mark.parametrize("colours", [True, False])
def test_levels_in_subifds(tmp_path: Path, colours: bool) -> None:
    levels = write_pyramid(tmp_path / "image.ome.tif", True, colours)
    source = open_path(tmp_path / "image.ome.tif")
    assert [level.shape for level in source.levels] == [level.shape for level in levels]
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(read_level(source, number), level)
    # Edges of all levels fall together.
    y = source.levels[0].shape.index(301)
    assert [level.scale[y] for level in source.levels] == [1.0, 2.0, 4.0]
    assert [level.translation[y] for level in source.levels] == [0.0, 0.5, 1.5]


def test_levels_as_pages(tmp_path: Path) -> None:
    levels = write_pyramid(tmp_path / "pages.tif", False)
    source = open_path(tmp_path / "pages.tif")
    assert [level.shape for level in source.levels] == [level.shape for level in levels]
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(read_level(source, number), level)


def test_pages_of_a_slide_are_levels_and_its_label_is_an_image_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    full, label = voxels((256, 320, 3), "uint8"), voxels((50, 70, 3), "uint8")
    description = "Aperio Image Library v10\n320x256 (64x64) JPEG/RGB Q=70|AppMag = 20|MPP = 0.499"
    options = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(full, tile=(64, 64), compression="zlib", description=description, **options)
        thumbnail = "Aperio Image Library v10\n320x256 -> 80x64 - |AppMag = 20"
        writer.write(full[::4, ::4], compression="zlib", description=thumbnail, **options)
        writer.write(full[::4, ::4], tile=(64, 64), compression="zlib", description=description, **options)
        writer.write(
            label, compression="lzw", description="Aperio Image Library v10\nlabel 70x50", subfiletype=1, **options
        )
    source = open_path(path)
    assert [level.shape[:2] for level in source.levels] == [(256, 320), (64, 80)]
    assert source.levels[0].scale[:2] == (0.499, 0.499)
    np.testing.assert_array_equal(read_level(source), full)
    np.testing.assert_array_equal(read_level(source, 1), full[::4, ::4])
    from octree_loader.sources.local import images_inside

    names = dict(images_inside(str(path)))
    assert "Label" in names
    np.testing.assert_array_equal(read_level(open_path(names["Label"])), label)


def test_pages_are_a_stack_and_an_imagej_file_says_its_axes(tmp_path: Path) -> None:
    data = voxels((5, 31, 47))
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for plane in data:
            writer.write(plane, compression="zlib", metadata=None, contiguous=False)
    source = open_path(tmp_path / "pages.tif")
    assert [axis.name for axis in source.axes] == ["z", "y", "x"]
    np.testing.assert_array_equal(read_level(source), data)

    hyper = voxels((2, 3, 4, 31, 47))  # t z c y x, as ImageJ has it
    tifffile.imwrite(
        tmp_path / "hyper.tif", hyper, imagej=True, resolution=(4.0, 2.0),
        metadata={"axes": "TZCYX", "spacing": 3.0, "unit": "um", "finterval": 2.0, "Ranges": (0.0, 9.0) * 4},
    )  # fmt: skip
    source = open_path(tmp_path / "hyper.tif")
    assert "".join(axis.name for axis in source.axes) == "tczyx"
    assert source.levels[0].scale == (2.0, 1.0, 3.0, 0.5, 0.25)
    assert source.channels[3].window == (0.0, 9.0)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(read_level(source), hyper.transpose(0, 2, 1, 3, 4))


def test_several_images_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    images = [voxels((41, 53)), voxels((3, 22, 19), "uint8")]
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(images[0], metadata={"axes": "YX", "Name": "first"})
        writer.write(
            images[1], photometric="minisblack", metadata={"axes": "ZYX", "Name": "second", "PhysicalSizeZ": 7.0}
        )
    from octree_loader.sources.local import images_inside

    inside = images_inside(str(path))
    assert [name for name, _ in inside] == ["first", "second"]
    for (_, location), image in zip(inside, images, strict=True):
        np.testing.assert_array_equal(read_level(open_path(location)), image)
    assert open_path(f"{path}/1").levels[0].scale[0] == 7.0
    with pytest.raises(SourceError, match="has 2"):
        open_path(f"{path}/2")


def test_a_tile_that_was_never_written_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    tiles = [np.full((32, 32), 7, np.uint8), None, None, np.full((32, 32), 9, np.uint8)]
    tifffile.imwrite(
        path,
        iter(tiles),
        shape=(64, 64),
        dtype=np.uint8,
        tile=(32, 32),
        compression="zlib",
    )
    source = open_path(path)
    outs = [np.full((32, 32), 99, np.uint8) for _ in range(4)]
    boxes = [((y, y + 32), (x, x + 32)) for y in (0, 32) for x in (0, 32)]
    assert source.read(0, [Piece(b, o) for b, o in zip(boxes, outs, strict=True)]) == [True, False, False, True]
    assert (outs[0] == 7).all()
    whole = np.full((64, 64), 99, np.uint8)
    assert source.read(0, [Piece(((0, 64), (0, 64)), whole)]) == [True]
    np.testing.assert_array_equal(whole, tifffile.imread(path))


def test_a_tile_is_decoded_once_for_all_that_is_wanted_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiles.tif"
    data = voxels((256, 256))
    tifffile.imwrite(path, data, tile=(128, 128), compression="zlib")
    source: Any = open_path(path)
    array = source.arrays[0]
    decoded = []
    original = array._decode
    monkeypatch.setattr(array, "_decode", lambda job, data: (decoded.append(job.number), original(job, data))[1])
    pieces = [
        Piece(((y, y + 64), (x, x + 64)), np.empty((64, 64), np.uint16))
        for y in range(0, 256, 64)
        for x in range(0, 256, 64)
    ]
    assert all(source.read(0, pieces))
    assert len(decoded) == len(set(decoded)) == 4
    for box, out in pieces:
        np.testing.assert_array_equal(out, data[tuple(slice(*sides) for sides in box)])


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no samples here")
@pytest.mark.parametrize("name", ["multi-channel.ome.tif", "pyramid-10000x5000.tiff"])
def test_samples(name: str) -> None:
    source = open_path(SAMPLES / name)
    with tifffile.TiffFile(SAMPLES / name) as file:
        levels = file.series[0].levels
        assert [level.shape for level in source.levels] == [level.shape for level in levels]
        for number, level in reversed(list(enumerate(levels))):
            if number:
                np.testing.assert_array_equal(read_level(source, number, 256), level.asarray())
                continue
            expected = level.asarray()
            box = tuple((max(0, n - 700), n) for n in expected.shape)
            out = np.empty([high - low for low, high in box], source.dtype)
            assert source.read(0, [Piece(box, out)]) == [True]
            np.testing.assert_array_equal(out, expected[tuple(slice(*sides) for sides in box)])


# --- damage and lies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["tiled deflate", "tiled zstd", "strips", "one strip"])
def test_a_truncated_file_fails_where_it_is_cut_and_not_elsewhere(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "cut.tif"
    data = voxels((300, 200))
    tifffile.imwrite(path, data, **LAYOUTS[layout])
    with tifffile.TiffFile(path) as file:
        end = file.pages[0].dataoffsets[-1] + file.pages[0].databytecounts[-1]
    source = open_path(path)
    with path.open("r+b") as handle:
        handle.truncate(end - 20)
    with pytest.raises(SourceError, match="truncated"):
        source.read(0, [Piece(((299, 300), (199, 200)), np.empty((1, 1), np.uint16))])
    if layout != "one strip":
        first = Piece(((0, 16), (0, 16)), np.empty((16, 16), np.uint16))
        if layout == "strips":  # what is mapped as one array is refused as one
            with pytest.raises(SourceError, match="truncated"):
                source.read(0, [first])
        else:
            assert source.read(0, [first]) == [True]
            np.testing.assert_array_equal(first.out, data[:16, :16])


def test_a_corrupt_tile_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "corrupt.tif"
    data = voxels((128, 128))
    tifffile.imwrite(path, data, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset, length = file.pages[0].dataoffsets[1], file.pages[0].databytecounts[1]
    with path.open("r+b") as handle:
        handle.seek(offset)
        handle.write(b"\xa5" * length)
    source = open_path(path)
    out = np.empty((64, 64), np.uint16)
    with pytest.raises(SourceError, match=r"tile 1 .* cannot be decoded"):
        source.read(0, [Piece(((0, 64), (64, 128)), out)])
    assert source.read(0, [Piece(((64, 128), (64, 128)), out)]) == [True]
    np.testing.assert_array_equal(out, data[64:, 64:])


def patched(path: Path, tag: int, value: int) -> None:
    """Write another value into a tag of the first page (a number of 4 bytes that stands in the tag itself)."""
    with tifffile.TiffFile(path) as file:
        entry = file.pages[0].tags[tag]
        at, kind = entry.offset, entry.dtype
    with path.open("r+b") as handle:
        handle.seek(at + 2)
        handle.write(struct.pack("<HII", 4, 1, value) if kind else b"")


def claimed(path: Path, tag: int, count: int) -> None:
    """Let a tag of the first page claim to have so many values."""
    with tifffile.TiffFile(path) as file:
        at = file.pages[0].tags[tag].offset
    with path.open("r+b") as handle:
        handle.seek(at + 4)
        handle.write(struct.pack("<I", count))


LIES: dict[str, Callable[[Path], None]] = {
    "width 2^31": lambda path: patched(path, 256, 1 << 31),
    "tiles 2^24 wide": lambda path: patched(path, 322, 1 << 24),
    "tiles without width": lambda path: patched(path, 322, 0),
    "2^31 offsets": lambda path: claimed(path, 324, 1 << 31),
    "2^31 lengths": lambda path: claimed(path, 325, 1 << 31),
    "cut in its header": lambda path: path.write_bytes(path.read_bytes()[:12]),
    "no bytes": lambda path: path.write_bytes(b""),
    "no TIFF": lambda path: path.write_bytes(b"hello, I am a text\n" * 30),
    "pages in a circle": lambda path: path.write_bytes(path.read_bytes()[:4] + struct.pack("<I", 4) + b"\xff" * 200),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_refused_soon(tmp_path: Path, lie: str) -> None:
    tifffile.imwrite(tmp_path / "warm.tif", voxels((64, 64)), tile=(32, 32), compression="zlib")
    open_path(tmp_path / "warm.tif")
    path = tmp_path / "lie.tif"
    tifffile.imwrite(path, voxels((64, 64)), tile=(32, 32), compression="zlib")
    LIES[lie](path)

    def refuse() -> None:
        with pytest.raises(SourceError):  # noqa: PT012  # it may open: then no tile of it can be read
            source = open_path(path)
            size = source.levels[0].shape
            box = tuple((n - 1, n) for n in size)
            source.read(0, [Piece(box, np.empty((1,) * len(size), source.dtype))])

    cost = cost_of(refuse)
    assert cost.seconds < REFUSAL_SECONDS
    assert cost.nbytes < 16 << 20


def test_xml_that_grows_is_refused(tmp_path: Path) -> None:
    """Ten entities, each ten times the one before: a gigabyte of a kilobyte."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    xml = f'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY l0 "{"lol" * 10}">{laughs}]><OME>&l9;</OME>'
    path = tmp_path / "bomb.ome.tif"
    tifffile.imwrite(path, voxels((64, 64)), description=xml.encode(), metadata=None)

    def refuse() -> None:
        with pytest.raises(SourceError, match="XML entities of its own"):
            open_path(path)

    cost = cost_of(refuse)
    assert cost.seconds < REFUSAL_SECONDS
    assert cost.nbytes < 16 << 20


def test_a_tile_that_is_a_huge_picture_takes_no_more_than_it_may(tmp_path: Path) -> None:
    """A tile of 64 x 64 whose data are 4096 x 4096, in a codec whose size nobody can ask for beforehand."""
    import imagecodecs

    huge = imagecodecs.jpegxr_encode(np.zeros((4096, 4096, 3), np.uint8))
    path = tmp_path / "bomb.tif"
    options: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "compression": "JPEGXR"}
    # As it is written, it would be refused for its length alone.
    huge = huge[: encoded_bytes_most(64 * 64 * 3)]
    tifffile.imwrite(path, iter([huge]), shape=(64, 64, 3), dtype=np.uint8, **options)
    assert growth_of_a_process(str(path), (64, 64, 3), "tile 0") < 24 << 20
    # An honest tile of the same codec is read.
    honest = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    tifffile.imwrite(path, honest, compressionargs={"level": 1.0}, **options)
    np.testing.assert_array_equal(read_level(open_path(path)), tifffile.imread(path))


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    """A tile of 64 x 64 that holds a JPEG of 20000 x 20000, and one that inflates to 100 MB."""
    import io
    import zlib

    from PIL import Image

    huge = io.BytesIO()
    Image.new("L", (6000, 6000)).save(huge, "JPEG")
    path = tmp_path / "jpeg.tif"
    tifffile.imwrite(path, iter([huge.getvalue()]), shape=(64, 64), dtype=np.uint8, tile=(64, 64), compression="jpeg")
    out = np.empty((64, 64), np.uint8)
    with pytest.raises(SourceError, match=r"bytes, more than it can|decodes to 6000 x 6000"):
        open_path(path).read(0, [Piece(((0, 64), (0, 64)), out)])

    path = tmp_path / "deflate.tif"
    inflated = zlib.compress(bytes(5_000_000))
    tifffile.imwrite(path, iter([inflated]), shape=(64, 64), dtype=np.uint8, tile=(64, 64), compression="zlib")
    source = open_path(path)
    tracemalloc.start()
    try:
        # It is decoded up to what a tile can be, or refused; it is not let grow.
        with contextlib.suppress(SourceError):
            source.read(0, [Piece(((0, 64), (0, 64)), out)])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_pages_in_files_elsewhere_are_not_read(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "secret.tif"
    inside.mkdir()
    path = inside / "image.ome.tif"
    data = voxels((2, 32, 32))
    tifffile.imwrite(path, data, metadata={"axes": "ZYX"}, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        xml = file.ome_metadata
    assert xml is not None
    identity = "urn:uuid:11111111-1111-1111-1111-111111111111"
    data_of = '<TiffData IFD="0" PlaneCount="1"><UUID FileName="../secret.tif">' + identity + "</UUID></TiffData>"
    start, end = xml.index("<TiffData"), xml.index("</Pixels>")
    lying = xml[:start] + data_of + xml[end:]
    tifffile.imwrite(path, data, description=lying.encode(), metadata=None, photometric="minisblack")
    tifffile.imwrite(outside, data + 1, description=lying.replace("UUID=", "X=").encode(), metadata=None)
    with pytest.raises(SourceError, match="only files beside it are read"):
        read_level(open_path(path))
