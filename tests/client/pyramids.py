"""Pyramids for the tests of the viewer's deciding code: plain ones, and any that hypothesis can think of."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from octree_client.camera import PlaneLevel, image_extent, plane_levels
from octree_client.cover import PlaneChunk
from octree_client.plane_grid import Rect, grids_of
from octree_protocol.geometry import Axis, Dataset, Level

Levels = tuple[PlaneLevel, ...]


def plain_dataset(edge: int, chunk: int = 256, ndim: int = 2, rgb: bool = False) -> Dataset:
    """A square dataset that halves until one chunk holds it; the axes before the last two are never coarsened."""
    front = ndim - 2
    levels, size, factor = [], edge, 1.0
    while True:
        shape, chunks = (7,) * front + (size, size), (1,) * front + (chunk, chunk)
        scale = (1.0,) * front + (factor, factor)
        shift = (0.0,) * front + ((factor - 1) / 2,) * 2
        if rgb:
            shape, chunks, scale, shift = (*shape, 3), (*chunks, 3), (*scale, 1.0), (*shift, 0.0)
        levels.append(Level(shape, chunks, scale, shift))
        if size <= chunk:
            break
        size, factor = -(-size // 2), factor * 2
    axes = tuple(Axis(name) for name in "tczyx"[5 - ndim :]) + ((Axis("s", "samples"),) if rgb else ())
    return Dataset(3, "plain", axes, "<u2", tuple(levels), rgb=rgb)


def plain_levels(edge: int, chunk: int = 256) -> Levels:
    return plane_levels(plain_dataset(edge, chunk))


@st.composite
def pyramids(draw: st.DrawFn) -> Levels:
    """Odd sizes, and factors of 1, 2 and 3 that differ by axis and level.

    Aligned ones have borders that coincide; shifted ones forget the half voxel now and then, as many writers do; wild
    ones are rounded up or down and have chunks of another size at every level, too.
    """
    random = Random(draw(st.integers(0, 1 << 32)))
    kind = draw(st.sampled_from(["aligned", "shifted", "wild"]))
    size = [random.randint(1, 90), random.randint(1, 90)]
    scale = [random.choice((1.0, 0.1, 0.325, 3.0)), random.choice((1.0, 0.1, 0.7))]
    shift = [random.choice((0.0, 0.5, -17.3, 1e6)), random.choice((0.0, 1e5))]
    chunk = [random.randint(2, 13), random.randint(2, 13)]
    levels = []
    for _ in range(draw(st.integers(1, 5))):
        grid = (-(-size[0] // chunk[0]), -(-size[1] // chunk[1]))
        levels.append(
            PlaneLevel((size[0], size[1]), (chunk[0], chunk[1]), grid, (scale[0], scale[1]), (shift[0], shift[1]))
        )
        for axis in (0, 1):
            factor = random.choice((1, 2, 2, 3))
            round_up = kind != "wild" or random.random() < 0.7
            size[axis] = max(1, -(-size[axis] // factor) if round_up else size[axis] // factor)
            if kind == "aligned" or random.random() < 0.7:
                shift[axis] += 0.5 * (factor - 1) * scale[axis]
            scale[axis] *= factor
            if kind == "wild" and random.random() < 0.3:
                chunk[axis] = random.randint(2, 13)
    return tuple(levels)


def all_chunks(levels: Levels) -> list[PlaneChunk]:
    return [
        (number, row, col)
        for number, level in enumerate(levels)
        for row in range(level.grid[0])
        for col in range(level.grid[1])
    ]


def some_chunks(levels: Levels, random: Random) -> list[PlaneChunk]:
    """A random part of all chunks, of another density for each level."""
    density = [random.choice((0.0, 0.2, 0.6, 0.95, 1.0)) for _ in levels]
    return [chunk for chunk in all_chunks(levels) if random.random() < density[chunk[0]]]


def some_view(levels: Levels, random: Random) -> Rect:
    """A view that usually meets the image, sometimes beyond its edge or beside it, sometimes from border to border."""
    y0, x0, y1, x1 = image_extent(levels)
    if random.random() < 0.3:
        down, across = random.choice(grids_of(levels).axes)
        row, col = random.randint(0, down.count), random.randint(0, across.count)
        return (
            down.border(row),
            across.border(col),
            down.border(row + random.randint(1, 3)),
            across.border(col + random.randint(1, 3)),
        )
    height, width = (y1 - y0) * random.uniform(0.05, 1.5), (x1 - x0) * random.uniform(0.05, 1.5)
    y, x = y0 + (y1 - y0) * random.uniform(-0.3, 1.3), x0 + (x1 - x0) * random.uniform(-0.3, 1.3)
    return y - height / 2, x - width / 2, y + height / 2, x + width / 2
