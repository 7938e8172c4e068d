"""How much memory the arena may take, and in which folder. Looks at the machine and its container, takes nothing."""

from __future__ import annotations

import mmap
import os
import re
import tempfile

from octree_loader.scheduling.slot_sizes import SMALLEST_ARENA_BYTES
from octree_protocol.errors import OctreeError

#: Size of an arena that was given none, where there is room.
DEFAULT_ARENA_BYTES = 1 << 30

#: Where Linux keeps shared memory.
SHARED_MEMORY = "/dev/shm"


class NoSharedMemory(OctreeError, MemoryError):
    """There is not enough memory for the arena. The text says how much there is and how to get more."""

    #: EX_CANTCREAT of sysexits.h.
    exit_code = 73


def shared_directory(configured: str | None = None) -> str:
    """The folder for the segment: the configured one, else ``/dev/shm``, else that of temporary files."""
    if configured is not None:
        return configured
    return SHARED_MEMORY if os.path.isdir(SHARED_MEMORY) else tempfile.gettempdir()


def free_bytes(directory: str) -> int:
    """How much a segment in `directory` may take: what the file system has, and the machine or container besides it.

    A tmpfs counts as free what the machine does not have: beyond that, allocating ends in the kernel's out-of-memory
    killer, not in an error.
    """
    found = os.statvfs(directory)
    room = found.f_bavail * found.f_frsize
    if not found.f_blocks:  # a tmpfs without a limit
        room = 1 << 62
    return min(room, _memory_available(), _container_room())


def arena_bytes(configured: int | None, directory: str) -> int:
    """The size of the arena: the configured one, else `DEFAULT_ARENA_BYTES`, but at most half of what is free.

    Raises
    ------
    NoSharedMemory
        If that is too little for an arena.
    """
    if configured is not None:
        return configured
    free = free_bytes(directory)
    nbytes = min(DEFAULT_ARENA_BYTES, free // 2)
    if nbytes < SMALLEST_ARENA_BYTES:
        raise no_memory(directory, SMALLEST_ARENA_BYTES, free, "half of it would be too small for an arena")
    return nbytes - nbytes % mmap.PAGESIZE


def _memory_available() -> int:
    total = 0
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith(("MemAvailable:", "SwapFree:")):
                total += int(line.split()[1]) * 1024
    return total


def _container_room() -> int:
    """What the memory limit of our container leaves, by cgroup version 2 or 1; page cache can be dropped."""
    for limit, usage, cache in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            most, used, statistics = (_read(f"/sys/fs/cgroup/{name}") for name in (limit, usage, cache))
        except OSError:
            continue
        if most.isdigit():
            files = re.search(r"^(?:total_)?inactive_file (\d+)$", statistics, re.MULTILINE)
            return max(0, int(most) - int(used) + (int(files[1]) if files else 0))
    return 1 << 62


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _human(nbytes: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if nbytes >= size:
            return f"{nbytes / size:.4g} {unit}"
    return f"{nbytes} bytes"


def no_memory(directory: str, asked: int, free: int, why: str) -> NoSharedMemory:
    """The error for `asked` bytes where `free` are: `why` it is one, and the cure."""
    return NoSharedMemory(
        f"no shared memory for the arena: {_human(asked)} asked for, {_human(free)} free in {directory} ({why}). "
        "Set memory.arena_bytes to less, or memory.directory to a folder with more; or make more room: "
        f"`mount -o remount,size=2G {directory}` as root, `docker run --shm-size=2g` for a container "
        "(and --memory above it)"
    )
