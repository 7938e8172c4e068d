"""How much memory an arena may take, and what is said where there is too little."""

from __future__ import annotations

import os
import types
from pathlib import Path

import pytest

from octree_loader import free_memory, memory
from octree_loader.free_memory import (
    DEFAULT_ARENA_BYTES,
    SHARED_MEMORY,
    NoSharedMemory,
    arena_bytes,
    free_bytes,
    shared_directory,
)
from octree_loader.memory import Segment
from octree_loader.scheduling.slot_sizes import SMALLEST_ARENA_BYTES

MIB = 1 << 20


def test_an_absurd_size_is_refused_with_the_cure() -> None:
    before = os.listdir(SHARED_MEMORY)
    with pytest.raises(NoSharedMemory) as caught:
        Segment.create(SHARED_MEMORY, 1 << 50)
    text = str(caught.value)
    for part in ("1.049e+06 GiB asked for", "free in /dev/shm", "memory.arena_bytes", "remount,size=", "--shm-size"):
        assert part in text
    assert caught.value.exit_code == 73
    assert isinstance(caught.value, MemoryError)
    assert os.listdir(SHARED_MEMORY) == before


def test_enospc_of_the_file_system_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures said that there was room; what counts is whether the pages can be had."""
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1 << 63)
    before = os.listdir(SHARED_MEMORY)
    with pytest.raises(NoSharedMemory, match="No space left on device"):
        Segment.create(SHARED_MEMORY, 1 << 50)
    with pytest.raises(NoSharedMemory, match="asked for"):
        Segment.create(SHARED_MEMORY, (1 << 63) - 1)
    assert os.listdir(SHARED_MEMORY) == before


def shrink(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    found = types.SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_blocks=free // 4096 + 1)
    monkeypatch.setattr(os, "statvfs", lambda _: found)


def test_a_containers_64_mib_give_an_arena_of_half_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, 64 * MIB)
    assert arena_bytes(None, SHARED_MEMORY) == 32 * MIB
    with pytest.raises(NoSharedMemory, match="65 MiB asked for, 64 MiB free"):
        Segment.create(SHARED_MEMORY, 65 * MIB)


def test_a_full_file_system_is_refused_at_the_default_size_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, 2 * SMALLEST_ARENA_BYTES - 8192)
    with pytest.raises(NoSharedMemory, match="half of it would be too small"):
        arena_bytes(None, SHARED_MEMORY)
    shrink(monkeypatch, 0)
    with pytest.raises(NoSharedMemory, match="0 bytes free"):
        arena_bytes(None, SHARED_MEMORY)


def test_the_default_size_is_bounded_and_a_configured_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "free_bytes", lambda _: 1 << 40)
    assert arena_bytes(None, SHARED_MEMORY) == DEFAULT_ARENA_BYTES
    assert arena_bytes(5 << 30, SHARED_MEMORY) == 5 << 30


def test_memory_that_the_machine_or_the_container_lacks_does_not_count_as_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shrink(monkeypatch, 1 << 40)
    monkeypatch.setattr(free_memory, "_memory_available", lambda: 300)
    monkeypatch.setattr(free_memory, "_container_room", lambda: 200)
    assert free_bytes(SHARED_MEMORY) == 200


@pytest.mark.parametrize(
    ("files", "room"),
    [
        ({"memory.max": "1000", "memory.current": "900", "memory.stat": "anon 1\ninactive_file 500\n"}, 600),
        ({"memory.max": "max", "memory.current": "900", "memory.stat": "inactive_file 500"}, 1 << 62),
        (
            {
                "memory/memory.limit_in_bytes": "1000",
                "memory/memory.usage_in_bytes": "1200",
                "memory/memory.stat": "total_inactive_file 100",
            },
            0,
        ),
        ({}, 1 << 62),
    ],
)
def test_the_containers_limit_is_read(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], room: int) -> None:
    def read(path: str) -> str:
        name = path.removeprefix("/sys/fs/cgroup/")
        if name not in files:
            raise FileNotFoundError(path)
        return files[name]

    monkeypatch.setattr(free_memory, "_read", read)
    assert free_memory._container_room() == room


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSharedMemory, match="is there such a folder"):
        Segment.create(str(tmp_path / "nowhere"), MIB)


def test_the_folder_is_the_configured_one_else_dev_shm() -> None:
    assert shared_directory("/somewhere") == "/somewhere"
    assert shared_directory() == SHARED_MEMORY
