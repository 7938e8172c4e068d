"""Which chunk an inline client is sent next. Pure (no I/O).

Chunks that have been loaded for it wait here until the link has room. The order is that of its latest wants, so that a
camera that has moved on does not wait for what it left behind: that is forgotten. Knows no bytes and no sockets.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from octree_loader.scheduling.priority import rank
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Ready, Wanted


class Delivery:
    """The chunks that wait to be sent to one client."""

    __slots__ = ("_arrivals", "_heap", "_views", "_waiting")

    def __init__(self) -> None:
        self._views: dict[int, dict[ChunkKey, int]] = {}
        self._waiting: dict[ChunkKey, Ready] = {}
        self._heap: list[tuple[int, int, Ready]] = []
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def want(self, view: int, entries: Iterable[Wanted]) -> None:
        """A view of the client wants these chunks from now on, and no others."""
        wanted = {entry.key: rank(entry) for entry in entries}
        if wanted:
            self._views[view] = wanted
        else:
            self._views.pop(view, None)
        if self._waiting:
            self._waiting = {key: ready for key, ready in self._waiting.items() if self.wants(key)}
            self._heap = [(self._rank(key), n, ready) for n, (key, ready) in enumerate(self._waiting.items())]
            self._arrivals = len(self._heap)
            heapq.heapify(self._heap)

    def wants(self, key: ChunkKey) -> bool:
        """Whether any view wants a chunk."""
        return any(key in wanted for wanted in self._views.values())

    def add(self, ready: Ready) -> None:
        """A chunk has been loaded. One that nobody wants any more is not taken."""
        if self.wants(ready.key):
            self._waiting[ready.key] = ready
            heapq.heappush(self._heap, (self._rank(ready.key), self._arrivals, ready))
            self._arrivals += 1

    def take(self) -> Ready | None:
        """The chunk that comes next, taken out; None if none waits."""
        while self._heap:
            _, _, ready = heapq.heappop(self._heap)
            if self._waiting.get(ready.key) is ready:
                del self._waiting[ready.key]
                return ready
        return None

    def _rank(self, key: ChunkKey) -> int:
        return min(wanted[key] for wanted in self._views.values() if key in wanted)
