"""What frames cost: a record of the last ones, and the figures that people read. Pure (no I/O)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

#: Frames remembered: a minute at 60 Hz.
_FRAMES_MOST = 3600


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One frame. Times in milliseconds.

    `plan` is deciding (level, cover, working set), `upload` is paging into the atlas, `submit` is handing the geometry
    to GL: together they are our own work. `draw` is from there until the frame is on the screen, or until GL is done
    where there is no window; 0 where nobody looked. `cpu` is the processor time of our own work: what is missing to
    `own`, other threads and processes had.
    """

    at: float
    plan: float
    upload: float
    submit: float
    draw: float
    uploads: int
    nbytes: int
    cells: int
    final: int
    empty: int
    cpu: float = 0.0

    @property
    def own(self) -> float:
        """Our own work."""
        return self.plan + self.upload + self.submit


@dataclass(frozen=True, slots=True)
class BetweenRecord:
    """One time that something was uploaded between frames: `own` work in milliseconds, `cpu` of it the processor's."""

    at: float
    own: float
    uploads: int
    nbytes: int
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 99th percentile and maximum of something."""

    p50: float
    p99: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Nearest-rank percentiles; zeros for no values."""
    if not values:
        return Spread(0.0, 0.0, 0.0)
    ordered = sorted(values)
    last = len(ordered) - 1
    return Spread(ordered[round(0.5 * last)], ordered[round(0.99 * last)], ordered[last])


class FrameStatistics:
    """The last frames of a viewer."""

    def __init__(self) -> None:
        self.frames: deque[FrameRecord] = deque(maxlen=_FRAMES_MOST)
        self.between: deque[BetweenRecord] = deque(maxlen=_FRAMES_MOST)
        self.count = 0

    def add(self, record: FrameRecord) -> None:
        """A frame was drawn."""
        self.frames.append(record)
        self.count += 1

    def presented(self, draw: float) -> None:
        """The last frame that was added took `draw` milliseconds more until it was on the screen."""
        if self.frames:
            self.frames[-1] = replace(self.frames[-1], draw=draw)

    def reset(self) -> None:
        """Forget the frames so far, e.g. before a measurement."""
        self.frames.clear()
        self.between.clear()

    def uploaded(self) -> tuple[int, int]:
        """Chunks and bytes that were uploaded, in frames and between them."""
        return (
            sum(one.uploads for one in self.frames) + sum(one.uploads for one in self.between),
            sum(one.nbytes for one in self.frames) + sum(one.nbytes for one in self.between),
        )

    def summary(self) -> dict[str, Spread]:
        """Spread of each time over the remembered frames: plan, upload, submit, own, draw."""
        return {
            name: spread([getattr(frame, name) for frame in self.frames])
            for name in ("plan", "upload", "submit", "own", "draw")
        }

    def frame_rate(self) -> float:
        """Frames a second over the last second of drawing."""
        if len(self.frames) < 2:
            return 0.0
        newest = self.frames[-1].at
        recent = [frame.at for frame in self.frames if newest - frame.at <= 1.0]
        return (len(recent) - 1) / (newest - recent[0]) if len(recent) > 1 and newest > recent[0] else 0.0
