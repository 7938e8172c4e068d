"""Levels that nobody stored, from the source to the client: right, kept, told of, and gone when they should be."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from tests.system.daemons import wait_for

import octree_client
from octree_loader.downsample import downsample

SHAPE = (1030, 777)


def _settings(folder: Path, **memory: Any) -> dict[str, Any]:
    return {
        "memory": {"arena_bytes": "64MiB", "cache_directory": str(folder / "cache"), **memory},
        "octree": {"tile_size": 64},
    }


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    return np.random.default_rng(8).integers(0, 60_000, SHAPE).astype(np.uint16)


def _source(kind: str, folder: Path, voxels: np.ndarray) -> Any:
    if kind == "npy":
        np.save(folder / "a.npy", voxels)
        return folder / "a.npy"
    if kind == "zarr":
        zarr.create_array(str(folder / "a.zarr"), shape=SHAPE, dtype="u2", chunks=(100, 90))[...] = voxels
        return folder / "a.zarr"
    if kind == "array":
        return voxels
    (folder / "made_levels.py").write_text(
        "import numpy as np\n"
        "def image():\n"
        f"    return np.random.default_rng(8).integers(0, 60_000, {SHAPE}).astype(np.uint16)\n"
    )
    return "made_levels:image"


def _check(session: octree_client.Session, voxels: np.ndarray, averaged: int = 4) -> None:
    image = session.dataset()
    expected = voxels
    for level in image.levels[1 : averaged + 1]:
        expected = downsample(expected, (0, 1))
        np.testing.assert_array_equal(level[...], expected)


def _all_made(session: octree_client.Session) -> int:
    """Wait until the background is done; the number of chunks that it had to do."""
    image = session.dataset()
    done, total = wait_for(
        lambda: image.progress()[1] and image.progress()[0] == image.progress()[1] and image.progress(), 45.0
    )
    assert done == total
    status = session.status().datasets[0]
    assert (status.levels_done, status.levels_total) == (total, total)
    return int(total)


@pytest.mark.parametrize("kind", ["npy", "zarr", "array", "factory"])
def test_levels_are_made_on_demand_and_in_the_background(
    kind: str, folder: Path, voxels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    source = _source(kind, folder, voxels)
    with octree_client.open(source, settings=_settings(folder)) as session:
        assert [level.shape for level in session.dataset().levels[:5]] == [
            (1030, 777), (515, 389), (258, 195), (129, 98), (65, 49)
        ]  # fmt: skip
        _check(session, voxels)
        assert _all_made(session) > 0
        with octree_client.Viewer(session.dataset(), size=(200, 150), visible=False) as viewer:
            viewer.wait_until_final(20)
            assert viewer.status().final > 0
    left = [name for name in os.listdir(folder / "cache") if not name.endswith(".gone")]
    assert len(left) == (1 if kind in ("npy", "zarr") else 0)


@pytest.mark.parametrize(("software", "nbytes"), [(True, 64 << 20), (False, 256 << 20)])
def test_tiles_get_less_memory_where_the_processor_draws(
    folder: Path, monkeypatch: pytest.MonkeyPatch, software: bool, nbytes: int
) -> None:
    flat = np.lib.format.open_memmap(folder / "flat.npy", "w+", np.uint16, (16384, 16384))
    flat.flush()
    monkeypatch.setattr("octree_client.canvas.draws_in_software", lambda _: software)
    settings: dict[str, Any] = {"memory": {"arena_bytes": "64MiB", "cache_directory": str(folder / "cache")}}
    with (
        octree_client.open(folder / "flat.npy", settings=settings) as session,
        octree_client.Viewer(session.dataset(), size=(64, 64), visible=False) as viewer,
    ):
        # No frame is drawn: what is asked for is decided when the viewer is made.
        assert 0.9 * nbytes <= viewer.statistics()["vram_bytes"] <= nbytes


@pytest.mark.parametrize("edge", [120, 300, 700])
def test_a_small_image_finds_its_contrast_whatever_levels_it_is_shown_from(folder: Path, edge: int) -> None:
    ramp = np.linspace(5_000, 9_000, edge * edge).astype(np.uint16).reshape(edge, edge)
    np.save(folder / "ramp.npy", ramp)
    settings: dict[str, Any] = {"memory": {"arena_bytes": "64MiB", "cache_directory": str(folder / "cache")}}
    with (
        octree_client.open(folder / "ramp.npy", settings=settings) as session,
        octree_client.Viewer(session.dataset(), size=(edge, edge), visible=False) as viewer,
    ):
        viewer.wait_until_final(20)
        low, high = viewer.layers[0].contrast_limits
        assert 4_900 <= low <= 5_400
        assert 8_600 <= high <= 9_100


def test_the_second_opening_finds_all_levels(folder: Path, voxels: np.ndarray) -> None:
    source = _source("zarr", folder, voxels)
    with octree_client.open(source, settings=_settings(folder)) as session:
        _all_made(session)
    # What the levels were made of cannot be read any more: they are all there.
    for file in (folder / "a.zarr" / "c").rglob("*"):
        if file.is_file():
            before = file.stat()
            file.write_bytes(b"\0" * before.st_size)
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with octree_client.open(source, settings=_settings(folder)) as session:
        _all_made(session)
        _check(session, voxels)


def test_a_changed_file_is_seen(folder: Path, voxels: np.ndarray) -> None:
    source = _source("npy", folder, voxels)
    with octree_client.open(source, settings=_settings(folder)) as session:
        _all_made(session)
    np.save(folder / "a.npy", voxels[::-1])
    with octree_client.open(source, settings=_settings(folder)) as session:
        _check(session, voxels[::-1])


def test_without_a_cache_levels_are_made_anew(folder: Path, voxels: np.ndarray) -> None:
    with octree_client.open(_source("npy", folder, voxels), settings=_settings(folder, cache_bytes=0)) as session:
        _check(session, voxels)
        assert session.dataset().progress() == (0, 0)
    assert not (folder / "cache").exists()


def test_zero_only_shows_full_resolution_and_nothing_else(folder: Path, voxels: np.ndarray) -> None:
    source = _source("npy", folder, voxels)
    with octree_client.open(source, settings=_settings(folder), levels="zero-only") as session:
        image = session.dataset()
        assert len(image.levels) == 1
        np.testing.assert_array_equal(image.levels[0][...], voxels)
        with octree_client.Viewer(image, size=(300, 200), visible=False) as viewer:
            viewer.wait_until_final(20)
            assert viewer.status().final > 0


def test_two_daemons_make_the_same_levels_at_once(folder: Path, voxels: np.ndarray) -> None:
    source = _source("zarr", folder, voxels)
    with (
        octree_client.open(source, settings=_settings(folder)) as one,
        octree_client.open(source, settings=_settings(folder)) as two,
    ):
        _check(one, voxels)
        _check(two, voxels)
        assert _all_made(one) == _all_made(two)
    assert len(os.listdir(folder / "cache")) == 1


def test_kill_9_while_building_leaves_nothing_half(folder: Path, voxels: np.ndarray) -> None:
    source = _source("zarr", folder, voxels)
    with octree_client.open(source, settings=_settings(folder), delay_ms=5) as session:
        image = session.dataset()
        wait_for(lambda: image.progress()[0] > 10, 30.0)
        assert session.daemon_pid is not None
        os.kill(session.daemon_pid, signal.SIGKILL)
    with octree_client.open(source, settings=_settings(folder), delay_ms=5) as session:
        _check(session, voxels)
        _all_made(session)
        _check(session, voxels)
    (cached,) = (folder / "cache").iterdir()
    assert list((cached / "partial").iterdir()) == []
