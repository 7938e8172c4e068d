"""HDF5 files: Imaris and BigDataViewer pyramids, and single datasets (``file.h5:/path/in/file``).

h5py reads the structure, `hdf5_array` the voxels. No link is followed that leads into another file. Knows nothing of
chunks.

Layouts: https://imaris.oxinst.com/support/imaris-file-format and
https://imagej.net/plugins/bdv/#the-hdf5-image-data-format
"""

from __future__ import annotations

import math
import re
import weakref
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from octree_loader.sources.assembled import AssembledSource, Placing, assemble
from octree_loader.sources.base import LevelArray, SourceError
from octree_loader.sources.hdf5_array import open_dataset
from octree_loader.sources.image_file import ImageFile, LocalFile, watched
from octree_loader.sources.joined import JoinedArray
from octree_loader.sources.placement import Numbers, axis_named
from octree_loader.sources.remote_file import RemoteStream
from octree_protocol import limits
from octree_protocol.geometry import Axis, Channel

#: Names of files that HDF5 reads.
SUFFIXES = (".h5", ".hdf5", ".hdf", ".ims", ".he5")

#: Objects looked at where a file has to be searched for its datasets.
_SEARCH_OBJECTS, _SEARCH_DEPTH = 10_000, 16

_TCZYX = tuple(axis_named(name) for name in "tczyx")
_SETUP = re.compile(r"s\d\d+")
_TIME = re.compile(r"t\d{5,}")

#: The longest XML file beside a BDV file: one of a thousand setups has about a MiB.
_XML_BYTES = 16 << 20


class _Opened(NamedTuple):
    """An HDF5 file, where it is, and the stream that it is read from if it lies far away."""

    file: Any
    where: str
    image: ImageFile
    stream: RemoteStream | None

    def dataset(self, place: str, dataset: Any, shape: tuple[int, ...] | None = None) -> LevelArray:
        return open_dataset(f"{self.where}:/{place}", dataset, shape, self.stream)


def open_hdf5(image: ImageFile, inner: str, options: Placing) -> AssembledSource:
    """Open one image of an HDF5 file: that at `inner`, or the only one, or the largest by far. Raises `SourceError`."""
    opened = _open(image)
    with watched(opened.stream):
        return _open_image(opened, inner.strip("/"), options)


def _open_image(opened: _Opened, inner: str, options: Placing) -> AssembledSource:
    file, path = opened.file, opened.where
    if not inner and _group(file, "DataSet/ResolutionLevel 0") is not None:
        return _open_imaris(opened, options)
    setups = _setups(file)
    if setups and (not inner or inner in setups):
        if not inner and len(setups) > 1:
            raise _several(path, setups)
        return _open_bdv(opened, inner or setups[0], options)
    if not inner:
        found = _datasets(file)
        if not found:
            raise SourceError(
                f"{path} has no dataset of numbers with 2 to {limits.AXES} axes: there is nothing to show"
            )
        inner = _the_largest(found) or ""
        if not inner:
            raise _several(path, sorted(found))
    dataset = _node(file, inner)
    if dataset is None or not hasattr(dataset, "shape"):
        raise SourceError(f"{path} has no dataset {inner!r}: it has {', '.join(list(_datasets(file))[:8]) or 'none'}")
    return assemble(path, [opened.dataset(inner, dataset)], Placing(), options)


def images_inside(image: ImageFile) -> list[tuple[str, str]]:
    """Names of the images in a file, and places inside of it, if it has several."""
    opened = _open(image)
    with watched(opened.stream):
        if _group(opened.file, "DataSet/ResolutionLevel 0") is not None:
            return []
        names = _setups(opened.file) or sorted(_datasets(opened.file))
    return [(name, f":/{name}") for name in names] if len(names) > 1 else []


