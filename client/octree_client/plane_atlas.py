"""The atlas of one plane of a dataset: what it is drawn with, which chunk lies in which tile, and how large it is.

Knows nothing of what is wanted, nor of where voxels come from.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_client.atlas import TileCache
from octree_client.camera import PlaneLevel, image_extent, plane_levels
from octree_client.cover import FILL_TILE, PlaneChunk
from octree_client.kept_voxels import KeptVoxels
from octree_client.placing import Plane, Position, hidden_axes
from octree_client.texture import TILES_PER_EDGE, atlas_grid, texture_kind
from octree_client.visuals.tiled_image import TiledImage
from octree_client.vram import LEAST_TILES, Need, all_tiles, view_tiles
from octree_client.working_set import base_chunks
from octree_protocol.geometry import Dataset

#: Tiles of one atlas, at most.
_TILES_MOST = TILES_PER_EDGE * TILES_PER_EDGE


#: Bytes of main memory for the voxels that the texture holds only roughly.
_KEPT_BYTES = 128 << 20


class PlaneAtlas:
    """Tiles for one plane of a dataset, at any position of its other axes.

    Parameters
    ----------
    vram_bytes
        Budget of the texture; kept, but for the two tiles that it cannot do without.
    max_texture
        Edge of the largest texture that GL takes.

    Attributes
    ----------
    levels, extent
        As the camera sees them.
    visual, tiles
        What it is drawn with, and which chunk lies in which tile.
    kept
        The voxels themselves, where the texture holds them only roughly; else None.
    base
        Chunks of the coarsest level that stay in VRAM once they are there; none if they are too many.
    """

    def __init__(self, dataset: Dataset, plane: Plane, vram_bytes: int, max_texture: int, labels: bool = False) -> None:
        samples = dataset.levels[0].shape[-1] if dataset.rgb else 1
        self.plane = plane
        self.levels: tuple[PlaneLevel, ...] = plane_levels(dataset, plane)
        self.extent = image_extent(self.levels)
        kind = texture_kind(dataset.dtype, samples, labels)
        shape = (max(v.chunk[0] for v in self.levels), max(v.chunk[1] for v in self.levels))
        self.vram_bytes = vram_bytes
        self._max_texture = max_texture
        self._tile_bytes = shape[0] * shape[1] * kind.bytes_per_texel
        # More tiles than there are chunks at all positions would only be allocated in vain.
        positions = prod(dataset.levels[0].shape[axis] for axis in hidden_axes(dataset, plane))
        self._tiles_most = min(all_tiles(self.levels) * max(1, positions), _TILES_MOST)
        grid = atlas_grid(shape, kind.bytes_per_texel, self._tiles() * self._tile_bytes, max_texture)
        if grid == (1, 1):
            grid = (LEAST_TILES, 1)
        self.visual = TiledImage(self.levels, shape, kind, grid)
        self.tiles = TileCache(self.visual.atlas.tiles)
        self._fill: NDArray[Any] = np.full(
            (*shape, samples) if dataset.rgb else shape, dataset.fill_value, np.dtype(dataset.dtype)
        )
        self.visual.upload(FILL_TILE, self._fill)
        self.kept = None if kind.is_exact else KeptVoxels(_KEPT_BYTES)
        self._position: Position = ()
        self.base: tuple[PlaneChunk, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of video memory."""
        return self.visual.atlas.nbytes

    def _tiles(self) -> int:
        """Tiles that the budget allows."""
        return min(max(self.vram_bytes // self._tile_bytes, LEAST_TILES), self._tiles_most)

    def need(self, canvas: tuple[int, int], seen: bool) -> Need:
        """Video memory that it could do with on a canvas of that size; `seen`: whether it is drawn at all."""
        view = view_tiles(canvas, self.visual.atlas.tile_shape) * self._tile_bytes if seen else 0
        return Need(LEAST_TILES * self._tile_bytes, view, self._tiles_most * self._tile_bytes)

    def show(self, position: Position) -> None:
        """The base of this position is what stays from now on."""
        base = base_chunks(self.levels)
        self.base = base if len(base) < self.tiles.capacity // 4 else ()
        self._position = position
        self.tiles.pin((position, chunk) for chunk in self.base)

    def fit(self) -> None:
        """Make the texture as large as its budget says. Within a frame of a canvas; costs nothing if it is.

        What was drawn last stays, as much as there is room for. Rows of tiles come and go, so that the others keep
        their places and are copied at once.
        """
        atlas = self.visual.atlas
        rows = min(self._tiles() // atlas.columns, self._max_texture // atlas.tile_shape[0], TILES_PER_EDGE)
        rows = max(rows, 1 if atlas.columns >= LEAST_TILES else LEAST_TILES)
        if rows == atlas.rows:
            return
        moves = self.tiles.resize(rows * atlas.columns)
        if not self.visual.resize(rows, moves):
            self.tiles.forget_all()
            self.visual.upload(FILL_TILE, self._fill)
        self.show(self._position)

    def close(self) -> None:
        """Free the texture at the next flush."""
        self.visual.close()
