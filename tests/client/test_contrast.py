"""Automatic contrast: quantiles that hot pixels, gaps and odd dtypes do not spoil."""

from __future__ import annotations

import numpy as np
import pytest

from octree_client.contrast import ContrastEstimate


def limits_of(*planes: np.ndarray, is_colour: bool = False) -> tuple[float, float] | None:
    estimate = ContrastEstimate(is_colour)
    for plane in planes:
        estimate.observe(plane)
    return estimate.limits


@pytest.mark.parametrize("dtype", ["u1", "u2", "<i4", ">u2", "f4", "f8"])
def test_limits_are_near_the_quantiles(dtype: str) -> None:
    values = np.random.default_rng(0).permutation(np.linspace(0, 200, 300 * 400))
    plane = values.reshape(300, 400).astype(dtype)
    found = limits_of(plane)
    assert found is not None
    assert found == pytest.approx((0.2, 199.8), abs=1.5)


def test_a_hot_pixel_does_not_darken_the_others() -> None:
    plane = np.random.default_rng(0).normal(100, 10, (64, 64))
    plane[0, 0] = 1e9
    found = limits_of(plane)
    assert found is not None
    assert found[1] < 200


def test_all_chunks_count() -> None:
    assert limits_of(np.zeros((50, 50)), np.full((50, 50), 7.0)) == (0.0, 7.0)


def test_what_has_no_contrast() -> None:
    assert limits_of(np.full((9, 9), 5, np.uint8)) == (5.0, 6.0)
    assert limits_of(np.full((9, 9), np.nan)) is None
    assert limits_of(np.zeros((0, 9))) is None
    assert limits_of(np.zeros((9, 9, 3), np.uint8), is_colour=True) is None


def test_what_is_not_finite_is_left_out_and_complex_is_its_magnitude() -> None:
    plane = np.array([[np.nan, 1.0], [np.inf, 3.0]])
    assert limits_of(plane) == (1.0, 3.0)
    assert limits_of(np.array([[3 + 4j, 0]])) == (0.0, 5.0)
