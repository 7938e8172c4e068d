"""How long a scale bar is and what stands below it: 1, 2 or 5 times a power of ten. Pure (no I/O).

Knows nothing of widgets: world units in, a length in pixels and a text out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite, log10

from octree_client.readout import unit_sign

#: Lengths in metres, smallest first; a bar is told in the largest of which it is at least one.
_LENGTHS = (
    ("Å", 1e-10),
    ("nm", 1e-9),
    ("µm", 1e-6),
    ("mm", 1e-3),
    ("m", 1.0),
    ("km", 1e3),
)

#: Units that are converted, in metres. Ångström stay what they are until they make a nanometre.
_METRES = {**dict(_LENGTHS), "cm": 1e-2}


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A scale bar.

    Attributes
    ----------
    length
        World units that it stands for.
    pixels
        How long it is on the screen.
    text
        What stands beside it, e.g. ``200 µm``.
    """

    length: float
    pixels: float
    text: str


def nice_length(longest: float) -> float:
    """The longest of 1, 2, 5 times a power of ten that is not longer than `longest`, which is above 0."""
    power = floor(log10(longest))
    for exponent in (power + 1, power, power - 1):  # the logarithm may be off by one at a power of ten
        for mantissa in (5.0, 2.0, 1.0):
            # Written as a literal: 5e-07 is nearer to five ten-millionths than 5 * 10**-7.
            length = float(f"{mantissa:.0f}e{exponent}")
            if length <= longest * (1.0 + 1e-12):
                return length
    raise AssertionError(f"no nice length below {longest}")  # pragma: no cover


def scale_bar(pixel_size: float, unit: str, longest_pixels: float) -> ScaleBar | None:
    """The longest nice bar that fits.

    Parameters
    ----------
    pixel_size
        World units a pixel.
    unit
        Of the world, as OME-Zarr spells it or as people write it; empty if nobody knows.
    longest_pixels
        Room for the bar.

    Returns
    -------
    ScaleBar or None
        None where nothing sensible can be drawn.
    """
    longest = pixel_size * longest_pixels
    if not (isfinite(longest) and longest > 0.0):
        return None
    sign = unit_sign(unit)
    if sign not in _METRES:
        length = nice_length(longest)
        return ScaleBar(length, length / pixel_size, f"{_figure(length)} {sign}".rstrip())
    metres = longest * _METRES[sign]
    name, size = next((each for each in reversed(_LENGTHS) if each[1] <= metres * (1 + 1e-12)), _LENGTHS[0])
    shown = nice_length(metres / size)
    length = shown * size / _METRES[sign]
    return ScaleBar(length, length / pixel_size, f"{_figure(shown)} {name}")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if 1.0 <= value < 1e15 else f"{value:g}"
