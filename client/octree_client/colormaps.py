"""Colour maps by name, as tables for a texture. From the ``cmap`` catalogue; none are our own."""

from __future__ import annotations

from functools import lru_cache

import cmap
import numpy as np
from numpy.typing import NDArray

from octree_protocol.errors import OctreeError

#: Entries of a table: finer than the 256 greys of a screen, so that gamma does not show steps.
_ENTRIES = 1024

#: What a combo box offers first: perceptually uniform ones, and what microscopes have always used.
FAVOURITES = (
    "gray",
    "viridis",
    "magma",
    "inferno",
    "cividis",
    "twilight",
    "turbo",
    "green",
    "magenta",
    "cyan",
    "red",
    "blue",
)

#: Colours of channels that nobody gave one, in turn: what adds up to white, and then to what can still be told apart.
CHANNEL_COLOURS = ("#00ff00", "#ff00ff", "#00ffff", "#ff0000", "#0000ff", "#ffff00", "#ff8000", "#8000ff")


#: Colours of labels: a prime number of them, so that labels in any regular distance differ.
LABEL_COLOURS = 1021


class UnknownColormap(OctreeError):
    """The catalogue has no colour map of that name."""


@lru_cache(maxsize=64)
def colormap_table(name: str) -> NDArray[np.uint8]:
    """The table of a colour map, (1024, 4) uint8; of a colour, ``#rrggbb``, from black to it.

    Raises
    ------
    UnknownColormap
        If it is neither.
    """
    try:
        found = cmap.Colormap(["black", name] if name.startswith("#") else name)
    except (ValueError, TypeError, KeyError):
        raise UnknownColormap(f"there is no colour map named {name!r}; try one of {', '.join(FAVOURITES)}") from None
    table: NDArray[np.uint8] = np.round(np.asarray(found(np.linspace(0, 1, _ENTRIES))) * 255).astype(np.uint8)
    return table


def known_colormap(name: str) -> str:
    """The name itself, if it has a table. Raises `UnknownColormap` as `colormap_table` does."""
    colormap_table(name)
    return name


@lru_cache(maxsize=16)
def label_table(seed: int = 0) -> NDArray[np.uint8]:
    """Colours of labels, (1021, 4) uint8: label ``i`` has that of entry ``i % 1021``.

    Hues go round by the golden section, so that the labels ``1, 2, 3 ...`` are as far apart as can be; lightness and
    saturation go by another irrational number. Another seed begins elsewhere.
    """
    number = np.arange(LABEL_COLOURS) + 0.5 + 977.0 * (seed % 65536)
    hue = number * 0.6180339887498949 % 1.0
    saturation = 0.5 + 0.45 * (number * 0.7548776662466927 % 1.0)
    value = 0.65 + 0.35 * (number * 0.5698402909980532 % 1.0)
    # https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative
    k = (np.array([5.0, 3.0, 1.0])[None, :] + 6.0 * hue[:, None]) % 6.0
    rgb = value[:, None] * (1.0 - saturation[:, None] * np.clip(np.minimum(k, 4.0 - k), 0.0, 1.0))
    table = np.full((LABEL_COLOURS, 4), 255, np.uint8)
    table[:, :3] = np.rint(255.0 * rgb)
    return table
