"""A large picture being made beside the window's own: its progress, its end, its cancelling. The window stays alive."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QProgressBar, QProgressDialog, QWidget

from octree_client.enlarging import Enlarging

#: How often it is looked whether a piece is there. Milliseconds.
_LOOK_MS = 10

#: A picture that takes less than this shows no progress. Milliseconds.
_SHOWN_AFTER_MS = 400

#: When a piece has not become final for so long, the picture is given up. Seconds.
_PATIENCE_S = 60.0


class PictureJob(QObject):  # type: ignore[misc]
    """Makes a picture, piece by piece, in the time that the event loop leaves.

    Parameters
    ----------
    parent
        The window.
    enlarging
        The picture; it is closed here.
    on_made, on_given_up
        Called once with the picture, or with why there is none; neither, after `close`.

    Attributes
    ----------
    dialog
        Says how far it is, and cancels.
    """

    def __init__(
        self,
        parent: QWidget,
        enlarging: Enlarging,
        on_made: Callable[[NDArray[np.uint8]], None],
        on_given_up: Callable[[str], None],
    ) -> None:
        super().__init__(parent)
        self._enlarging = enlarging
        self._on_made, self._on_given_up = on_made, on_given_up
        self._over = False
        self._piece_since = time.monotonic()
        self.dialog = QProgressDialog(_words(0, enlarging.total), "Cancel", 0, enlarging.total, parent)
        self.dialog.setWindowTitle("Save a picture")
        self.dialog.setMinimumWidth(340)
        for bar in self.dialog.findChildren(QProgressBar):
            bar.setTextVisible(False)
        self.dialog.setWindowModality(Qt.NonModal)
        self.dialog.setAutoClose(False)
        self.dialog.setAutoReset(False)
        self.dialog.setMinimumDuration(_SHOWN_AFTER_MS)
        self.dialog.setValue(0)
        self.dialog.canceled.connect(self.cancel)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_LOOK_MS)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left."""
        return self._over

    def cancel(self) -> None:
        """Give it up."""
        if not self._over:
            self.close()
            self._on_given_up("cancelled")

    def close(self) -> None:
        """End it, and tell nobody."""
        if self._over:
            return
        self._over = True
        self._timer.stop()
        self.dialog.canceled.disconnect(self.cancel)
        self.dialog.close()
        self.dialog.deleteLater()
        self._enlarging.close()
        self.deleteLater()

    def _look(self) -> None:
        done = self._enlarging.done
        try:
            whole = self._enlarging.step()
        except Exception as error:  # what OpenGL refuses: people are told, the window goes on
            self.close()
            self._on_given_up(str(error))
            return
        if whole:
            self.close()
            self._on_made(self._enlarging.picture)
            return
        now = time.monotonic()
        if self._enlarging.done > done:
            self._piece_since = now
            self.dialog.setValue(self._enlarging.done)
            self.dialog.setLabelText(_words(self._enlarging.done, self._enlarging.total))
        elif now - self._piece_since > _PATIENCE_S:
            status = self._enlarging.twin.status()
            self.close()
            self._on_given_up(f"not final after {_PATIENCE_S:g} s: {status}")


def _words(done: int, total: int) -> str:
    return f"Making the picture: {done} of {total} parts"
