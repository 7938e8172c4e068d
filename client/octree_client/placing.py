"""Where datasets lie in one world: units, planes, and the voxels at a point of the axes that are not displayed.
Pure (no I/O).

A world has one unit for all axes of space, and one for each other axis; datasets in other units are converted when they
are placed, so that nobody after this has to know of units. Knows nothing of layers, cameras or chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import floor
from typing import NamedTuple

import msgspec

from octree_protocol.geometry import Dataset

#: The displayed axes of a dataset, as indices: down and across.
Plane = tuple[int, int]

#: One voxel of level 0 for each axis that is neither displayed nor the samples of a colour, in the dataset's order.
Position = tuple[int, ...]

#: Metres of a unit of length: the names that OME-Zarr lists (https://ngff.openmicroscopy.org/0.5/#axes-md), and signs.
_METRES = {
    "yoctometer": 1e-24,
    "zeptometer": 1e-21,
    "attometer": 1e-18,
    "femtometer": 1e-15,
    "picometer": 1e-12,
    "angstrom": 1e-10,
    "nanometer": 1e-9,
    "micrometer": 1e-6,
    "millimeter": 1e-3,
    "centimeter": 1e-2,
    "decimeter": 1e-1,
    "meter": 1.0,
    "decameter": 1e1,
    "hectometer": 1e2,
    "kilometer": 1e3,
    "megameter": 1e6,
    "gigameter": 1e9,
    "inch": 0.0254,
    "foot": 0.3048,
    "yard": 0.9144,
    "mile": 1609.344,
    "parsec": 3.0856775814913673e16,
    "pm": 1e-12,
    "Å": 1e-10,
    "nm": 1e-9,
    "um": 1e-6,
    "µm": 1e-6,
    "μm": 1e-6,
    "micron": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "m": 1.0,
    "km": 1e3,
}

#: Seconds of a unit of time.
_SECONDS = {
    "femtosecond": 1e-15,
    "picosecond": 1e-12,
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
}


class WorldAxis(NamedTuple):
    """One axis of the world: world coordinates of its first and last voxel centre, and from one to the next."""

    name: str
    kind: str
    unit: str
    low: float
    high: float
    step: float


def unit_factor(unit: str, world: str) -> float:
    """How many units of the world one `unit` is; 1 where either is not known, or they are of different kinds."""
    if unit == world:
        return 1.0
    for table in (_METRES, _SECONDS):
        if unit in table and world in table:
            # A ratio of two powers of ten, rounded to what it should be: 1e-6 / 1e-9 is not 1000 in binary.
            return float(f"{table[unit] / table[world]:.14g}")
    return 1.0


def world_units(datasets: Iterable[Dataset]) -> dict[str, str]:
    """The world's unit for each axis: that of the first dataset that has one; axes of space share one.

    Of the axes of space, the last one of the first dataset decides: it is drawn across.
    """
    units: dict[str, str] = {}
    space = ""
    names: list[tuple[str, str]] = []
    for dataset in datasets:
        for axis in reversed(dataset.axes):
            if axis.kind == "space" and not space and axis.unit in _METRES:
                space = axis.unit
            if axis.unit and not units.get(axis.name):
                units[axis.name] = axis.unit
            names.append((axis.name, axis.kind))
    for name, kind in names:
        if kind == "space" and units.get(name, "") in _METRES:
            units[name] = space
        units.setdefault(name, "")
    return units


def placed(dataset: Dataset, units: Mapping[str, str]) -> Dataset:
    """A dataset with its scales and translations in the world's units; the very one where they are already."""
    factors = [unit_factor(axis.unit, units.get(axis.name, axis.unit)) for axis in dataset.axes]
    if all(factor == 1.0 for factor in factors):
        return dataset
    axes = tuple(
        msgspec.structs.replace(axis, unit=units[axis.name]) if factor != 1.0 else axis
        for axis, factor in zip(dataset.axes, factors, strict=True)
    )
    levels = tuple(
        msgspec.structs.replace(
            level,
            scale=tuple(value * factor for value, factor in zip(level.scale, factors, strict=True)),
            translation=tuple(value * factor for value, factor in zip(level.translation, factors, strict=True)),
        )
        for level in dataset.levels
    )
    return msgspec.structs.replace(dataset, axes=axes, levels=levels)


