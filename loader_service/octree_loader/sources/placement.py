"""Where the levels of a pyramid lie in the world, and what its axes are called. Pure (no I/O).

Fills in what a file or a configuration does not say. Knows shapes, names and numbers; nothing of files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from octree_loader.sources.base import SourceError
from octree_protocol.geometry import Axis

Numbers = tuple[float, ...]

_KINDS = {"t": "time", "c": "channel", "s": "samples"}
_DEFAULT_NAMES = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}


def axis_named(name: str, kind: str | None = None, unit: str = "") -> Axis:
    """An axis; without a `kind` its name tells: t is time, c is channel, s is samples, all others are space."""
    return Axis(name, kind or _KINDS.get(name.lower(), "space"), unit)


def default_axes(count: int, rgb: bool) -> tuple[Axis, ...]:
    """Axes of an image that does not name them: (y, x), (z, y, x), (c, z, y, x), (t, c, z, y, x), and s for samples."""
    plain = count - 1 if rgb else count
    names = [f"d{i}" for i in range(plain - 5)] + list(_DEFAULT_NAMES[min(plain, 5)])
    return tuple(axis_named(name) for name in (*names, "s")[:count])


def kind_of_dtype(dtype: np.dtype[Any], rgb: bool) -> str:
    """What voxels of a dtype are, where nobody says: bits are a mask, and wide whole numbers without sign are labels.

    Cameras and detectors count with 16 bits, computed images are floats or carry the sign of numpy's own integers;
    who stores numbers of objects takes unsigned ones of 32 or 64 bits.
    """
    if dtype.kind == "b":
        return "mask"
    return "labels" if dtype.kind == "u" and dtype.itemsize >= 4 and not rgb else "intensity"


def colour_axis(
    shape: Sequence[int], dtype: np.dtype[Any], axes: Sequence[Axis] | None, said: bool | None
) -> int | None:
    """Which axis holds the samples of a colour, or None if none does.

    Without a word (`said`) the axes' names decide: an axis of kind samples, or a last one of kind channel, with 3 or 4
    entries. Without names it is the last axis of 8-bit voxels, and two axes before it at least.
    """
    last = len(shape) - 1
    if said is False or last < 2:
        return None
    fitting = [a for a, edge in enumerate(shape) if edge in (3, 4)]
    if axes is None:
        return last if last in fitting and (said or dtype == np.uint8) else None
    samples = [a for a in fitting if axes[a].kind == "samples"]
    channels = [a for a in fitting if axes[a].kind == "channel"]
    if samples:
        return samples[-1]
    if last in channels or (said and last in fitting):
        return last
    return channels[-1] if said and channels else None


def shown_order(axes: Sequence[Axis], colour: int | None) -> tuple[int, ...]:
    """The axes in the order in which they are shown: those of the screen last, and behind them the samples of a colour.

    The screen's are y and x, in this order; where an image has no such two, the last two of space, else of time. All
    others keep their order before them.
    """
    others = [a for a in range(len(axes)) if a != colour]
    named = {axes[a].name.lower(): a for a in others}
    if "y" in named and "x" in named:
        shown = [named["y"], named["x"]]
    else:
        rank = {"space": 0, "time": 1}
        shown = sorted(sorted(others, key=lambda a: (rank.get(axes[a].kind, 2), -a))[:2])
    front = [a for a in others if a not in shown]
    return (*front, *shown, *(() if colour is None else (colour,)))


def downsampling(shapes: Sequence[Sequence[int]]) -> list[Numbers]:
    """Factor of every level against the first, an axis each, worked out from the shapes.

    Downsamplers round the edge up or down, so 101 voxels become 51 or 50 at a factor of 2. From one level to the next
    the factor is the whole number that explains both edges: the factor of the step before if it does, else the nearest
    to their ratio, else that ratio itself.
    """
    factors: list[Numbers] = [(1.0,) * len(shapes[0])]
    steps: Numbers = factors[0]
    for finer, coarser in pairwise(shapes):
        steps = tuple(_step(a, b, before) for a, b, before in zip(finer, coarser, steps, strict=True))
        factors.append(tuple(f * step for f, step in zip(factors[-1], steps, strict=True)))
    return factors


def _step(finer: int, coarser: int, before: float) -> float:
    ratio = finer / coarser
    if finer == coarser:
        return 1.0
    for factor in (before, float(round(ratio))):
        if factor > 1 and coarser in (math.ceil(finer / factor), math.floor(finer / factor)):
            return factor
    return ratio


def aligned_translations(translation: Numbers, scales: Sequence[Numbers]) -> list[Numbers]:
    """Translation of every level such that the edges of all levels coincide with those of the first.

    Nearly all downsamplers average blocks of voxels, so that voxel 0 of a coarser level covers the first block of the
    finer one: the *edges* fall together, and its centre moves by half of the difference of the voxels' sizes.
    """
    return [
        tuple(t + (s - first) / 2 for t, s, first in zip(translation, scale, scales[0], strict=True))
        for scale in scales
    ]


def place_levels(
    shapes: Sequence[Sequence[int]],
    scales: Sequence[Numbers | None],
    translations: Sequence[Numbers | None],
    where: str,
) -> list[tuple[Numbers, Numbers]]:
    """Scale and translation of every level, finest first, from what is known of them.

    Parameters
    ----------
    shapes
        Of all levels.
    scales
        What is known; None is not known, and so is a scale of 0 along an axis (some writers mean that by it).
    translations
        What is known. If any level but the first has one, all are taken as they are (None is the origin); otherwise
        edges are aligned, see `aligned_translations`.

    Raises
    ------
    SourceError
        For a scale or translation that cannot be.
    """
    count = len(shapes[0])
    for what, known in (("scale", scales), ("translation", translations)):
        for numbers in known:
            if numbers is not None:
                _check_numbers(numbers, count, what, where)
    first = tuple(s or 1.0 for s in (scales[0] or (0.0,) * count))
    factors = downsampling(shapes)
    placed = [
        tuple(s or f * a for s, f, a in zip(scale or (0.0,) * count, factor, first, strict=True))
        for scale, factor in zip(scales, factors, strict=True)
    ]
    origin = (0.0,) * count
    if any(translation is not None for translation in translations[1:]):
        return list(zip(placed, (translation or origin for translation in translations), strict=True))
    return list(zip(placed, aligned_translations(translations[0] or origin, placed), strict=True))


def _check_numbers(numbers: Numbers, count: int, what: str, where: str) -> None:
    if len(numbers) != count:
        raise SourceError(f"{where} has a {what} of {len(numbers)} numbers for {count} axes: give one for every axis")
    if not all(math.isfinite(number) and abs(number) < 1e300 for number in numbers):
        raise SourceError(f"{where} has the {what} {numbers}: give finite numbers")
    if what == "scale" and any(number < 0 for number in numbers):
        raise SourceError(f"{where} has the scale {numbers}: a voxel's size is above 0")
