"""Chunks of one layer from their slots into tiles: which of them now, and whether the slots were still theirs after.

What is best first is decided by `paging`, which tile a chunk goes to by `atlas`; this file asks them and carries it
out. Runs in the GUI thread and never waits. Knows nothing of cameras, nor of what is drawn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octree_client.cover import PlaneChunk
from octree_client.paging import Candidate, UploadCost, candidates, plan_uploads
from octree_client.placing import Position
from octree_client.plane_atlas import PlaneAtlas
from octree_client.wanting import Wanting
from octree_client.working_set import Planned
from octree_protocol.errors import OctreeError
from octree_protocol.messages import Ready

log = logging.getLogger("octree.layer")

#: Milliseconds that a flush of uploads costs, however few they are.
_FLUSH_MS = 0.25

#: Bytes that the layer whose turn is first uploads in any case.
_LEAST_BYTES = 256 << 10

#: At no time is more uploaded of what may come next.
_AHEAD_MOST = 48

#: What is prefetched goes into VRAM too, while nothing else does, if that holds so many times the view.
_ROOMY = 4


class Uploaded(NamedTuple):
    """What was uploaded: how many chunks and bytes, which chunks of the view's own level, and milliseconds of processor
    time."""

    chunks: int = 0
    nbytes: int = 0
    ideal: tuple[PlaneChunk, ...] = ()
    spent_ms: float = 0.0


class Uploads:
    """What of one layer could be uploaded, and doing it.

    Parameters
    ----------
    wanting
        What was said to the daemon, and by it.
    on_plane
        Called with the level and the voxels of everything that is uploaded, before it is.

    Attributes
    ----------
    atlas
        Where to; set before anything else.
    """

    def __init__(self, wanting: Wanting, on_plane: Callable[[int, NDArray[Any]], None]) -> None:
        self.atlas: PlaneAtlas
        self._wanting, self._on_plane = wanting, on_plane
        self._cost = UploadCost()
        self._range_unknown = wanting.dataset.rgb and np.dtype(wanting.dataset.dtype).kind == "f"

    # --- what there is -----------------------------------------------------------------------------------------------

    @property
    def _possible(self) -> bool:
        return self._wanting.connection.arena is not None and not self._wanting.gone

    def ready(self, ideal: int) -> list[Candidate]:
        """What is wanted for the view, whose level is `ideal`, and lies in its slot."""
        return self._candidates(self._wanting.said.visible, ideal) if self._possible else []

    def ready_ahead(self, ideal: int, used: set[int]) -> list[Candidate]:
        """What may come into view and lies in its slot, the likeliest position first. It takes no tile from what was
        seen, unless there is plenty of room; `used` are those that are drawn."""
        found: list[Candidate] = []
        if self._possible:
            for place, entries in self._wanting.said.ahead.items():
                if len(found) >= _AHEAD_MOST:
                    break
                found += self._candidates(entries, ideal, place)
        return found[: self._room_ahead(used)]

    def is_ahead_ready(self, used: set[int]) -> bool:
        """Whether something that may come into view could be uploaded."""
        if not self._possible or not self._room_ahead(used):
            return False
        ready, resident = self._wanting.heard.ready, self.atlas.tiles.resident
        return any(
            wanted.key in ready and chunk not in there
            for place, entries in self._wanting.said.ahead.items()
            for there in (resident(place),)
            for chunk, wanted in entries
        )

    def _room_ahead(self, used: set[int]) -> int:
        """Tiles that may be given to what nobody sees yet."""
        tiles = self.atlas.tiles
        return tiles.capacity if tiles.capacity > _ROOMY * len(used) else tiles.free

    def _candidates(self, entries: Planned, ideal: int, place: Position | None = None) -> list[Candidate]:
        atlas, wanting = self.atlas, self._wanting
        resident = atlas.tiles.resident(wanting.position if place is None else place)
        return candidates(
            entries, resident, wanting.heard.ready, atlas.levels, atlas.visual.kind.bytes_per_texel, ideal, place
        )

    # --- doing it ----------------------------------------------------------------------------------------------------

    def upload(
        self,
        found: Sequence[Candidate],
        budget_ms: float,
        first: bool,
        blank: bool,
        used: set[int],
        spare: list[int],
        number: int,
        context: Any,
    ) -> Uploaded:
        """Upload the best of what is ready, within a budget. Within a canvas' context.

        Parameters
        ----------
        found
            From `ready` or `ready_ahead`.
        budget_ms
            Milliseconds of processor time.
        first
            No other layer has uploaded anything yet: something is in any case.
        blank
            Parts of the view are: the same, because a single coarse chunk ends that.
        used
            Tiles that must not be given away; those that are assigned are added.
        spare
            Those of them that may go for a chunk in view, if no other can; what goes is taken out.
        number
            Of the frame.
        context
            Of the canvas: what was uploaded is in video memory when this returns, and its slots may be given away.
        """
        cpu = time.thread_time()
        least = 1 if first or blank else 0
        if first and found:
            # Small chunks come several at a time, whatever an estimate says: so that it is corrected, too.
            least = max(least, _LEAST_BYTES // max(1, found[0].nbytes))
        room = self.atlas.tiles.available(used) + len(spare)
        planned = plan_uploads(found, budget_ms, self._cost, room, least)
        if not planned or not self._possible:
            return Uploaded()
        done = self._carry_out(planned, used, spare, number)
        self.atlas.visual.send(context)
        self._check(done)
        resident = self.atlas.tiles.resident(self._wanting.position)
        ideal = tuple(one.chunk for one in planned if one.spares and one.chunk in resident)
        nbytes = sum(one.nbytes for one in done)
        spent_ms = (time.thread_time() - cpu) * 1e3
        # What a flush costs however little it sends is no chunk's: taken for one, it would never be seen to fall.
        self._cost.measured(len(done), nbytes, max(0.0, spent_ms - _FLUSH_MS))
        return Uploaded(len(done), nbytes, ideal, spent_ms)

    def _carry_out(
        self, planned: Sequence[Candidate], used: set[int], spare: list[int], number: int
    ) -> list[Candidate]:
        """Upload in order, until no tile can be had; returns what was."""
        atlas, arena, wanting = self.atlas, self._wanting.connection.arena, self._wanting
        assert arena is not None
        done: list[Candidate] = []

        def in_view(place: Position, chunk: PlaneChunk) -> bool:
            return atlas.tiles.resident(place).get(chunk) in used

        for candidate in planned:
            chunk, slot, template = candidate.chunk, candidate.slot, wanting.template_of(candidate.place)
            try:
                if not arena.is_current(slot):
                    self._forget(slot)  # given away since; what is wanted will be announced anew
                    continue
                data = template.cut(arena.array(slot), chunk[0])
            except OctreeError as error:
                log.warning("%s", error)
                self._forget(slot)
                continue
            tile = atlas.tiles.assign(template.position, chunk, number, used, spare if candidate.spares else ())
            if tile is None:
                break
            if tile in spare:
                spare.remove(tile)
            used.add(tile)
            self._see(chunk[0], data)
            atlas.visual.upload(tile, data)
            if atlas.kept is not None:
                atlas.kept.put(template.position, chunk, data, in_view)
            done.append(candidate)
        return done

    def _check(self, done: Sequence[Candidate]) -> None:
        """Take back what came from slots that were given to another chunk while GL read them: parts of both."""
        arena, atlas = self._wanting.connection.arena, self.atlas
        for candidate in done:
            if arena is None or not arena.is_current(candidate.slot):
                place = self._wanting.template_of(candidate.place).position
                atlas.tiles.forget(place, candidate.chunk)
                if atlas.kept is not None:
                    atlas.kept.forget(place, candidate.chunk)
                self._forget(candidate.slot)

    def _forget(self, slot: Ready) -> None:
        self._wanting.heard.ready.pop(slot.key, None)

    def _see(self, level: int, data: NDArray[Any]) -> None:
        if self._range_unknown:
            self._range_unknown = False
            self._choose_range(data)
        self._on_plane(level, data)

    def _choose_range(self, data: NDArray[Any]) -> None:
        """Colours of floats are 0 .. 1 by custom; where the first chunk is beyond that, 0 .. 255, or up to its most."""
        finite = data[np.isfinite(data)]
        most = float(finite.max()) if finite.size else 1.0
        if most > 1.0:
            self.atlas.visual.set_range(0.0, max(most, 255.0))