def _several(path: str, names: list[str]) -> SourceError:
    listed = ", ".join(f"{path}:/{name}" for name in names[:8]) + (", ..." if len(names) > 8 else "")
    return SourceError(f"{path} has {len(names)} images: give one of them ({listed})")


def _open(image: ImageFile) -> _Opened:
    import h5py

    stream = None if isinstance(image, LocalFile) else image.stream()
    try:
        with watched(stream):
            # Nothing is cached: the arena is the only cache. Nobody is kept from writing.
            file = h5py.File(image.where if stream is None else stream, "r", rdcc_nbytes=0, locking=False)
    except SourceError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise SourceError(
            f"{image.where} is no HDF5 file that can be read ({error}): it is damaged, copy it again"
        ) from error
    weakref.finalize(file, file.id.close)
    return _Opened(file, image.where, image, stream)


# --- finding --------------------------------------------------------------------------------------------------------


def _node(file: Any, path: str) -> Any | None:
    """What lies at a path, or None. Only hard links are followed: others lead anywhere, into other files too."""
    import h5py

    node = file
    for name in path.split("/"):
        try:
            if not isinstance(node, h5py.Group) or not isinstance(node.get(name, getlink=True), h5py.HardLink):
                return None
            node = node[name]
        except (KeyError, OSError, RuntimeError, ValueError):
            return None
    return node


def _group(file: Any, path: str) -> Any | None:
    import h5py

    node = _node(file, path)
    return node if isinstance(node, h5py.Group) else None


def _datasets(file: Any) -> dict[str, int]:
    """Voxels of each dataset that could be an image, by its path."""
    import h5py

    found: dict[str, int] = {}
    budget = _SEARCH_OBJECTS
    groups = [("", file)]
    for _ in range(_SEARCH_DEPTH):
        below = []
        for path, group in groups:
            for name in group:
                budget -= 1
                if budget < 0:
                    return found
                place = f"{path}/{name}".lstrip("/")
                node = _node(group, name)
                if isinstance(node, h5py.Group):
                    below.append((place, node))
                elif isinstance(node, h5py.Dataset) and _is_image(node):
                    found[place] = math.prod(node.shape)
        groups = below
    return found


def _is_image(dataset: Any) -> bool:
    shape = dataset.shape
    return shape is not None and dataset.dtype.kind in "buifc" and 2 <= len(shape) <= limits.AXES and min(shape) > 0


def _the_largest(found: dict[str, int]) -> str | None:
    """The only dataset, or the one beside which all others together are small change."""
    largest = max(found, key=lambda name: found[name])
    return largest if sum(found.values()) - found[largest] <= found[largest] / 100 else None


# --- Imaris ---------------------------------------------------------------------------------------------------------


def _open_imaris(opened: _Opened, options: Placing) -> AssembledSource:
    file, path = opened.file, opened.where
    levels_group = _group(file, "DataSet")
    arrays: list[LevelArray] = []
    times = channels = 0
    for number in range(limits.LEVELS):
        level = f"ResolutionLevel {number}"
        if levels_group is None or level not in levels_group:
            break
        if not number:
            times = _count(file, f"DataSet/{level}", "TimePoint")
            channels = _count(file, f"DataSet/{level}/TimePoint 0", "Channel")
            if not times or not channels:
                raise SourceError(f"{path} is an Imaris file without time points or channels: it is damaged")
        arrays.append(_imaris_level(opened, level, times, channels))
    scale, translation, unit = _imaris_placing(file, arrays[0].shape)
    axes = tuple(Axis(axis.name, axis.kind, unit if axis.kind == "space" else "") for axis in _TCZYX)
    described = tuple(_imaris_channel(file, number) for number in range(min(channels, limits.CHANNELS)))
    known = Placing(axes, (scale,), (translation,), False, None, described)
    return assemble(path, arrays, known, options)


def _count(file: Any, path: str, word: str) -> int:
    group = _group(file, path)
    count = 0
    while group is not None and f"{word} {count}" in group:
        count += 1
    return count


