"""What the tests of the window share: mouse, keys, waiting, pictures of the screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from octree_client.remembered import Remembered

PICTURES = Path(__file__).resolve().parents[2] / "build" / "screenshots"

#: What nobody has changed.
DEFAULTS = Remembered()

#: Nothing over the picture but the tools.
BARE = Remembered(scale_bar=False, minimap=False, axes=False)


def settle(window: Any, qtbot: Any) -> None:
    """Until the words follow the picture."""
    qtbot.waitUntil(lambda: not window.gestures.timer.isActive() and window.viewer.is_final(), timeout=30000)
    window.refresh()


def send_mouse(
    window: Any,
    kind: str,
    at: tuple[float, float],
    *,
    held: bool = False,
    shift: bool = False,
    control: bool = False,
    alt: bool = False,
    to: Any = None,
) -> None:
    from qtpy.QtCore import QEvent, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    kinds = {
        "press": QEvent.MouseButtonPress,
        "move": QEvent.MouseMove,
        "release": QEvent.MouseButtonRelease,
        "double": QEvent.MouseButtonDblClick,
    }
    button = Qt.NoButton if kind == "move" else Qt.LeftButton
    event = QMouseEvent(
        kinds[kind],
        QPointF(*at),
        button,
        Qt.LeftButton if held else Qt.NoButton,
        Qt.ShiftModifier if shift else Qt.ControlModifier if control else Qt.AltModifier if alt else Qt.NoModifier,
    )
    QApplication.sendEvent(to or window.canvas.native, event)


def send_wheel(window: Any, at: tuple[float, float], notches: float, *, shift: bool = False, to: Any = None) -> None:
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    event = QWheelEvent(
        QPointF(*at),
        QPointF(*at),
        QPoint(0, 0),
        QPoint(0, round(120 * notches)),
        Qt.NoButton,
        Qt.ShiftModifier if shift else Qt.NoModifier,
        Qt.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(to or window.canvas.native, event)


def press(window: Any, qtbot: Any, key: str) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtGui import QKeySequence

    found = QKeySequence.fromString(key)[0]
    if hasattr(found, "keyboardModifiers"):  # Qt 6
        qtbot.keyClick(window.canvas.native, found.key(), found.keyboardModifiers())
    else:
        qtbot.keyClick(window.canvas.native, found & 0x01FFFFFF, Qt.KeyboardModifiers(found & 0xFE000000))


def grab(window: Any, name: str) -> np.ndarray:
    """What is on the screen where the window is; kept as build output."""
    from qtpy.QtWidgets import QApplication

    PICTURES.mkdir(parents=True, exist_ok=True)
    QApplication.processEvents()
    path = PICTURES / f"{name}.png"
    at = window.geometry()
    screen = QApplication.primaryScreen()
    assert screen.grabWindow(0, at.x(), at.y(), at.width(), at.height()).save(str(path))
    with PillowImage.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def assert_nothing_is_cut_off(window: Any, qtbot: Any) -> None:
    """Every field of the status line has the room that its text needs."""
    bar = window.status_bar
    fields = (bar.position, bar.value, bar.loading, bar.level, bar.connection, bar.zoom)
    qtbot.waitUntil(lambda: all(f.width() >= f.sizeHint().width() for f in fields if f.text()), timeout=5000)
    assert all(bar.rect().contains(f.geometry()) for f in fields if f.text())


def press_enter(widget: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    qtbot.keyClick(widget, Qt.Key_Return)
