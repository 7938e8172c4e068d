"""How a pyramid is cut into levels, files and blocks, and what it says of itself. Pure (no I/O)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[tuple[int, int], ...]

#: An array, or a function from a box (first and one-past-last voxel of each axis) to the array of that shape.
Image = NDArray[Any] | Callable[[Box], NDArray[Any]]

#: Edge of the block that is computed and halved at once, in voxels. Four halvings of it reach 128; 8 MiB of uint16.
_BLOCK = 2048

_KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a pyramid is cut into blocks. Each is written by one process alone: no two ever touch the same file.

    `depth` is the coarsest level whose part of a block is made of whole files; coarser ones are written at the end.
    """

    shapes: tuple[tuple[int, ...], ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None
    block: tuple[int, ...]
    depth: int
    dtype: np.dtype[Any]
    axes: str
    codec: str
    zarr_format: int

    def blocks(self) -> list[tuple[int, ...]]:
        """Index of every block, in C order."""
        counts = (range(-(-n // b)) for n, b in zip(self.shapes[0], self.block, strict=True))
        return list(product(*counts))

    def box(self, index: Sequence[int], level: int) -> Box:
        """What a block covers of a level."""
        edges = (b if axis < len(self.block) - 2 else b >> level for axis, b in enumerate(self.block))
        return tuple((i * e, min((i + 1) * e, n)) for i, e, n in zip(index, edges, self.shapes[level], strict=True))


def plan_pyramid(
    image: Image,
    shape: Sequence[int] | None,
    dtype: Any,
    axes: str | None,
    chunk: int | Sequence[int],
    shards: int | Sequence[int] | None,
    levels: int | None,
    codec: str,
    zarr_format: int,
) -> Plan:
    """How a pyramid of `image` is cut; the arguments are those of `pyramid.write_pyramid`.

    Raises
    ------
    ValueError
        If they do not fit together.
    """
    whole = tuple(int(n) for n in (shape if shape is not None else getattr(image, "shape", ())))
    kind = dtype if dtype is not None else getattr(image, "dtype", None)
    if len(whole) < 2 or kind is None:
        raise ValueError("a function needs shape= (of 2 axes at least) and dtype= beside it")
    if codec not in ("lz4", "zstd", "default", "none"):
        raise ValueError(f"codec={codec!r}: choose lz4, zstd, default or none")
    if zarr_format not in (2, 3):
        raise ValueError(f"zarr_format={zarr_format}: choose 2 or 3")
    if shards is not None and zarr_format == 2:
        raise ValueError("shards need zarr_format=3")
    names = axes if axes is not None else "tczyx"[-len(whole) :]
    if len(names) != len(whole) or any(name not in _KINDS for name in names):
        raise ValueError(f"axes={names!r} do not fit a shape of {len(whole)} axes")

    def per_axis(edge: int | Sequence[int]) -> tuple[int, ...]:
        return (1,) * (len(whole) - 2) + (edge, edge) if isinstance(edge, int) else tuple(edge)

    pieces = per_axis(chunk)
    files = pieces if shards is None else per_axis(shards)
    if any(f % c for f, c in zip(files, pieces, strict=True)):
        raise ValueError(f"shards {files} are not whole multiples of chunks {pieces}")
    shapes = [whole]
    while levels is None or len(shapes) < levels:
        last = shapes[-1]
        if levels is None and last[-2] <= pieces[-2] and last[-1] <= pieces[-1]:
            break
        shapes.append((*last[:-2], -(-last[-2] // 2), -(-last[-1] // 2)))
    block = (*files[:-2], *(f * max(1, _BLOCK // f) for f in files[-2:]))
    depth = 0
    while depth + 1 < len(shapes) and all((b >> depth + 1 << depth + 1) == b for b in block[-2:]):
        if any((b >> depth + 1) % f for b, f in zip(block[-2:], files[-2:], strict=True)):
            break
        depth += 1
    return Plan(
        tuple(shapes),
        pieces,
        None if shards is None else files,
        block,
        depth,
        np.dtype(kind),
        names,
        codec,
        zarr_format,
    )


def multiscale(plan: Plan, scale: float, name: str) -> dict[str, Any]:
    """The ``multiscales`` entry of OME-Zarr. The mean of 2**n voxels lies in their middle: hence the translation."""
    axes = []
    for letter in plan.axes:
        unit = {"space": {"unit": "micrometer"}}.get(_KINDS[letter], {})
        axes.append({"name": letter, "type": _KINDS[letter], **unit})
    base = [scale if _KINDS[letter] == "space" else 1.0 for letter in plan.axes]
    datasets = []
    for level in range(len(plan.shapes)):
        factor = [1.0] * (len(base) - 2) + [2.0**level] * 2
        steps = [b * f for b, f in zip(base, factor, strict=True)]
        shift = [b * (f - 1) / 2 for b, f in zip(base, factor, strict=True)]
        transformations = [{"type": "scale", "scale": steps}, {"type": "translation", "translation": shift}]
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    return {"name": name, "type": "mean", "axes": axes, "datasets": datasets}
