"""What an export reads, piece by piece, and in which order: never much of it at a time. Pure (no I/O).

Knows levels and boxes of voxels; knows nothing of files but in which order each format takes its voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import ceil, floor, isfinite, prod
from typing import Literal

from octree_protocol.errors import OctreeError
from octree_protocol.geometry import Dataset

Format = Literal["zarr", "tiff", "png"]

#: Voxels of each axis: first and one-past-last.
Box = tuple[tuple[int, int], ...]

#: Bytes read at a time; twice that is in memory, since one piece is read while another is written.
PIECE_BYTES = 32 * 2**20

#: Edge of a tile in a TIFF file, of a chunk in an OME-Zarr.
TILE = 512

#: What a PNG file can be along an edge, in practice: readers refuse more.
_PNG_EDGE = 65535

_SUFFIXES: dict[str, Format] = {".zarr": "zarr", ".tif": "tiff", ".tiff": "tiff", ".png": "png"}


class ExportRefused(OctreeError):
    """Something that cannot be exported so; the text says why, and what can."""


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What is to be read and written.

    Attributes
    ----------
    format
        Of the file.
    level
        The level that is read; an OME-Zarr gets the coarser ones too.
    boxes
        Voxels of each level that is written, from `level` on.
    order
        The axes as the file has them: for a TIFF or PNG those of the screen come last (before samples of a colour).
    samples
        3 or 4 of colours, else 1.
    """

    format: Format
    level: int
    boxes: tuple[Box, ...]
    order: tuple[int, ...]
    samples: int = 1

    @property
    def box(self) -> Box:
        """Voxels of `level`."""
        return self.boxes[0]


def format_of(name: str) -> Format:
    """The format that a file's name asks for.

    Raises
    ------
    ExportRefused
        If it has another ending.
    """
    for suffix, found in _SUFFIXES.items():
        if name.lower().rstrip("/").endswith(suffix):
            return found
    raise ExportRefused(f"{name} must end in .zarr (OME-Zarr), .tif or .png: its ending says what is written")


def plan_export(
    dataset: Dataset,
    name: str,
    level: int,
    region: tuple[float, float, float, float] | None,
    displayed: tuple[int, int] | None = None,
    point: Mapping[str, float] | None = None,
) -> ExportPlan:
    """What is read of which level.

    Parameters
    ----------
    name
        Of the file; its ending is the format.
    region
        World (down 0, across 0, down 1, across 1) on the displayed axes; everything if None.
    displayed
        Numbers of the two axes of the region; the last two if None.
    point
        World position on other axes by name; an axis that is not named is exported whole.

    Raises
    ------
    ExportRefused
        For a level that is not there, a region beside the image, or what the format cannot hold.
    """
    kind = format_of(name)
    if not 0 <= level < len(dataset.levels):
        raise ExportRefused(f"{dataset.name} has the levels 0 to {len(dataset.levels) - 1}, not {level}")
    down, across = displayed if displayed is not None else dataset.displayed()
    names = [axis.name for axis in dataset.axes]
    ranges: dict[int, tuple[float, float]] = {}
    if region is not None:
        if not all(isfinite(edge) for edge in region):
            raise ExportRefused("a region is four finite numbers")
        for axis, low, high in ((down, region[0], region[2]), (across, region[1], region[3])):
            ranges[axis] = min(low, high), max(low, high)
    for axis_name, world in (point or {}).items():
        if axis_name not in names:
            raise ExportRefused(f"{dataset.name} has the axes {', '.join(names)}, not {axis_name}")
        axis = names.index(axis_name)
        if axis not in (down, across):
            ranges[axis] = world, world
    last = len(dataset.levels) if kind == "zarr" else level + 1
    boxes = tuple(_box(dataset, number, ranges, number == level) for number in range(level, last))
    shape = tuple(high - low for low, high in boxes[0])
    if kind == "png":
        open_axes = [
            names[n]
            for n, size in enumerate(shape)
            if size > 1 and n not in (down, across) and not (dataset.rgb and n == len(names) - 1)
        ]
        if open_axes:
            raise ExportRefused(
                f"a PNG holds one plane: say where on {', '.join(open_axes)}, or choose TIFF or OME-Zarr"
            )
        if max(shape[down], shape[across]) > _PNG_EDGE:
            raise ExportRefused(f"a PNG has at most {_PNG_EDGE:,} pixels along an edge: choose a coarser level or TIFF")
    count = len(names)
    colour = (count - 1,) if dataset.rgb else ()
    others = tuple(n for n in range(count) if n not in (down, across, *colour))
    order = tuple(range(count)) if kind == "zarr" else (*others, down, across, *colour)
    return ExportPlan(kind, level, boxes, order, shape[-1] if dataset.rgb else 1)


