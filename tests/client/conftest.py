"""Shared by the client's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def open_test_canvas() -> Iterator[Callable[..., Any]]:
    """Opens canvases that are closed when the test ends."""
    from octree_client.canvas import open_canvas

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
