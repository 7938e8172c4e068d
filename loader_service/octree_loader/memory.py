"""The arena's memory: one file that daemon, workers and viewers map, and the janitor for what dead daemons left.

Knows nothing of slots (`arena`) or chunks. Linux only: what is promised here rests on `posix_fallocate(3)`, `flock(2)`
and ``MADV_POPULATE_WRITE``. `multiprocessing.shared_memory` is not used: a process that attaches with it removes the
owner's segment when it exits, and a segment larger than what is free is created without complaint and kills later.
Viewers attach with `octree_client.transport.shared`, which maps the same file read-only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import re
import secrets
import stat
import struct
import tempfile
import threading
import time
from types import TracebackType

import numpy as np

from octree_loader.liveness import HeldLock, Identity, is_gone, own_identity, start_of
from octree_loader.scheduling.arena import SMALLEST_ARENA_BYTES
from octree_protocol.errors import OctreeError
from octree_protocol.messages import ArenaAddress
from octree_protocol.slots import MAGIC, SEGMENT_HEADER_BYTES, TOKEN_BYTES, TOKEN_OFFSET

#: Size of an arena that was given none, where there is room.
DEFAULT_ARENA_BYTES = 1 << 30

#: Where Linux keeps shared memory.
SHARED_MEMORY = "/dev/shm"

# How much is populated at a time: meanwhile no other thread of the process can map or unmap memory.
_POPULATE_BYTES = 256 << 10

# Rest between two of them: at least so many seconds, and so many times what the last one took. A busy machine makes it
# take longer, and so rest longer.
_POPULATE_REST = 0.001
_POPULATE_RESTS = 4.0
# asm-generic/mman-common.h
_MADV_POPULATE_READ, _MADV_POPULATE_WRITE = 22, 23

# magic, nbytes, pid and start of the owner; the owner's boot stands behind the token.
_OWNER = struct.Struct("<8sQQQ")
_BOOT = slice(TOKEN_OFFSET + TOKEN_BYTES, TOKEN_OFFSET + TOKEN_BYTES + 36)
_FILE_NAME = re.compile(r"octree-serve-.+-(?P<pid>\d{1,10})-[0-9a-f]{16}\.arena")


class NoSharedMemory(OctreeError, MemoryError):
    """There is not enough memory for the arena. The text says how much there is and how to get more."""

    #: EX_CANTCREAT of sysexits.h.
    exit_code = 73


class BadSegment(OctreeError):
    """A file is not the segment that it should be."""


# --- how much, and where ---------------------------------------------------------------------------------------------


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
        raise _no_memory(directory, SMALLEST_ARENA_BYTES, free, "half of it would be too small for an arena")
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


def _no_memory(directory: str, asked: int, free: int, why: str) -> NoSharedMemory:
    return NoSharedMemory(
        f"no shared memory for the arena: {_human(asked)} asked for, {_human(free)} free in {directory} ({why}). "
        "Set memory.arena_bytes to less, or memory.directory to a folder with more; or make more room: "
        f"`mount -o remount,size=2G {directory}` as root, `docker run --shm-size=2g` for a container "
        "(and --memory above it)"
    )


# --- the segment -----------------------------------------------------------------------------------------------------


class Segment:
    """A mapped segment, its owner's or an attached one: made by `create` and `attach`, never directly.

    Attributes
    ----------
    path
        Where others find it.
    nbytes
        Its size, header page included.
    token
        32 bytes that prove that it is the right one.
    view
        All of its bytes; read-only if it was attached so. Take what is to outlive `close` with `numpy.frombuffer`,
        which keeps the mapping, never with ``numpy.ndarray(buffer=...)``.
    """

    def __init__(
        self, path: str, mapping: mmap.mmap, token: bytes, lock: HeldLock | None, populate: _Populate | None
    ) -> None:
        self.path = path
        self.nbytes = len(mapping)
        self.token = token
        self.view = memoryview(mapping)
        self._mapping = mapping
        self._lock = lock
        self._populate = populate

    @classmethod
    def create(cls, directory: str | os.PathLike[str], nbytes: int, name: str = "default") -> Segment:
        """Make a segment that is really there: every page is allocated, and is being mapped when this returns.

        Parameters
        ----------
        directory
            Of the file; see `shared_directory`.
        nbytes
            Size, header page included.
        name
            Of the daemon; for people who look at the folder.

        Raises
        ------
        NoSharedMemory
            If there is not that much, or the folder takes no files.
        """
        directory = os.path.abspath(directory)
        free = free_bytes(directory) if os.path.isdir(directory) else 0
        if nbytes > free:
            raise _no_memory(directory, nbytes, free, "not enough" if free else "is there such a folder?")
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:64]
        path = os.path.join(directory, f"octree-serve-{plain}-{os.getpid()}-{secrets.token_hex(8)}.arena")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _no_memory(directory, nbytes, free, f"cannot make a file there: {error.strerror}") from None
        try:
            # A janitor may be looking at the file already; it lets go of it at once.
            lock = HeldLock(descriptor, wait=True)
        except BaseException:
            os.unlink(path)
            raise
        try:
            token = secrets.token_bytes(TOKEN_BYTES)
            os.pwrite(descriptor, _header(nbytes, own_identity(), token), 0)
            os.posix_fallocate(descriptor, 0, nbytes)
            mapping = _map(path, nbytes, writable=True)
        except BaseException as error:
            os.unlink(path)
            lock.close()
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise _no_memory(directory, nbytes, free_bytes(directory), str(error.strerror)) from None
            raise
        return cls(path, mapping, token, lock, _Populate(mapping, writable=True))

    @classmethod
    def attach(cls, path: str, writable: bool = False, *, token: bytes | None = None) -> Segment:
        """Map the segment of another process. Closing it, or dying, does nothing to the owner's.

        Parameters
        ----------
        path, token
            As in the owner's `Segment`; a token that is given must be the one in the file.
        writable
            False: a write to `view` is a `TypeError`, one past Python kills the process.

        Raises
        ------
        BadSegment
            If there is none, or another one.
        """
        try:
            header = _read_header(path)
        except OSError as error:
            raise BadSegment(f"cannot attach the segment {path}: {error.strerror}; its daemon is gone") from None
        if len(header) < SEGMENT_HEADER_BYTES or not header.startswith(MAGIC):
            raise BadSegment(f"{path} is not a segment of this release of octree-serve")
        found = header[TOKEN_OFFSET : TOKEN_OFFSET + TOKEN_BYTES]
        if token is not None and not secrets.compare_digest(found, token):
            raise BadSegment(f"{path} belongs to another daemon: its token is not the one that was announced")
        nbytes: int = _OWNER.unpack_from(header)[1]
        try:
            mapping = _map(path, nbytes, writable)
        except (OSError, ValueError) as error:
            raise BadSegment(f"cannot map the segment {path}: {error}") from None
        return cls(path, mapping, found, None, _Populate(mapping, writable))

    @property
    def owned(self) -> bool:
        """Whether this process holds the lock that says that the segment is alive."""
        return self._lock is not None and self._lock.descriptor >= 0

    def address(self) -> ArenaAddress:
        """What a client on this machine is told."""
        return ArenaAddress(self.path, self.nbytes, self.token.hex())

    def wait_until_populated(self, timeout: float | None = None) -> bool:
        """Wait until every page is mapped; False if that takes longer than `timeout` seconds. For measurements."""
        return self._populate is None or self._populate.wait(timeout)

    def close(self) -> None:
        """Unmap it, as soon as no array uses it any more, and let go of the lock. A second call does nothing."""
        if self._populate is not None:
            self._populate.stop()
        # Arrays over it keep the mapping until they are gone.
        with contextlib.suppress(BufferError):
            self.view.release()
            self._mapping.close()
        if self._lock is not None:
            self._lock.close()

    def unlink(self) -> None:
        """Take its name away, so that nobody else attaches; the memory is free when the last who maps it is done."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def __enter__(self) -> Segment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.owned:
            self.unlink()
        self.close()


