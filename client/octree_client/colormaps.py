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
