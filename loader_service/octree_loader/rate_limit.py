"""How often something may happen: so often at once, so often a second in the long run. Pure (no I/O).

A token bucket (Turner 1986, "New directions in communications", IEEE Communications 24(10)).
"""

from __future__ import annotations


class RateLimit:
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

    def has(self, now: float) -> bool:
        """Whether there is one left."""
        self._left = min(self._most, self._left + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        return self._left >= 1.0

    def take(self, now: float) -> bool:
        """Take one; False if there is none left."""
        if not self.has(now):
            return False
        self._left -= 1.0
        return True

    def exhaust(self) -> None:
        """Take all that are left."""
        self._left = 0.0

    def next_at(self) -> float:
        """When there is one again."""
        return self._at + max(0.0, 1.0 - self._left) / self._rate