def _imaris_level(opened: _Opened, level: str, times: int, channels: int) -> LevelArray:
    file, path = opened.file, opened.where

    def open_part(index: tuple[int, ...]) -> LevelArray | None:
        with watched(opened.stream):
            return open_channel(index)

    def open_channel(index: tuple[int, ...]) -> LevelArray | None:
        place = f"DataSet/{level}/TimePoint {index[0]}/Channel {index[1]}"
        channel = _group(file, place)
        data = None if channel is None else _node(channel, "Data")
        if channel is None or data is None:
            return None
        # What is stored is padded to whole chunks; these tell the true size.
        said = [_number(channel.attrs.get(f"ImageSize{axis}")) for axis in "ZYX"]
        whole = data.shape
        shape = tuple(int(size) if size else int(edge) for size, edge in zip(said, whole, strict=True))
        return opened.dataset(f"{place}/Data", data, shape)

    first = open_part((0, 0))
    if first is None:
        raise SourceError(f"{path} is an Imaris file without data in its {level}: it is damaged")
    return JoinedArray(f"{path}:/DataSet/{level}", (times, channels), first, open_part)


def _text(value: Any) -> str:
    """An attribute of Imaris: an array of single characters."""
    if value is None:
        return ""
    if isinstance(value, bytes | str):
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return b"".join(np.asarray(value).reshape(-1).astype("S1").tolist()[:4096]).decode("utf-8", "replace")


def _number(value: Any) -> float:
    """0 where there is none."""
    try:
        number = float(_text(value))
    except ValueError:
        return 0.0
    return number if math.isfinite(number) and abs(number) < 1e300 else 0.0


def _imaris_placing(file: Any, shape: tuple[int, ...]) -> tuple[Numbers | None, Numbers | None, str]:
    image = _group(file, "DataSetInfo/Image")
    if image is None:
        return None, None, ""
    lows = [_number(image.attrs.get(f"ExtMin{axis}")) for axis in (2, 1, 0)]
    highs = [_number(image.attrs.get(f"ExtMax{axis}")) for axis in (2, 1, 0)]
    sizes = [(high - low) / n for low, high, n in zip(lows, highs, shape[2:], strict=True)]
    if not all(size > 0 for size in sizes):
        return None, None, ""
    from octree_loader.sources.tiff import unit_named

    # Extents are those of edges, a translation is that of a centre.
    centres = [low + size / 2 for low, size in zip(lows, sizes, strict=True)]
    return (1.0, 1.0, *sizes), (0.0, 0.0, *centres), unit_named(_text(image.attrs.get("Unit")) or "um")


