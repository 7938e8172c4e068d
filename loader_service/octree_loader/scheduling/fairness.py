"""Whose turn it is. Pure (no I/O).

Start-time fair queueing (Goyal, Vin, Cheng 1996): each client has a virtual time that grows with what it was given;
the one that is furthest behind comes next. A client that was away starts at the present, so nobody saves up turns.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

ClientT = TypeVar("ClientT", bound=Hashable)


class FairShare:
    """The virtual times of the clients of one pool."""

    __slots__ = ("_present", "_times")

    def __init__(self) -> None:
        self._times: dict[Hashable, float] = {}
        self._present = 0.0

    def choose(self, clients: Iterable[ClientT]) -> ClientT:
        """The one among `clients` (not empty) that has been given least; the first of several."""
        times, present = self._times, self._present
        return min(clients, key=lambda client: max(times.get(client, 0.0), present))

    def charge(self, client: Hashable, cost: float) -> None:
        """`client` was given something that cost `cost` (any unit, as long as it is always the same).

        The pools charge seconds, see `LoadProfile.cost`: a client of large or slow chunks gets fewer of them.
        """
        begin = max(self._times.get(client, 0.0), self._present)
        self._present = begin
        self._times[client] = begin + cost

    def forget(self, client: Hashable) -> None:
        """`client` is gone."""
        self._times.pop(client, None)
