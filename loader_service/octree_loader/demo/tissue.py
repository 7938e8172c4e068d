"""A made-up micrograph of liver: lobules, veins, cells with nuclei and membranes, fibres, shot noise. Pure (no I/O).

Every tile is computed by itself from the seed and its position, and fits its neighbours without a seam: random numbers
come from a hash of lattice coordinates, never from a sequence. Knows nothing of files or pyramids.

Algorithms: Worley, A Cellular Texture Basis Function, SIGGRAPH 1996 (lobules and cells); value noise on a lattice,
interpolated by cubic B-splines, which is two matrix products a tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float32]

#: Edge of the tiles that are computed at once, in voxels. Shot noise is seeded by tile: another size, another noise.
TILE = 512

#: Grey value of a voxel without light, and the largest that a 12-bit camera gives.
_OFFSET, _BRIGHTEST = 100, 4095

#: Electrons of a signal of 1, grey values for an electron's variance, and variance of the camera itself.
_ELECTRONS, _GAIN, _READOUT = 2400.0, 1.6, 60.0


@dataclass(frozen=True, slots=True)
class Tissue:
    """The whole image, `edge` voxels square; called with a box, returns its voxels."""

    edge: int = 16384
    seed: int = 7

    @property
    def shape(self) -> tuple[int, int]:
        return self.edge, self.edge

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype("<u2")

    def __call__(self, box: tuple[tuple[int, int], ...]) -> NDArray[np.uint16]:
        """The voxels from the first to before the last row and column of `box`."""
        (y0, y1), (x0, x1) = box
        top, left = y0 // TILE * TILE, x0 // TILE * TILE
        tiles = [[self._tile(y, x) for x in range(left, x1, TILE)] for y in range(top, y1, TILE)]
        return np.block(tiles)[y0 - top : y1 - top, x0 - left : x1 - left]

    def _tile(self, y: int, x: int) -> NDArray[np.uint16]:
        light = np.maximum(self._signal(y, x), 0) * np.float32(_ELECTRONS)
        generator = np.random.Generator(np.random.SFC64([self.seed, y, x]))
        spread = np.sqrt(light * np.float32(_GAIN) + np.float32(_READOUT))
        # A Poisson law is close to a normal one at this many electrons, and costs ten times as much.
        light += spread * generator.standard_normal((TILE, TILE), dtype=np.float32)
        return np.clip(light + _OFFSET, 0, _BRIGHTEST).astype(np.uint16)

    def _signal(self, y: int, x: int) -> _Floats:
        """Light of the tile at (y, x), about 0 to 2. Shapes at half resolution (a lens blurs them), texture at full."""
        nuclei, bodies, stroma = (_enlarged(field) for field in self._shapes(y, x))

        def texture(spacing: float, number: int) -> _Floats:
            return _noise(y, x, 1, TILE, spacing, self.seed * 1000 + number)

        chromatin = 0.74 + 0.5 * texture(5, 20) * texture(9, 21) + 0.2 * texture(3, 22)
        coarse, fine = texture(26, 23) + 0.5 * texture(11, 24), texture(34, 25) + 0.45 * texture(9, 26)
        # A fibre runs where noise crosses zero.
        fibres = _ridge(coarse, 0.09) + _ridge(fine, 0.08)
        return (
            nuclei * chromatin
            + bodies * (1 + 0.22 * texture(4, 27))
            + stroma * fibres * 0.45 * (0.7 + 0.3 * texture(200, 28))
            + np.float32(0.012)
        )

    def _shapes(self, y: int, x: int) -> tuple[_Floats, _Floats, _Floats]:
        """Nuclei, cell bodies with their membranes, and tissue between lobules, at every other voxel.

        The first sample lies 1 voxel before the tile, the last 1 beyond it, as `_enlarged` wants them.
        """
        n = TILE // 2 + 2
        across = np.arange(n, dtype=np.float32) * 2
        yy, xx = (y - 0.5 + across - 1)[:, None], (x - 0.5 + across - 1)[None, :]

        def noise(spacing: float, number: int) -> _Floats:
            return _noise(y - 1.5, x - 1.5, 2, n, spacing, self.seed * 1000 + number)

        # The section's outline: a disc with a ragged edge.
        middle = self.edge / 2
        radius = np.hypot((yy - middle) / (0.94 * middle), (xx - middle) / (0.98 * middle), dtype=np.float32)
        section = 1 - _step(0.985, 1.0, radius + 0.11 * noise(3100, 1) + 0.035 * noise(700, 2) + 0.01 * noise(150, 3))

        # Lobules: cells of a warped Voronoi diagram, with a vein in the middle of each and stroma between them.
        lobule = _voronoi(
            yy + 230 * noise(900, 4) + 40 * noise(160, 5),
            xx + 230 * noise(900, 6) + 40 * noise(160, 7),
            1000.0,
            0.75,
            self.seed * 1000 + 8,
        )
        parenchyma = _step(40, 110, lobule.border)
        vein_edge = lobule.distance - (150 + 70 * noise(500, 9))
        flesh = section * (1 - (1 - np.clip(vein_edge / 30, 0, 1)) * parenchyma)

        # Cells: a finer diagram; each has a nucleus of its own size, direction and brightness.
        cell = _voronoi(yy + 13 * noise(55, 10), xx + 13 * noise(55, 11), 58.0, 0.8, self.seed * 1000 + 12)
        turn, kind = cell.chance(self.seed * 1000 + 14), cell.chance(self.seed * 1000 + 15)
        cosine, sine = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
        longer = 1 + 0.45 * (1 - parenchyma)
        along = (cosine * cell.down + sine * cell.right) * longer * 1.12
        beside = (cosine * cell.right - sine * cell.down) / longer
        outside = np.hypot(along, beside) + 1.6 * noise(14, 16) - (15 + 6 * kind)
        present = np.maximum(
            parenchyma, 0.9 * _step(-0.2, 0.15, parenchyma - 0.45 + 0.4 * noise(300, 18) + 0.6 * (kind - 0.5))
        )
        brightness = 0.55 + 0.5 * kind * kind + 1.1 * (turn > 0.975) + 0.25 * (turn < 0.3)
        nuclei = flesh * present * brightness / (1 + np.exp(0.9 * outside))

        tone = 0.8 + 0.35 * noise(2200, 17)
        cytoplasm = (0.16 + 0.10 * turn) * parenchyma + 0.05 * (1 - parenchyma)
        membranes = (0.30 * parenchyma + 0.04) * _ridge(cell.border, 3.2)
        vein_wall = 0.45 * _ridge(vein_edge - 12, 14) * parenchyma
        capsule = 0.22 * _ridge(lobule.border - 58, 13) * section
        bodies = flesh * ((cytoplasm + membranes) * tone + vein_wall) + capsule
        return nuclei.astype(np.float32), bodies.astype(np.float32), (section * (1 - parenchyma)).astype(np.float32)


class _Voronoi(NamedTuple):
    """A Voronoi diagram as seen from an array of points. Lengths in voxels.

    `distance` to the nearest site and `down`, `right` from it; `border` is 0 where two sites are equally near, and
    rises away from there; `row`, `column` say which site it is.
    """

    distance: _Floats
    border: _Floats
    down: _Floats
    right: _Floats
    row: NDArray[np.int32]
    column: NDArray[np.int32]

    def chance(self, seed: int) -> _Floats:
        """A random number from 0 to 1 for the nearest site of each point."""
        top, left = int(self.row.min()), int(self.column.min())
        rows, columns = np.arange(top, self.row.max() + 1), np.arange(left, self.column.max() + 1)
        return _uniform(rows[:, None], columns[None, :], seed)[self.row - top, self.column - left]


def _voronoi(y: _Floats, x: _Floats, spacing: float, jitter: float, seed: int) -> _Voronoi:
    """The diagram of one site in each square of `spacing` voxels, moved at random by up to `jitter` / 2 squares."""
    y, x = (y / spacing).astype(np.float32), (x / spacing).astype(np.float32)
    square_y, square_x = np.floor(y).astype(np.int32), np.floor(x).astype(np.int32)
    top, left = int(square_y.min()) - 1, int(square_x.min()) - 1
    rows = np.arange(top, square_y.max() + 2)[:, None]
    columns = np.arange(left, square_x.max() + 2)[None, :]
    width = columns.shape[1]
    sites_y = (rows + 0.5 + jitter * (_uniform(rows, columns, seed) - 0.5)).astype(np.float32).ravel()
    sites_x = (columns + 0.5 + jitter * (_uniform(rows, columns, seed + 1) - 0.5)).astype(np.float32).ravel()
    here = (square_y - top) * width + (square_x - left)
    first, second = np.full(y.shape, 9, np.float32), np.full(y.shape, 9, np.float32)
    nearest = np.zeros(y.shape, np.int32)
    for neighbour in (i * width + j for i in (-1, 0, 1) for j in (-1, 0, 1)):
        site = here + neighbour
        squared = (sites_y[site] - y) ** 2 + (sites_x[site] - x) ** 2
        np.minimum(second, np.maximum(first, squared), out=second)
        np.copyto(nearest, site, where=squared < first)
        np.minimum(first, squared, out=first)
    edge = np.float32(spacing)
    distance: _Floats = np.sqrt(first) * edge
    return _Voronoi(
        distance,
        np.sqrt(second) * edge - distance,
        (y - sites_y[nearest]) * edge,
        (x - sites_x[nearest]) * edge,
        nearest // width + top,
        nearest % width + left,
    )


def _uniform(row: NDArray[Any], column: NDArray[Any], seed: int) -> _Floats:
    """A random number from 0 to 1 for each lattice point: a hash, so that any tile finds the same one."""
    bits = row.astype(np.uint32) * np.uint32(0x9E3779B1) ^ column.astype(np.uint32) * np.uint32(0x85EBCA77)
    bits = bits ^ np.uint32(seed * 0x27D4EB2F & 0xFFFFFFFF)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        bits = (bits ^ bits >> np.uint32(shift)) * np.uint32(factor)
    bits ^= bits >> np.uint32(15)
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def _noise(y: float, x: float, step: int, n: int, spacing: float, seed: int) -> _Floats:
    """Smooth noise, about -1 to 1, at n x n points from (y, x) on; `spacing` is the size of its features in voxels."""
    weights_y, rows = _spline(y, step, n, spacing)
    weights_x, columns = _spline(x, step, n, spacing)
    lattice = _uniform(rows[:, None], columns[None, :], seed) * 2 - 1
    noise: _Floats = np.multiply(weights_y @ lattice @ weights_x.T, 2.2, dtype=np.float32)
    return noise


def _spline(start: float, step: int, n: int, spacing: float) -> tuple[_Floats, NDArray[Any]]:
    """Weights (n, m) of the m lattice points that bear on n samples, and these points."""
    position = (start + np.arange(n) * step) / spacing
    left = np.floor(position).astype(np.int64)
    t = position - left
    lattice = np.arange(left[0] - 1, left[-1] + 3)
    weights = np.zeros((n, len(lattice)), np.float32)
    basis = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for k, weight in enumerate(basis):
        weights[np.arange(n), left - left[0] + k] = weight / 6
    return weights, lattice


def _ridge(value: _Floats, width: float) -> _Floats:
    """1 where `value` is 0, falling off on both sides."""
    ridge: _Floats = np.exp(-((value / np.float32(width)) ** 2))
    return ridge


def _step(low: float, high: float, value: _Floats) -> _Floats:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    smooth: _Floats = t * t * (3 - 2 * t)
    return smooth


def _enlarged(half: _Floats) -> _Floats:
    """Twice the resolution, linearly; the outermost samples serve as neighbours and are not in the result."""
    n = 2 * (half.shape[0] - 2)
    tall = np.empty((n, half.shape[1]), np.float32)
    tall[0::2], tall[1::2] = 0.25 * half[:-2] + 0.75 * half[1:-1], 0.75 * half[1:-1] + 0.25 * half[2:]
    whole = np.empty((n, n), np.float32)
    whole[:, 0::2] = 0.25 * tall[:, :-2] + 0.75 * tall[:, 1:-1]
    whole[:, 1::2] = 0.75 * tall[:, 1:-1] + 0.25 * tall[:, 2:]
    return whole
