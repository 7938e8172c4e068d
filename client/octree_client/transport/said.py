"""What was said last to the daemon for one view, and what of it concerns the plane that is shown.

It speaks only if there is something new to say. Decides nothing of what is wanted (`working_set`, `following`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from octree_client.placing import Position
from octree_client.transport.connection import Connection
from octree_client.transport.inbox import Inbox
from octree_client.working_set import Planned, WorkingSet
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Wanted


class Said:
    """The working set of one view.

    Parameters
    ----------
    connection, inbox
        Whom it is said to, and the view.
    on_new
        Called with the name of each chunk that is wanted and was not before.

    Attributes
    ----------
    entries, wanted
        What was said last, in order and by name.
    visible
        What of it is in view, with the chunks of the plane.
    ahead
        What of it may come into view, by position.
    requests
        How often something was said.
    """

    __slots__ = ("_connection", "_inbox", "_on_new", "ahead", "entries", "requests", "visible", "wanted")

    def __init__(self, connection: Connection, inbox: Inbox, on_new: Callable[[ChunkKey], None]) -> None:
        self._connection, self._inbox, self._on_new = connection, inbox, on_new
        self.entries: Sequence[Wanted] = ()
        self.wanted: dict[ChunkKey, Wanted] = {}
        self.visible: Planned = []
        self.ahead: dict[Position, Planned] = {}
        self.requests = 0

    def turn(self) -> None:
        """Another plane or position is shown: what was said is none of its own until something is said again."""
        self.visible, self.ahead = [], {}

    def forget(self) -> None:
        """The next thing that is said is new, whatever it is: to another daemon, or to try again."""
        self.entries = ()

    def start_over(self) -> None:
        """Another daemon listens, which has heard nothing yet."""
        self.entries, self.wanted = (), {}

    def say(
        self,
        wanted: WorkingSet,
        position: Position = (),
        others: Sequence[Wanted] = (),
        following: Mapping[Position, Planned] | None = None,
    ) -> None:
        """Want these chunks from now on, and no others.

        Parameters
        ----------
        wanted
            Of the plane that is shown, which is at `position`.
        others
            What is wanted besides, for other positions.
        following
            All that they want, chunks that are wanted here too among it.
        """
        self.visible, self.ahead = wanted.visible, dict(following or {})
        self.ahead[position] = [*self.ahead.get(position, ()), *wanted.nearby]
        entries = [*wanted.entries, *others]
        if entries == self.entries:  # another position in the same chunks
            return
        before, self.wanted = self.wanted, {entry.key: entry for entry in entries}
        for key in self.wanted:
            if key not in before:
                self._on_new(key)
        self.entries = entries
        self.requests += 1
        self._connection.want(self._inbox, entries)
