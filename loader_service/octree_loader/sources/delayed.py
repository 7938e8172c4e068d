"""A slow store, simulated: for tests, for measuring, and for seeing how a remote disk will feel.

The option ``delay_ms`` of any dataset waits that long in each read of the source, as one request to a distant store
would. Knows nothing of what it delays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from octree_loader.sources.base import Piece, Source, StoredLevel
from octree_protocol.geometry import Axis, Channel


class DelayedSource:
    """`source`, each of whose reads waits `seconds` first."""

    def __init__(self, source: Source, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self.axes: tuple[Axis, ...] = source.axes
        self.dtype: np.dtype[Any] = source.dtype
        self.rgb: bool = source.rgb
        self.fill_value: float = source.fill_value
        self.levels: tuple[StoredLevel, ...] = source.levels
        self.kind: str = getattr(source, "kind", "intensity")
        self.channels: tuple[Channel, ...] = getattr(source, "channels", ())
        self.identity: str = getattr(source, "identity", "")
        self.warning: str = getattr(source, "warning", "")
        self._source = source
        self._seconds = seconds
        self._sleep = sleep

    def read(self, level: int, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`; once for the whole call, however many pieces it has."""
        self._sleep(self._seconds)
        return self._source.read(level, pieces)


def delay_source(source: Source, milliseconds: float) -> Source:
    """`source` itself, or one whose reads take `milliseconds` longer."""
    return DelayedSource(source, milliseconds / 1000) if milliseconds > 0 else source
