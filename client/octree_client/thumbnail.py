"""Small pictures of images: which level they are read from, and how values become colours. Pure (no I/O).

For the minimap and the list of layers; what is on the screen is drawn by GL. Knows nothing of connections and widgets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from octree_client.placing import Plane, Position, hidden_axes
from octree_protocol.geometry import Dataset


def thumbnail_level(shapes: Sequence[tuple[int, ...]], axes: tuple[int, int], longest: int) -> tuple[int, int]:
    """The level for a small picture, and the step along the displayed axes.

    The coarsest level whose longer edge is at least half of `longest`, so that it is not blurred; a step where even
    that is longer than `longest`.

    Parameters
    ----------
    shapes
        Of the levels, finest first.
    axes
        Numbers of the axes (down, across).
    longest
        Pixels of the picture's longer edge.
    """
    level = 0
    for number, shape in enumerate(shapes):
        if max(shape[axes[0]], shape[axes[1]]) * 2 >= longest:
            level = number
    down, across = (max(1, -(-shapes[level][axis] // longest)) for axis in axes)
    return level, max(down, across)


def thumbnail_index(
    dataset: Dataset, level: int, plane: Plane, position: Position, step: int
) -> tuple[int | slice, ...]:
    """What a small picture reads of a level: every `step`-th voxel of a plane.

    Parameters
    ----------
    plane
        Numbers of the axes (down, across).
    position
        Voxel of level 0 on each axis that is not displayed.
    """
    finest, found = dataset.levels[0], dataset.levels[level]
    index: list[int | slice] = [slice(None)] * len(found.shape)
    for axis in plane:
        index[axis] = slice(None, None, step)
    for axis, voxel in zip(hidden_axes(dataset, plane), position, strict=True):
        place = found.world_to_voxel(axis, finest.voxel_to_world(axis, voxel + 0.5))
        index[axis] = min(max(int(place), 0), found.shape[axis] - 1)
    return tuple(index)


def coloured(
    values: NDArray[np.generic], limits: tuple[float, float], gamma: float, table: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """Values as colours: the same as on the screen, to the eye.

    Parameters
    ----------
    values
        (h, w), or (h, w, 3 or 4) of colours.
    limits
        Values of the colour map's ends.
    table
        (n, 4) uint8; None for values that are colours.

    Returns
    -------
    ndarray
        (h, w, 4) uint8, opaque where there is data. NaN is transparent.
    """
    plain = np.abs(values) if values.dtype.kind == "c" else values
    numbers = plain.astype(np.float32)
    low, high = limits
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.clip((numbers - low) / max(high - low, 1e-30), 0.0, 1.0) ** gamma
    unknown = np.isnan(share)
    share[unknown] = 0.0
    if table is None:
        found = np.full((*values.shape[:2], 4), 255, np.uint8)
        found[..., :3] = np.round(share[..., :3] * 255)
        return found
    picture: NDArray[np.uint8] = table[np.minimum((share * len(table)).astype(np.intp), len(table) - 1)]
    picture[unknown] = 0
    return picture


def label_colours(labels: NDArray[np.generic], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels in the colours of a table, (n, 4) uint8; 0 is transparent."""
    found: NDArray[np.uint8] = table[labels.astype(np.uint64) % np.uint64(len(table))]
    found[labels == 0] = 0
    return found