def channel_axis(dataset: Dataset) -> int | None:
    """Index of the axis of channels, or None."""
    for number, axis in enumerate(dataset.axes):
        if axis.kind == "channel":
            return number
    return None


def drawable_axes(dataset: Dataset) -> int:
    """How many axes there are before the samples of a colour."""
    return len(dataset.axes) - (1 if dataset.rgb else 0)


def plane_of(dataset: Dataset, displayed: tuple[str, str]) -> Plane | None:
    """The dataset's own axes of these names; None if it lacks one of them, so that it has nothing to show."""
    names = [axis.name for axis in dataset.axes[: drawable_axes(dataset)]]
    if displayed[0] not in names or displayed[1] not in names or displayed[0] == displayed[1]:
        return None
    return names.index(displayed[0]), names.index(displayed[1])


def hidden_axes(dataset: Dataset, plane: Plane) -> tuple[int, ...]:
    """The axes that are neither displayed nor the samples of a colour, in order."""
    return tuple(axis for axis in range(drawable_axes(dataset)) if axis not in plane)


def middle(dataset: Dataset, plane: Plane) -> Position:
    """The position in the middle of every axis that is not displayed."""
    return tuple(dataset.levels[0].shape[axis] // 2 for axis in hidden_axes(dataset, plane))


def position_at(
    dataset: Dataset, plane: Plane, point: Mapping[str, float], fixed: Mapping[int, int] | None = None
) -> Position | None:
    """The voxel of level 0 at a point of the world, on each axis that is not displayed.

    Parameters
    ----------
    point
        World coordinates by the name of the axis; the middle of an axis that it does not name.
    fixed
        Voxels of axes that do not follow the point: the channel of a layer that shows one alone.

    Returns
    -------
    tuple of int or None
        None where the point lies outside of the dataset.
    """
    finest = dataset.levels[0]
    position = []
    for axis in hidden_axes(dataset, plane):
        size = finest.shape[axis]
        if fixed is not None and axis in fixed:
            position.append(min(max(fixed[axis], 0), size - 1))
            continue
        world = point.get(dataset.axes[axis].name)
        if world is None:
            position.append(size // 2)
            continue
        # A point that was worked out from another layer's voxels may miss the outermost border by its rounding.
        voxel = finest.world_to_voxel(axis, world)
        if not -1e-6 <= voxel <= size + 1e-6:
            return None
        position.append(min(max(floor(voxel), 0), size - 1))
    return tuple(position)


def axes_of_world(datasets: Sequence[tuple[Dataset, frozenset[int]]]) -> tuple[WorldAxis, ...]:
    """The axes of a world of placed datasets, in the order in which the datasets have them.

    Parameters
    ----------
    datasets
        Each with the indices of its axes that are fixed: they are none of the world's.

    Returns
    -------
    tuple of WorldAxis
        From the first voxel centre of any dataset to the last one of any, in the finest step.
    """
    order: list[str] = []
    found: dict[str, WorldAxis] = {}
    for dataset, fixed in datasets:
        names = [axis.name for axis in dataset.axes]
        for number in range(drawable_axes(dataset)):
            if number in fixed:
                continue
            axis, level = dataset.axes[number], dataset.levels[0]
            first = level.translation[number]
            last = first + (level.shape[number] - 1) * level.scale[number]
            low, high, step = min(first, last), max(first, last), abs(level.scale[number])
            known = found.get(axis.name)
            if known is None:
                found[axis.name] = WorldAxis(axis.name, axis.kind, axis.unit, low, high, step)
                # Before the next axis that is known already, else at the end: as this dataset has it.
                after = next((order.index(name) for name in names[number + 1 :] if name in order), len(order))
                order.insert(after, axis.name)
            else:
                found[axis.name] = known._replace(
                    unit=known.unit or axis.unit,
                    low=min(known.low, low),
                    high=max(known.high, high),
                    step=min(known.step, step),
                )
    return tuple(found[name] for name in order)
