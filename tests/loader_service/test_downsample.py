"""Halving against a reference that goes voxel by voxel, in exact arithmetic."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from octree_loader.downsample import Rule, downsample, halved, rule_of

_DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">u2", "f2", "f4", "f8", "?")


def _one(values: list[Any], rule: Rule, kind: str) -> Any:
    if rule == "mode":
        counts = Counter(values)
        most = max(counts.values())
        return min(value for value, count in counts.items() if count == most)
    if rule == "any" or kind == "b":
        return max(values)
    if kind in "iu":
        return round(sum(Fraction(int(value)) for value in values) / len(values))  # half to even, exactly
    there = [float(value) for value in values if not math.isnan(value)]
    return math.fsum(there) / len(there) if there else math.nan


def _reference(array: NDArray[Any], axes: tuple[int, ...], rule: Rule) -> NDArray[Any]:
    out = np.empty(halved(array.shape, axes), array.dtype.newbyteorder("="))
    for index in np.ndindex(out.shape):
        places = (
            (2 * i, *([2 * i + 1] if 2 * i + 1 < n else [])) if axis in axes else (i,)
            for axis, (i, n) in enumerate(zip(index, array.shape, strict=True))
        )
        out[index] = _one([array[place] for place in itertools.product(*places)], rule, array.dtype.kind)
    return out


def _random(dtype: str, shape: tuple[int, ...], seed: int, few: bool) -> NDArray[Any]:
    chance = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return chance.random(shape) < 0.3
    if kind.kind == "f":
        array = chance.normal(0, 100, shape).astype(kind)
        array[chance.random(shape) < 0.3] = np.nan
        return array
    limits = np.iinfo(kind)
    low, high = (0, 3) if few else (limits.min, limits.max)
    if few and limits.min < 0:
        low = -3
    return chance.integers(low, high, shape, dtype=kind.newbyteorder("="), endpoint=True).astype(kind)


@given(
    st.sampled_from(_DTYPES),
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    st.data(),
    st.sampled_from(("mean", "mode", "any")),
    st.integers(0, 1000),
    st.booleans(),
)
@settings(deadline=None, max_examples=250)
def test_halving_equals_the_reference(
    dtype: str, shape: list[int], data: st.DataObject, rule: Rule, seed: int, few: bool
) -> None:
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), max_size=3))))
    array = _random(dtype, tuple(shape), seed, few)
    if array.dtype.kind == "f" and rule != "mean":
        array = np.nan_to_num(array)
    found = downsample(array, axes, rule)
    assert found.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    expected = _reference(array, axes, rule)
    if array.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol={2: 2e-3, 4: 1e-5, 8: 1e-12}[array.dtype.itemsize], atol=1e-3)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "?"])
@pytest.mark.parametrize("shape", [(3, 1031, 777), (1200, 900, 3), (70, 300, 300)])
def test_arrays_larger_than_a_block_have_no_seams(dtype: str, shape: tuple[int, ...]) -> None:
    array = _random(dtype, shape, 5, few=False)
    axes = (0, 1) if shape[-1] == 3 else (1, 2) if shape[0] == 3 else (0, 1, 2)
    found = downsample(array, axes)
    even = array[tuple(slice(n - n % 2) if a in axes else slice(None) for a, n in enumerate(shape))]
    parts = [
        even[i]
        for i in itertools.product(*[(np.s_[0::2], np.s_[1::2]) if a in axes else (np.s_[:],) for a in range(3)])
    ]
    if dtype == "?":
        expected = np.any(parts, axis=0)
    elif dtype == "f4":
        stack = np.stack(parts).astype("f8")
        count = (~np.isnan(stack)).sum(0)
        expected = np.where(count > 0, np.nansum(stack, axis=0) / np.maximum(count, 1), np.nan)
    else:
        expected = np.rint(sum(part.astype("f8") for part in parts) / len(parts))  # rint goes to even, too
    inner = found[tuple(slice(n) for n in expected.shape)]
    if dtype == "f4":
        np.testing.assert_allclose(inner, expected, rtol=1e-4, atol=1e-4)
    else:
        np.testing.assert_array_equal(inner, expected)


def test_a_part_of_another_array_is_halved_like_its_copy() -> None:
    whole = _random("u2", (65, 67), 1, few=False)
    for view in (whole[1:, 1:], whole.T, whole[::2, ::3], whole[:, ::-1]):
        np.testing.assert_array_equal(downsample(view, (0, 1)), downsample(view.copy(), (0, 1)))


def test_labels_never_turn_into_other_labels() -> None:
    array = _random("u4", (64, 64, 64), 2, few=False)
    assert np.isin(downsample(array, (0, 1, 2), "mode"), array).all()


def test_kinds_have_their_rules() -> None:
    assert [rule_of(kind) for kind in ("intensity", "labels", "mask")] == ["mean", "mode", "any"]


def test_float_overflow_and_infinities_warn_nobody() -> None:
    array = np.array([[np.inf, -np.inf], [1, 2]], np.float32)
    assert np.isnan(downsample(array, (0, 1))).all()
