"""What one layer asks its daemon for, and what it was told: the part of a layer's frame that looks towards the daemon.

What is wanted is decided by pure functions (`working_set`, `prefetch`, `following`); this file asks them when their
answer can be another one, and says it if it is. It runs in the GUI thread and never waits. Knows nothing of textures
beyond which chunks lie in them, nor of how anything is drawn (`pager`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from math import floor, frexp, prod
from typing import Any

import msgspec
import numpy as np

from octree_client.camera import Camera
from octree_client.cover import Piece
from octree_client.following import Named, following_set, seen_there
from octree_client.placing import Plane, Position
from octree_client.plane_atlas import PlaneAtlas
from octree_client.plane_grid import CellRange, Rect, grids_of, visible_cells
from octree_client.prefetch import Motion, is_still, predicted_view, prefetch_cells, prefetch_range
from octree_client.slices import KeyTemplate
from octree_client.transport.connection import Connection
from octree_client.transport.heard import Heard, News
from octree_client.transport.inbox import Lost, Reopened
from octree_client.transport.said import Said
from octree_client.working_set import Planned, WorkingSet, working_set
from octree_protocol.geometry import Dataset
from octree_protocol.messages import Announce, Wanted

log = logging.getLogger("octree.layer")

#: How far ahead of the camera chunks are prefetched. Seconds.
_LOOK_AHEAD = 0.5

#: Prefetched cells at most.
_PREFETCH_MOST = 32

#: What is prefetched of other positions: bytes, and chunks.
_NEXT_BYTES, _NEXT_MOST = 64 << 20, 256

#: The order of what is wanted follows the view's centre in steps of this part of a chunk.
_STEPS = 4


class Wanting:
    """One view of a daemon.

    Parameters
    ----------
    connection, dataset
        Where chunks come from; the dataset with its scales as the world has them.
    plane, position
        What is shown.
    wake
        Called in the connection's thread when something has come.

    Attributes
    ----------
    dataset
        As the daemon has it now: its number is another one after the daemon was started anew.
    template, heard, said
        Names of the chunks of the plane that is shown; what the daemon has said of all; what was last said to it.
    gone
        Nobody serves the dataset now: what is in VRAM is all there is.
    """

    def __init__(
        self, connection: Connection, dataset: Dataset, plane: Plane, position: Position, wake: Callable[[], None]
    ) -> None:
        self.connection, self.dataset = connection, dataset
        self.gone = False
        self.template = KeyTemplate(dataset, position, plane)
        self.heard = Heard(self.template)
        self._inbox = connection.open_view(wake)
        self.said = Said(connection, self._inbox, self.heard.recall)
        self._next: tuple[Position, ...] = ()
        self._templates: dict[Position, KeyTemplate] = {}
        #: What is seen at the next positions, and of which view that is.
        self._named: dict[Position, Named] = {}
        self._named_of: object = None
        #: What the last working set was made from: as long as both are the same, so is it.
        self._asked: object = None
        self._there: object = None

    @property
    def position(self) -> Position:
        """Voxel of level 0 that is shown, on each axis that is not displayed."""
        return self.template.position

    @property
    def settings(self) -> Any:
        """The daemon's settings for viewers."""
        return self.connection.settings

    # --- what is shown -----------------------------------------------------------------------------------------------

    def show(self, plane: Plane, position: Position) -> None:
        """Another plane or position is shown from now on."""
        self.template = KeyTemplate(self.dataset, position, plane)
        self.heard.show(self.template)
        self.said.turn()
        self._named_of = self._asked = None
        if self._next:
            self.expect(self._next)

    def expect(self, positions: Sequence[Position]) -> None:
        """These positions may be shown next, the likeliest first: they are prefetched as they would be seen now."""
        self._next = tuple(positions)
        known, plane = self._templates, self.template.plane
        self._templates = {
            place: known[place]
            if place in known and known[place].plane == plane
            else KeyTemplate(self.dataset, place, plane)
            for place in self._next
            if place != self.position
        }

    def template_of(self, place: Position | None) -> KeyTemplate:
        """Names of the chunks at a position that is shown, or may be next; None for the one that is shown."""
        return self.template if place is None or place == self.position else self._templates[place]

    def rest(self) -> None:
        """Want nothing until something is asked for again."""
        self._asked = None
        if not self.gone:
            self.said.say(WorkingSet([], []), self.position)

    # --- what comes --------------------------------------------------------------------------------------------------

    def hear(self) -> News:
        """Take in what has come since the last time; returns what it may change."""
        changed = ahead = False
        for event in self._inbox.take():
            if isinstance(event, Announce):
                news = self.heard.take(event, self.dataset.id, self.said.wanted)
                changed |= news.picture
                ahead |= news.ahead
                # Nothing to draw anew, but something to tell beside the picture.
                changed |= bool(event.progress) or event.notice is not None
            elif isinstance(event, Lost):
                # Slots of a daemon that is gone hold what they held, but nobody guards them any more.
                self.heard.forget_slots()
                self.gone = True
                changed = True
            elif isinstance(event, Reopened):
                self._reopen(event)
                changed = True
        return News(changed, ahead)

    def _reopen(self, event: Reopened) -> None:
        mine = self.dataset
        known = event.datasets.get(mine.name)
        self.gone = known is None
        if known is None:
            log.warning("%s is not served any more; what is in VRAM stays", mine.name)
            return
        same = known.dtype == mine.dtype and len(known.axes) == len(mine.axes) and len(known.levels) == len(mine.levels)
        # Scales are the world's here, and the file's there: what tells a file that was changed is its cut.
        if not same or any(
            (a.shape, a.chunk_shape) != (b.shape, b.chunk_shape) for a, b in zip(known.levels, mine.levels, strict=True)
        ):
            log.warning("%s has changed since it was opened; open it again to see it", mine.name)
            self.gone = True
            return
        self.dataset = msgspec.structs.replace(mine, id=known.id)
        self.template = KeyTemplate(self.dataset, self.position, self.template.plane)
        self.heard.start_over(self.template)
        self._templates = {}
        self._named_of = self._asked = None
        self.expect(self._next)
        self.said.start_over()

    # --- what is wanted ----------------------------------------------------------------------------------------------

    def ask(
        self,
        atlas: PlaneAtlas,
        ideal: int,
        view: Rect,
        pieces: Sequence[Piece],
        camera: Camera,
        motion: Motion,
        later: bool = False,
    ) -> None:
        """Say what is wanted for a view.

        Parameters
        ----------
        atlas
            Where the plane's tiles are.
        ideal, view, pieces
            What is drawn: the level that fits, world (y0, x0, y1, x1), and what `cover.cover` made of it.
        camera, motion
            Where the view will be soon.
        later
            Another frame follows at once: if all that has changed is what lies in VRAM, the daemon is told then. Until
            it is told, it keeps some chunks for longer than it must.
        """
        if self.gone:
            return
        levels, base = atlas.levels, atlas.base
        seen = visible_cells(levels, ideal, view)
        ahead = None if is_still(camera, motion) else predicted_view(camera, motion, _LOOK_AHEAD)
        around = prefetch_range(levels, ideal, view, ahead, _PREFETCH_MOST)
        down, across = grids_of(levels).axes[ideal]
        asked = (
            self.template,
            self._templates,
            self.settings,
            levels,
            base,
            ideal,
            seen,
            around,
            floor(_STEPS * 0.5 * (view[0] + view[2]) / down.step),
            floor(_STEPS * 0.5 * (view[1] + view[3]) / across.step),
            self.heard.revision,
            # Only whether it is long or short counts.
            None if self.heard.load_ms is None else frexp(self.heard.load_ms)[1],
        )
        revision = atlas.tiles.revision
        there = (revision(self.position), *map(revision, self._templates))
        if asked == self._asked and (later or there == self._there):
            return
        self._asked, self._there = asked, there
        wanted = working_set(
            self.template,
            levels,
            ideal,
            view,
            pieces,
            atlas.tiles.resident(self.position),
            self.heard.missing,
            self.heard.failed,
            load_ms=self.heard.load_ms,
            prefetch=prefetch_cells(seen, around, _PREFETCH_MOST),
            base=base,
            settings=self.settings,
        )
        others, following = self._following(atlas, ideal, seen, wanted)
        self.said.say(wanted, self.position, others, following)

    def _following(
        self, atlas: PlaneAtlas, ideal: int, seen: CellRange, wanted: WorkingSet
    ) -> tuple[list[Wanted], dict[Position, Planned]]:
        """What is wanted of the positions that may be next."""
        settings = self.settings
        if not self._templates or not settings.octree_enabled or settings.force_synchronous:
            return [], {}
        view = (atlas.levels, ideal, seen, atlas.base)
        if self._named_of != view:
            self._named_of, self._named = view, {}
        known = self._named
        self._named = {
            place: known.get(place) or seen_there(template, ideal, seen, atlas.base)
            for place, template in self._templates.items()
        }
        most = min(_NEXT_BYTES // self._chunk_bytes(ideal), _NEXT_MOST)
        keys = {entry.key: entry for entry in wanted.entries}
        return following_set(self._named, ideal, atlas.tiles.resident, keys, self.heard.is_known_bad, most)

    def _chunk_bytes(self, level: int) -> int:
        return prod(self.dataset.levels[level].chunk_shape) * np.dtype(self.dataset.dtype).itemsize

    def awaited(self, ideal: int | None) -> int:
        """Visible chunks of level `ideal` that lie neither in VRAM nor in their slots, as was last asked."""
        ready, missing, failed = self.heard.ready, self.heard.missing, self.heard.failed
        return sum(
            1
            for chunk, wanted in self.said.visible
            if chunk[0] == ideal and wanted.key not in ready and chunk not in missing and chunk not in failed
        )

    def retry(self) -> int:
        """Ask again for what could not be read; returns how many chunks that is."""
        self.hear()  # what was told before now must not count as the answer
        self.said.forget()
        self._asked = None
        return self.heard.retry()

    def close(self) -> None:
        """Want nothing any more."""
        self.connection.close_view(self._inbox)
