"""What a command line asks to see, and its opening in a thread, so that a window is there before the daemon answers.

Imports neither Qt nor vispy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from octree_client.links import ViewLink
from octree_client.session import Image, Session
from octree_client.view_link import place_of, show_link

if TYPE_CHECKING:
    from octree_client.viewer import Viewer


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """How an image is shown at first; None leaves the viewer's own choice. `center`, `pixel_size`: world units."""

    center: tuple[float, float] | None = None
    pixel_size: float | None = None
    colormap: str | None = None
    contrast: tuple[float, float] | None = None
    interpolation: str | None = None
    link: ViewLink | None = None

    def apply(self, viewer: Viewer) -> None:
        """Have a viewer show it so. Of a link only the layers of the image that is there: `view_link` shows it all."""
        if self.link is not None and len(viewer.layers):
            show_link(viewer, self.link, {place_of(self.link.layers[0]): viewer.layers[0].image})
        for layer in viewer.layers:
            if self.colormap is not None:
                layer.colormap = self.colormap
            if self.contrast is not None:
                layer.contrast_limits = self.contrast
            if self.interpolation is not None:
                layer.interpolation = self.interpolation  # type: ignore[assignment]
        if self.center is not None or self.pixel_size is not None:
            viewer.set_view(self.center, self.pixel_size)


class Opening:
    """A session and an image of it that are being opened by a thread.

    Parameters
    ----------
    what
        How people call it.
    open_session
        Opens the session; may take its time.
    choose
        Takes the image from it.
    """

    def __init__(self, what: str, open_session: Callable[[], Session], choose: Callable[[Session], Image]) -> None:
        self.what = what
        self.image: Image | None = None
        self.error: BaseException | None = None
        self._open_session = open_session
        self._choose = choose
        self._session: Session | None = None
        self._on_done: Callable[[], None] | None = None
        self._abandoned = False
        self._lock = threading.Lock()
        # A daemon thread: whoever quits meanwhile does not wait for an answer that may never come.
        self._thread = threading.Thread(target=self._run, name="octree-opening", daemon=True)
        self._thread.start()

    def when_done(self, call: Callable[[], None]) -> None:
        """Call `call` once, when there is an image or an error: in the opening thread, or now if that is over."""
        with self._lock:
            if self.image is None and self.error is None:
                self._on_done = call
                return
        call()

    def wait(self, timeout: float | None = None) -> Image:
        """Wait for the image. Raises what the opening raised, or `TimeoutError`."""
        self._thread.join(timeout)
        if self.error is not None:
            raise self.error
        if self.image is None:
            raise TimeoutError(f"{self.what} is not open after {timeout:g} s")
        return self.image

    def close(self) -> None:
        """Close the session; if it is not open yet, the thread closes it as soon as it is."""
        with self._lock:
            self._abandoned = True
            self._on_done = None
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def _run(self) -> None:
        image, error, session = None, None, None
        try:
            session = self._open_session()
            image = self._choose(session)
        except BaseException as reason:
            error = reason
            if session is not None:
                session.close()
                session = None
        with self._lock:
            self.image, self.error, call = image, error, self._on_done
            if not self._abandoned:
                self._session, session = session, None
        if session is not None:
            session.close()
        elif call is not None:
            call()
