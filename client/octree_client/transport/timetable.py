"""When a connection has something to do by itself: greet, beat, connect anew, give up waiting. Pure (no I/O).

All times are in seconds, of whatever clock the caller has. Knows neither what is said nor the socket.
"""

from __future__ import annotations

import math

from octree_protocol import limits

#: Hello is said again so often until somebody answers.
HELLO_AGAIN = 0.5

#: A connection over a network that has failed is made anew so often: one that was cut wakes up much later than the link
#: is back (TCP waits twice as long after each attempt).
CONNECT_AGAIN = 1.0


class Timetable:
    """What is due, and when.

    Parameters
    ----------
    over_network
        Whether a connection that was lost must be made anew, rather than come about by itself.
    now
        When it begins: the first greeting is due.
    """

    __slots__ = ("_beat_at", "_connect_at", "_heard", "_over_network")

    def __init__(self, over_network: bool, now: float) -> None:
        self._over_network = over_network
        self._heard = now
        self._beat_at = now
        self._connect_at = math.inf

    def heard(self, now: float) -> None:
        """Something has come from the daemon."""
        self._heard = now

    def greeted(self, now: float) -> None:
        """Hello was said."""
        self._beat_at = now + HELLO_AGAIN

    def beaten(self, now: float) -> None:
        """A heartbeat was sent."""
        self._beat_at = now + limits.HEARTBEAT_INTERVAL

    def lost(self, now: float) -> None:
        """The daemon is gone."""
        if self._over_network:
            self._connect_at = now + CONNECT_AGAIN

    def give_up(self, now: float) -> bool:
        """A daemon that is silent is given up. Returns whether a connection is to be made anew, which is then due at
        once; if not, the one that there is may be greeted over."""
        if self._over_network:
            self._connect_at = now
        return self._over_network

    def connecting(self, now: float) -> None:
        """A connection is being made."""
        self._connect_at = now + CONNECT_AGAIN

    def connected(self) -> None:
        """A connection has come about."""
        self._connect_at = math.inf

    def silent(self, now: float) -> bool:
        """Whether the daemon, if it had answered once, must be taken for dead."""
        return now - self._heard > limits.HEARTBEAT_TIMEOUT

    def connection_due(self, now: float) -> bool:
        """Whether a connection is to be made anew."""
        return now >= self._connect_at

    def beat_due(self, now: float) -> bool:
        """Whether a heartbeat is due, or a greeting where nobody answers."""
        return now >= self._beat_at

    def next_due(self, is_open: bool) -> float:
        """When any of this is due next, with a daemon that answers or without."""
        soonest = min(self._beat_at, self._connect_at)
        return min(soonest, self._heard + limits.HEARTBEAT_TIMEOUT) if is_open else soonest
