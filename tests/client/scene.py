"""Pieces and tiles for pixel tests: a pyramid of arrays or functions, cut by hand, without `cover` or `paging`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from tests.client.reference import Voxels

from octree_client.camera import Camera, PlaneLevel
from octree_client.canvas import Canvas
from octree_client.cover import Piece, PlaneChunk
from octree_client.texture import texture_kind
from octree_client.visuals.tiled_image import TiledImage
from octree_protocol.keys import CellStatus

Rect = tuple[float, float, float, float]


def plane_level(
    shape: tuple[int, int],
    chunk: tuple[int, int],
    scale: tuple[float, float] = (1.0, 1.0),
    translation: tuple[float, float] = (0.0, 0.0),
) -> PlaneLevel:
    grid = (-(-shape[0] // chunk[0]), -(-shape[1] // chunk[1]))
    return PlaneLevel(shape, chunk, grid, scale, translation)


def coarser(level: PlaneLevel, array: NDArray, factor: int, chunk: tuple[int, int]) -> tuple[PlaneLevel, NDArray]:
    """The next level by taking every factor-th voxel's mean place: any numbers do, they need not look alike."""
    shape = (max(1, level.shape[0] // factor), max(1, level.shape[1] // factor))
    data = array[: shape[0] * factor : factor, : shape[1] * factor : factor].copy()
    scale = (level.scale[0] * factor, level.scale[1] * factor)
    translation = tuple(t + (factor - 1) / 2 * s for t, s in zip(level.translation, level.scale, strict=True))
    return plane_level(shape, chunk, scale, translation), data  # type: ignore[arg-type]


def chunk_rect(level: PlaneLevel, row: int, column: int) -> Rect:
    y0, x0 = row * level.chunk[0], column * level.chunk[1]
    y1, x1 = min(y0 + level.chunk[0], level.shape[0]), min(x0 + level.chunk[1], level.shape[1])
    return (
        level.voxel_to_world(0, y0),
        level.voxel_to_world(1, x0),
        level.voxel_to_world(0, y1),
        level.voxel_to_world(1, x1),
    )


def cut(level: PlaneLevel, rect: Rect) -> list[tuple[tuple[int, int], Rect]]:
    """A world rectangle cut along a level's chunk borders; the outermost chunks reach as far as the rectangle does."""
    spans = []
    for axis in (0, 1):
        low, high = rect[axis], rect[axis + 2]
        first = int(np.clip(level.world_to_voxel(axis, low) // level.chunk[axis], 0, level.grid[axis] - 1))
        parts = []
        for index in range(first, level.grid[axis]):
            a = low if index == first else level.voxel_to_world(axis, index * level.chunk[axis])
            last = index == level.grid[axis] - 1
            b = high if last else min(high, level.voxel_to_world(axis, (index + 1) * level.chunk[axis]))
            if a < b:
                parts.append((index, a, b))
            if b >= high:
                break
        spans.append(parts)
    return [((r, c), (y0, x0, y1, x1)) for r, y0, y1 in spans[0] for c, x0, x1 in spans[1]]


class Scene:
    """A tiled image with everything that it needs: uploads each chunk when a piece first wants it."""

    def __init__(
        self,
        levels: Sequence[PlaneLevel],
        voxels: Sequence[Voxels],
        dtype: str = "u2",
        samples: int = 1,
        grid: tuple[int, int] = (12, 12),
        tile_shape: tuple[int, int] | None = None,
    ) -> None:
        self.levels = tuple(levels)
        self.voxels = tuple(voxels)
        tile_shape = tile_shape or (max(v.chunk[0] for v in levels), max(v.chunk[1] for v in levels))
        self.image = TiledImage(self.levels, tile_shape, texture_kind(dtype, samples), grid)
        self.resident: dict[PlaneChunk, int] = {}

    def data(self, chunk: PlaneChunk) -> NDArray:
        level = self.levels[chunk[0]]
        y0, x0 = chunk[1] * level.chunk[0], chunk[2] * level.chunk[1]
        y1, x1 = min(y0 + level.chunk[0], level.shape[0]), min(x0 + level.chunk[1], level.shape[1])
        return np.ascontiguousarray(self.voxels[chunk[0]](np.arange(y0, y1)[:, None], np.arange(x0, x1)[None, :]))

    def tile(self, chunk: PlaneChunk) -> int:
        if chunk not in self.resident:
            self.resident[chunk] = len(self.resident)
            self.image.upload(self.resident[chunk], self.data(chunk))
        return self.resident[chunk]

    def cells(self, camera: Camera, ideal: int, margin: int = 1) -> list[tuple[int, int]]:
        """Cells of the ideal grid that the view meets, and `margin` more on each side."""
        level, view = self.levels[ideal], camera.view()
        ranges = []
        for axis in (0, 1):
            low = int(np.floor(level.world_to_voxel(axis, view[axis]) / level.chunk[axis])) - margin
            high = int(np.floor(level.world_to_voxel(axis, view[axis + 2]) / level.chunk[axis])) + margin
            ranges.append(range(max(low, 0), min(high, level.grid[axis] - 1) + 1))
        return [(r, c) for r in ranges[0] for c in ranges[1]]

    def pieces(self, camera: Camera, ideal: int = 0, choose: Callable[[int, int], int] | None = None) -> list[Piece]:
        """The cells in view, each drawn from the level that `choose` says for (row, column)."""
        found = []
        for row, column in self.cells(camera, ideal):
            level = ideal if choose is None else choose(row, column)
            status = CellStatus.FINAL if level == ideal else CellStatus.PROVISIONAL
            for (r, c), rect in cut(self.levels[level], chunk_rect(self.levels[ideal], row, column)):
                found.append(Piece((level, r, c), rect, self.tile((level, r, c)), status))
        return found

    def render(self, canvas: Canvas, camera: Camera, pieces: Sequence[Piece], ideal: int = 0) -> NDArray[np.uint8]:
        if canvas.size != camera.canvas:
            canvas.resize(camera.canvas)
        self.image.set_frame(pieces, self.resident, ideal, camera)
        canvas.handlers.on_draw = self.image.draw
        picture = canvas.render()
        return picture
