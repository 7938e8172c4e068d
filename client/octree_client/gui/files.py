"""Commands of the window that take something out of it: pictures, links."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QFileDialog

from octree_client import readout
from octree_client.enlarging import Enlarging
from octree_client.gui.export_dialog import ExportDialog
from octree_client.gui.picture_job import PictureJob
from octree_client.links import BadLink, write_link
from octree_client.picture_file import PictureWriter
from octree_client.view_link import link_of
from octree_protocol.errors import OctreeError

if TYPE_CHECKING:
    from octree_client.gui.window import ViewerWindow

#: How much larger a picture may be than the screen, in the menu.
_FACTORS = (2, 4)


class Files(QObject):  # type: ignore[misc]
    """See the module. Whatever may take long is done by threads, which tell the window when they are done."""

    _said = Signal(object)

    def __init__(self, window: ViewerWindow) -> None:
        super().__init__(window)
        self._window = window
        self._writer = PictureWriter(self._written)
        self.job: PictureJob | None = None
        self.dialog: ExportDialog | None = None
        self._said.connect(window.stage.notice.say, Qt.QueuedConnection)

    def close(self) -> None:
        """Tell nobody any more; a picture that is not whole yet is given up."""
        if self.job is not None:
            self.job.close()
        if self.dialog is not None:
            self.dialog.give_up()
        self._writer.close()

    def save_screenshot(self) -> None:
        """Ask for a file, and save what is on the screen to it."""
        viewer = self._window.viewer
        if viewer is None:
            return
        name = viewer.layers.active.name if viewer.layers.active is not None else "view"
        suggested = str(Path.home() / f"{name.replace('/', '-')}.png")
        path, _ = QFileDialog.getSaveFileName(
            self._window, "Save what is on the screen", suggested, "PNG image (*.png)"
        )
        if path:
            self.save_to(Path(path))

    def fill_pictures(self, menu: Any) -> None:
        """A line for each kind of picture."""
        for factor in _FACTORS:
            action = menu.addAction(f"The picture, {factor} times as large")
            action.triggered.connect(lambda _=False, factor=factor: self._ask_for(f"x{factor}", factor))
        menu.addAction("The whole window").triggered.connect(lambda _=False: self._ask_for("window", 0))

    def _ask_for(self, what: str, factor: int) -> None:
        suggested = str(Path.home() / f"{what}.png")
        path, _ = QFileDialog.getSaveFileName(self._window, "Save a picture", suggested, "PNG image (*.png)")
        if path:
            self.save_as(Path(path), factor)

    def save_as(self, path: Path, factor: int) -> None:
        """Save the picture `factor` times as large, or, if that is 0, the whole window."""
        window, viewer = self._window, self._window.viewer
        if viewer is None:
            return
        path = path if path.suffix else path.with_suffix(".png")
        if factor == 0:
            self._writer.write(self.grab_window(), path)
            return
        if self.job is not None and not self.job.is_over:
            self._say("A picture is being made already", readout.BAD)
            return
        try:
            enlarging = Enlarging(viewer, factor)
        except (ValueError, OctreeError) as error:
            self._say(f"Not saved: {error}", readout.BAD)
            return
        self.job = PictureJob(
            window,
            enlarging,
            lambda picture: self._writer.write(picture, path),
            lambda reason: self._say(f"Not saved: {reason}", readout.BAD),
        )

    def _say(self, text: str, mood: str = readout.CALM) -> None:
        self._window.stage.notice.say(readout.Message(text, mood))

    def grab_window(self) -> NDArray[np.uint8]:
        """The whole window as it is on the screen, (h, w, 4) uint8 in physical pixels."""
        image = self._window.grab().toImage().convertToFormat(QImage.Format_RGBA8888)
        bits = image.constBits()
        bits.setsize(image.sizeInBytes())
        rows = np.frombuffer(bytes(bits), np.uint8).reshape(image.height(), image.bytesPerLine())
        return rows[:, : 4 * image.width()].reshape(image.height(), image.width(), 4).copy()

    def save_to(self, path: Path) -> None:
        """Save what is on the screen; a thread writes the file."""
        if self._window.viewer is not None:
            self._writer.write(self._window.viewer.render(), path if path.suffix else path.with_suffix(".png"))

    def export_region(self) -> None:
        """Ask what is to be written to a file, and write it."""
        viewer = self._window.viewer
        if viewer is None or not len(viewer.layers):
            return
        self.dialog = ExportDialog(self._window, viewer, self._window.showing.remembered.folder or str(Path.home()))
        self.dialog.show()

    def copy_picture(self) -> None:
        """What is on the screen goes to the clipboard."""
        viewer = self._window.viewer
        if viewer is None:
            return
        picture = viewer.render()
        height, width = picture.shape[:2]
        image = QImage(picture.tobytes(), width, height, 4 * width, QImage.Format_RGBA8888).copy()
        QApplication.clipboard().setImage(image)
        self._window.stage.notice.say(readout.Message("The picture is on the clipboard"))

    def copy_link(self) -> None:
        """A link to what is on the screen goes to the clipboard."""
        viewer = self._window.viewer
        if viewer is None or not len(viewer.layers):
            return
        try:
            text = write_link(link_of(viewer))
        except BadLink as error:
            self._window.stage.notice.say(readout.Message(f"There is no link to this view: {error}", readout.BAD))
            return
        QApplication.clipboard().setText(text)
        self._window.stage.notice.say(readout.Message("A link to this view is on the clipboard: octree-view opens it"))

    def _written(self, path: Path, error: Exception | None) -> None:
        """In the writer's thread."""
        if error is None:
            self._said.emit(readout.Message(f"Saved to {path}"))
        else:
            self._said.emit(readout.Message(f"Not saved: {error}", readout.BAD))
