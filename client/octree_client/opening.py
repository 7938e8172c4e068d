"""Images that are being opened in a thread, so that a window is there before a daemon answers. Imports neither Qt nor
vispy, and knows nothing of where images lie.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from octree_client.session import Image, Session

if TYPE_CHECKING:
    from octree_client.places import Place


class Opened(NamedTuple):
    """What has come of an opening: images from the bottom to the top, where they were found, and what was not."""

    images: tuple[Image, ...] = ()
    places: Mapping[Place, Image] = {}
    problems: tuple[str, ...] = ()


#: Takes a session into the keeping of an opening, which closes it in the end; gives it back.
Keep = Callable[[Session], Session]


class _Abandoned(Exception):
    """Nobody waits for it any more."""


class Opening:
    """Images that are being opened by a thread.

    Parameters
    ----------
    what
        How people call them.
    open_images
        Opens them; may take its time. It is given what keeps the sessions that end with this opening.
    """

    def __init__(self, what: str, open_images: Callable[[Keep], Opened]) -> None:
        self.what = what
        self.opened: Opened | None = None
        self.error: BaseException | None = None
        self._open_images = open_images
        self._sessions: list[Session] = []
        self._on_done: Callable[[], None] | None = None
        self._abandoned = False
        self._lock = threading.Lock()
        # A daemon thread: whoever quits meanwhile does not wait for an answer that may never come.
        self._thread = threading.Thread(target=self._run, name="octree-opening", daemon=True)
        self._thread.start()

    def when_done(self, call: Callable[[], None]) -> None:
        """Call `call` once, when there are images or an error: in the opening thread, or now if that is over."""
        with self._lock:
            if self.opened is None and self.error is None:
                self._on_done = call
                return
        call()

    def wait(self, timeout: float | None = None) -> Opened:
        """Wait for the images. Raises what the opening raised, or `TimeoutError`."""
        self._thread.join(timeout)
        if self.error is not None:
            raise self.error
        if self.opened is None:
            raise TimeoutError(f"{self.what} is not open after {timeout:g} s")
        return self.opened

    def close(self) -> None:
        """Close the sessions; those that are not open yet, the thread closes as soon as they are."""
        with self._lock:
            self._abandoned = True
            self._on_done = None
        self._close_sessions()

    def _keep(self, session: Session) -> Session:
        with self._lock:
            self._sessions.append(session)
            abandoned = self._abandoned
        if abandoned:
            raise _Abandoned
        return session

    def _run(self) -> None:
        opened, error = None, None
        try:
            opened = self._open_images(self._keep)
        except BaseException as reason:
            error = reason
        with self._lock:
            self.opened, self.error, call = opened, error, self._on_done
            over = self._abandoned or error is not None
        if over:
            self._close_sessions()
        if call is not None:
            call()

    def _close_sessions(self) -> None:
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()
