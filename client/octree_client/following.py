"""What is wanted of the positions that may be shown next. Pure (no I/O).

Knows nothing of why they may be next (`playing`), nor of slots or tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from octree_client.cover import PlaneChunk, Resident
from octree_client.placing import Position
from octree_client.plane_grid import CellRange
from octree_client.slices import KeyTemplate
from octree_client.working_set import Planned
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Wanted

#: Chunks of a plane with their names over all axes.
Named = Sequence[tuple[PlaneChunk, ChunkKey]]


class Following(NamedTuple):
    """`entries` are to be added to the working set; `planned` is all that the next positions lack in VRAM."""

    entries: list[Wanted]
    planned: dict[Position, Planned]


def seen_there(template: KeyTemplate, level: int, seen: CellRange, base: Sequence[PlaneChunk] = ()) -> Named:
    """What a view shows at another position.

    Parameters
    ----------
    template
        Of the position.
    level, seen
        What is seen now: (row0, col0, row1, col1), half open.
    base
        Chunks of the coarsest level, which come first: so that none is blank.
    """
    row0, col0, row1, col1 = seen
    name = template.keys(level)
    return [
        *((chunk, template.key(chunk)) for chunk in base if chunk[0] > level),
        *(((level, row, col), name(row, col)) for row in range(row0, row1) for col in range(col0, col1)),
    ]


def following_set(
    places: Mapping[Position, Named],
    level: int,
    resident: Callable[[Position], Resident],
    wanted: Mapping[ChunkKey, Wanted],
    is_bad: Callable[[ChunkKey], bool],
    most: int,
) -> Following:
    """The cells of a view at other positions, the likeliest position first.

    Parameters
    ----------
    places
        What is seen at the positions (`seen_there`), the likeliest first.
    level
        Of the view.
    wanted
        What is wanted already: one chunk may hold several positions.
    is_bad
        Whether a chunk is known to be missing or unreadable.
    most
        Chunks at most; a position that does not fit in is left out, with all after it.
    """
    known = dict(wanted)
    found = Following([], {})
    for rank, (place, chunks) in enumerate(places.items()):
        if len(chunks) > most - len(found.entries):
            break
        there = resident(place)
        mine = found.planned[place] = []
        for chunk, key in chunks:
            if chunk in there:
                continue
            entry = known.get(key)
            if entry is None:
                if is_bad(key):
                    continue
                # The next position comes before what lies beside the view, which is a chunk away at least.
                entry = known[key] = Wanted(key, chunk[0] - level, Tier.PREFETCH, 8 + 16 * rank)
                found.entries.append(entry)
            mine.append((chunk, entry))
    return found
