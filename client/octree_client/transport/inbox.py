"""What a connection tells its views: events, and the inbox in which each finds its own. Knows no sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from octree_protocol.geometry import Dataset
from octree_protocol.messages import Announce


@dataclass(frozen=True, slots=True)
class Reopened:
    """A daemon has answered (again): numbers of datasets and slots that were learnt before mean nothing any more."""

    datasets: dict[str, Dataset]


@dataclass(frozen=True, slots=True)
class Lost:
    """The daemon is gone: slots must not be touched any more."""

    reason: str


#: What a view finds in its inbox.
Event = Announce | Reopened | Lost


class Inbox:
    """What has come for one view, oldest first.

    Parameters
    ----------
    wake
        Called in the connection's thread whenever there is something new; must not block.
    """

    __slots__ = ("_events", "_wake", "number")

    def __init__(self, number: int, wake: Callable[[], None]) -> None:
        self.number = number
        self._events: deque[Event] = deque()
        self._wake = wake

    def put(self, event: Event) -> None:
        """Called by the connection."""
        self._events.append(event)
        self._wake()

    def take(self) -> list[Event]:
        """Everything that has come since the last time."""
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events
