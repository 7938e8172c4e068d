"""Which working sets are to be said to the daemon, and when. Pure (no I/O).

The last one that a view has said is the one that counts. After a large one the next are held back, and what could not
be said, or was refused, is said again unless a newer one has come. Knows neither chunks nor the socket.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from octree_protocol.messages import Wanted

#: Working sets are said again so long after the daemon has had too many of them. Seconds.
AGAIN_SECONDS = 1.0

#: After working sets of more chunks than so many, the next ones wait for so long for each of the others, and the last
#: of those said meanwhile is sent. A daemon takes most of a microsecond for each; who says a thousand of them a
#: thousand times a second would keep it from everything else. Seconds.
WANTED_AT_ONCE = 100
WANTED_SECONDS = 10e-6

#: The working sets of some views, by the number of the view.
WorkingSets = dict[int, Sequence[Wanted]]


class Wants:
    """The working sets of all views of a connection.

    A view is remembered from the first working set that is said for it, until it is closed and the daemon knows that it
    wants nothing any more.
    """

    __slots__ = ("_again_at", "_next_at", "_open", "_said", "_sequences", "_waiting")

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._waiting: WorkingSets = {}
        self._said: WorkingSets = {}
        self._sequences: dict[int, int] = {}
        self._next_at = -math.inf
        self._again_at = math.inf

    def __len__(self) -> int:
        """Views that are remembered."""
        return len(self._sequences)

    def open(self, view: int) -> None:
        """There is a new view. Its number must never have been one of another."""
        self._open.add(view)

    def want(self, view: int, entries: Sequence[Wanted]) -> None:
        """The working set of a view from now on; whatever waits for it is not said any more."""
        self._waiting[view] = entries

    def close(self, view: int) -> None:
        """A view wants nothing any more, and is forgotten once that is said."""
        self._open.discard(view)
        self._waiting[view] = ()

    def refused(self, now: float) -> None:
        """The daemon has had too many: all are to be said again."""
        self._again_at = now + AGAIN_SECONDS

    def next_due(self, now: float) -> float:
        """When there is something to be said that must not be said yet; never if there is none."""
        held_back = self._next_at if self._waiting and self._next_at > now else math.inf
        return min(held_back, self._again_at if self._again_at > now else math.inf)

    def take(self, now: float) -> WorkingSets:
        """What is to be said now. Each must be followed by `begin` and `end`."""
        if now >= self._again_at:
            self._again_at = math.inf
            for view, entries in self._said.items():
                if view in self._open:
                    self._waiting.setdefault(view, entries)
        if not self._waiting or now < self._next_at:
            return {}
        taken, self._waiting = self._waiting, {}
        count = sum(map(len, taken.values()))
        self._next_at = now + max(0, count - WANTED_AT_ONCE) * WANTED_SECONDS
        return taken

    def begin(self, view: int) -> int:
        """Something is about to be said for a view; returns its number, by which the daemon knows what is newer."""
        sequence = self._sequences[view] = self._sequences.get(view, 0) + 1
        return sequence

    def end(self, view: int, entries: Sequence[Wanted], sent: bool) -> None:
        """Something was said for a view, or could not be sent: then it is said again, unless a newer one has come."""
        if not sent:
            self._waiting.setdefault(view, entries)
        elif not entries and view not in self._open:
            self._sequences.pop(view, None)
            self._said.pop(view, None)
            return
        self._said[view] = entries
