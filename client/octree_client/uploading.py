"""Uploads chunks from their slots into tiles, and looks afterwards whether the slots were still theirs.

Decides nothing: what is uploaded is `paging`'s business, which tile it goes to `atlas`'.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from octree_client.cover import PlaneChunk
from octree_client.paging import Candidate
from octree_client.placing import Position
from octree_client.plane_atlas import PlaneAtlas
from octree_client.slices import KeyTemplate
from octree_protocol.errors import OctreeError
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Ready

log = logging.getLogger("octree.layer")


class Uploaded(NamedTuple):
    """How many chunks were uploaded, and of how many bytes."""

    chunks: int
    nbytes: int


def upload_chunks(
    planned: Sequence[Candidate],
    arena: Any,
    ready: MutableMapping[ChunkKey, Ready],
    template_of: Callable[[Position | None], KeyTemplate],
    atlas: PlaneAtlas,
    frame: int,
    used: set[int],
    spare: list[int],
    see: Callable[[int, NDArray[Any]], None],
    context: Any,
) -> Uploaded:
    """Upload what was planned, in its order, until no tile can be had.

    Parameters
    ----------
    arena
        Has ``is_current(ready)`` and ``array(ready)``.
    ready
        Where chunks lie. What turns out to be gone is taken out of it.
    template_of
        The plane at a position; None for the one that is shown.
    frame
        Its number.
    used
        Tiles that must not be given away; those that are assigned are added.
    spare
        Those of them that may go for a chunk in view, if no other can.
    see
        Called with the level and the voxels of each, before it is uploaded.
    context
        Of the canvas: what was uploaded is in video memory when this returns, and its slots may be given away.
    """
    done: list[tuple[Position, PlaneChunk, Ready]] = []
    nbytes = 0

    def in_view(place: Position, chunk: PlaneChunk) -> bool:
        return atlas.tiles.resident(place).get(chunk) in used

    for candidate in planned:
        chunk, template = candidate.chunk, template_of(candidate.place)
        place, one = template.position, candidate.slot
        try:
            if not arena.is_current(one):
                ready.pop(one.key, None)  # given away since; what is wanted will be announced anew
                continue
            data = template.cut(arena.array(one), chunk[0])
        except OctreeError as error:
            log.warning("%s", error)
            ready.pop(one.key, None)
            continue
        tile = atlas.tiles.assign(place, chunk, frame, used, spare if candidate.spares else ())
        if tile is None:
            break
        if tile in spare:
            spare.remove(tile)
        used.add(tile)
        see(chunk[0], data)
        atlas.visual.upload(tile, data)
        if atlas.kept is not None:
            atlas.kept.put(place, chunk, data, in_view)
        done.append((place, chunk, one))
        nbytes += candidate.nbytes
    atlas.visual.send(context)
    for place, chunk, one in done:
        if not arena.is_current(one):
            # The slot was given to another chunk while GL read it: the tile may hold parts of both.
            atlas.tiles.forget(place, chunk)
            if atlas.kept is not None:
                atlas.kept.forget(place, chunk)
            ready.pop(one.key, None)
    return Uploaded(len(done), nbytes)
