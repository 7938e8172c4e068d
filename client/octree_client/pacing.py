"""When the next frame is drawn. Pure (no I/O): it is told what happened and when, and says when to draw.

At most one frame a refresh; what happens in between is drawn together. And the *hold*: after the camera moved over a
dataset that loads fast, the frame may wait a few milliseconds for the chunks that are on their way, rather than flash
a coarser level. Knows nothing of Qt or chunks; time is an argument, in seconds.
"""

from __future__ import annotations

#: Frames are at least this far apart.
REFRESH_S = 1.0 / 60.0

#: A frame is held so long at most.
HOLD_S = 0.012

#: Between the end of a frame and the next one the GUI thread has at least so long for events.
REST_S = 0.001


class BetweenPacer:
    """Decides when something is uploaded between frames, most of it what may come into view.

    Once a refresh at most, while no frame is due. Where frames take longer than a refresh, one is always due: then once
    before each, because the time it takes is small against theirs.
    """

    __slots__ = ("_at", "_drawn_at", "_earliest", "_paged", "_refresh_s", "_rest_s")

    def __init__(self, refresh_s: float = REFRESH_S, rest_s: float = REST_S) -> None:
        self._refresh_s, self._rest_s = refresh_s, rest_s
        self._at: float | None = None
        self._drawn_at = self._earliest = float("-inf")
        self._paged = True

    def heard(self, now: float) -> None:
        """Something came that may be uploaded."""
        if self._at is None:
            self._at = max(now, self._earliest)

    def drawn(self, started: float, ended: float, more: bool) -> None:
        """A frame was drawn; `more`: there is something to be uploaded."""
        self._drawn_at, self._paged = started, False
        self._earliest = ended + self._rest_s
        self._at = self._earliest if more else None

    def paged(self, started: float, ended: float, more: bool) -> None:
        """Something was uploaded between frames; `more` is left."""
        self._paged = True
        self._earliest = max(started + self._refresh_s, ended + self._rest_s)
        self._at = self._earliest if more else None

    def next_at(self) -> float | None:
        """When to upload; None for not at all."""
        return self._at

    def goes_first(self, now: float, frame_at: float | None) -> bool:
        """Whether it is its turn now, and not that of the frame that is due at `frame_at`."""
        if self._at is None or self._at > now:
            return False
        if frame_at is None or now < frame_at:
            return True
        return not self._paged and now - self._drawn_at > self._refresh_s


class FramePacer:
    """Decides when to draw.

    A frame is due as soon as something changed, the refresh interval since the last frame is over, and the GUI
    thread had its rest. Only a camera movement arms the hold, from the first movement since the last frame on, and
    later events do not prolong it, so that a frame is never more than `hold_s` late. A hold that ran out did not pay:
    there is no other one until a frame with everything in view final was drawn.

    Parameters
    ----------
    auto_sync_ms
        A dataset whose loads take less than this may hold a frame (`ViewerSettings.auto_sync_ms`).
    """

    __slots__ = (
        "_auto_sync_ms",
        "_awaited",
        "_changed_at",
        "_ended_at",
        "_hold_limit",
        "_hold_pays",
        "_hold_s",
        "_hold_until",
        "_refresh_s",
        "_rest_s",
        "_started_at",
    )

    def __init__(
        self,
        auto_sync_ms: float = 30.0,
        *,
        refresh_s: float = REFRESH_S,
        hold_s: float = HOLD_S,
        rest_s: float = REST_S,
    ) -> None:
        self._auto_sync_ms = auto_sync_ms
        self._refresh_s, self._hold_s, self._rest_s = refresh_s, hold_s, rest_s
        self._changed_at: float | None = None
        #: When a held frame is drawn at the latest; None while none is held.
        self._hold_until: float | None = None
        #: The same for all movements before the next frame: no later event prolongs a hold.
        self._hold_limit: float | None = None
        self._hold_pays = True
        self._awaited = 0
        self._started_at = self._ended_at = float("-inf")

    def changed(self, now: float) -> None:
        """Something is to be drawn anew: contrast, size, an overlay; or the first frame."""
        if self._changed_at is None:
            self._changed_at = now

    def camera_moved(self, now: float, awaited: int, load_ms: float | None) -> None:
        """The camera moved.

        Parameters
        ----------
        awaited
            Visible ideal chunks that are neither in VRAM nor in their slots yet (nor missing nor failed).
        load_ms
            How long a load of the dataset takes now; None while nobody knows.
        """
        self.changed(now)
        self._awaited = awaited
        if self._hold_limit is None:
            # Of a frame that is due already, `hold_s` counts from when it was due.
            self._hold_limit = min(now, self._due()) + self._hold_s
        fast = load_ms is not None and load_ms < self._auto_sync_ms
        self._hold_until = self._hold_limit if awaited > 0 and fast and self._hold_pays else None

    def chunks_announced(self, now: float, awaited: int) -> None:
        """Chunks came that are wanted; `awaited` visible ones are still to come. With none left, a held frame goes."""
        self.changed(now)
        self._awaited = awaited
        if awaited == 0:
            self._hold_until = None

    def frame_drawn(self, started: float, ended: float, *, whole: bool, more: bool) -> None:
        """A frame was drawn.

        Parameters
        ----------
        started, ended
            When its drawing began and ended.
        whole
            Every visible cell was final.
        more
            There is something left to upload, so that another frame is due.
        """
        if whole:
            self._hold_pays = True
        elif self._hold_until is not None and started >= self._hold_until:
            self._hold_pays = False
        self._started_at, self._ended_at = started, ended
        self._hold_until = self._hold_limit = None
        self._changed_at = ended if more else None

    def next_frame_at(self, now: float) -> float | None:
        """When to draw, `now` at the earliest; None if there is nothing to draw. Ask again after every event."""
        if self._changed_at is None:
            return None
        due = self._due()
        if self._hold_until is not None:
            due = max(due, self._hold_until)
        return max(due, now)

    def _due(self) -> float:
        """When the frame could be drawn, if none were held."""
        earliest = max(self._started_at + self._refresh_s, self._ended_at + self._rest_s)
        return earliest if self._changed_at is None else max(earliest, self._changed_at)

    @property
    def held(self) -> bool:
        """Whether a frame waits for chunks now."""
        return self._hold_until is not None

    def validate(self) -> None:
        """Raise `AssertionError` if a frame could wait too long or for nothing."""
        if self._hold_until is not None:
            assert self._changed_at is not None, "nothing changed, but a frame is held"
            assert self._awaited > 0, "a frame is held though nothing is awaited"
            assert self._hold_until <= self._due() + self._hold_s, "a frame is held beyond its budget"
        assert self._ended_at >= self._started_at, "a frame ended before it began"
