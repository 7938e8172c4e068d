"""Whether the daemon is ready, and if not, for want of what. Pure (no I/O).

Ready is one that has its arena, its sockets, and every dataset of its configuration open. Knows neither HTTP nor
systemd, which are told of it by `attendant`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

#: What comes up before the datasets, in this order.
PARTS = ("arena", "sockets")

#: So many reasons are given, and so many characters of each: a thousand datasets on one dead server have one cause.
_REASONS = 20
_REASON_CHARACTERS = 300

#: Seconds after which datasets that did not open are tried again: doubled each time, up to a most.
_TRY_AGAIN, _TRY_AGAIN_MOST = 5.0, 60.0


class DatasetState(NamedTuple):
    """One dataset of the configuration. `state` is "closed", "opening", "open" or "unreadable", then with a reason."""

    name: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """How far the daemon is.

    Attributes
    ----------
    ready
        Everything is up.
    settled
        What is not up has at least been tried: waiting will not change it by itself.
    reasons
        Why it is not ready, a sentence each; none if it is.
    unreadable
        Names of the datasets that do not open.
    datasets_open, datasets
        How many of how many.
    """

    ready: bool
    settled: bool
    reasons: tuple[str, ...]
    unreadable: tuple[str, ...] = ()
    datasets_open: int = 0
    datasets: int = 0

    def sentence(self) -> str:
        """In one line, for ``systemctl status``."""
        text = f"{self.datasets_open} of {self.datasets} datasets open"
        return "; ".join([text, *self.reasons[:3]]) if self.reasons else text


def judge(parts_up: Iterable[str], datasets: Iterable[DatasetState] | None) -> Readiness:
    """The readiness that follows from what is up.

    Parameters
    ----------
    parts_up
        Those of `PARTS` that are.
    datasets
        Of the configuration; None while nobody has looked.
    """
    up = set(parts_up)
    reasons = [f"the {part} {'is' if part == 'arena' else 'are'} not up yet" for part in PARTS if part not in up]
    if datasets is None:
        return Readiness(False, False, tuple(reasons or ["the datasets have not been looked at yet"]))
    states = list(datasets)
    settled = not reasons
    unreadable = []
    for name, state, reason in states:
        if state == "unreadable":
            unreadable.append(name)
            own = reason.removeprefix(f"dataset {name!r}: ")
            reasons.append(_shorten(f"dataset {name!r} does not open: {own}"))
        elif state != "open":
            settled = False
            doing = "is being opened" if state == "opening" else "is still to be opened"
            reasons.append(f"dataset {name!r} {doing}")
    if len(reasons) > _REASONS:
        reasons[_REASONS:] = [f"and {len(reasons) - _REASONS} more"]
    is_open = sum(1 for dataset in states if dataset.state == "open")
    return Readiness(not reasons, settled, tuple(reasons), tuple(unreadable), is_open, len(states))


def next_try(tries: int) -> float:
    """Seconds until datasets that did not open are tried again, after so many tries."""
    return min(_TRY_AGAIN_MOST, _TRY_AGAIN * 2.0 ** min(max(tries - 1, 0), 10))


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _REASON_CHARACTERS else flat[: _REASON_CHARACTERS - 1] + "…"