#: What a file system says that has not so much; EFBIG and EINVAL for sizes beyond any file.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EFBIG, errno.EINVAL)


def _header(nbytes: int, owner: Identity, token: bytes) -> bytes:
    header = bytearray(SEGMENT_HEADER_BYTES)
    _OWNER.pack_into(header, 0, MAGIC, nbytes, owner.pid, owner.started)
    header[TOKEN_OFFSET : TOKEN_OFFSET + TOKEN_BYTES] = token
    header[_BOOT] = owner.boot.encode("ascii")
    return bytes(header)


def _read_header(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.pread(descriptor, SEGMENT_HEADER_BYTES, 0)
    finally:
        os.close(descriptor)


def _map(path: str, nbytes: int, writable: bool) -> mmap.mmap:
    # A descriptor of its own: mmap keeps a duplicate, and a duplicate of the locked one would keep the lock too.
    descriptor = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        return mmap.mmap(descriptor, nbytes, flags=mmap.MAP_SHARED, prot=protection)
    finally:
        os.close(descriptor)


class _Populate:
    """Zeroes and maps the pages of a mapping behind everybody's back, from the first to the last, as slots are used.

    A first touch costs 1 to 9 µs a page, so some 0.1 ms a chunk; all of them together 0.3 to 2.4 s a GiB, too long to
    wait for at the start. `madvise(2)` changes no content, and ctypes lets other threads run meanwhile. A kernel older
    than 5.14 refuses: then pages are mapped when they are touched.
    """

    def __init__(self, mapping: mmap.mmap, writable: bool) -> None:
        self._address: int = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
        self._nbytes = len(mapping)
        self._advice = _MADV_POPULATE_WRITE if writable else _MADV_POPULATE_READ
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="octree-populate", daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None) -> bool:
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        # Never at a low priority: a thread that lost the processor while it holds the interpreter or the map of the
        # process would keep everybody else waiting (measured: answers late by 0.3 s). It rests instead.
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start in range(0, self._nbytes, _POPULATE_BYTES):
            piece = min(_POPULATE_BYTES, self._nbytes - start)
            began = time.monotonic()
            if madvise(self._address + start, piece, self._advice):
                return
            if self._stop.wait(max(_POPULATE_REST, _POPULATE_RESTS * (time.monotonic() - began))):
                return


