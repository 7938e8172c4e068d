"""Going along an axis by itself, and which of its places are likely to be next. Pure (no I/O); time is an argument.

Knows nothing of what is shown there, nor of who calls when a place is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Literal, get_args

PlayMode = Literal["loop", "once", "back-and-forth"]

MODES: tuple[str, ...] = get_args(PlayMode)

#: Frames a second, at most: what screens show.
FPS_MOST = 240.0

#: What keys go through. Frames a second.
RATES = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 60.0, 120.0)

#: Seconds of play that are prefetched.
_AHEAD_S = 0.25

#: Places that are prefetched in the direction of movement, and against it.
_AHEAD_MOST, _STEP_AHEAD, _STEP_BEHIND = 8, 2, 1


def next_rate(fps: float, step: int) -> float:
    """The next faster (`step` above 0) or slower of the usual rates; the last one at the end."""
    if step > 0:
        return next((rate for rate in RATES if rate > fps), RATES[-1])
    return next((rate for rate in reversed(RATES) if rate < fps), RATES[0])


@dataclass(frozen=True, slots=True)
class Playback:
    """A play along one axis. Where it is depends on the time alone, so that a slow picture makes it skip, not lag.

    Attributes
    ----------
    axis
        Its name.
    count
        Places of the axis.
    start
        Where it began, counted from 0; behind the end of the axis nothing is played once.
    began
        When. Seconds.
    fps
        Places a second.
    mode
        ``loop`` begins anew at the end, ``once`` stops there, ``back-and-forth`` turns round.
    """

    axis: str
    count: int
    start: int
    began: float
    fps: float = 10.0
    mode: PlayMode = "loop"

    def __post_init__(self) -> None:
        if not 0.0 < self.fps <= FPS_MOST:
            raise ValueError(f"a play has 0 to {FPS_MOST:g} frames a second, not {self.fps}")
        if self.mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, not {self.mode!r}")
        if self.count < 1 or not 0 <= self.start < self.count:
            raise ValueError(f"place {self.start} of an axis of {self.count}")

    def _steps(self, now: float) -> int:
        # A timer that fires a hair too early must not show the same place twice.
        return max(0, floor((now - self.began) * self.fps + 1e-3))

    def index_at(self, now: float) -> int:
        """The place that is due."""
        return self._place(self._steps(now))

    def _place(self, steps: int) -> int:
        if self.mode == "once":
            return min(self.start + steps, self.count - 1)
        if self.mode == "loop" or self.count == 1:
            return (self.start + steps) % self.count
        period = 2 * (self.count - 1)
        place = (self.start + steps) % period
        return place if place < self.count else period - place

    def next_at(self, now: float) -> float | None:
        """When the next place is due; None if the play is over."""
        steps = self._steps(now)
        if self.count == 1 or (self.mode == "once" and self._place(steps) == self.count - 1):
            return None
        return self.began + (steps + 1) / self.fps

    def ahead(self, now: float) -> list[int]:
        """The places that are next, in order; each once, and none that is shown now."""
        steps = self._steps(now)
        here, found = self._place(steps), []
        for step in range(1, min(_AHEAD_MOST, max(2, round(self.fps * _AHEAD_S))) + 1):
            place = self._place(steps + step)
            if place != here and place not in found:
                found.append(place)
        return found


def neighbours(index: int, count: int, direction: int = 0) -> list[int]:
    """The places beside one, the likeliest first: more of them where somebody steps in a direction.

    Parameters
    ----------
    direction
        Above 0, below 0, or 0 where nobody has moved.
    """
    if direction == 0:
        wished = [index + 1, index - 1]
    else:
        sign = 1 if direction > 0 else -1
        wished = [index + sign * step for step in range(1, _STEP_AHEAD + 1)]
        wished += [index - sign * step for step in range(1, _STEP_BEHIND + 1)]
    return [place for place in wished if 0 <= place < count]
