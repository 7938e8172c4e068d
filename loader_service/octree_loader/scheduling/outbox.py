"""What a client is to be told next. Pure (no I/O)."""

from __future__ import annotations

from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Announce, Failure, LoadTime, Ready


class Outbox:
    """What has become of one client's chunks since it was last told."""

    __slots__ = ("failed", "missing", "ready")

    def __init__(self) -> None:
        self.ready: list[Ready] = []
        self.missing: list[ChunkKey] = []
        self.failed: list[Failure] = []

    def __bool__(self) -> bool:
        return bool(self.ready or self.missing or self.failed)

    def take(self, load_times: tuple[LoadTime, ...]) -> Announce:
        """All of it, with how long loads take now; then it is empty."""
        announce = Announce(tuple(self.ready), tuple(self.missing), tuple(self.failed), load_times)
        self.ready, self.missing, self.failed = [], [], []
        return announce
