"""Proofs of life: who a process is, and locks that end with it.

Linux only, as is the rest of what a daemon keeps outside itself. Knows neither segments (`memory`) nor sockets
(`instance`), which both must tell what a dead daemon left from what a living one owns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from typing import NamedTuple


class Identity(NamedTuple):
    """One process among all that this machine ever ran: numbers of processes are given away again.

    `started` is in clock ticks after the boot, so that no step of the wall clock changes it; `boot` is the boot's id.
    """

    pid: int
    started: int
    boot: str


def boot_id() -> str:
    """The id that the kernel drew when it booted: 36 characters."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def start_of(pid: int) -> int | None:
    """When a process started, in clock ticks after the boot, or None if there is no such process.

    A zombie holds no memory and no lock any more: it counts as gone.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the program's name in parentheses and may hold anything, parentheses too: proc(5).
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def own_identity() -> Identity:
    """Who we are."""
    started = start_of(os.getpid())
    assert started is not None
    return Identity(os.getpid(), started, boot_id())


def is_gone(identity: Identity) -> bool:
    """Whether a process is certainly not running any more."""
    return identity.boot != boot_id() or start_of(identity.pid) != identity.started


class HeldLock:
    """A lock on an open file, held until `close` or the end of this process, however it ends.

    It belongs to this process alone: descriptors are closed on exec, and here on fork as well, where a child would
    otherwise go on holding the lock of its dead parent.

    Parameters
    ----------
    descriptor
        Of the open file; it belongs to the lock from now on, and is closed if the lock cannot be had.
    wait
        Whether to wait for another holder instead of failing.
    shared
        Whether others may hold it too, as long as they share it.

    Raises
    ------
    BlockingIOError
        If another process, or another descriptor of this one, holds the lock and `wait` is false.
    """

    def __init__(self, descriptor: int, *, wait: bool = False, shared: bool = False) -> None:
        self.descriptor = descriptor
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BaseException:
            os.close(descriptor)
            raise
        _held.add(self)

    def close(self) -> None:
        """Let go of the lock, and close the file. A second call does nothing."""
        _held.discard(self)
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


_held: weakref.WeakSet[HeldLock] = weakref.WeakSet()


def _close_in_child() -> None:
    for lock in list(_held):
        with contextlib.suppress(OSError):
            lock.close()


os.register_at_fork(after_in_child=_close_in_child)
