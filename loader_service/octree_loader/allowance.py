"""How much a client may say: so much at once, so much a second in the long run. Pure (no I/O).

A token bucket (Turner 1986, "New directions in communications", IEEE Communications 24(10)).
"""

from __future__ import annotations


class Allowance:
    """What is left of it.

    Parameters
    ----------
    rate
        A second, in the long run.
    most
        At once.
    now
        Seconds, of any clock that rises.
    """

    __slots__ = ("_at", "_left", "_most", "_rate")

    def __init__(self, rate: float, most: float, now: float) -> None:
        self._rate = rate
        self._most = most
        self._left = most
        self._at = now

    def take(self, now: float) -> bool:
        """Take one; False if there is none left."""
        self._left = min(self._most, self._left + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
