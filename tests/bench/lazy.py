"""An image that is computed when somebody looks, as a factory yields it. Imported by the daemon: it imports little."""

from __future__ import annotations

from typing import Any

import dask.array
import numpy as np
from numpy.typing import NDArray

#: Edge of a chunk.
CHUNK = 1024


def waves(edge: int) -> Any:
    """A dask array of uint16 of which nothing is computed yet."""
    chunks = ((CHUNK,) * (edge // CHUNK),) * 2
    return dask.array.map_blocks(_block, chunks=chunks, dtype=np.uint16, meta=np.empty((0, 0), np.uint16))


def _block(block_id: tuple[int, int]) -> NDArray[np.uint16]:
    y, x = (np.arange(i * CHUNK, (i + 1) * CHUNK, dtype=np.float32) for i in block_id)
    return (9000 + 5000 * np.sin(y / 3111)[:, None] * np.cos(x / 1997)[None]).astype(np.uint16)
