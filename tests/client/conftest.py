"""Shared by the client's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.client.window_kit import DEFAULTS, settle

from octree_client.first_view import ViewOptions
from octree_client.remembered import Remembered


@pytest.fixture
def open_test_canvas() -> Iterator[Callable[..., Any]]:
    """Opens canvases that are closed when the test ends."""
    from octree_client.canvas_opening import open_canvas

    opened = []

    def open_one(*arguments: Any, **options: Any) -> Any:
        opened.append(open_canvas(*arguments, **options))
        return opened[-1]

    yield open_one
    for canvas in opened:
        canvas.close()


@pytest.fixture
def canvas(open_test_canvas: Callable[..., Any]) -> Any:
    """A canvas without a window, 192 x 144."""
    return open_test_canvas((192, 144), backend="egl")


@pytest.fixture(scope="session")
def qapp(display: str) -> Any:
    """Ours instead of the one of pytest-qt."""
    from octree_client.gui.application import qt_application

    assert display
    return qt_application()


@pytest.fixture
def make_window(display: str, qtbot: Any) -> Iterator[Callable[..., Any]]:
    """Opens windows, waits until their image is there, closes them."""
    from qtpy.QtWidgets import QApplication

    from octree_client.gui.window import ViewerWindow

    assert display
    made = []

    def make(
        opening: Any,
        *,
        wait: bool = True,
        size: tuple[int, int] | None = (1000, 700),
        remembered: Remembered | None = DEFAULTS,
        **options: Any,
    ) -> Any:
        window = ViewerWindow(opening, size, ViewOptions(**options), remembered)
        made.append(window)
        window.show()
        QApplication.setActiveWindow(window)  # no window manager does it here
        if wait:
            qtbot.waitUntil(lambda: window.viewer is not None and window.viewer.is_final(), timeout=20000)
            settle(window, qtbot)
        return window

    yield make
    for window in made:
        window.close()
        window.deleteLater()
    QApplication.processEvents()
