"""The folders of the disk cache: who holds them, what is removed, what a killed writer leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from octree_loader.level_cache import CacheRoot, LevelCache, fingerprint
from octree_protocol.geometry import Axis, Dataset, Level

_LEVELS = (
    Level((512, 512), (64, 64), (1.0, 1.0), (0.0, 0.0)),
    Level((250, 256), (64, 64), (2.0, 2.0), (0.5, 0.5)),
)
_DATASET = Dataset(0, "a", (Axis("y"), Axis("x")), "<u2", _LEVELS)
_KEPT = range(1, 2)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[CacheRoot]:
    root = CacheRoot(str(tmp_path), 1 << 30)
    yield root
    root.close()


def _key(number: int) -> str:
    return f"{number:064x}"[::-1]


def _fill(folder: str) -> LevelCache:
    cache = LevelCache(folder, _DATASET, _KEPT)
    noise = np.random.default_rng(0).integers(0, 65_535, (64, 64), dtype=np.uint16)
    for index in np.ndindex(3, 4):
        assert cache.write(1, index, noise)
    return cache


def test_a_chunk_at_the_edge_comes_back_as_it_went_in(root: CacheRoot) -> None:
    cache = LevelCache(root.claim(_key(1), _DATASET, _KEPT), _DATASET, _KEPT)
    voxels = np.arange(58 * 64, dtype=np.uint16).reshape(58, 64)
    out = np.empty_like(voxels)
    assert cache.read(1, (3, 3), out) is None
    assert not cache.has(1, (3, 3))
    assert cache.write(1, (3, 3), voxels)
    assert cache.has(1, (3, 3))
    assert cache.read(1, (3, 3), out) is True
    np.testing.assert_array_equal(out, voxels)
    assert cache.write(1, (0, 0), None)
    assert cache.read(1, (0, 0), np.empty((64, 64), np.uint16)) is False


def test_what_was_used_longest_ago_is_removed_first(tmp_path: Path) -> None:
    folders = []
    for number in range(3):
        root = CacheRoot(str(tmp_path), 1 << 30)
        folders.append(root.claim(_key(number + 1), _DATASET, _KEPT))
        _fill(folders[-1])
        root.close()
    for age, folder in zip((200, 300, 100), folders, strict=True):
        os.utime(Path(folder, "lock"), (1_700_000_000 - age, 1_700_000_000 - age))
    each = sum(file.stat().st_blocks * 512 for file in Path(folders[0]).rglob("*") if file.is_file())
    assert CacheRoot(str(tmp_path), 3 * each).trim() == []
    assert CacheRoot(str(tmp_path), 2 * each).trim() == [folders[1]]
    assert CacheRoot(str(tmp_path), 1).trim() == [folders[0], folders[2]]
    assert list(tmp_path.iterdir()) == []


def test_what_a_daemon_uses_is_never_removed(root: CacheRoot, tmp_path: Path) -> None:
    folder = root.claim(_key(1), _DATASET, _KEPT)
    _fill(folder)
    other = CacheRoot(str(tmp_path), 1)
    assert other.trim() == []
    assert other.claim(_key(1), _DATASET, _KEPT) == folder  # two may use it at once
    root.close()
    assert CacheRoot(str(tmp_path), 1).trim() == []
    other.close()
    assert CacheRoot(str(tmp_path), 1).trim() == [folder]


def test_strange_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert CacheRoot(str(tmp_path), 1).trim() == []
    assert (tmp_path / "photos").exists()


def test_what_has_no_fingerprint_lasts_as_long_as_its_daemon(tmp_path: Path) -> None:
    root = CacheRoot(str(tmp_path), 1 << 30)
    folder = root.claim("", _DATASET, _KEPT)
    _fill(folder)
    assert CacheRoot(str(tmp_path), 1 << 30).trim() == []
    root.close()
    assert not os.path.exists(folder)
    # One whose daemon was killed goes with the next look.
    root = CacheRoot(str(tmp_path), 1 << 30)
    root.claim("", _DATASET, _KEPT)
    for lock in root._locks.values():
        lock.close()
    assert len(CacheRoot(str(tmp_path), 1 << 30).trim()) == 1


_WRITER = """
import sys, numpy as np
from tests.loader_service.test_level_cache import _DATASET, _KEPT, _key
from octree_loader.level_cache import CacheRoot, LevelCache
folder = CacheRoot(sys.argv[1], 1 << 30).claim(_key(1), _DATASET, _KEPT)
cache = LevelCache(folder, _DATASET, _KEPT)
number = 0
while True:
    for index in np.ndindex(3, 4):
        number = (number + 1) % 60_000
        cache.write(1, index, np.full((64, 64), number, np.uint16))
    print("round", flush=True)
"""


def test_kill_9_while_writing_leaves_no_half_chunk(tmp_path: Path) -> None:
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[2],
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"round\n"
            writer.send_signal(signal.SIGKILL)
        root = CacheRoot(str(tmp_path), 1 << 30)
        folder = root.claim(_key(1), _DATASET, _KEPT)
        assert list(Path(folder, "partial").iterdir()) == []
        cache = LevelCache(folder, _DATASET, _KEPT)
        for index in np.ndindex(3, 4):
            out = np.empty((64, 64), np.uint16)
            assert cache.read(1, index, out) is True
            assert (out == out[0, 0]).all()
        root.close()


def test_a_fingerprint_changes_with_what_it_is_of(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"one")
    first = fingerprint(str(path), {}, _LEVELS, "<u2")
    assert first == fingerprint(str(path), {}, _LEVELS, "<u2") != ""
    assert fingerprint(str(path), {"axes": "zx"}, _LEVELS, "<u2") != first
    assert fingerprint(str(path), {}, _LEVELS[:1], "<u2") != first
    path.write_bytes(b"four")
    assert fingerprint(str(path), {}, _LEVELS, "<u2") != first
    assert fingerprint("package.module:factory", {}, _LEVELS, "<u2") == ""
    assert fingerprint("https://example.org/a.zarr", {}, _LEVELS, "<u2") == ""
