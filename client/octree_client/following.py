"""What is wanted of the positions that may be shown next. Pure (no I/O).

Knows nothing of why they may be next (`playing`), nor of slots or tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from octree_client.cover import PlaneChunk, Resident
from octree_client.placing import Position
from octree_client.plane_grid import CellRange
from octree_client.slices import KeyTemplate
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Wanted

#: What is wanted of a position that may be next: chunks of its plane, with the entries that they have in the Want.
Planned = list[tuple[PlaneChunk, Wanted]]


class Following(NamedTuple):
    """`entries` are to be added to the working set; `planned` is all that the next positions lack in VRAM."""

    entries: list[Wanted]
    planned: dict[Position, Planned]


def following_set(
    templates: Mapping[Position, KeyTemplate],
    level: int,
    cells: CellRange,
    resident: Callable[[Position], Resident],
    wanted: Mapping[ChunkKey, Wanted],
    is_bad: Callable[[ChunkKey], bool],
    most: int,
) -> Following:
    """The cells of a view at other positions, the likeliest position first.

    Parameters
    ----------
    templates
        Of the positions, the likeliest first.
    level, cells
        What is seen now: (row0, col0, row1, col1), half open.
    wanted
        What is wanted already: one chunk may hold several positions.
    is_bad
        Whether a chunk is known to be missing or unreadable.
    most
        Chunks at most; a position that does not fit in is left out, with all after it.
    """
    row0, col0, row1, col1 = cells
    each = (row1 - row0) * (col1 - col0)
    known = dict(wanted)
    found = Following([], {})
    for rank, (place, template) in enumerate(templates.items()):
        if each > most - len(found.entries):
            break
        there, name = resident(place), template.keys(level)
        mine = found.planned[place] = []
        for row in range(row0, row1):
            for col in range(col0, col1):
                chunk = (level, row, col)
                if chunk in there:
                    continue
                key = name(row, col)
                entry = known.get(key)
                if entry is None:
                    if is_bad(key):
                        continue
                    # The next position comes before what lies beside the view, which is a chunk away at least.
                    entry = known[key] = Wanted(key, 0, Tier.PREFETCH, 8 + 16 * rank)
                    found.entries.append(entry)
                mine.append((chunk, entry))
    return found
