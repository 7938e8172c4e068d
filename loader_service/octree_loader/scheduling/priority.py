"""The one order in which chunks are loaded. Pure (no I/O).

Tier first (what is seen before what may be seen), then coverage (a coarser chunk stands in for many ideal ones), then
the distance from the centre of the view. Packed into one integer, because it is compared some hundred times a frame.
"""

from __future__ import annotations

from octree_protocol import limits
from octree_protocol.messages import Wanted

_PRIORITY_BITS = 31
_RELATIVE_BITS = 8
_RELATIVE_MOST = limits.LEVELS  # relative levels lie in -LEVELS .. LEVELS


def rank(wanted: Wanted) -> int:
    """Where an entry stands in its queue: the lower, the sooner."""
    coverage = _RELATIVE_MOST - wanted.relative_level
    return ((wanted.tier << _RELATIVE_BITS | coverage) << _PRIORITY_BITS) | wanted.priority


def last_of_tier(rank_: int) -> int:
    """After everything else of the same tier."""
    return (tier_of(rank_) + 1 << _RELATIVE_BITS + _PRIORITY_BITS) - 1


def tier_of(rank_: int) -> int:
    """The tier that went into a rank."""
    return rank_ >> (_RELATIVE_BITS + _PRIORITY_BITS)
