"""The janitor for what dead daemons left in shared memory. Removes files, and only those that it can prove dead."""

from __future__ import annotations

import os
import stat

from octree_loader.liveness import HeldLock, is_gone, start_of
from octree_loader.memory import FILE_NAME, owner_of
from octree_protocol.slots import SEGMENT_HEADER_BYTES


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
        match = FILE_NAME.fullmatch(name)
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
        owner = owner_of(header)
        # Without one it had not come to write the header: all there is is the number in the name.
        dead = start_of(pid) is None if owner is None else is_gone(owner)
        if dead:
            os.unlink(path)
        return dead
    except OSError:
        return False
    finally:
        lock.close()
