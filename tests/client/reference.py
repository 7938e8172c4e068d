"""What a tiled image must look like, in plain numpy and float64: no tiles, no chunks, no vertices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from octree_client.camera import Camera, PlaneLevel

#: Voxels of a level by (row, column) indices.
Voxels = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray]

GREY = np.repeat(np.arange(256)[:, None], 4, axis=1)
GREY[:, 3] = 255


def pixel_world(camera: Camera) -> tuple[NDArray, NDArray]:
    """World y of each row's and x of each column's pixel centres."""
    width, height = camera.canvas
    y = camera.center[0] + (np.arange(height) + 0.5 - height / 2) * camera.pixel_size
    x = camera.center[1] + (np.arange(width) + 0.5 - width / 2) * camera.pixel_size
    return y, x


def voxel_positions(level: PlaneLevel, camera: Camera) -> tuple[NDArray, NDArray]:
    """Continuous voxel coordinates of each row's and each column's pixel centres."""
    y, x = pixel_world(camera)
    return (
        (y - level.translation[0]) / level.scale[0] + 0.5,
        (x - level.translation[1]) / level.scale[1] + 0.5,
    )


def clear_of(positions: NDArray, margin: float) -> NDArray:
    """Which positions keep `margin` voxels away from the border between two voxels."""
    return np.abs(positions - np.rint(positions)) > margin


def resample(voxels: Voxels, level: PlaneLevel, camera: Camera, interpolation: str) -> NDArray:
    """The level's value at each pixel's centre, (h, w) or (h, w, samples) float64; beyond the edge, the edge's."""
    py, px = voxel_positions(level, camera)

    def take(iy: NDArray, ix: NDArray) -> NDArray:
        rows = np.clip(iy, 0, level.shape[0] - 1).astype(np.int64)
        columns = np.clip(ix, 0, level.shape[1] - 1).astype(np.int64)
        return np.asarray(voxels(rows[:, None], columns[None, :]), np.float64)

    if interpolation == "nearest":
        return take(np.floor(py), np.floor(px))
    ly, lx = np.floor(py - 0.5), np.floor(px - 0.5)
    wy, wx = (py - 0.5 - ly)[:, None], (px - 0.5 - lx)[None, :]
    corners = [take(ly, lx), take(ly, lx + 1), take(ly + 1, lx), take(ly + 1, lx + 1)]
    if corners[0].ndim == 3:
        wy, wx = wy[..., None], wx[..., None]
    a, b, c, d = corners
    return (a * (1 - wx) + b * wx) * (1 - wy) + (c * (1 - wx) + d * wx) * wy


def inside(level: PlaneLevel, camera: Camera) -> NDArray:
    """Which pixels' centres lie on the level, (h, w) bool."""
    py, px = voxel_positions(level, camera)
    return ((py >= 0) & (py < level.shape[0]))[:, None] & ((px >= 0) & (px < level.shape[1]))[None, :]


def colours(values: NDArray, limits: tuple[float, float], gamma: float = 1.0, table: NDArray | None = None) -> NDArray:
    """RGBA 0 .. 255 of values, float64; NaN becomes transparent."""
    table = GREY if table is None else table
    shown = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1) ** gamma
    if values.ndim == 3:
        alpha = values[..., 3:] if values.shape[2] == 4 else np.full((*values.shape[:2], 1), 255.0)
        return np.concatenate([shown[..., :3] * 255, alpha], axis=2)
    nan = np.isnan(shown)
    entry = np.floor(np.where(nan, 0, shown) * (len(table) - 1) + 0.5).astype(int)
    out = table[entry].astype(np.float64)
    out[nan] = 0
    return out


def over(background: NDArray, rgba: NDArray, opacity: float, where: NDArray) -> NDArray:
    """RGB 0 .. 255 after painting once over a background, as float64."""
    alpha = rgba[..., 3:] / 255 * opacity * where[..., None]
    return background * (1 - alpha) + rgba[..., :3] * alpha
