"""TIFF files: the series and levels in one, and what OME-XML, ImageJ or a scanner say of axes, sizes and channels.

tifffile reads the structure; `tiff_pages` reads the voxels. Several images in one file are named by number, as in
``slide.svs/2``. Knows nothing of how tiles are decoded.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np

from octree_loader.sources.assembled import AssembledSource, Placing, assemble
from octree_loader.sources.base import LevelArray, SourceError
from octree_loader.sources.image_file import ImageFile, watched
from octree_loader.sources.ome_files import Others, look_beside, look_far_away, other_files
from octree_loader.sources.placement import axis_named
from octree_loader.sources.remote_file import RemoteStream
from octree_loader.sources.tiff_files import Files, LocalFiles, RemoteFiles
from octree_loader.sources.tiff_pages import Axes, TiffArray
from octree_protocol import limits
from octree_protocol.geometry import Channel

#: Names of files that tifffile reads.
SUFFIXES = (".tif", ".tiff", ".tf2", ".tf8", ".btf", ".svs", ".ndpi", ".scn", ".bif", ".qptiff", ".lsm", ".stk")

#: Axes in the order in which they are shown; others stand before them as they are stored.
_ORDER = "TCZYXS"

_KINDS = {"T": "time", "C": "channel", "S": "samples"}

#: The longest OME-XML that is looked into: expat takes a second for 100 MB.
_XML_CHARACTERS = 64 << 20

#: A resolution that is coarser than this, 1000 dots per inch, was not meant as the size of a voxel.
PRINT_MICROMETERS = 25.4


def open_tiff(image: ImageFile, inner: str, options: Placing) -> AssembledSource:
    """Open one image of a TIFF file: the first, or that whose number `inner` is. Raises `SourceError`."""
    stream = image.stream()
    with watched(stream):
        return _open_image(image.where, stream, inner, options)


def _open_image(path: str, stream: Any, inner: str, options: Placing) -> AssembledSource:
    file = _open(path, stream)
    images, others = _images(file, path, stream)
    if not inner:
        number = 0
    elif inner.isdecimal() and int(inner) < len(images):
        number = int(inner)
    else:
        raise SourceError(
            f"{path} has no image {inner!r}: it has {len(images)}, named by their numbers, as in {path}/0"
        )
    files: Files = RemoteFiles(stream) if isinstance(stream, RemoteStream) else LocalFiles(path)
    lock = threading.Lock()
    levels = images[number][: limits.LEVELS]
    arrays: list[LevelArray] = []
    labels: list[str] = []
    sizes, units, channels = _metadata(file, number, levels[0])
    # Formats that name every axis an image could have name many of length 1: one is kept of which something is said.
    described = {label for label, size in sizes.items() if size > 0} | ({"C"} if channels else set())
    for level in levels:
        axes, layout = _layout(level, labels, described)
        where = path if len(images) == 1 else f"{path}/{number}"
        if layout is None:
            arrays.append(_through_zarr(where, level))
            labels = labels or _labels(level.axes)
        else:
            arrays.append(TiffArray(where, level, layout, files, lock))
            labels = labels or axes
    numbers = [sizes.get(label, 0.0) for label in labels]
    usable = [n if math.isfinite(n) and 0 < n < 1e300 else 0.0 for n in numbers]
    scale = tuple(usable) if any(usable) else None
    named = tuple(axis_named(label.lower(), _KINDS.get(label), units.get(label, "")) for label in labels)
    source = assemble(path, arrays, Placing(named, (scale,), (), None, None, channels), options)
    return replace(source, warning=others.warning, identity=others.identity)


def images_inside(image: ImageFile) -> list[tuple[str, str]]:
    """Names of the images in a file, and places inside of it, if it has several."""
    stream = image.stream()
    with watched(stream):
        images, _ = _images(_open(image.where, stream), image.where, stream)
    if len(images) < 2:
        return []
    names = [str(levels[0].name or "").strip().replace("/", "_") for levels in images]
    unique = len(set(names)) == len(names) and all(name.isprintable() and name for name in names)
    return [(names[i] if unique else str(i), f"/{i}") for i in range(len(images))]


def _open(path: str, stream: Any) -> Any:
    import tifffile

    try:
        # What lies far away is one file: the others of an image would be looked for on this machine.
        file = tifffile.TiffFile(stream, _multifile=not isinstance(stream, RemoteStream))
    except SourceError:
        stream.close()
        raise
    except (tifffile.TiffFileError, ValueError, OSError, OverflowError, MemoryError) as error:
        stream.close()
        raise SourceError(f"{path} is no TIFF that can be read ({error}): it is damaged, copy it again") from error
    weakref.finalize(file, stream.close)
    return file


def _images(file: Any, path: str, stream: Any) -> tuple[list[list[Any]], Others]:
    """The series of a file, each as its levels; pages that are smaller versions of the first belong to it."""
    try:
        said = str(file.pages.first.description or "")
        if len(said) > _XML_CHARACTERS:
            raise SourceError(f"{path} has a description longer than {_XML_CHARACTERS >> 20} MiB: it is damaged")
        if defines_entities(said):
            raise SourceError(f"{path} has a description with XML entities of its own, which no microscope writes")
        names = other_files(said, os.path.basename(path))
        others = look_far_away(path, names) if isinstance(stream, RemoteStream) else look_beside(path, names)
        series = [entry for entry in file.series if entry.keyframe.dtype is not None and 0 not in entry.shape]
    except SourceError:
        raise
    except Exception as error:  # a damaged file makes tifffile stumble anywhere
        raise SourceError(
            f"{path} has a structure that cannot be understood ({type(error).__name__}: {error}): it is damaged"
        ) from error
    if not series:
        raise SourceError(f"{path} has no image in it: its pages are empty, or of a type of voxels that is unknown")
    images = [list(entry.levels) for entry in series]
    first = images[0]
    if len(first) == 1 and len(series[0]) == 1 and first[0].keyframe.is_tiled:
        reduced = [levels for levels in images[1:] if len(levels) == 1 and _reduces(first[0], levels[0])]
        reduced.sort(key=lambda levels: -math.prod(levels[0].shape))
        for (levels,) in reduced:
            if all(a < b for a, b in zip(_plane(levels), _plane(first[-1]), strict=True)):
                first.append(levels)
        images = [first, *(levels for levels in images[1:] if levels[0] not in first)]
    return images, others


def defines_entities(xml: str) -> bool:
    """Whether a document may grow as it is read: what it defines itself, it can use a billion times."""
    return "<!DOCTYPE" in xml or "<!ENTITY" in xml


def _plane(series: Any) -> tuple[int, int]:
    page = series.keyframe
    return int(page.imagelength), int(page.imagewidth)


def _reduces(full: Any, series: Any) -> bool:
    """Whether one page shows the same as another with fewer voxels: labels and overviews have another shape."""
    if len(series) != 1 or series.axes != full.axes or series.dtype != full.dtype or not series.keyframe.is_tiled:
        return False
    (height, width), (low, narrow) = _plane(full), _plane(series)
    factor = height / low
    return factor > 1.2 and abs(width / factor - narrow) <= 1.5 and abs(height / factor - low) <= 1.5


def _layout(series: Any, like: Sequence[str], described: Set[str]) -> tuple[list[str], Axes | None]:
    """Labels of the axes as they are shown, and how they lie in the pages; no layout where that is out of the usual.

    `like` are the labels of the finest level: a coarser one keeps the axes that it has. The finest keeps those of
    length 1 that are `described`.
    """
    shape, labels = tuple(int(edge) for edge in series.get_shape(False)), _labels(series.get_axes(False))
    keyframe = series.keyframe
    if series.transform is not None or len(shape) != len(labels) or keyframe.dtype != series.dtype:
        return [], None
    leads = _leading(shape, labels, tuple(int(edge) for edge in keyframe.shaped))
    if leads is None:
        return [], None
    count, places = leads
    if 4 in places.values():
        described = described - {"C"}  # said of the samples of a colour
    sources = {axis: axis for axis in range(count)} | {axis: count + place for axis, place in places.items()}
    kept = [
        a
        for a in sources
        if labels[a] in "YX" or (labels[a] in like if like else shape[a] > 1 or labels[a] in described)
    ]
    if not {"Y", "X"} <= {labels[axis] for axis in kept} or (like and len(kept) != len(like)):
        return [], None
    kept.sort(key=lambda axis: _ORDER.find(labels[axis]))  # what is not in it stays before all others
    return [labels[axis] for axis in kept], Axes(shape[:count], tuple(sources[axis] for axis in kept))


def _labels(axes: str) -> list[str]:
    """One label an axis, all different. A lone axis of unknown meaning is taken for z: pages of a stack."""
    labels = list(axes)
    unknown = [i for i, label in enumerate(labels) if label in "IQ"]
    if len(unknown) == 1 and "Z" not in labels:
        labels[unknown[0]] = "Z"
    for i, label in enumerate(labels):
        if label in labels[:i] or (label == "Q" and i in unknown[1:]):
            labels[i] = f"{label}{i}"
    return labels


def _leading(shape: tuple[int, ...], labels: list[str], page: tuple[int, ...]) -> tuple[int, dict[int, int]] | None:
    """How many axes of a series count pages, and which axis of a page each other is; None if they do not match.

    Edges of 1 may be left out on either side.
    """
    places: dict[int, int] = {}
    axis = len(shape) - 1
    if page[4] == 1 and labels[-1] == "S" and shape[-1] == 1:
        axis -= 1
    for place in (4, 3, 2, 1, 0):
        if page[place] == 1 and place not in (2, 3):
            continue
        while axis >= 0 and shape[axis] == 1 and page[place] > 1:
            axis -= 1
        if axis < 0 or shape[axis] != page[place]:
            return None
        places[axis] = place
        axis -= 1
    return axis + 1, places


def _through_zarr(where: str, series: Any) -> LevelArray:
    """What is stored in some unusual way, as tifffile itself reads it."""
    import zarr

    from octree_loader.sources.array_like import SlicedArray
    from octree_loader.sources.zarr_metadata import check_shape, plain_dtype

    try:
        array: Any = zarr.open(series.aszarr(), mode="r")
        if not hasattr(array, "shape"):
            array = array["0"]
    except Exception as error:  # anything that tifffile has no way to do
        raise SourceError(f"{where} is stored in a way that is not known ({error}): write it again") from error
    shape, chunk = tuple(array.shape), tuple(array.chunks)
    check_shape(shape, where)
    return SlicedArray(where, array, shape, plain_dtype(np.dtype(array.dtype), where), chunk, False, 0.0)


# --- what the metadata say -----------------------------------------------------------------------------------------


def _metadata(file: Any, number: int, series: Any) -> tuple[dict[str, float], dict[str, str], tuple[Channel, ...]]:
    """Sizes of a voxel and their units by the axis' label, and the channels, as far as the file says."""
    sizes: dict[str, float] = {}
    units: dict[str, str] = {}
    channels: tuple[Channel, ...] = ()
    try:
        if series.kind == "ome":
            sizes, units, channels = _of_ome(file.ome_metadata, number)
        elif series.kind == "imagej":
            sizes, units, channels = _of_imagej(file, series)
        elif file.is_svs:
            sizes, units = _of_svs(series.keyframe.description)
        if not sizes:
            sizes, units = _of_resolution(series.keyframe)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, SyntaxError):
        pass  # what is said wrongly is as good as not said: the voxels are there all the same
    return sizes, units, channels


