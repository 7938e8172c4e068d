"""What the window says: short, true, and never a figure that jumps about."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_client import readout
from octree_client.readout import BAD, BUSY, CALM
from octree_client.statistics import FrameRecord, FrameStatistics


@pytest.mark.parametrize(
    ("counts", "text", "mood"),
    [
        ((12, 0, 0, 0, 0), "final", CALM),
        ((11, 5, 1, 0, 3), "loading 12 of 20, 1 missing", BUSY),
        ((9, 0, 3, 0, 0), "3 missing", CALM),
        ((9, 0, 1, 2, 0), "1 missing, 2 failed: truncated", BAD),
        ((0, 8, 0, 1, 0), "loading 1 of 9, 1 failed: truncated", BAD),
        ((0, 0, 0, 0, 0), "nothing in view", CALM),
    ],
)
def test_loading(counts: tuple[int, int, int, int, int], text: str, mood: str) -> None:
    assert readout.loading_message(*counts, reason="truncated") == readout.Message(text, mood)


@pytest.mark.parametrize(
    ("drawn", "ideal", "count", "text"),
    [
        ([2, 2, 2], 2, 7, "level 2 of 7"),
        ([], 2, 7, "level 2 of 7"),
        ([0], 0, 1, "level 0"),
        ([4, 4], 2, 7, "level 4 → 2"),
        ([2, 5, 4], 2, 7, "level 2–5 → 2"),
        ([], None, 7, ""),
    ],
)
def test_levels(drawn: list[int], ideal: int | None, count: int, text: str) -> None:
    assert readout.level_text(drawn, ideal, count) == text


@pytest.mark.parametrize(
    ("world", "pixel_size", "unit", "text"),
    [
        ((1457.3, 1586.2), 5.1, "micrometer", "y 1,457   x 1,586 µm"),
        ((115.52, -0.04), 0.34, "micrometer", "y 115.5   x 0.0 µm"),
        ((0.5, 2.25), 0.01, "", "y 0.50   x 2.25"),
        ((1.0, 2.0), 1.0, "parsec", "y 1   x 2 parsec"),
    ],
)
def test_positions(world: tuple[float, float], pixel_size: float, unit: str, text: str) -> None:
    assert readout.position_text(world, pixel_size, ("y", "x"), unit) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(46130, "46,130"), (0.123456789, "0.123457"), ((1, 20, 255), "1, 20, 255"), (None, "–"), (True, "true")],
)
def test_values(value: object, text: str) -> None:
    assert readout.value_text(value) == text


@pytest.mark.parametrize(
    ("pixel_size", "text"), [(1.0, "100 %"), (0.025, "4,000 %"), (10.3, "9.7 %"), (2048.0, "0.049 %"), (4.0, "25 %")]
)
def test_zoom(pixel_size: float, text: str) -> None:
    assert readout.zoom_text(pixel_size, 1.0) == text


def test_connection() -> None:
    assert readout.connection_message("connected", "") == readout.Message("connected", CALM)
    assert readout.connection_message("connected", "the cluster is away").text == "connected; the cluster is away"
    assert readout.connection_message("connecting", "").mood == BUSY
    assert readout.connection_message("lost", "x").mood == readout.connection_message("refused", "x").mood == BAD
    assert readout.lost_text("connected", "") == ""
    assert readout.lost_text("lost", "the daemon is gone").startswith("The daemon is gone. The picture stays")
    assert "wrong version" in readout.lost_text("refused", "wrong version")


def test_failures_are_counted_by_reason() -> None:
    failures = {(0, 0, n): "truncated" for n in range(3)} | {(1, 0, n): f"reason {n}" for n in range(4)}
    lines = readout.failure_lines(failures, most=2)
    assert lines == ["3 × truncated", "reason 0", "… and 3 more reasons"]
    assert readout.failure_lines({}) == []


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=200), st.integers(3, 60))
def test_cut_texts_are_short_and_on_one_line(text: str, most: int) -> None:
    cut = readout.shortened(text, most)
    assert len(cut) <= most
    assert "\n" not in cut


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["|b1", "|u1", "<u2", "<i2", "<u4", "<f4"]), st.floats(0, 60000), st.floats(1, 5000))
def test_the_contrast_slider_reaches_its_handles(dtype: str, low: float, width: float) -> None:
    limits = (low, low + width)
    if dtype in ("|b1", "|u1"):
        limits = (0.0, 1.0)
    if dtype == "<i2":
        limits = (low / 4, low / 4 + width)
    bottom, top = readout.contrast_span(limits, dtype)
    assert bottom <= limits[0] < limits[1] <= max(top, 65535 if dtype == "<u2" else top, limits[1])
    assert bottom < top
    assert math.isfinite(top)
    digits = readout.contrast_digits((bottom, top), dtype)
    assert (digits == 0) if dtype != "<f4" else 10.0**-digits <= (top - bottom) / 100


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (1000, "1000 B"), (2 << 20, "2.0 MiB"), (3 << 50, "3072 TiB")],
    ids=str,
)
def test_bytes(nbytes: int, text: str) -> None:
    assert readout.bytes_text(nbytes) == text


def test_the_figures_of_frames() -> None:
    statistics = FrameStatistics()
    for n in range(3):
        statistics.add(FrameRecord(n / 10, 1.0, 2.0, 3.0, 0.0, 4, 1 << 20, 9, 9, 0))
        statistics.presented(7.0)
    rows = readout.statistics_rows(list(statistics.frames), statistics.frame_rate(), (5, 64), 8 << 20)
    assert ("frames", "3", "10 /s") in rows
    assert ("own", "6.00", "6.00") in rows
    assert ("draw", "7.00", "7.00") in rows
    assert ("chunks", "12", "3.0 MiB") in rows
    assert ("tiles", "5 of 64", "8.0 MiB") in rows


def test_levels_that_are_being_made_are_told_beside_what_is_in_view() -> None:
    assert readout.loading_message(12, 0, 0, 0, 0, made=(37, 100)).text == "final, making levels 37 %"
    assert readout.loading_message(9, 0, 3, 0, 0, made=(99, 300)).text == "3 missing, making levels 33 %"
    assert readout.loading_message(12, 0, 0, 0, 0, made=(100, 100)).text == "final"
