"""The pyramids that are measured: written once, into a folder that git ignores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octree_loader.demo.pyramid import write_pyramid
from octree_loader.sources.shards import parse_index

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


class Place(NamedTuple):
    """Where the encoded bytes of a chunk of level 0 lie."""

    file: str
    offset: int
    length: int


def places(path: Path) -> list[Place]:
    """Those of all chunks of a `pyramid`, in C order."""
    across = EDGE // CHUNK
    names = [f"{path}/0/c/{i // across}/{i % across}" for i in range(across**2)]
    return [Place(name, 0, os.stat(name).st_size) for name in names]


def sharded(edge: int, shard: int, inner: int) -> Path:
    """An image in shards as zarr-python writes them (Zstandard in each); written if it is not there."""
    import zarr

    path = (FOLDER / f"{edge}-shards-{inner}.zarr").absolute()
    if not path.exists():
        print(f"writing {path} (once) ...", flush=True)
        unfinished = path.with_suffix(".unfinished")
        array = zarr.create_array(
            unfinished,
            shape=(edge, edge),
            dtype=np.uint16,
            chunks=(inner, inner),
            shards=(shard, shard),
            overwrite=True,
        )
        for y in range(0, edge, shard):
            for x in range(0, edge, shard):
                array[y : y + shard, x : x + shard] = tissue_like(((y, y + shard), (x, x + shard)))
        unfinished.rename(path)
    return path


def places_in_shards(path: Path, edge: int, shard: int, inner: int) -> list[Place]:
    """Those of all inner chunks, in C order of the image."""
    per_shard = shard // inner
    indices: dict[str, NDArray[np.uint64]] = {}
    found = []
    for row in range(edge // inner):
        for column in range(edge // inner):
            name = f"{path}/c/{row // per_shard}/{column // per_shard}"
            if name not in indices:
                length = 16 * per_shard**2 + 4
                indices[name] = parse_index(Path(name).read_bytes()[-length:], length, name)
            entry = row % per_shard * per_shard + column % per_shard
            offset, nbytes = indices[name][entry].tolist()
            found.append(Place(name, offset, nbytes))
    return found


def tiff(edge: int = EDGE) -> Path:
    """The same image as a TIFF file of tiles, each with Deflate as `tifffile` writes it; written if it is not there."""
    import tifffile

    path = (FOLDER / f"{edge}-deflate.tif").absolute()
    if not path.exists():
        print(f"writing {path} (once) ...", flush=True)
        unfinished = path.with_suffix(".unfinished")
        tiles = (
            tissue_like(((y, y + CHUNK), (x, x + CHUNK))) for y in range(0, edge, CHUNK) for x in range(0, edge, CHUNK)
        )
        tifffile.imwrite(
            unfinished, tiles, shape=(edge, edge), dtype=np.uint16, tile=(CHUNK, CHUNK), compression="zlib"
        )
        unfinished.rename(path)
    return path


def places_in_tiff(path: Path) -> list[Place]:
    """Those of all tiles, in C order."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        return [
            Place(str(path), offset, length)
            for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]


def warm(path: Path, level: int = 0) -> int:
    """Read every file of a level once, so that the page cache has it; returns the bytes."""
    if path.is_file():
        return len(path.read_bytes())
    total = 0
    inner = path / str(level)
    for folder, _, names in os.walk(inner if inner.exists() else path):
        for name in names:
            total += len(Path(folder, name).read_bytes())
    return total
