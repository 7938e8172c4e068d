"""Where a daemon lives: the folder of its socket, and the lock by which there is one daemon of a name.

The address itself is worked out in `octree_protocol.addresses`, where the viewer finds it too. Knows nothing of ZeroMQ.
"""

from __future__ import annotations

import contextlib
import os
import stat
from types import TracebackType

from octree_loader.liveness import HeldLock
from octree_protocol import addresses
from octree_protocol.addresses import DEFAULT_NAME, ipc_path
from octree_protocol.errors import OctreeError


class AlreadyRunning(OctreeError):
    """Another daemon has this name or this address. `pid` is its process, None if it did not say."""

    #: EX_TEMPFAIL of sysexits.h.
    exit_code = 75

    def __init__(self, reason: str, pid: int | None) -> None:
        super().__init__(reason)
        self.pid = pid


class UnsafeFolder(OctreeError):
    """The folder for sockets and locks is missing, somebody else's, or open to others."""

    #: EX_CANTCREAT of sysexits.h.
    exit_code = 73


def runtime_folder() -> str:
    """The folder of this user's daemons, made if need be, and open to nobody else.

    Raises
    ------
    UnsafeFolder
        If it cannot be made or is not safe: somebody else's, a link, or open to others beyond repair.
    """
    folder = addresses.runtime_folder()
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise UnsafeFolder(
            f"cannot make the folder {folder}: {error.strerror}; "
            "unset XDG_RUNTIME_DIR, or let it name a folder of yours that exists"
        ) from None
    # Not followed if it is a link: under /tmp anybody may have put one there to have our socket where they like it.
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        raise UnsafeFolder(
            f"{folder} is a link or no folder at all; remove it, or let XDG_RUNTIME_DIR name a folder of yours"
        ) from None
    except OSError as error:
        raise UnsafeFolder(
            f"cannot look into the folder {folder}: {error.strerror}; let XDG_RUNTIME_DIR name a folder of yours"
        ) from None
    try:
        _refuse_strangers(folder, descriptor)
    finally:
        os.close(descriptor)
    return folder


def _refuse_strangers(folder: str, descriptor: int) -> None:
    owner = os.fstat(descriptor).st_uid
    if owner != os.geteuid():
        raise UnsafeFolder(
            f"the folder {folder} belongs to user {owner}, not to you (user {os.geteuid()}): "
            "who owns it could listen in your place; let XDG_RUNTIME_DIR name a folder of yours"
        )
    if os.fstat(descriptor).st_mode & 0o077:
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o700)
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & 0o077:
        raise UnsafeFolder(
            f"the folder {folder} is open to others (mode {mode:04o}) and does not let itself be closed: "
            f"chmod 0700 {folder}, or let XDG_RUNTIME_DIR name a folder on another file system"
        )


def default_address(name: str = DEFAULT_NAME) -> str:
    """The address of the daemon `name` of this user, in a folder that is there and is safe.

    Raises
    ------
    UnsafeFolder
        See `runtime_folder`.
    AddressError
        If the name will not do.
    """
    address = addresses.default_address(name)
    runtime_folder()
    return address


class InstanceLock:
    """Says that this process is *the* daemon of a name, or of a socket; held from `acquire` to `release`, or its death.

    Parameters
    ----------
    place
        The name of a daemon, an ``ipc://`` address, or the absolute path of a socket: the lock stands beside the
        socket. A name and its default address share one lock.

    Raises
    ------
    UnsafeFolder
        If the folder is not safe.
    AddressError
        If `place` is none of these.

    Notes
    -----
    The lock is the kernel's (`flock(2)`), the file only its place: when the owner dies, by ``kill -9`` too, it is free
    at once, and what stands in the file means nothing without it.
    """

    def __init__(self, place: str = DEFAULT_NAME) -> None:
        self.place = place
        self.path = _lock_path(place)
        self._lock: HeldLock | None = None

    def acquire(self) -> None:
        """Take the lock. A second call does nothing.

        Raises
        ------
        AlreadyRunning
            If another process, or another `InstanceLock`, holds it.
        UnsafeFolder
            If the lock's file cannot be made.
        """
        if self._lock is None:
            self._lock = self._take()

    def _take(self) -> HeldLock:
        while True:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise UnsafeFolder(f"cannot make the lock {self.path}: {error.strerror}") from None
            try:
                lock = HeldLock(descriptor)
            except BlockingIOError:
                pid = _read_pid(self.path)
                who = f"process {pid}" if pid else "another process"
                raise AlreadyRunning(
                    f"{who} is the daemon {self.place!r} already: connect to it, end it with `kill {pid or 'PID'}`, "
                    "or give this one another name (serve.name)",
                    pid,
                ) from None
            # Its last holder may have removed the file between our opening and our locking it.
            if _same_file(descriptor, self.path):
                os.truncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return lock
            lock.close()

    def release(self) -> None:
        """Let another daemon take the name. A second call does nothing."""
        lock, self._lock = self._lock, None
        if lock is not None:
            if _same_file(lock.descriptor, self.path):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path)
            lock.close()

    def __enter__(self) -> InstanceLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock_path(place: str) -> str:
    if place.startswith("/"):
        path = ipc_path(f"ipc://{place}")
    elif "://" in place:
        path = ipc_path(place)
    else:
        path = ipc_path(addresses.default_address(place))
    if os.path.dirname(path) == addresses.runtime_folder():
        runtime_folder()
    return path.removesuffix(".sock") + ".lock"


def _same_file(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _read_pid(path: str) -> int | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(32).strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None
