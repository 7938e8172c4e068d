"""Part of the Mandelbrot set, a pyramid of 2**20 x 2**20 voxels that is computed where someone looks. Pure (no I/O).

Every level is computed at its own voxel centres, so a coarse chunk costs what a fine one costs. Knows nothing of
sources, slots or pools: `mandelbrot` returns plain objects with a shape, a dtype and a ``[...]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Middle of the image in the complex plane, in the valley of the seahorses. A whole small copy of the set lies there,
#: and at full resolution it just fills a screen.
CENTER = complex(-0.743643887037151, 0.131825904205330)

#: Edge of the image in the complex plane; a power of two, so that voxel centres are exact in float64.
WIDTH = 2.0**-7

#: A point that has not escaped by then counts as inside. Twice as many would move the edge of the inside by less than a
#: voxel almost everywhere, and make the dearest chunks a third dearer.
ITERATIONS = 1024

#: Squared modulus of ``2 z`` beyond which a point has escaped. Far enough out that the fraction of an iteration is
#: smooth, and not so far that `_STRIDE` more squarings overflow: 16**(2**6) is 1e77.
_BAILOUT = 64.0

#: Iterations between two looks at who has escaped.
_STRIDE = 6

#: Edge of the blocks whose frames are computed first: see `_escape`.
_BLOCK = 32

_BRIGHTEST = 65535


@dataclass(frozen=True, slots=True)
class FractalLevel:
    """One level: reads like a numpy array of uint16, of which only what is sliced is computed.

    Attributes
    ----------
    shape
        Voxels down and across.
    scale, translation
        In voxels of level 0, as in `octree_protocol.geometry`: the centre of voxel ``i`` lies at
        ``translation + i * scale``.
    pixel
        Edge of a voxel in the complex plane.
    chunks
        The piece that is best computed at once.
    """

    shape: tuple[int, int]
    scale: tuple[float, float]
    translation: tuple[float, float]
    pixel: float
    chunks: tuple[int, int] = (256, 256)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype("<u2")

    @property
    def ndim(self) -> int:
        return 2

    def __getitem__(self, key: Any) -> NDArray[np.uint16]:
        """The voxels of up to two slices or integers, clipped to the image as numpy does; steps are allowed."""
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) > 2:
            raise IndexError(f"a fractal has 2 axes, not {len(keys)}")
        lines = [np.arange(n)[k] for n, k in zip(self.shape, (*keys, slice(None))[:2], strict=True)]
        voxels = self._compute(np.atleast_1d(lines[0]), np.atleast_1d(lines[1]))
        return voxels.reshape(tuple(n for line in lines for n in line.shape))

    def _compute(self, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.uint16]:
        """The voxels where these rows and columns cross."""
        middle_y, middle_x = self.shape[0] / 2, self.shape[1] / 2
        y = CENTER.imag + (rows + 0.5 - middle_y) * self.pixel
        x = CENTER.real + (columns + 0.5 - middle_x) * self.pixel
        count, distance = _escape(y, x)
        return _shade(count, distance / self.pixel)


@dataclass(frozen=True, slots=True)
class Fractal:
    """A pyramid that nobody stored; `levels` from full resolution to the one that fits a single chunk."""

    levels: Sequence[FractalLevel]
    axes: tuple[str, str] = ("y", "x")


def mandelbrot(edge: int = 1 << 20) -> Fractal:
    """The image of the demo.

    Parameters
    ----------
    edge
        Voxels along each side of level 0: a power of two, from 256 to 2**24 (beyond, float64 runs out of digits).

    Raises
    ------
    ValueError
        If `edge` is something else.
    """
    if not 256 <= edge <= 1 << 24 or edge & (edge - 1):
        raise ValueError(f"edge={edge}: choose a power of two from 256 to {1 << 24}")
    levels = []
    for n in range((edge // 256).bit_length()):
        size, step = edge >> n, float(1 << n)
        levels.append(FractalLevel((size, size), (step, step), ((step - 1) / 2,) * 2, WIDTH / size))
    return Fractal(tuple(levels))


def _escape(y: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """When each point ``x + iy`` escapes, and how far from the set it lies.

    The set has no holes: where the whole frame of a block is inside, so is the block. So the frames are computed
    first, and the blocks inside them only where needed (after Mariani and Silver, 1988): a chunk deep inside the set
    would otherwise be the dearest of all.

    Returns
    -------
    count, distance
        Two float64 arrays (len(y), len(x)): smooth number of iterations, 0 for a point inside; estimated distance to
        the set in the complex plane.
    """
    shape = len(y), len(x)
    count, distance = np.zeros(shape), np.zeros(shape)

    def on_frame(n: int) -> NDArray[Any]:
        at = np.arange(n)
        frame: NDArray[Any] = (at % _BLOCK == 0) | (at == n - 1)
        return frame

    def compute(where: NDArray[Any]) -> None:
        rows, columns = np.nonzero(where)
        count[rows, columns], distance[rows, columns] = _iterate(x[columns], y[rows])

    todo = np.ones(shape, bool)
    frames = on_frame(shape[0])[:, None] | on_frame(shape[1])[None, :]
    compute(frames)
    todo[frames] = False
    for top in range(0, shape[0] - 1, _BLOCK):
        for left in range(0, shape[1] - 1, _BLOCK):
            # One more row and column: the block's frame is closed by its neighbours' first lines.
            block = np.s_[top : top + _BLOCK + 1, left : left + _BLOCK + 1]
            if not count[block][frames[block]].any():
                todo[block] = False
    compute(todo)
    return count, distance


def _iterate(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """`_escape` for a list of points.

    Iterates ``w = 2 z``, which saves a pass: ``w <- w**2 / 2 + 2 c``. The derivative dz/dc is the product of all
    ``2 z`` (the ``+ 1`` of its recurrence is lost in it), and only its modulus is needed.
    Smooth count and distance: Douady and Hubbard's potential, as in Peitgen and Saupe, The Science of Fractal
    Images, 1988, appendix D.
    """
    count, distance = np.zeros(len(x)), np.zeros(len(x))
    at: NDArray[Any] = np.arange(len(x))
    cr, ci = 2 * x, 2 * y
    wr, wi = cr.copy(), ci.copy()
    derivative: NDArray[Any] = np.ones(len(x))
    rr, ii, modulus = np.empty(len(x)), np.empty(len(x)), np.empty(len(x))
    for done in range(1 + _STRIDE, ITERATIONS, _STRIDE):
        for _ in range(_STRIDE):
            np.multiply(wr, wr, out=rr)
            np.multiply(wi, wi, out=ii)
            np.add(rr, ii, out=modulus)
            derivative *= modulus
            wi *= wr
            wi += ci
            np.subtract(rr, ii, out=wr)
            wr *= 0.5
            wr += cr
        escaped = modulus > _BAILOUT
        out = np.flatnonzero(escaped)
        if len(out):
            squared = 0.25 * (wr[out] ** 2 + wi[out] ** 2)
            potential = 0.5 * np.log(squared)
            count[at[out]] = done - np.log2(potential)
            distance[at[out]] = np.sqrt(squared / derivative[out]) * potential
            stay = np.flatnonzero(~escaped)
            if not len(stay):
                break
            at, cr, ci, wr, wi, derivative = (v[stay] for v in (at, cr, ci, wr, wi, derivative))
            rr, ii, modulus = rr[: len(stay)], ii[: len(stay)], modulus[: len(stay)]
    return count, distance


def _shade(count: NDArray[Any], distance: NDArray[Any]) -> NDArray[np.uint16]:
    """Grey values: dark waves far from the set, bright threads along it, 0 inside.

    The waves go with the logarithm of the count, so that they are as wide at the bottom as at the top. Where the set is
    nearer than a few voxels it is drawn as a thread: without that, fine detail would be noise.

    Parameters
    ----------
    count, distance
        From `_escape`; the distance in voxels.
    """
    wave = 0.5 - 0.5 * np.cos(2 * np.pi * 1.1 * np.log2(np.maximum(count, 1.0)) + 1.0)
    away = np.minimum(distance / 3, 1.0) ** 0.35
    value = np.where(count > 0, 1 - (1 - 0.62 * wave) * away, 0.0)
    grey: NDArray[np.uint16] = np.rint(value * _BRIGHTEST).astype(np.uint16)
    return grey