def _of_ome(xml: str, number: int) -> tuple[dict[str, float], dict[str, str], tuple[Channel, ...]]:
    """https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html"""
    import tifffile

    images = _listed(tifffile.xml2dict(xml)["OME"]["Image"])
    pixels = images[number]["Pixels"]
    sizes, units = {}, {}
    for label, key, default in (
        ("X", "PhysicalSizeX", "micrometer"),
        ("Y", "PhysicalSizeY", "micrometer"),
        ("Z", "PhysicalSizeZ", "micrometer"),
        ("T", "TimeIncrement", "second"),
    ):
        if key in pixels:
            sizes[label] = float(pixels[key])
            units[label] = unit_named(str(pixels.get(f"{key}Unit", default)))
    channels = []
    for entry in _listed(pixels.get("Channel", [])):
        color = entry.get("Color")
        channels.append(Channel(str(entry.get("Name", ""))[:256], "" if color is None else _rgba(int(color))))
    return sizes, units, tuple(channels) if any(c != Channel() for c in channels) else ()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _rgba(color: int) -> str:
    """OME writes red, green, blue and alpha as one signed number."""
    return f"#{(color & 0xFFFFFFFF) >> 8:06x}"


def _of_imagej(file: Any, series: Any) -> tuple[dict[str, float], dict[str, str], tuple[Channel, ...]]:
    said = file.imagej_metadata or {}
    unit = unit_named(str(said.get("unit", "")).replace("\\u00B5", "µ"))
    sizes, units = {}, {}
    resolution = series.keyframe.resolution if "XResolution" in series.keyframe.tags else (0, 0)
    for label, per_unit in (("X", resolution[0]), ("Y", resolution[1])):
        if per_unit > 0 and unit:
            sizes[label], units[label] = 1.0 / per_unit, unit
    if said.get("spacing"):
        sizes["Z"], units["Z"] = abs(float(said["spacing"])), unit
    if said.get("finterval"):
        sizes["T"], units["T"] = float(said["finterval"]), "second"
    ranges, tables = list(said.get("Ranges") or ()), said.get("LUTs") or []
    channels = []
    for i in range(series.sizes.get("channel", 0) if hasattr(series, "sizes") else 0):
        window = (float(ranges[2 * i]), float(ranges[2 * i + 1])) if len(ranges) > 2 * i + 1 else None
        brightest = np.asarray(tables[i])[:, -1] if len(tables) > i else None
        color = "" if brightest is None else "#" + "".join(f"{int(sample):02x}" for sample in brightest)
        channels.append(Channel("", color, window))
    return sizes, units, tuple(channels)


