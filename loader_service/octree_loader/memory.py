"""The arena's memory: one file that daemon, workers and viewers map.

Knows nothing of slots (`arena`) or chunks. Linux only: what is promised here rests on `posix_fallocate(3)`, `flock(2)`
and ``MADV_POPULATE_WRITE``. `multiprocessing.shared_memory` is not used: a process that attaches with it removes the
owner's segment when it exits, and a segment larger than what is free is created without complaint and kills later.
Viewers attach with `octree_client.transport.shared`, which maps the same file read-only; what dead daemons left is
removed by `dead_segments`.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import secrets
import struct
from types import TracebackType

from octree_loader.free_memory import free_bytes, no_memory
from octree_loader.liveness import HeldLock, Identity, own_identity
from octree_loader.populating import Populate
from octree_protocol.errors import OctreeError
from octree_protocol.messages import ArenaAddress
from octree_protocol.slots import MAGIC, SEGMENT_HEADER_BYTES, TOKEN_BYTES, TOKEN_OFFSET

#: How a segment's file is called: after its daemon, and the number of the process.
FILE_NAME = re.compile(r"octree-serve-.+-(?P<pid>\d{1,10})-[0-9a-f]{16}\.arena")

# magic, nbytes, pid and start of the owner; the owner's boot stands behind the token.
_OWNER = struct.Struct("<8sQQQ")
_BOOT = slice(TOKEN_OFFSET + TOKEN_BYTES, TOKEN_OFFSET + TOKEN_BYTES + 36)


class BadSegment(OctreeError):
    """A file is not the segment that it should be."""


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
        self, path: str, mapping: mmap.mmap, token: bytes, lock: HeldLock | None, populate: Populate | None
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
            raise no_memory(directory, nbytes, free, "not enough" if free else "is there such a folder?")
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:64]
        path = os.path.join(directory, f"octree-serve-{plain}-{os.getpid()}-{secrets.token_hex(8)}.arena")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise no_memory(directory, nbytes, free, f"cannot make a file there: {error.strerror}") from None
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
                raise no_memory(directory, nbytes, free_bytes(directory), str(error.strerror)) from None
            raise
        return cls(path, mapping, token, lock, Populate(mapping, writable=True))

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
        return cls(path, mapping, found, None, Populate(mapping, writable))

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


def owner_of(header: bytes) -> Identity | None:
    """Whose segment it is, by its first page; None if that was not written."""
    if len(header) < SEGMENT_HEADER_BYTES or not header.startswith(MAGIC):
        return None
    _, _, pid, started = _OWNER.unpack_from(header)
    return Identity(pid, started, header[_BOOT].decode("ascii", "replace"))


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
