"""What ``octree-view`` ends with, after sysexits.h, and the error that carries one. Pure (no I/O)."""

from __future__ import annotations

from octree_protocol.errors import OctreeError

EXIT_USAGE = 2
EXIT_UNREADABLE = 66
EXIT_UNAVAILABLE = 69
#: An error of our own that nobody foresaw.
EXIT_BUG = 70
EXIT_NOT_WRITTEN = 73
EXIT_TIMEOUT = 75
EXIT_INTERRUPTED = 130


class CommandError(OctreeError):
    """Something that ends the command, with its exit status."""

    def __init__(self, reason: str, exit_code: int) -> None:
        super().__init__(reason)
        self.exit_code = exit_code
