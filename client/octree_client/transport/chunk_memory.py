"""Where the bytes of chunks are to be found: in the daemon's arena, or in a cache of those that came over the wire.

Used by the connection's thread alone, but for `arena`. Knows neither views nor the socket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from octree_client.transport.inlining import InlineChunks
from octree_client.transport.received import ReceivedChunks
from octree_client.transport.shared import ArenaUnavailable, SharedArena
from octree_protocol.errors import RemoteProtocolError
from octree_protocol.geometry import Dataset
from octree_protocol.messages import DaemonMessage, Part, Ready, Wanted, Welcome

log = logging.getLogger("octree.connection")


class ChunkMemory:
    """The memory that a connection's views read, from one daemon to the next.

    Parameters
    ----------
    address
        Of the daemon, for the log.
    cache_bytes
        What the chunks may take that come over the wire.
    share_memory
        False has them come over the wire even if the arena can be mapped.
    dataset_of
        The dataset that has a number, if it is known.

    Attributes
    ----------
    arena
        What views read; None before a daemon has answered.
    """

    def __init__(
        self, address: str, cache_bytes: int, share_memory: bool, dataset_of: Callable[[int], Dataset | None]
    ) -> None:
        self.arena: SharedArena | ReceivedChunks | None = None
        self._address = address
        self._cache_bytes = cache_bytes
        self._share_memory = share_memory
        self._dataset_of = dataset_of
        self._inline: InlineChunks | None = None
        self._instance = ""

    @property
    def travels(self) -> bool:
        """Whether chunks come over the wire."""
        return self._inline is not None

    def find(self, welcome: Welcome, can_send: bool) -> None:
        """Map the arena of a daemon that has answered, or have chunks come over the wire.

        What came over the wire from the daemon of before is as good as it was, if it is that which has answered.

        Parameters
        ----------
        welcome
            Its answer.
        can_send
            Whether it can send chunks at all.

        Raises
        ------
        ArenaUnavailable
            If neither is possible.
        """
        same, self._instance = welcome.instance == self._instance, welcome.instance
        if self._inline is None or not same:
            self._inline = None
            try:
                if welcome.arena is not None and self._share_memory:
                    self.arena = SharedArena(welcome.arena.path, welcome.arena.nbytes, welcome.arena.token)
                    return
            except ArenaUnavailable as error:
                if not can_send:
                    raise
                log.info("%s: %s; chunks come over the wire", self._address, error)
            if not can_send:
                return
            self._inline = InlineChunks(self._cache_bytes, self._dataset_of)
        self._inline.start_over()
        self.arena = self._inline.cache

    def want(self, view: int, entries: Sequence[Wanted]) -> tuple[tuple[Wanted, ...], tuple[Ready, ...]]:
        """What to ask of the daemon for a view, and what the view is to be told of because it is here already."""
        return (tuple(entries), ()) if self._inline is None else self._inline.want(view, entries)

    def short(self) -> list[tuple[int, Sequence[Wanted]]]:
        """Views that want more than there was room for, and what: to be tried again when another wants less."""
        return [] if self._inline is None else self._inline.short()

    def take_in(self, message: DaemonMessage, further: Sequence[memoryview]) -> DaemonMessage:
        """Keep the bytes that followed a message; returns it as if they had lain in the arena.

        Raises
        ------
        RemoteProtocolError
            If they are not what the message says, or nobody asked for any.
        """
        if not further and not isinstance(message, Part):
            return message
        if self._inline is None:
            raise RemoteProtocolError("bytes of chunks come that nobody asked for")
        return self._inline.take_in(message, further)

    def close(self) -> None:
        """The arena is unmapped now, or when the last array over it goes."""
        self.arena = None
