"""Made levels of images on other machines: used again by the next daemon, unless the store says that they changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from tests.http_server import HttpServer

from octree_loader.catalog import plan_spec
from octree_loader.level_cache import CacheRoot
from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, SourceSpec
from octree_loader.sources.derived import derive_source


def write_zarr(path: Path, voxels: NDArray[Any]) -> None:
    zarr.create_array(path, shape=voxels.shape, chunks=(64, 64), dtype=voxels.dtype, overwrite=True)[:] = voxels


def write_tiff(path: Path, voxels: NDArray[Any]) -> None:
    tifffile.imwrite(path, voxels, tile=(64, 64))


FORMATS = pytest.mark.parametrize(("name", "write"), [("a.zarr", write_zarr), ("a.tif", write_tiff)])


def touched(folder: Path, seconds: int) -> None:
    """Dates in whole seconds are all that HTTP has: files of one test are of the same."""
    for path in folder.rglob("*"):
        os.utime(path, (1_700_000_000 + seconds,) * 2)


def first_chunk_of_level_1(url: str, cache: Path) -> NDArray[Any]:
    """As the next daemon would have it that keeps its levels there."""
    root = CacheRoot(str(cache), 1 << 30)
    try:
        spec = SourceSpec("a", url)
        plan = plan_spec(0, spec, 64, root)
        source = derive_source(open_source(spec), plan.dataset, plan.making)
        box = plan.dataset.levels[1].chunk_extent((0, 0))
        out = np.empty([high - low for low, high in box], source.dtype)
        assert source.read(1, [Piece(box, out)]) == [True]
        return out
    finally:
        root.close()


def counted(server: HttpServer, run: Callable[[], Any]) -> int:
    server.behaviour.requests.clear()
    run()
    return len(server.behaviour.requests)


@FORMATS
def test_the_next_daemon_makes_nothing_again(tmp_path: Path, name: str, write: Callable[..., None]) -> None:
    place, cache = tmp_path / "served", tmp_path / "cache"
    place.mkdir()
    write(place / name, np.random.default_rng(0).integers(0, 60_000, (512, 512), dtype=np.uint16))
    touched(place, 0)
    with HttpServer(place) as server:
        url = f"{server.url}/{name}"
        first = first_chunk_of_level_1(url, cache)
        opening = counted(server, lambda: (open_source(SourceSpec("a", url)), plan_spec(0, SourceSpec("a", url), 64)))
        again: list[NDArray[Any]] = []
        assert counted(server, lambda: again.append(first_chunk_of_level_1(url, cache))) == opening
        np.testing.assert_array_equal(again[0], first)
        # The same image, but for its voxels.
        write(place / name, np.full((512, 512), 7, np.uint16))
        touched(place, 1)
        assert (first_chunk_of_level_1(url, cache) == 7).all()


@FORMATS
def test_of_a_store_that_does_not_tell_nothing_is_kept(tmp_path: Path, name: str, write: Callable[..., None]) -> None:
    place, cache = tmp_path / "served", tmp_path / "cache"
    place.mkdir()
    write(place / name, np.ones((512, 512), np.uint16))
    with HttpServer(place) as server:
        server.behaviour.dated = False
        first_chunk_of_level_1(f"{server.url}/{name}", cache)
    assert list(cache.iterdir()) == []
