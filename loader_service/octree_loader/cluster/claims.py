"""Claims on loads: locks of the kernel that say that somebody may be writing into a load's slots.

A worker of a cluster is not ours: it may lose its scheduler and go on writing, or hang, or die, and nobody tells us.
Before a slot is given away, whoever takes the load back must know that nobody writes there. So a worker holds a lock on
the first byte of the load's first slot, in the arena's file, while it carries it out; and looks, once it has the lock,
whether the slot still has the generation that it was told, and nobody has taken the load back. The kernel lets go of
the locks of the dead. Knows nothing of dask.

The locks are those of an open file description (``F_OFD_SETLK``, fcntl(2)): between processes only, so a process that
carries out several loads must tell them apart itself.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading

from octree_protocol.slots import (
    BEGUN,
    DONE,
    FORGOTTEN,
    NOT_BEGUN,
    read_generation,
    read_progress,
    write_progress,
)

# struct flock: type, whence, start, length, pid (which is 0 for these locks).
_FLOCK = struct.Struct("@hhqqi4x")


class Claims:
    """The locks that this process holds on one arena. Safe to use from several threads.

    Parameters
    ----------
    path
        Of the arena's file.
    memory
        Of the arena, writable.
    """

    def __init__(self, path: str, memory: memoryview) -> None:
        self._memory = memory
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._held: set[int] = set()
        self._guard = threading.Lock()

    def take(self, slot: int) -> bool:
        """Claim the load whose first slot this is, unless somebody has it."""
        with self._guard:
            if slot in self._held:
                return False
            self._held.add(slot)
        if self._lock(fcntl.F_WRLCK, slot):
            return True
        self._held.discard(slot)
        return False

    def give_back(self, slot: int) -> None:
        """Let go of a claim."""
        self._lock(fcntl.F_UNLCK, slot)
        self._held.discard(slot)

    def _lock(self, kind: int, slot: int) -> bool:
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, slot, 1, 0))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def take_to_load(self, slot: int, generation: int) -> bool:
        """Claim a load in order to carry it out: only if nobody has taken it back, nor given its slot away."""
        if read_generation(self._memory, slot) != generation or not self.take(slot):
            return False
        if read_generation(self._memory, slot) == generation and read_progress(self._memory, slot) == NOT_BEGUN:
            return True
        self.give_back(slot)
        return False

    def take_back(self, slot: int) -> int | None:
        """Take a load back for good: afterwards nobody writes into its slots.

        Returns
        -------
        How far it had come: NOT_BEGUN, BEGUN (whoever carried it out is dead), DONE; None if somebody is writing now.
        """
        if not self.take(slot):
            return None
        try:
            progress = read_progress(self._memory, slot)
            if progress != FORGOTTEN:
                write_progress(self._memory, slot, FORGOTTEN)
            return progress if progress in (BEGUN, DONE) else NOT_BEGUN
        finally:
            self.give_back(slot)

    def forget(self, slot: int) -> bool:
        """Take a load back if it has not begun. Returns whether that is so."""
        if not self.take(slot):
            return False
        try:
            if read_progress(self._memory, slot) != NOT_BEGUN:
                return False
            write_progress(self._memory, slot, FORGOTTEN)
            return True
        finally:
            self.give_back(slot)

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._file)
