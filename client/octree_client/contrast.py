"""Contrast limits from what is seen of the coarsest level. Pure (no I/O).

A few thousand values are enough for quantiles that no eye can tell from the exact ones. Chunks are only sampled when
they come, within a frame; what the samples say is worked out when somebody asks, once for all that came since.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Values looked at in one chunk, at most about so many.
_SAMPLES = 2048

#: Chunks that are looked at.
_CHUNKS_MOST = 16

#: What lies below and above is cut off: a thousandth at either end, so that hot pixels do not darken all others.
QUANTILES = (0.001, 0.999)

#: Sorted by counting, which costs a tenth of a millisecond for all samples; other dtypes are partitioned.
_COUNTED_BYTES = 2

#: Bars of a histogram; integers of a smaller span have one a value.
_BARS = 128


class ContrastEstimate:
    """Limits that grow out of the chunks shown to it.

    Parameters
    ----------
    is_colour
        Colours have no contrast of their own, and are left alone.
    """

    __slots__ = ("_is_colour", "_limits", "_quantiles", "_stale", "_values")

    def __init__(self, is_colour: bool = False) -> None:
        self._limits: tuple[float, float] | None = None
        self._stale = False
        self._is_colour = is_colour
        self._quantiles = QUANTILES
        self._values: list[NDArray[Any]] = []

    @property
    def limits(self) -> tuple[float, float] | None:
        """(low, high) in data values; None while nothing has been seen."""
        if self._stale:
            self._stale = False
            self._limits = self._estimate()
        return self._limits

    @property
    def is_sure(self) -> bool:
        """Whether nothing that is shown to it changes anything any more."""
        return self._is_colour or len(self._values) >= _CHUNKS_MOST

    def observe(self, plane: NDArray[Any]) -> None:
        """Take a chunk's (h, w) plane into account. Copies what it keeps."""
        if self.is_sure or plane.size == 0:
            return
        step = max(1, int((plane.size / _SAMPLES) ** 0.5))
        sample = plane[::step, ::step].ravel()
        if sample.dtype.kind == "c":
            sample = np.abs(sample)
        if sample.dtype.kind == "f":
            sample = sample[np.isfinite(sample)]
        if sample.size == 0:
            return
        self._values.append(sample.astype(sample.dtype.newbyteorder("="), copy=True))
        self._stale = True

    def use(self, quantiles: tuple[float, float]) -> None:
        """Take these parts of the data as the limits from now on."""
        self._quantiles = quantiles
        self._stale = bool(self._values)

    def forget(self) -> None:
        """Begin anew; the limits stay until something is seen."""
        self._values.clear()
        self._stale = False

    def _estimate(self) -> tuple[float, float]:
        every = np.concatenate(self._values)
        last = every.size - 1
        first, second = (round(q * last) for q in self._quantiles)
        if every.dtype.itemsize <= _COUNTED_BYTES and every.dtype.kind in "bui":
            every.sort(kind="stable")
        else:
            every.partition(sorted({0, first, second, last}))
        low, high = float(every[first]), float(every[second])
        if high <= low:
            low, high = float(every[0]), float(every[-1])
        return (low, high) if high > low else (low, low + 1.0)

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
        every = np.concatenate(self._values).astype(np.float64)
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
