"""Commands that bring images into the window: files, folders, addresses, daemons, links, what is dropped on it.

Each image is opened by a thread of its own (`Opening`); when it is there it becomes layers of the viewer. The sessions
that are opened here end with the window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from octree_client import readout
from octree_client import session as sessions
from octree_client.gui.open_dialog import FILTERS, OpenDialog, kind_of_filter
from octree_client.gui.served_dialog import ServedDialog
from octree_client.links import BadLink, SourceOptions, ViewLink, is_link, may_be_secret, read_link
from octree_client.locations import with_names
from octree_client.looks import LayerKind
from octree_client.opening import Keep, Opened, Opening
from octree_client.places import Place, open_places, place_of
from octree_client.remembered import with_recent
from octree_client.view_link import show_link

if TYPE_CHECKING:
    from octree_client.gui.window import ViewerWindow

#: How a notice begins that is over when something has been opened.
_OPENING = "Opening"


class Adding(QObject):  # type: ignore[misc]
    """See the module."""

    _done = Signal(object, object)

    def __init__(self, window: ViewerWindow) -> None:
        super().__init__(window)
        self._window = window
        self._openings: list[Opening] = []
        self._waiting: dict[int, Opening] = {}
        self._done.connect(self._opened, Qt.QueuedConnection)

    @property
    def under_way(self) -> int:
        """How many images are being opened."""
        return len(self._waiting)

    def close(self) -> None:
        """End every session that was opened here."""
        self._waiting.clear()
        for opening in self._openings:
            opening.close()

    # --- commands ----------------------------------------------------------------------------------------------------

    def open_file(self) -> None:
        """Ask for a file, and open it."""
        if self._window.viewer is None:
            return
        path, chosen = QFileDialog.getOpenFileName(self._window, "Open an image", self._folder(), ";;".join(FILTERS))
        if path:
            self.add(path, kind_of_filter(chosen))

    def open_folder(self) -> None:
        """Ask for a folder, and open it."""
        if self._window.viewer is None:
            return
        path = QFileDialog.getExistingDirectory(self._window, "Open a Zarr, or a folder of planes", self._folder())
        if path:
            self.add(path)

    def open_address(self) -> None:
        """Ask for a path, a URL or a link, and open it."""
        if self._window.viewer is None:
            return
        dialog = OpenDialog(self._window)
        if dialog.exec_() and dialog.place:
            self.add(dialog.place, dialog.kind)

    def add_served(self) -> None:
        """Ask which of the images that a daemon serves, and add them."""
        viewer = self._window.viewer
        if viewer is None:
            return
        dialog = ServedDialog(self._window, viewer.sessions)
        if dialog.exec_():
            for session, name in dialog.chosen():
                if session is not None:
                    self._open(name, partial(_of_session, session, name), kind=dialog.kind.kind)
                else:
                    self.add_place(Place(address=dialog.address(), dataset=name), dialog.kind.kind)

    # --- what is opened ----------------------------------------------------------------------------------------------

    def add(self, text: str, kind: LayerKind | None = None) -> None:
        """Open a path, a URL, or a link; when it is there, it is added, as what it says it is, or as `kind`."""
        if is_link(text):
            self.add_link(text)
        elif _is_address(text):
            self.add_place(Place(address=text), kind)
        else:
            # A daemon of our own is told, too: coarser levels that it makes of labels are no mixtures of numbers.
            options = SourceOptions(kind="labels") if kind == "labels" else SourceOptions()
            self.add_place(Place(text, options=options), kind)

    def add_place(self, place: Place, kind: LayerKind | None = None) -> None:
        """Open what is at a place."""
        self._open(place.text, partial(open_places, [place]), recent=place.source, kind=kind)

    def add_link(self, text: str) -> None:
        """Ask whether a link is to be opened, and show it instead of what is shown."""
        try:
            link = read_link(text)
        except BadLink as error:
            self._say(f"Not opened: {error}", readout.BAD)
            return
        places = list(dict.fromkeys(place_of(layer) for layer in link.layers))
        named = "\n".join(f"   {readout.shortened(place.text, 90)}" for place in places[:12])
        answer = QMessageBox.question(
            self._window,
            "Open a link",
            f"The link shows\n\n{named}\n\ninstead of what is shown now. Open it?",
            QMessageBox.Open | QMessageBox.Cancel,
            QMessageBox.Cancel,
        )
        if answer == QMessageBox.Open:
            self.show_link(link)

    def show_link(self, link: ViewLink) -> None:
        """Show a link once all its images are there, or will not come."""
        places = list(dict.fromkeys(place_of(layer) for layer in link.layers))

        def show(opened: Opened) -> None:
            if self._window.viewer is not None:
                show_link(self._window.viewer, link, opened.places)
                self._window.viewer_filled()

        self._open(", ".join(place.text for place in places), partial(open_places, places), then=show)

    def dropped(self, data: Any) -> None:
        """Open what was dropped on the window."""
        places = dropped_places(data)
        together = [place for place in places if not (is_link(place) or _is_address(place))]
        if len(together) > 1:
            self.add_together(together)
        for place in places:
            if len(together) < 2 or place not in together:
                self.add(place)

    def add_together(self, sources: Sequence[str]) -> None:
        """Open several paths and URLs in one daemon; each is added when it is there."""
        named = with_names(sources)
        started: list[sessions.Session] = []

        def start(keep: Keep) -> Opened:
            started.append(keep(sessions.open(datasets=named)))
            return Opened()

        def open_one(name: str, _keep: Keep) -> Opened:
            daemon.wait()
            return Opened((started[0].dataset(name),))

        daemon = Opening("a daemon", start)
        self._openings.append(daemon)
        for name, source in named.items():
            self._open(source, partial(open_one, name), recent=source)

    # --- how ---------------------------------------------------------------------------------------------------------

    def _open(
        self,
        what: str,
        open_images: Callable[[Keep], Opened],
        *,
        recent: str = "",
        kind: LayerKind | None = None,
        then: Callable[[Opened], None] | None = None,
    ) -> None:
        opening = Opening(what, open_images)
        self._openings.append(opening)
        self._waiting[id(opening)] = opening
        self._say(f"{_OPENING} {readout.shortened(what, 80)} …", readout.BUSY)
        opening.when_done(lambda: self._done.emit(opening, (recent, kind, then)))

    def _opened(self, opening: Opening, about: tuple[str, LayerKind | None, Callable[[Opened], None] | None]) -> None:
        recent, kind, then = about
        if self._waiting.pop(id(opening), None) is None or self._window.viewer is None:
            return
        if opening.opened is None:
            self._say(f"{readout.shortened(opening.what, 60)} cannot be opened: {opening.error}", readout.BAD)
            return
        self.tell_problems(opening.opened)
        if recent:
            self.note_recent(recent)
        if then is not None:
            then(opening.opened)
            return
        first = not len(self._window.viewer.layers)
        for image in opening.opened.images:
            try:
                self._window.viewer.add(image, kind=kind)
            except Exception as error:
                self._say(f"{image.name} cannot be shown: {error}", readout.BAD)
                return
        self._window.viewer_filled(first)

    def tell_problems(self, opened: Opened) -> None:
        """Say what was not opened. If all was, only what was said of its opening goes, and of no other's trouble."""
        if opened.problems:
            self._say("; ".join(opened.problems), readout.BAD)
        elif self._window.stage.notice.text().startswith(_OPENING):
            self._say("")

    def note_opened(self, opened: Opened) -> None:
        """Images are there that the command line has named: those of a daemon of our own can be opened again."""
        if opened.problems:
            self.tell_problems(opened)
        for image in opened.images:
            origin = image.session.origin(image.name)
            if origin is not None:
                self.note_recent(origin.location)

    def note_recent(self, source: str) -> None:
        """A path or URL was opened; one that may have a secret in it is not written down."""
        if may_be_secret(source):
            return
        place = source if "://" in source else str(Path(source).expanduser().absolute())
        showing = self._window.showing
        showing.remembered = with_recent(showing.remembered, place)

    def _folder(self) -> str:
        recent = [place for place in self._window.showing.remembered.recent if place.startswith("/")]
        return str(Path(recent[0]).parent) if recent else str(Path.home())

    def _say(self, text: str, mood: str = readout.CALM) -> None:
        self._window.stage.notice.say(readout.Message(text, mood))

    def fill_recent(self, menu: Any) -> None:
        """A line for everything that was open."""
        recent = self._window.showing.remembered.recent
        for place in recent:
            action = menu.addAction(readout.shortened(place, 70))
            action.triggered.connect(lambda _=False, place=place: self.add(place))
        if not recent:
            menu.addAction("Nothing yet").setEnabled(False)

    def paste(self) -> None:
        """Open what is on the clipboard: a path, a URL or a link."""
        text = QApplication.clipboard().text().strip()
        if self._window.viewer is not None and text and "\n" not in text:
            self.add(text)


def dropped_places(data: Any) -> list[str]:
    """The paths and URLs of what was dropped (`QMimeData`)."""
    if data.hasUrls():
        return [url.toLocalFile() if url.isLocalFile() else url.toString() for url in data.urls()]
    text = data.text().strip() if data.hasText() else ""
    return [line.strip() for line in text.splitlines() if line.strip()][:32]


def _is_address(text: str) -> bool:
    return text.startswith(("ipc://", "tcp://"))


def _of_session(session: sessions.Session, name: str, _keep: Keep) -> Opened:
    """An image of a session that is somebody else's to close."""
    return Opened((session.dataset(name),))
