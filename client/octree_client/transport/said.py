"""What was said last to the daemon for one view, and what of it concerns the plane that is shown.

It speaks only if there is something new to say. Decides nothing of what is wanted (`working_set`, `following`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from octree_client.cover import PlaneChunk
from octree_client.following import Planned
from octree_client.placing import Position
from octree_client.slices import KeyTemplate
from octree_client.transport.connection import Connection
from octree_client.transport.inbox import Inbox
from octree_protocol.keys import ChunkKey, Tier
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

    __slots__ = ("_connection", "_inbox", "_listed", "_on_new", "ahead", "entries", "requests", "visible", "wanted")

    def __init__(self, connection: Connection, inbox: Inbox, on_new: Callable[[ChunkKey], None]) -> None:
        self._connection, self._inbox, self._on_new = connection, inbox, on_new
        self._listed = False
        self.entries: Sequence[Wanted] = ()
        self.wanted: dict[ChunkKey, Wanted] = {}
        self.visible: Planned = []
        self.ahead: dict[Position, Planned] = {}
        self.requests = 0

    def turn(self) -> None:
        """Another plane or position is shown: what was said is none of its own until something is said again."""
        self.visible, self.ahead, self._listed = [], {}, False

    def forget(self) -> None:
        """The next thing that is said is new, whatever it is: to another daemon, or to try again."""
        self.entries = ()

    def start_over(self) -> None:
        """Another daemon listens, which has heard nothing yet."""
        self.entries, self.wanted = (), {}

    def say(
        self, entries: Sequence[Wanted], template: KeyTemplate, following: Mapping[Position, Planned] | None = None
    ) -> None:
        """Want these chunks from now on, and no others.

        Parameters
        ----------
        template
            Of the plane that is shown.
        following
            What of them is wanted of other positions.
        """
        same = entries == self.entries
        if same and self._listed:
            return
        self.visible, self.ahead, self._listed = [], dict(following or {}), True
        nearby: list[tuple[PlaneChunk, Wanted]] = []
        for entry in entries:
            chunk = template.chunk(entry.key)
            if chunk is not None:
                (self.visible if entry.tier is Tier.VISIBLE else nearby).append((chunk, entry))
        self.ahead[template.position] = [*self.ahead.get(template.position, ()), *nearby]
        if same:  # another position in the same chunks
            return
        before, self.wanted = self.wanted, {entry.key: entry for entry in entries}
        for key in self.wanted:
            if key not in before:
                self._on_new(key)
        self.entries = entries
        self.requests += 1
        self._connection.want(self._inbox, entries)
