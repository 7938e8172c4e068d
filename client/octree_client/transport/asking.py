"""What is asked for, if bytes travel. Pure (no I/O).

The working sets, less what the cache holds, and no more than it has room for. A chunk that lies in the cache is not
asked for again; its view is told of it at once, as the daemon would. What all views want together and the cache holds,
or is to hold, stays within its budget: the least important waits until there is room. Knows neither the chunks' bytes
(`received`) nor the socket.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Wanted


class Asked(NamedTuple):
    """What follows from a working set: what to ask of the daemon, and what to tell the view of from the cache."""

    remote: tuple[Wanted, ...]
    local: tuple[ChunkKey, ...]


class _View:
    """`kept`: what it wants and there is room for, held or to come, `granted` bytes of it; `short`: that is not all."""

    __slots__ = ("entries", "granted", "kept", "short", "told")

    def __init__(self) -> None:
        self.entries: Sequence[Wanted] = ()
        self.kept: set[ChunkKey] = set()
        self.told: set[ChunkKey] = set()
        self.granted = 0
        self.short = False


class Asking:
    """The working sets of all views of a client whose chunks travel.

    Parameters
    ----------
    budget
        Bytes that the chunks in the cache may take.
    size_of
        Bytes of a chunk that the edge does not cut.
    """

    def __init__(self, budget: int, size_of: Callable[[ChunkKey], int]) -> None:
        self.budget = budget
        self._size_of = size_of
        self._views: dict[int, _View] = {}

    def want(self, number: int, entries: Sequence[Wanted], held: Collection[ChunkKey]) -> Asked:
        """A view wants these chunks from now on, the most important first within each tier; `held` are in the cache."""
        view = self._views.get(number)
        if view is None:
            view = self._views[number] = _View()
        view.entries = entries
        if not entries:
            del self._views[number]
            return Asked((), ())
        others = sum(other.granted for other in self._views.values() if other is not view)
        room = self.budget - others
        granted, short = 0, False
        remote: list[Wanted] = []
        told: set[ChunkKey] = set()
        kept: set[ChunkKey] = set()
        local: list[ChunkKey] = []
        for entry in sorted(entries, key=_importance):
            key = entry.key
            size = self._size_of(key)
            # One chunk at a time always goes, however small the budget.
            if granted + size > room and (granted or others):
                short = True
                continue
            granted += size
            kept.add(key)
            if key not in held:
                remote.append(entry)
                continue
            told.add(key)
            if key not in view.told:
                local.append(key)
        view.granted, view.short, view.told, view.kept = granted, short, told, kept
        return Asked(tuple(remote), tuple(local))

    def arrived(self, key: ChunkKey) -> None:
        """A chunk has come, and the views that want it have been told."""
        for view in self._views.values():
            if key in view.kept:
                view.told.add(key)

    def short(self) -> list[tuple[int, Sequence[Wanted]]]:
        """The views that are not asked all for, and what they want: to be tried again when another wants less."""
        return [(number, view.entries) for number, view in self._views.items() if view.short]

    def pinned(self, key: ChunkKey) -> bool:
        """Whether any view wants a chunk, and there is room for it: then it stays in the cache."""
        return any(key in view.kept for view in self._views.values())

    def start_over(self) -> None:
        """Views will say anew what they want, and know nothing of what the cache holds."""
        self._views.clear()


def _importance(entry: Wanted) -> tuple[int, int, int]:
    return (entry.tier, -entry.relative_level, entry.priority)