def _of_svs(description: str) -> tuple[dict[str, float], dict[str, str]]:
    import tifffile

    size = float(tifffile.tifffile.svs_description_metadata(description)["MPP"])
    return {"X": size, "Y": size}, {"X": "micrometer", "Y": "micrometer"}


def _of_resolution(page: Any) -> tuple[dict[str, float], dict[str, str]]:
    """Only what is said in centimetres and finer than print: dots per inch are those of a screen or a printer."""
    if int(page.resolutionunit) != 3 or "XResolution" not in page.tags:
        return {}, {}
    across, down = (10_000.0 / per_centimetre for per_centimetre in page.resolution)
    if max(across, down) > PRINT_MICROMETERS:
        return {}, {}
    return {"X": across, "Y": down}, {"X": "micrometer", "Y": "micrometer"}


_UNITS = {
    "µm": "micrometer", "μm": "micrometer", "um": "micrometer", "micron": "micrometer", "microns": "micrometer",
    "nm": "nanometer", "pm": "picometer", "Å": "angstrom", "mm": "millimeter", "cm": "centimeter", "m": "meter",
    "inch": "inch", "in": "inch", "s": "second", "sec": "second", "ms": "millisecond", "min": "minute", "h": "hour",
    "pixel": "", "pixels": "", "reference frame": "",
}  # fmt: skip


def unit_named(unit: str) -> str:
    """A unit as OME-Zarr spells it; what is unknown stays as it is, and a pixel is none."""
    return _UNITS.get(unit.strip(), unit.strip()[:64])


def is_tiff(image: ImageFile) -> bool:
    """Whether a file is named like a TIFF, or begins like one."""
    return image.name.lower().endswith(SUFFIXES) or image.head(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
