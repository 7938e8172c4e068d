"""What a file that is written says of its voxels: axes, sizes, units, channels. Pure (no I/O).

For OME-TIFF after https://www.openmicroscopy.org/Schemas/OME/2016-06, for OME-Zarr after
https://ngff.openmicroscopy.org/0.5. Knows nothing of how either is written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from octree_client.export_plan import ExportPlan
from octree_client.placing import channel_axis
from octree_client.readout import unit_sign
from octree_protocol.geometry import Axis, Channel, Dataset

#: Types of voxels that OME-TIFF has a name for.
_OME_TYPES = ("i1", "i2", "i4", "u1", "u2", "u4", "f4", "f8", "c8", "c16", "b1")

#: Units as OME has them.
_LENGTHS = ("m", "dm", "cm", "mm", "µm", "nm", "pm", "Å", "km", "in", "ft")
_TIMES = ("s", "ms", "µs", "ns", "min", "h", "d")

_LETTERS = {"time": "T", "channel": "C", "space": "Z"}


class TiffMetadata(NamedTuple):
    """How a TIFF is written: its shape, without axes that OME has no letter for; what is said of it; whether by OME."""

    shape: tuple[int, ...]
    metadata: dict[str, Any]
    is_ome: bool


def tiff_metadata(dataset: Dataset, plan: ExportPlan) -> TiffMetadata:
    """What a TIFF says.

    Its planes are OME's Y and X whatever they are called, with their own sizes; a third axis of space is Z. What OME
    has no room for (two more axes of one kind, axes of no kind) makes it a plain TIFF with all of that as JSON.
    """
    axes = [dataset.axes[axis] for axis in plan.order]
    shape = tuple(plan.box[axis][1] - plan.box[axis][0] for axis in plan.order)
    scales = [dataset.levels[plan.level].scale[axis] for axis in plan.order]
    letters = _letters(axes, shape, rgb=dataset.rgb)
    kept = [n for n, letter in enumerate(letters) if letter]
    found = [letters[n] for n in kept]
    dtype = np.dtype(dataset.dtype)
    if "?" in found or len(set(found)) < len(found) or dtype.str[1:] not in _OME_TYPES:
        names = [axis.name for axis in axes]
        return TiffMetadata(
            shape, {"name": dataset.name, "axis_names": names, "scale": scales, "unit": [a.unit for a in axes]}, False
        )
    metadata: dict[str, Any] = {"axes": "".join(found), "Name": dataset.name}
    for n in kept:
        letter, unit = letters[n], unit_sign(axes[n].unit)
        if letter in "XYZ" and unit in _LENGTHS:
            metadata[f"PhysicalSize{letter}"] = float(scales[n])
            metadata[f"PhysicalSize{letter}Unit"] = unit
        elif letter == "T" and unit in _TIMES:
            metadata["TimeIncrement"], metadata["TimeIncrementUnit"] = float(scales[n]), unit
    down, across = (axes[letters.index(letter)].name for letter in "YX")
    if (down, across) != ("y", "x"):
        metadata["Description"] = f"Y is {down}, X is {across}"
    channels = _channels(dataset, plan)
    if channels and "C" in found:
        metadata["Channel"] = {"Name": [channel.name for channel in channels]}
        if any(channel.color for channel in channels):
            metadata["Channel"]["Color"] = [_ome_colour(channel.color) for channel in channels]
    return TiffMetadata(tuple(shape[n] for n in kept), metadata, True)


def _letters(axes: list[Axis], shape: tuple[int, ...], *, rgb: bool) -> list[str]:
    """OME's letter of each axis: "" for one of a single place that it has none for, "?" for any other such."""
    last = len(axes) - (1 if rgb else 0)
    letters: list[str] = []
    for n, (axis, size) in enumerate(zip(axes, shape, strict=True)):
        if n >= last - 2:
            letters.append("YXS"[n - last + 2])
            continue
        letter = _LETTERS.get(axis.kind, "?")
        letters.append(letter if letter != "?" and letter not in letters else "" if size == 1 else "?")
    return letters


def ome_attributes(dataset: Dataset, plan: ExportPlan) -> dict[str, Any]:
    """What the ``ome`` attribute of an OME-Zarr 0.5 says."""
    axes = [
        {"name": axis.name}
        | ({"type": axis.kind} if axis.kind in ("space", "time", "channel") else {})
        | ({"unit": axis.unit} if axis.unit else {})
        for axis in dataset.axes
    ]
    datasets = []
    for number, box in enumerate(plan.boxes):
        level = dataset.levels[plan.level + number]
        start = [t + low * s for t, s, (low, _) in zip(level.translation, level.scale, box, strict=True)]
        steps = [
            {"type": "scale", "scale": [float(s) for s in level.scale]},
            {"type": "translation", "translation": [float(t) for t in start]},
        ]
        datasets.append({"path": str(number), "coordinateTransformations": steps})
    said: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [{"name": dataset.name, "axes": axes, "datasets": datasets}],
    }
    channels = _channels(dataset, plan)
    if channels:
        said["omero"] = {"channels": [_omero(channel, np.dtype(dataset.dtype)) for channel in channels]}
    if dataset.kind == "labels":
        said["image-label"] = {"version": "0.5"}
    return said


def _channels(dataset: Dataset, plan: ExportPlan) -> list[Channel]:
    """What is known of the channels that are written; all of them have a name. Nothing, where nothing is known."""
    axis = channel_axis(dataset)
    if axis is None or not dataset.channels:
        return []
    low, high = plan.box[axis]
    told = [dataset.channels[n] if n < len(dataset.channels) else Channel() for n in range(low, high)]
    return [
        Channel(channel.name or f"channel {n}", channel.color, channel.window)
        for n, channel in enumerate(told, start=low)
    ]


def _omero(channel: Channel, dtype: np.dtype[Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "label": channel.name,
        "active": True,
        "color": (channel.color or "#ffffff").lstrip("#").upper(),
    }
    if channel.window is not None:
        start, end = channel.window
        low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (start, end)
        said["window"] = {"min": float(low), "max": float(high), "start": start, "end": end}
    return said


def _ome_colour(colour: str) -> int:
    """``#rrggbb`` as OME has it: red, green, blue and opacity as the bytes of a signed number; white where unknown."""
    number = (int(colour.lstrip("#") or "ffffff", 16) << 8) | 0xFF
    return number - (1 << 32) if number >= 1 << 31 else number
