"""When GL compiles what a layer may be drawn with next: while nothing else is to be done. Pure (no I/O); time is an
argument, in seconds.

Each compilation takes tens of milliseconds in which nothing can be drawn, so that one begins only when nothing has been
drawn for a while, and there is a pause after each. Knows nothing of GL.
"""

from __future__ import annotations

#: So long nothing was to be drawn, before anything is compiled; and the pause after each.
QUIET_S, PAUSE_S = 0.4, 0.1


class WarmingPacer:
    """Says when something is to be compiled ahead of time.

    Attributes
    ----------
    is_warm
        Whether nothing is left, as far as is known.
    """

    __slots__ = ("_at", "is_warm")

    def __init__(self) -> None:
        self.is_warm = False
        self._at: float | None = None

    def frame_drawn(self, now: float, final: bool) -> None:
        """A frame was drawn; `final`: nothing is to come. It may have shown something that makes others likely."""
        self.is_warm = False
        self._at = now + QUIET_S if final else None

    def warmed(self, now: float, more: bool) -> None:
        """Something was compiled, or there was nothing to be; `more` is left."""
        self.is_warm = not more
        self._at = now + PAUSE_S if more else None

    def next_at(self) -> float | None:
        """When to compile something, if no frame is due until then; None for not at all."""
        return self._at