def _imaris_channel(file: Any, number: int) -> Channel:
    group = _group(file, f"DataSetInfo/Channel {number}")
    if group is None:
        return Channel()
    color, window = "", None
    try:
        parts = [float(part) for part in _text(group.attrs.get("Color")).split()]
        if len(parts) == 3 and all(0 <= part <= 1 for part in parts):
            color = "#" + "".join(f"{round(part * 255):02x}" for part in parts)
        low, high = (float(part) for part in _text(group.attrs.get("ColorRange")).split())
        window = (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None
    except ValueError:
        pass
    return Channel(_text(group.attrs.get("Name")).strip("\0 ")[:256], color, window)


# --- BigDataViewer --------------------------------------------------------------------------------------------------


def _setups(file: Any) -> list[str]:
    """Names of the images in a BDV file."""
    first = _group(file, "t00000")
    if first is None:
        return []
    return sorted(name for name in first if _SETUP.fullmatch(name) and _node(first, f"{name}/0/cells") is not None)


def _open_bdv(opened: _Opened, setup: str, options: Placing) -> AssembledSource:
    file, path = opened.file, opened.where
    times = [name for name in sorted(file) if _TIME.fullmatch(name)]
    count = 0
    while count < limits.LEVELS and _node(file, f"t00000/{setup}/{count}/cells") is not None:
        count += 1
    arrays: list[LevelArray] = [
        JoinedArray(f"{path}:/{setup}/{level}", (len(times),), _bdv_part(opened, "t00000", setup, level), opener)
        for level, opener in ((level, _bdv_opener(opened, times, setup, level)) for level in range(count))
    ]
    scale, unit = _bdv_size(opened.image, setup)
    axes = tuple(axis_named(name, None, unit if name in "zyx" else "") for name in "tzyx")
    resolutions = _node(file, f"{setup}/resolutions")
    scales: tuple[Numbers | None, ...] = (scale,)
    factors = None if resolutions is None else np.asarray(resolutions, float)
    if factors is not None and factors.shape == (count, 3) and np.isfinite(factors).all() and (factors > 0).all():
        first = scale or (1.0,) * 4
        scales = tuple((first[0], *(f * s for f, s in zip(row[::-1], first[1:], strict=True))) for row in factors)
    return assemble(path, arrays, Placing(axes, scales, (), False), options)


def _bdv_part(opened: _Opened, time: str, setup: str, level: int) -> LevelArray:
    place = f"{time}/{setup}/{level}/cells"
    dataset = _node(opened.file, place)
    if dataset is None or not hasattr(dataset, "shape"):
        raise SourceError(f"{opened.where} has no {place}: it is damaged")
    # BDV writes unsigned 16-bit voxels as signed ones: Java has no others.
    array = opened.dataset(place, dataset)
    return Unsigned(array) if array.dtype == np.int16 else array


def _bdv_opener(
    opened: _Opened, times: list[str], setup: str, level: int
) -> Callable[[tuple[int, ...]], LevelArray | None]:
    def open_part(index: tuple[int, ...]) -> LevelArray | None:
        with watched(opened.stream):
            if _node(opened.file, f"{times[index[0]]}/{setup}/{level}/cells") is None:
                return None
            return _bdv_part(opened, times[index[0]], setup, level)

    return open_part


def _bdv_size(image: ImageFile, setup: str) -> tuple[Numbers | None, str]:
    """Size of a voxel from the XML file beside a BDV file, if it is there."""
    from octree_loader.sources.tiff import defines_entities, unit_named

    try:
        beside = image.beside(".xml", _XML_BYTES)
        if beside is None:
            return None, ""
        xml = bytes(beside)
        if defines_entities(xml.replace(b"\0", b"").decode("latin-1")):  # in UTF-16 as well
            return None, ""
        root = ET.fromstring(xml)
        for entry in root.iter("ViewSetup"):
            if int(entry.findtext("id", "-1")) == int(setup[1:]):
                numbers = [float(part) for part in entry.findtext("voxelSize/size", "").split()]
                if len(numbers) == 3 and all(math.isfinite(n) and n > 0 for n in numbers):
                    return (1.0, *reversed(numbers)), unit_named(entry.findtext("voxelSize/unit", ""))
    except (OSError, ValueError, ET.ParseError, SourceError):
        pass
    return None, ""


class Unsigned:
    """A `LevelArray` of signed 16-bit voxels that are meant unsigned."""

    def __init__(self, array: LevelArray) -> None:
        self.where = array.where
        self.shape = array.shape
        self.dtype: np.dtype[Any] = np.dtype(np.uint16)
        self.storage_chunk = array.storage_chunk
        self.shard = array.shard
        self.random_access = array.random_access
        self.gathers = bool(getattr(array, "gathers", False))
        self.fill_value = float(int(array.fill_value) & 0xFFFF)
        self._array = array

    def read(self, pieces: Any) -> list[bool]:
        """See `base.Source.read`."""
        return self._array.read([piece._replace(out=piece.out.view(np.int16)) for piece in pieces])


__all__ = ["SUFFIXES", "images_inside", "open_hdf5"]
