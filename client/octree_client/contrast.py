"""Contrast limits from what is seen of the coarsest level. Pure (no I/O).

A few thousand values are enough for quantiles that no eye can tell from the exact ones, and they take well under a
millisecond, because this runs between two frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Values looked at in one chunk, at most about so many.
_SAMPLES = 4096

#: What lies below and above is cut off: a thousandth at either end, so that hot pixels do not darken all others.
_LOW, _HIGH = 0.001, 0.999


class ContrastEstimate:
    """Limits that grow out of the chunks shown to it.

    Attributes
    ----------
    limits
        (low, high) in data values; None while nothing has been seen.
    """

    __slots__ = ("_is_colour", "_values", "limits")

    def __init__(self, is_colour: bool = False) -> None:
        self.limits: tuple[float, float] | None = None
        self._is_colour = is_colour
        self._values: list[NDArray[Any]] = []

    def observe(self, plane: NDArray[Any]) -> None:
        """Take a chunk's (h, w) plane into account. Colours have no contrast of their own, and are left alone."""
        if self._is_colour or plane.size == 0 or len(self._values) >= 16:
            return
        step = max(1, int((plane.size / _SAMPLES) ** 0.5))
        sample = plane[::step, ::step].ravel()
        if sample.dtype.kind == "c":
            sample = np.abs(sample)
        if sample.dtype.kind == "f":
            sample = sample[np.isfinite(sample)]
        if sample.size == 0:
            return
        self._values.append(sample.astype(np.float64))
        every = np.sort(np.concatenate(self._values))
        low, high = (float(every[round(q * (every.size - 1))]) for q in (_LOW, _HIGH))
        if high <= low:
            low, high = float(every[0]), float(every[-1])
        self.limits = (low, high) if high > low else (low, low + 1.0)
