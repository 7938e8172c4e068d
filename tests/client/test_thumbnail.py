"""Small pictures: the right level, the right colours, read by a thread that nobody waits for."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.colormaps import colormap_table
from octree_client.thumbnail import coloured, thumbnail_level
from octree_client.thumbnail_reader import ThumbnailReader


@given(st.integers(1, 20000), st.integers(1, 20000), st.integers(1, 8), st.integers(16, 400))
def test_the_picture_is_neither_blurred_nor_large(height: int, width: int, levels: int, longest: int) -> None:
    shapes = [(3, max(1, height >> n), max(1, width >> n)) for n in range(levels)]
    level, step = thumbnail_level(shapes, (1, 2), longest)
    edge = -(-max(shapes[level][1:]) // step)
    assert edge <= longest
    if max(height, width) >= longest:
        assert edge * 2 >= longest * 0.5
    if level + 1 < levels:
        assert max(shapes[level + 1][1:]) * 2 < longest


def test_values_become_the_colours_of_the_map() -> None:
    table = colormap_table("viridis")
    values = np.array([[0, 100], [200, 50]], "u2")
    found = coloured(values, (0.0, 200.0), 1.0, table)
    assert (found[0, 0] == table[0]).all()
    assert (found[1, 0] == table[-1]).all()
    assert (found[0, 1] == table[len(table) // 2]).all()
    darker = coloured(values, (0.0, 200.0), 2.0, colormap_table("gray"))
    assert darker[0, 1, 0] == pytest.approx(64, abs=1)


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u8", "f4", "f8", "c8"])
def test_every_dtype_has_a_picture(dtype: str) -> None:
    values = np.array([[0, 1], [1, 0]]).astype(dtype)
    found = coloured(values, (0.0, 1.0), 1.0, colormap_table("gray"))
    assert (found[..., 0] == [[0, 255], [255, 0]]).all()


def test_nothing_is_transparent() -> None:
    values = np.array([[np.nan, 1.0]], "f4")
    found = coloured(values, (0.0, 1.0), 1.0, colormap_table("gray"))
    assert found[0, 0, 3] == 0
    assert found[0, 1, 3] == 255


def test_colours_stay_what_they_are() -> None:
    values = np.arange(2 * 2 * 3, dtype="u1").reshape(2, 2, 3) * 20
    found = coloured(values, (0.0, 255.0), 1.0, None)
    assert (found[..., :3] == values).all()
    assert (found[..., 3] == 255).all()


def test_the_last_wish_counts_and_a_failure_harms_nobody() -> None:
    go, done = threading.Event(), threading.Event()
    seen: list[tuple[Any, Any, float]] = []

    def on_read(who: Any, what: Any, values: Any) -> None:
        seen.append((who, what, float(values.sum())))
        if what == "last":
            done.set()

    def slowly() -> Any:
        go.wait(10)
        return np.ones(3)

    def broken() -> Any:
        raise OSError("gone")

    reader = ThumbnailReader(on_read)
    reader.read("a", "first", slowly)
    reader.read("b", "broken", broken)
    reader.read("c", "left", lambda: np.ones(100))
    reader.read("c", "last", lambda: np.ones(2))
    go.set()
    assert done.wait(10)
    reader.close()
    assert seen == [("a", "first", 3.0), ("c", "last", 2.0)]
    reader.read("a", "later", lambda: np.ones(1))
    assert len(seen) == 2
