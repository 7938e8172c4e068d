"""The pyramids that are measured: written once, into a folder that git ignores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.demo.pyramid import write_pyramid

#: Where they lie: build output, like the figures.
FOLDER = Path("build") / "bench-data"

#: Edge of level 0 in voxels. Level 0 has 4096 chunks of 256 x 256.
EDGE = 16384

CHUNK = 256

_CODECS = {"lz4": "lz4", "zstd": "default"}


def tissue_like(box: tuple[tuple[int, int], ...]) -> NDArray[Any]:
    """Smooth structure with four bits of noise: compresses about as well as a camera's picture does."""
    (y0, y1), (x0, x1) = box
    y = np.arange(y0, y1, dtype=np.float32)[:, None]
    x = np.arange(x0, x1, dtype=np.float32)[None, :]
    smooth = 9000 + 5000 * np.sin(y / 311) * np.cos(x / 197) + 2000 * np.sin((x + y) / 43)
    noise = np.random.default_rng([y0, x0]).integers(0, 16, (y1 - y0, x1 - x0), dtype=np.uint16)
    result: NDArray[Any] = smooth.astype(np.uint16) + noise
    return result


def pyramid(codec: str, edge: int = EDGE) -> Path:
    """A pyramid of uint16 in chunks of 256 x 256; written if it is not there.

    Codecs: ``lz4`` in Blosc, or ``zstd`` as Zarr 3 writes it by default.
    """
    path = (FOLDER / f"{edge}-{codec}.zarr").absolute()
    if not path.exists():
        print(f"writing {path} (once) ...", flush=True)
        cores = os.cpu_count() or 1
        write_pyramid(path, tissue_like, (edge, edge), np.uint16, chunk=CHUNK, codec=_CODECS[codec], workers=cores)
    return path


def warm(path: Path, level: int = 0) -> int:
    """Read every file of a level once, so that the page cache has it; returns the bytes."""
    total = 0
    for folder, _, names in os.walk(path / str(level)):
        for name in names:
            total += len(Path(folder, name).read_bytes())
    return total
