"""Which parts of a remote file are read with one request. Pure (no I/O).

A request to a distant store costs its latency, whatever it brings: what lies close together comes together, gaps
included. The rule is that of zarr-python (``core/_coalesce.py``) and Apache's object_store: gaps up to a limit are read
and dropped, and no request grows beyond another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: A gap of so many bytes is read for nothing rather than with a second request: at 50 ms and 20 MB/s both take as long.
GAP_BYTES = 1 << 20

#: One request brings at most so many bytes, unless one chunk alone is longer: several come in parallel then, and one
#: that fails costs less.
REQUEST_BYTES = 16 << 20


class Span(NamedTuple):
    """First byte, and one past the last."""

    low: int
    high: int


class Request(NamedTuple):
    """A span that is read, and the numbers of the wanted spans that lie in it."""

    low: int
    high: int
    members: tuple[int, ...]


def coalesce(spans: Sequence[Span], gap: int = GAP_BYTES, most: int = REQUEST_BYTES) -> list[Request]:
    """Requests that bring all `spans`, each in one of them.

    Parameters
    ----------
    spans
        Wanted, in any order; they may overlap.
    gap
        Bytes between two spans that are read for nothing, at most.
    most
        Length of a request that holds several spans, at most.
    """
    requests: list[Request] = []
    members: list[int] = []
    low = high = 0
    for number in sorted(range(len(spans)), key=lambda n: spans[n]):
        span = spans[number]
        if members and span.low - high <= gap and max(high, span.high) - low <= most:
            high = max(high, span.high)
        else:
            if members:
                requests.append(Request(low, high, tuple(members)))
            members = []
            low, high = span
        members.append(number)
    if members:
        requests.append(Request(low, high, tuple(members)))
    return requests
