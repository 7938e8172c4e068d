"""What clients have not been told yet, and for how long that can wait. Pure (no I/O).

To wake sixteen processes for a chunk each costs more than the chunks. So while all workers have work, clients beside
the first are told together what was loaded for them, a little later. Knows neither who the clients are nor the socket.
"""

from __future__ import annotations

import math

from octree_protocol.messages import Announce

#: While workers have work, clients are told so often for each of them beside the first, at most every 8 ms. Seconds.
_PAUSE_A_CLIENT, _PAUSE_MOST = 0.0005, 0.008


class Untold:
    """Announcements on their way, one a client."""

    __slots__ = ("_announcements", "_told")

    def __init__(self) -> None:
        self._announcements: dict[bytes, Announce] = {}
        self._told = -math.inf

    def __len__(self) -> int:
        return len(self._announcements)

    def add(self, client: bytes, announce: Announce) -> None:
        """A client is to be told this, after what it has not been told yet."""
        held = self._announcements.get(client)
        self._announcements[client] = announce if held is None else _both(held, announce)

    def forget(self, client: bytes) -> None:
        """A client is gone, or starts over."""
        self._announcements.pop(client, None)

    def due(self, clients: int) -> float:
        """When what waits is told at the latest, if there are so many clients; never if nothing does."""
        if not self._announcements:
            return math.inf
        return self._told + min(_PAUSE_MOST, _PAUSE_A_CLIENT * (clients - 1))

    def take(self, now: float, clients: int, busy: bool) -> dict[bytes, Announce]:
        """What is told now, by client; nothing while all workers are `busy` and it is not due."""
        if not self._announcements or (busy and now < self.due(clients)):
            return {}
        self._told = now
        taken, self._announcements = self._announcements, {}
        return taken


def _both(first: Announce, second: Announce) -> Announce:
    """Two announcements as one; how long loads take is said as it is by the second."""
    return Announce(
        first.ready + second.ready,
        first.missing + second.missing,
        first.failed + second.failed,
        second.load_times or first.load_times,
        second.progress or first.progress,
    )
