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

#: Chunks that are looked at.
_CHUNKS_MOST = 16

#: What lies below and above is cut off: a thousandth at either end, so that hot pixels do not darken all others.
QUANTILES = (0.001, 0.999)

#: Bars of a histogram; integers of a smaller span have one a value.
_BARS = 128


class ContrastEstimate:
    """Limits that grow out of the chunks shown to it.

    Attributes
    ----------
    limits
        (low, high) in data values; None while nothing has been seen.
    """

    __slots__ = ("_is_colour", "_quantiles", "_values", "limits")

    def __init__(self, is_colour: bool = False) -> None:
        self.limits: tuple[float, float] | None = None
        self._is_colour = is_colour
        self._quantiles = QUANTILES
        self._values: list[NDArray[Any]] = []

    def observe(self, plane: NDArray[Any]) -> bool:
        """Take a chunk's (h, w) plane into account; returns whether the limits are others now.

        Colours have no contrast of their own, and are left alone.
        """
        if self._is_colour or plane.size == 0 or len(self._values) >= _CHUNKS_MOST:
            return False
        step = max(1, int((plane.size / _SAMPLES) ** 0.5))
        sample = plane[::step, ::step].ravel()
        if sample.dtype.kind == "c":
            sample = np.abs(sample)
        if sample.dtype.kind == "f":
            sample = sample[np.isfinite(sample)]
        if sample.size == 0:
            return False
        self._values.append(sample.astype(np.float64))
        return self._estimate()

    def use(self, quantiles: tuple[float, float]) -> bool:
        """Take these parts of the data as the limits from now on; returns whether they are others now."""
        self._quantiles = quantiles
        return bool(self._values) and self._estimate()

    def forget(self) -> None:
        """Begin anew; the limits stay until something is seen."""
        self._values.clear()

    def _estimate(self) -> bool:
        every = np.sort(np.concatenate(self._values))
        low, high = (float(every[round(q * (every.size - 1))]) for q in self._quantiles)
        if high <= low:
            low, high = float(every[0]), float(every[-1])
        before, self.limits = self.limits, (low, high) if high > low else (low, low + 1.0)
        return self.limits != before

    def histogram(self, whole: bool = False) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """How often which values were seen.

        Parameters
        ----------
        whole
            Whether the values are whole numbers: no bar is then narrower than one of them.

        Returns
        -------
        counts, edges
            (n,) int64 and (n + 1,) float64, rising; both empty while nothing has been seen.
        """
        if not self._values:
            return np.empty(0, np.int64), np.empty(0)
        every = np.concatenate(self._values)
        low, high = float(every.min()), float(every.max())
        bars = _BARS
        if whole:
            width = max(1.0, np.ceil((high - low + 1.0) / _BARS))
            bars = int(np.ceil((high - low + 1.0) / width))
            low, high = low - 0.5, low - 0.5 + bars * width
        elif high <= low:
            high = low + 1.0
        counts, edges = np.histogram(every, bins=bars, range=(low, high))
        return counts.astype(np.int64), edges