def _box(dataset: Dataset, number: int, ranges: Mapping[int, tuple[float, float]], strict: bool) -> Box:
    """The voxels of a level that meet the ranges (world); at least one along each axis."""
    level = dataset.levels[number]
    box = []
    for axis, size in enumerate(level.shape):
        if axis not in ranges:
            box.append((0, size))
            continue
        first, last = sorted(level.world_to_voxel(axis, world) for world in ranges[axis])
        if strict and (last <= 0 or first >= size):
            low, high = level.voxel_to_world(axis, 0), level.voxel_to_world(axis, size)
            raise ExportRefused(
                f"nothing of {dataset.name} is there: along {dataset.axes[axis].name} it goes from {low:g} to {high:g}"
            )
        # A hair within a voxel is rounding, not a wish for it.
        low = min(max(floor(first + 1e-6), 0), size - 1)
        box.append((low, max(low + 1, min(ceil(last - 1e-6), size))))
    return tuple(box)


def pieces(
    plan: ExportPlan, number: int, itemsize: int, chunk: tuple[int, ...], budget: int = PIECE_BYTES
) -> list[Box]:
    """The boxes that are read one after another, within ``plan.boxes[number]``.

    Every voxel is in exactly one of them. For a PNG they are whole rows, for a TIFF rows of tiles, from left to right
    and top to bottom; for an OME-Zarr they keep to the chunks that are written.

    Parameters
    ----------
    itemsize
        Bytes a voxel.
    chunk
        Shape of what is read, in voxels: pieces are multiples of it where the format leaves a choice.
    budget
        Bytes of a piece, where the format allows so little.
    """
    box = [plan.boxes[number][axis] for axis in plan.order]
    shape = tuple(high - low for low, high in box)
    steps = _steps(plan, shape, tuple(chunk[axis] for axis in plan.order), max(1, budget // itemsize))
    found = []
    for where in product(*(range(0, size, step) for size, step in zip(shape, steps, strict=True))):
        piece = [(0, 0)] * len(box)
        for axis, at, step, (low, high) in zip(plan.order, where, steps, box, strict=True):
            piece[axis] = low + at, min(low + at + step, high)
        found.append(tuple(piece))
    return found


def _steps(plan: ExportPlan, shape: tuple[int, ...], chunk: tuple[int, ...], most: int) -> list[int]:
    """The shape of a piece of at most `most` voxels, in the order of the file."""
    if plan.format == "zarr":
        steps = list(written_chunks(shape, chunk))
        # Grown from the fastest axis on, while it fits.
        for axis in reversed(range(len(shape))):
            room = most // max(1, prod(steps))
            if room > 1:
                steps[axis] = min(-(-shape[axis] // steps[axis]) * steps[axis], steps[axis] * room)
        return steps
    colour = 1 if plan.samples > 1 else 0
    plane = len(shape) - 2 - colour
    height, width = shape[plane], shape[plane + 1]
    if plan.format == "tiff":
        across = min(-(-width // TILE), max(1, most // (TILE * TILE * plan.samples)))
        size = [TILE, across * TILE]
    else:
        rows, edge = max(1, most // (width * plan.samples)), chunk[plane]
        size = [min(height, rows // edge * edge if rows >= edge else rows), width]
    return [1] * plane + size + [plan.samples] * colour


def written_chunks(shape: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks of an OME-Zarr that is written: those that were read, within the array."""
    return tuple(max(1, min(size, edge)) for size, edge in zip(shape, chunk, strict=True))


def total_bytes(plan: ExportPlan, itemsize: int) -> int:
    """Bytes that are read in all, and that a file without compression has."""
    return sum(prod(high - low for low, high in box) for box in plan.boxes) * itemsize