# --- the janitor -----------------------------------------------------------------------------------------------------


def remove_dead_segments(directory: str | os.PathLike[str]) -> list[str]:
    """Remove the segments of this user whose daemons are provably dead, and nothing else.

    Provably: nobody holds the segment's lock, *and* its owner's process is gone (or was of another boot, or its number
    is another process's now).

    Returns
    -------
    list of str
        Paths of what was removed, sorted.
    """
    removed = []
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    for name in names:
        match = _FILE_NAME.fullmatch(name)
        path = os.path.join(directory, name)
        if match is not None and _remove_if_dead(path, int(match["pid"])):
            removed.append(path)
    return removed


def _remove_if_dead(path: str, pid: int) -> bool:
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return False
        lock = HeldLock(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW))
    except OSError:  # gone meanwhile, or locked: alive
        return False
    try:
        header = os.pread(lock.descriptor, SEGMENT_HEADER_BYTES, 0)
        if len(header) == SEGMENT_HEADER_BYTES and header.startswith(MAGIC):
            _, _, pid, started = _OWNER.unpack_from(header)
            dead = is_gone(Identity(pid, started, header[_BOOT].decode("ascii", "replace")))
        else:  # its owner had not come to write the header: all there is is the number in the name
            dead = start_of(pid) is None
        if dead:
            os.unlink(path)
        return dead
    except OSError:
        return False
    finally:
        lock.close()
