"""Scale bars: nice lengths, in the unit that people would choose, never longer than the room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.scale_bar import nice_length, scale_bar


@given(st.floats(1e-12, 1e12))
def test_a_nice_length_is_the_longest_that_fits(longest: float) -> None:
    length = nice_length(longest)
    mantissa = float(f"{length:e}".split("e")[0])
    assert mantissa in (1.0, 2.0, 5.0)
    assert 0.39 * longest < length <= longest * (1 + 1e-9)


@pytest.mark.parametrize("exponent", range(-9, 10))
def test_powers_of_ten_are_found_themselves(exponent: int) -> None:
    assert nice_length(float(f"1e{exponent}")) == float(f"1e{exponent}")


@pytest.mark.parametrize(
    ("pixel_size", "unit", "text", "pixels"),
    [
        (1.0, "micrometer", "100 µm", 100.0),
        (0.5, "micrometer", "50 µm", 100.0),
        (10.0, "micrometer", "1 mm", 100.0),
        (0.001, "micrometer", "100 nm", 100.0),
        (4.0, "nanometer", "500 nm", 125.0),
        (8.0, "nanometer", "1 µm", 125.0),
        (0.25, "millimeter", "20 mm", 80.0),
        (1.0, "", "100", 100.0),
        (1.0, "parsec", "100 parsec", 100.0),
        (0.0001, "angstrom", "0.01 Å", 100.0),
        (20000.0, "meter", "2,000 km", 100.0),
    ],
)
def test_what_stands_beside_it(pixel_size: float, unit: str, text: str, pixels: float) -> None:
    bar = scale_bar(pixel_size, unit, 150.0)
    assert bar is not None
    assert bar.text == text
    assert bar.pixels == pytest.approx(pixels)
    assert bar.length == pytest.approx(pixels * pixel_size)


@given(st.floats(1e-9, 1e9), st.sampled_from(["", "micrometer", "nanometer", "nm", "cm", "meter", "voxel"]))
def test_it_always_fits(pixel_size: float, unit: str) -> None:
    bar = scale_bar(pixel_size, unit, 180.0)
    assert bar is not None
    assert 180.0 * 0.19 < bar.pixels <= 180.0 * (1 + 1e-9)


@pytest.mark.parametrize("pixel_size", [0.0, -1.0, float("nan"), float("inf")])
def test_nothing_sensible_is_nothing(pixel_size: float) -> None:
    assert scale_bar(pixel_size, "micrometer", 150.0) is None
