"""What is known of the way to one client: how much is under way, and how fast it gets there. Pure (no I/O).

The rate is the windowed maximum of what was delivered between a message's sending and its acknowledgement, as in BBR
(Cardwell, Cheng, Gunn, Yeganeh, Jacobson 2016, "BBR: Congestion-Based Congestion Control", ACM Queue 14(5)). Messages
that were sent when nothing else was under way only ever raise it: they tell of the client's leisure, not of the link.

Only so much is sent at a time as the link carries within a quarter of a second: more would lie in queues where it
cannot be forgotten any more, and hold up heartbeats. Knows no sockets; `now` is an argument, in seconds.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from octree_protocol import limits

#: A message at least; what a link of 10 Mbit/s carries in a tenth of a second.
_LEAST_MESSAGE = 128 << 10

#: A message takes so long. Seconds.
_MESSAGE_SECONDS = 0.1

#: Under way at least: two messages, so that the next one is there when the first one is done.
_LEAST_BYTES = 2 * _LEAST_MESSAGE

#: Under way beyond what fills the link during a round trip. Seconds.
_QUEUED_SECONDS = 0.25

#: What was measured longer ago than this says little. Seconds.
_REMEMBERED = 10.0

#: Samples of the rate that are kept.
_SAMPLES = 64

#: A round trip that is longer has queues of others in it. Seconds.
_LONGEST_ROUND_TRIP = 0.5

#: Messages under way that are followed one by one; beyond that, only their bytes are counted.
_FOLLOWED = 256


class _Sent(NamedTuple):
    """One message under way: it ends at byte `end`; `received` at `since` were acknowledged when it was sent."""

    end: int
    at: float
    received: int
    since: float
    alone: bool


class Link:
    """The way to one client.

    Attributes
    ----------
    sent, received
        Bytes, since the session began; `received` as the client has acknowledged.
    rate
        Bytes a second that the link carries; None as long as nobody knows.
    """

    __slots__ = ("_followed", "_progress", "_rates", "_round_trip", "rate", "received", "sent")

    def __init__(self, now: float) -> None:
        self.sent = 0
        self.received = 0
        self.rate: float | None = None
        self._progress = now
        self._followed: deque[_Sent] = deque()
        self._rates: deque[tuple[float, float]] = deque()
        self._round_trip = math.inf

    @property
    def under_way(self) -> int:
        """Bytes that were sent and not acknowledged."""
        return self.sent - self.received

    def window(self) -> int:
        """Bytes that may be under way."""
        if self.rate is None:
            return _LEAST_BYTES
        # The shortest since the session began: later ones have our own queue in them.
        round_trip = min(self._round_trip, _LONGEST_ROUND_TRIP)
        return int(min(limits.UNDER_WAY_BYTES, max(_LEAST_BYTES, self.rate * (_QUEUED_SECONDS + round_trip))))

    def message(self) -> int:
        """Bytes of chunks that one message should bring, at most."""
        if self.rate is None:
            return _LEAST_MESSAGE
        return int(min(limits.PART_BYTES, max(_LEAST_MESSAGE, self.rate * _MESSAGE_SECONDS)))

    def count(self, nbytes: int, now: float) -> None:
        """A message of `nbytes` was sent."""
        alone = self.sent == self.received
        if alone:
            self._progress = now
        self.sent += nbytes
        if len(self._followed) < _FOLLOWED:
            self._followed.append(_Sent(self.sent, now, self.received, now if alone else self._progress, alone))

    def acknowledge(self, received: int, now: float) -> None:
        """The client has received so many bytes in all. What cannot be is taken for all that was sent."""
        received = min(received, self.sent)
        if received <= self.received:
            return
        newest: _Sent | None = None
        while self._followed and self._followed[0].end <= received:
            newest = self._followed.popleft()
        self.received, self._progress = received, now
        if newest is None:
            return
        self._round_trip = min(self._round_trip, now - newest.at)
        elapsed = now - newest.since
        if elapsed <= 0.0:
            return
        rate = (received - newest.received) / elapsed
        if not newest.alone or self.rate is None or rate > self.rate:
            rates = self._rates
            rates.append((now, rate))
            while now - rates[0][0] > _REMEMBERED or len(rates) > _SAMPLES:
                rates.popleft()
            self.rate = max(value for _, value in rates)

    def stuck(self, now: float) -> bool:
        """Whether something is under way of which nothing has been acknowledged for too long."""
        return self.under_way > 0 and now - self._progress > limits.ACKNOWLEDGE_TIMEOUT

    def overfull(self) -> bool:
        """Whether more is under way than a client that reads ever has."""
        return self.under_way > limits.UNDER_WAY_BYTES + limits.FRAME_BYTES
