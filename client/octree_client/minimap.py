"""Where things are on the minimap: the whole image small, and the view's rectangle on it. Pure (no I/O).

Knows nothing of widgets and pictures: rectangles in, rectangles out.
"""

from __future__ import annotations

from dataclasses import dataclass

#: A view's rectangle is drawn at least so large, or nobody would find it. Pixels.
_LEAST = 5.0

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Minimap:
    """A map of `extent` (world y0, x0, y1, x1) on `size` (width, height) pixels; it fills one of the two."""

    extent: Box
    size: tuple[float, float]

    @staticmethod
    def fitting(extent: Box, longest: float) -> Minimap:
        """The map whose longer edge is `longest` pixels; the shorter one is at least an eighth of that."""
        y0, x0, y1, x1 = extent
        height, width = max(y1 - y0, 1e-300), max(x1 - x0, 1e-300)
        scale = longest / max(height, width)
        least = longest / 8
        return Minimap(extent, (max(least, width * scale), max(least, height * scale)))

    def rectangle(self, view: Box) -> Box:
        """Pixels (left, top, width, height) of a view, cut to the map."""
        left, top = self._at(view[0], view[1])
        right, bottom = self._at(view[2], view[3])
        left, width = _within(left, right, self.size[0])
        top, height = _within(top, bottom, self.size[1])
        return left, top, width, height

    def world_at(self, pixel: tuple[float, float]) -> tuple[float, float]:
        """World (y, x) under a pixel (x, y) of the map; beyond the map its edge."""
        y0, x0, y1, x1 = self.extent
        across = min(max(pixel[0] / self.size[0], 0.0), 1.0)
        down = min(max(pixel[1] / self.size[1], 0.0), 1.0)
        return y0 + down * (y1 - y0), x0 + across * (x1 - x0)

    def _at(self, y: float, x: float) -> tuple[float, float]:
        y0, x0, y1, x1 = self.extent
        return (
            (x - x0) / max(x1 - x0, 1e-300) * self.size[0],
            (y - y0) / max(y1 - y0, 1e-300) * self.size[1],
        )


def _within(low: float, high: float, size: float) -> tuple[float, float]:
    """(start, length) of what of low .. high lies within 0 .. size; at least `_LEAST` long."""
    low, high = min(max(low, 0.0), size), min(max(high, 0.0), size)
    least = min(_LEAST, size)
    if high - low < least:
        low = min(max(0.5 * (low + high) - 0.5 * least, 0.0), size - least)
        high = low + least
    return low, high - low
