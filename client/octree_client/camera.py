"""The camera of a 2D view, and a dataset's levels as that camera sees them. Pure (no I/O).

Everything here is float64 world units: float32 goes wrong beyond 10**6 voxels from the origin, so only what is
relative to the view ever becomes float32 (`visuals`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from octree_protocol.geometry import Dataset


@dataclass(frozen=True, slots=True)
class Camera:
    """A rectangle of the world that fills a canvas.

    Attributes
    ----------
    center
        World (y, x) in the middle of the canvas.
    pixel_size
        World units across one *physical* pixel; square pixels.
    canvas
        (width, height) in physical pixels.
    """

    center: tuple[float, float]
    pixel_size: float
    canvas: tuple[int, int]

    def view(self) -> tuple[float, float, float, float]:
        """World (y0, x0, y1, x1) of the canvas' edges."""
        width, height = self.canvas
        half_y, half_x = 0.5 * height * self.pixel_size, 0.5 * width * self.pixel_size
        y, x = self.center
        return y - half_y, x - half_x, y + half_y, x + half_x

    def world_at(self, pixel: tuple[float, float]) -> tuple[float, float]:
        """World (y, x) under a canvas position (x, y) in physical pixels from the upper left corner."""
        width, height = self.canvas
        return (
            self.center[0] + (pixel[1] - 0.5 * height) * self.pixel_size,
            self.center[1] + (pixel[0] - 0.5 * width) * self.pixel_size,
        )

    def panned(self, pixels: tuple[float, float]) -> Camera:
        """The camera after its image was dragged by (x, y) physical pixels."""
        y, x = self.center
        return replace(self, center=(y - pixels[1] * self.pixel_size, x - pixels[0] * self.pixel_size))

    def zoomed(self, factor: float, pixel: tuple[float, float] | None = None) -> Camera:
        """The camera after zooming in by `factor`; what is under `pixel`, or in the middle, stays there."""
        if pixel is None:
            return replace(self, pixel_size=self.pixel_size / factor)
        anchor_y, anchor_x = self.world_at(pixel)
        return replace(
            self,
            center=(
                anchor_y + (self.center[0] - anchor_y) / factor,
                anchor_x + (self.center[1] - anchor_x) / factor,
            ),
            pixel_size=self.pixel_size / factor,
        )


@dataclass(frozen=True, slots=True)
class PlaneLevel:
    """One level of a dataset on the two displayed axes. Pairs are (down, across).

    `chunk` is the render chunk's shape in voxels, `grid` the number of chunks. The centre of voxel ``i`` lies at
    ``translation + i * scale`` world units, as in `octree_protocol.geometry`.
    """

    shape: tuple[int, int]
    chunk: tuple[int, int]
    grid: tuple[int, int]
    scale: tuple[float, float]
    translation: tuple[float, float]

    def voxel_to_world(self, axis: int, voxel: float) -> float:
        """World coordinate of a continuous voxel coordinate, where voxel ``i`` covers ``[i, i + 1)``."""
        return self.translation[axis] + (voxel - 0.5) * self.scale[axis]

    def world_to_voxel(self, axis: int, world: float) -> float:
        """Inverse of `voxel_to_world`."""
        return (world - self.translation[axis]) / self.scale[axis] + 0.5


def plane_levels(dataset: Dataset, plane: tuple[int, int] | None = None) -> tuple[PlaneLevel, ...]:
    """The levels of a dataset on two of its axes, down and across; by default those that it is usually shown on."""
    axes = plane if plane is not None else dataset.displayed()

    def pair(values: tuple[float, ...]) -> tuple[float, float]:
        return values[axes[0]], values[axes[1]]

    def whole(values: tuple[int, ...]) -> tuple[int, int]:
        return values[axes[0]], values[axes[1]]

    return tuple(
        PlaneLevel(whole(v.shape), whole(v.chunk_shape), whole(v.grid()), pair(v.scale), pair(v.translation))
        for v in dataset.levels
    )


def image_extent(levels: tuple[PlaneLevel, ...]) -> tuple[float, float, float, float]:
    """World (y0, x0, y1, x1) of the image: the outer edges of level 0's voxels."""
    finest = levels[0]
    y0, x0 = finest.voxel_to_world(0, 0), finest.voxel_to_world(1, 0)
    return y0, x0, finest.voxel_to_world(0, finest.shape[0]), finest.voxel_to_world(1, finest.shape[1])


def camera_on(rect: tuple[float, float, float, float], canvas: tuple[int, int], margin: float = 1.04) -> Camera:
    """The camera that shows a rectangle of the world, (y0, x0, y1, x1), with a little room around it."""
    y0, x0, y1, x1 = rect
    width, height = canvas
    size = max((x1 - x0) / max(width, 1), (y1 - y0) / max(height, 1)) * margin
    return Camera(((y0 + y1) / 2, (x0 + x1) / 2), size, canvas)
