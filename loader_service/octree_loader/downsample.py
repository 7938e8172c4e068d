"""Halves arrays along chosen axes, by the rule that suits what they hold. Pure (no I/O).

- ``mean`` for intensities: integers are rounded, half to even; of floats, NaN are left out.
- ``mode`` for labels: the value that is there most often, the smallest of several. A mean of two labels is a third one.
- ``any`` for masks: the largest value, so a voxel is set if any below it is.

Where an edge is odd, its last voxels stand for what is there. Everything stays in integers that hold the sums exactly,
in blocks that stay in the processor's cache. Knows nothing of levels or of where arrays come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Rule = Literal["mean", "mode", "any"]
Array = NDArray[Any]

#: What is taken at once: fits a core's second cache, with what is computed of it.
_BLOCK_BYTES = 256 << 10

#: Two neighbours as one number, and the number that holds sums of 2**8 of them: to split pairs in registers is three
#: times as fast as to read every other voxel.
_PAIRS = {"u1": "u2", "u2": "u4"}


def rule_of(kind: str) -> Rule:
    """The rule for a dataset's `kind`: ``intensity``, ``labels`` or ``mask``."""
    return {"labels": "mode", "mask": "any"}.get(kind, "mean")  # type: ignore[return-value]


def halved(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The shape of an array that is halved along `axes`; what is odd is rounded up."""
    return tuple(-(-edge // 2) if axis in axes else edge for axis, edge in enumerate(shape))


def downsample(array: Array, axes: Sequence[int], rule: Rule = "mean") -> Array:
    """Halve an array.

    Parameters
    ----------
    array
        Of booleans, integers or floats, of any shape; none of its edges is 0.
    axes
        Which axes are halved; none gives the array itself.
    rule
        See the module.

    Returns
    -------
    ndarray
        Of the same dtype and the shape `halved`, C-contiguous.
    """
    if not axes:
        return array
    if array.dtype.kind == "b":
        if rule == "mean":
            rule = "any"
        return downsample(array.view(np.uint8), axes, rule).view(bool)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    out = np.empty(halved(array.shape, axes), array.dtype)
    _fill(array, out, tuple(sorted(axes)), rule)
    return out


def _fill(array: Array, out: Array, axes: tuple[int, ...], rule: Rule) -> None:
    """Cut off what is odd, and what is too large for a block."""
    for axis in axes:
        edge = array.shape[axis]
        if edge % 2:
            before: tuple[slice, ...] = (slice(None),) * axis
            if edge > 1:
                _fill(array[(*before, slice(edge - 1))], out[(*before, slice(edge // 2))], axes, rule)
            rest = tuple(a for a in axes if a != axis)
            _fill(array[(*before, slice(edge - 1, edge))], out[(*before, slice(edge // 2, edge))], rest, rule)
            return
    if not axes:
        out[...] = array
        return
    for axis, edge in enumerate(out.shape[:-1]):
        if edge > 1 and array.nbytes > _BLOCK_BYTES:
            step = max(1, edge * _BLOCK_BYTES // array.nbytes)
            factor = 2 if axis in axes else 1
            before = (slice(None),) * axis
            for first in range(0, edge, step):
                part = array[(*before, slice(first * factor, (first + step) * factor))]
                _fill_block(part, out[(*before, slice(first, first + step))], axes, rule)
            return
    _fill_block(array, out, axes, rule)


def _fill_block(array: Array, out: Array, axes: tuple[int, ...], rule: Rule) -> None:
    if array.nbytes > 2 * _BLOCK_BYTES and any(edge > 1 for edge in out.shape[:-1]):
        _fill(array, out, axes, rule)
    elif rule == "mode":
        out[...] = _mode(array, axes)
    elif rule == "any":
        parts = _parts(array, axes)
        np.maximum(parts[0], parts[1], out=out)
        for part in parts[2:]:
            np.maximum(out, part, out=out)
    elif array.dtype.kind == "f":
        _mean_of_floats(array, out, axes)
    elif array.dtype.itemsize == 8:
        _mean_of_large(array, out, axes)
    else:
        _mean_of_integers(array, out, axes)


def _parts(array: Array, axes: Sequence[int]) -> list[Array]:
    """The 2**n arrays whose n-th voxels become one voxel together."""
    steps = [(slice(0, None, 2), slice(1, None, 2)) if a in axes else (slice(None),) for a in range(array.ndim)]
    return [array[index] for index in product(*steps)]


def _sum(parts: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    total: Array = np.add(parts[0], parts[1], dtype=dtype) if len(parts) > 1 else parts[0].astype(dtype)
    for part in parts[2:]:
        np.add(total, part, out=total)
    return total


def _neighbours(sums: Array, axis: int) -> Array:
    """Sums of neighbours along one axis."""
    before: tuple[slice, ...] = (slice(None),) * axis
    if axis == sums.ndim - 1 or sums.shape[-1] > 8:
        total: Array = sums[(*before, slice(0, None, 2))] + sums[(*before, slice(1, None, 2))]
        return total
    # The samples of a colour: rows of three numbers would be all loop and no work.
    total = np.empty((*sums.shape[:axis], sums.shape[axis] // 2, *sums.shape[axis + 1 :]), sums.dtype)
    for sample in range(sums.shape[-1]):
        one = sums[..., sample]
        np.add(one[(*before, slice(0, None, 2))], one[(*before, slice(1, None, 2))], out=total[..., sample])
    return total


def _mean_of_integers(array: Array, out: Array, axes: tuple[int, ...]) -> None:
    """Of up to 32 bits: the sums are exact in twice as many."""
    bits = len(axes)
    paired = _PAIRS.get(array.dtype.str[1:])
    if axes[-1] == array.ndim - 1 and paired is not None and array.strides[-1] == array.itemsize:
        half = np.dtype(paired).type(8 * array.itemsize)
        low = np.dtype(paired).type((1 << 8 * array.itemsize) - 1)
        pairs = _parts(array.view(paired), axes[:-1])
        sums = pairs[0] >> half
        scratch = pairs[0] & low
        sums += scratch
        for pair in pairs[1:]:
            sums += np.right_shift(pair, half, out=scratch)
            sums += np.bitwise_and(pair, low, out=scratch)
    else:
        wide = np.dtype(f"{array.dtype.kind}{max(4, 2 * array.itemsize)}")
        sums = _neighbours(_sum(_parts(array, axes[:-1]), wide), axes[-1])
    # Half to even: what lies half-way goes up only where the quotient is odd.
    odd = sums >> bits
    odd &= 1
    odd += (1 << bits - 1) - 1
    sums += odd
    sums >>= bits
    np.copyto(out, sums, casting="unsafe")


def _mean_of_large(array: Array, out: Array, axes: tuple[int, ...]) -> None:
    """Of 64 bits, where no integer holds the sums: quotients and remainders are summed apart."""
    bits = array.dtype.type(len(axes))
    mask = array.dtype.type((1 << len(axes)) - 1)
    half = (1 << len(axes)) >> 1
    parts = _parts(array, axes)
    rest = _sum([part & mask for part in parts], array.dtype)
    out[...] = _sum([part >> bits for part in parts], array.dtype)
    out += rest >> bits
    rest &= mask
    out += (rest > half) | ((rest == half) & (out & array.dtype.type(1) == 1))


def _mean_of_floats(array: Array, out: Array, axes: tuple[int, ...]) -> None:
    wide = np.dtype(np.float32) if array.itemsize < 4 else array.dtype
    share = wide.type(0.5 ** len(axes))
    with np.errstate(invalid="ignore", over="ignore"):
        sums = _neighbours(_sum(_parts(array, axes[:-1]), wide), axes[-1])
        np.multiply(sums, share, out=out, casting="same_kind")
        if np.isnan(np.min(sums)):
            here = np.isnan(out)
            parts = [part[here] for part in _parts(array, axes)]
            count = sum(~np.isnan(part) for part in parts)
            total = _sum([np.where(np.isnan(part), 0, part) for part in parts], wide)
            out[here] = np.where(count == 0, np.nan, total / np.maximum(count, 1))


def _mode(array: Array, axes: tuple[int, ...]) -> Array:
    """The value of the longest run among the sorted ones."""
    values = _sorted(_parts(array, axes))
    best = values[0]
    if len(values) == 4:
        first, second, third, fourth = values
        best = np.where((third == fourth) & (second != third), third, best)
        best = np.where(second == third, second, best)
        return np.where(first == second, first, best)
    run = longest = np.ones(best.shape, np.uint8)
    for before, value in pairwise(values):
        run = np.where(value == before, run + np.uint8(1), np.uint8(1))
        best = np.where(run > longest, value, best)
        longest = np.maximum(longest, run)
    return best


def _sorted(values: list[Array]) -> list[Array]:
    """Sort 2**n arrays place by place: Batcher's odd-even mergesort (Knuth, TAOCP 3, 5.3.4, algorithm M)."""
    values = list(values)
    count = len(values)
    p = 1
    while p < count:
        k = p
        while k >= 1:
            for j in range(k % p, count - k, 2 * k):
                for i in range(min(k, count - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        low, high = values[i + j], values[i + j + k]
                        values[i + j], values[i + j + k] = np.minimum(low, high), np.maximum(low, high)
            k //= 2
        p *= 2
    return values
