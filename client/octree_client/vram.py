"""How the budget of video memory is shared among layers. Pure (no I/O).

Knows nothing of textures: it deals in bytes and tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from octree_client.camera import PlaneLevel

#: Voxels of the level that fits are this much smaller than a pixel, at most: half an octave, and the hysteresis.
_FINEST = 2.0**-0.65

#: Tiles that an atlas has at least: that of the fill value, and one more.
LEAST_TILES = 2


class Need(NamedTuple):
    """What a layer could do with, in bytes.

    Attributes
    ----------
    least
        Without which nothing is seen.
    view
        For one view with its coverage; 0 if it is not to be seen now.
    most
        For all that there is of it: more would be allocated in vain.
    """

    least: int
    view: int
    most: int


def share_out(needs: Sequence[Need], budget: int) -> list[int]:
    """How many bytes each layer gets.

    First what it cannot do without, then what its view takes, then what is left over in equal parts, to nobody more
    than all there is of him. Where the budget is too small for the views, each gets the same part of what his takes.

    Returns
    -------
    list of int
        One a layer. Together at most the budget, unless what cannot be done without is more than that.
    """
    shares = [min(need.least, need.most) for need in needs]
    left = budget - sum(shares)
    if left <= 0:
        return shares
    lacking = [max(0, min(need.view, need.most) - share) for need, share in zip(needs, shares, strict=True)]
    total = sum(lacking)
    part = min(1.0, left / total) if total else 0.0
    shares = [share + int(lack * part) for share, lack in zip(shares, lacking, strict=True)]
    left = budget - sum(shares)
    # The smallest appetites first: what they leave goes to the others.
    hungry = sorted((n for n in range(len(needs))), key=lambda n: needs[n].most - shares[n])
    for place, number in enumerate(hungry):
        more = min(max(0, needs[number].most - shares[number]), max(0, left) // (len(hungry) - place))
        shares[number] += more
        left -= more
    return shares


def view_tiles(canvas: tuple[int, int], tile_shape: tuple[int, int]) -> int:
    """Tiles that a view takes at most, with the coverage under it, where voxels are square."""
    width, height = canvas
    rows, columns = (ceil(edge / (tile * _FINEST)) + 1 for edge, tile in zip((height, width), tile_shape, strict=True))
    return rows * columns + ceil(rows / 4 + 1) * ceil(columns / 4 + 1)


def all_tiles(levels: Sequence[PlaneLevel]) -> int:
    """Tiles for every chunk of every level at one position, and that of the fill value."""
    return max(LEAST_TILES, sum(level.grid[0] * level.grid[1] for level in levels) + 1)
