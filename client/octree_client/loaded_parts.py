"""Which places along an axis are loaded, as runs to be painted. Pure (no I/O)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def runs(shares: NDArray[Any], least: float = 0.999) -> list[tuple[int, int, bool]]:
    """Neighbouring places of which something is there: (first, one past the last, whether all of them are whole).

    Parameters
    ----------
    shares
        For each place how much of it is there, 0 .. 1.
    least
        From where on a place is whole.
    """
    states = np.where(shares >= least, 2, np.where(shares > 0.0, 1, 0))
    if states.size == 0:
        return []
    borders = np.flatnonzero(np.diff(states)) + 1
    starts, ends = [0, *borders.tolist()], [*borders.tolist(), len(states)]
    return [(a, b, bool(states[a] == 2)) for a, b in zip(starts, ends, strict=True) if states[a]]
