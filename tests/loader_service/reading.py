"""Voxels to write, and levels as clients would read them; shared by the tests of sources."""

from __future__ import annotations

from typing import Any

import numpy as np

from octree_loader.planning import plan_dataset
from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, Source, SourceSpec


def voxels(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray[Any, Any]:
    """Nowhere the same, and compressible."""
    grid = np.indices(shape).astype(np.int64)
    values = sum(axis * (7 + 13 * number) for number, axis in enumerate(grid)) + np.random.default_rng(5).integers(
        0, 5, shape
    )
    return values % 3 == 0 if dtype == "bool" else (values % 251).astype(dtype)


def open_at(location: str, **options: Any) -> Source:
    """A source, as the daemon opens it."""
    return open_source(SourceSpec("image", location, options))


def read_level(source: Source, level: int = 0, tile: int = 48, at_once: int = 5) -> np.ndarray[Any, Any]:
    """A whole level, put together from the chunks that a client would see, some of them with one read."""
    chunked = plan_dataset(1, "image", source, tile).levels[level].level
    whole = np.zeros(source.levels[level].shape, source.dtype)
    boxes = [chunked.chunk_extent(index) for index in np.ndindex(*chunked.grid())]
    boxes = boxes[::2] + boxes[1::2]  # out of order, as workers get them
    for first in range(0, len(boxes), at_once):
        pieces = [
            Piece(box, np.full([high - low for low, high in box], 99, source.dtype))
            for box in boxes[first : first + at_once]
        ]
        for stored, (box, out) in zip(source.read(level, pieces), pieces, strict=True):
            whole[tuple(slice(*sides) for sides in box)] = out if stored else source.fill_value
    return whole
