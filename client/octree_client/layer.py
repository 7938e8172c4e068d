"""One image in a viewer: what of it is wanted, what is in VRAM, and how it is drawn. The doing part of a frame.

Everything that is decided here is decided by pure functions (`level_choice`, `cover`, `working_set`, `paging`,
`prefetch`); this file asks them in the right order and carries out what they say. It runs in the GUI thread: it never
waits, reads no file and decodes nothing.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_client.atlas import TileCache
from octree_client.camera import Camera, PlaneLevel, image_extent, plane_levels
from octree_client.connection import Connection
from octree_client.contrast import ContrastEstimate
from octree_client.cover import FILL_TILE, Piece, PlaneChunk, cell_statuses, cover, spare_tiles, touched_tiles
from octree_client.inbox import Lost, Reopened
from octree_client.level_choice import affordable_level, choose_level, whole_level
from octree_client.paging import Candidate, UploadCost, plan_uploads
from octree_client.plane_grid import Rect
from octree_client.prefetch import Motion, is_still, predicted_view, prefetch_cells
from octree_client.slices import KeyTemplate, Position
from octree_client.texture import atlas_grid, texture_kind
from octree_client.visuals.tiled_image import TiledImage
from octree_client.working_set import base_chunks, working_set
from octree_protocol.errors import OctreeError
from octree_protocol.geometry import Dataset
from octree_protocol.keys import CellStatus, Tier
from octree_protocol.messages import Announce, Ready, Wanted

log = logging.getLogger("octree.layer")

#: Announcements that are remembered: more than any working set, so that none is dropped that may still be used.
_ANNOUNCED_MOST = 16384

#: A level with fewer voxels tells little of the contrast.
_CONTRAST_VOXELS = 64 * 64

#: How far ahead of the camera chunks are prefetched. Seconds.
_LOOK_AHEAD = 0.5

#: Prefetched cells at most.
_PREFETCH_MOST = 32


@dataclass(slots=True)
class LayerFrame:
    """What one frame of a layer came to. Milliseconds and bytes."""

    plan_ms: float = 0.0
    upload_ms: float = 0.0
    uploads: int = 0
    uploaded_bytes: int = 0
    more: bool = False
    """Chunks lie in their slots that did not fit into this frame's budget."""
    statuses: Counter[CellStatus] = field(default_factory=Counter)
    awaited: int = 0
    """Visible ideal chunks that are neither in VRAM nor in their slots."""


class ImageLayer:
    """One dataset in a viewer.

    Parameters
    ----------
    connection, dataset
        Where its chunks come from.
    vram_bytes
        Budget of its atlas.
    max_texture_size
        Edge of the largest texture that GL takes.
    wake
        Called in the connection's thread when something has come.
    position
        Voxel of level 0 on each axis that is not displayed; the middle if left out.
    """

    def __init__(
        self,
        connection: Connection,
        dataset: Dataset,
        vram_bytes: int,
        max_texture_size: int,
        wake: Callable[[], None],
        position: Position | None = None,
    ) -> None:
        self.connection = connection
        self.dataset = dataset
        self.levels: tuple[PlaneLevel, ...] = plane_levels(dataset)
        self.extent = image_extent(self.levels)
        samples = dataset.levels[0].shape[-1] if dataset.rgb else 1
        kind = texture_kind(dataset.dtype, samples)
        tile_shape = (max(v.chunk[0] for v in self.levels), max(v.chunk[1] for v in self.levels))
        # More tiles than the whole pyramid has chunks would only be allocated in vain.
        every = sum(v.grid[0] * v.grid[1] for v in self.levels) + 1
        texel_bytes = kind.bytes_per_texel
        budget = min(vram_bytes, max(every, 2) * tile_shape[0] * tile_shape[1] * texel_bytes)
        self.image = TiledImage(
            self.levels, tile_shape, kind, atlas_grid(tile_shape, texel_bytes, budget, max_texture_size)
        )
        self.tiles = TileCache(self.image.atlas.tiles)
        self._fill = np.full(
            (*tile_shape, samples) if dataset.rgb else tile_shape, dataset.fill_value, np.dtype(dataset.dtype)
        )
        self.image.upload(FILL_TILE, self._fill)
        self.contrast = ContrastEstimate(kind.is_colour)
        # The coarsest level that has enough voxels for quantiles, and all above it.
        enough = [n for n, level in enumerate(self.levels) if level.shape[0] * level.shape[1] >= _CONTRAST_VOXELS]
        self._contrast_from = enough[-1] if enough else 0
        self._range_unknown = kind.is_colour and np.dtype(dataset.dtype).kind == "f"
        self.level_lock: int | None = None
        self.ideal: int | None = None
        self.pieces: list[Piece] = []
        self.load_ms: float | None = None
        self.failures: dict[PlaneChunk, str] = {}
        self.requests = 0
        self._missing: dict[PlaneChunk, None] = {}
        self._announced: OrderedDict[PlaneChunk, Ready] = OrderedDict()
        self._wanted: dict[PlaneChunk, Wanted] = {}
        self._last_want: Sequence[Wanted] = ()
        self._cost = UploadCost()
        self._inbox = connection.open_view(wake)
        self._drawn: tuple[list[Piece], int, Camera] | None = None
        self._gone = False
        self.base: tuple[PlaneChunk, ...] = ()
        hidden = dataset.displayed()[0]
        self._show(position if position is not None else tuple(n // 2 for n in dataset.levels[0].shape[:hidden]))

    # --- position on the axes that are not displayed -----------------------------------------------------------------

    @property
    def position(self) -> Position:
        """Voxel of level 0 that is shown, on each axis that is not displayed."""
        return self._template.position

    @position.setter
    def position(self, position: Position) -> None:
        shape = self.dataset.levels[0].shape
        if len(position) != self.dataset.displayed()[0]:
            raise ValueError(f"{self.dataset.name} has {self.dataset.displayed()[0]} axes that are not displayed")
        inside = tuple(min(max(int(p), 0), n - 1) for p, n in zip(position, shape, strict=False))
        if inside != self.position:
            self._show(inside)

    def _show(self, position: Position) -> None:
        self._template = KeyTemplate(self.dataset, position)
        self._missing.clear()
        self.failures.clear()
        self._announced.clear()
        self._wanted = {}
        base = base_chunks(self.levels)
        self.base = base if len(base) < self.tiles.capacity // 4 else ()
        self.tiles.pin((position, chunk) for chunk in self.base)

    # --- the frame ---------------------------------------------------------------------------------------------------

    def hear(self) -> bool:
        """Take in what has come since the last time; returns whether it may change the picture."""
        changed = False
        for event in self._inbox.take():
            if isinstance(event, Announce):
                changed |= self._announce(event)
            elif isinstance(event, Lost):
                # Slots of a daemon that is gone hold what they held, but nobody guards them any more.
                self._announced.clear()
                self._gone = True
                changed = True
            elif isinstance(event, Reopened):
                self._reopen(event)
                changed = True
        return changed

    def _announce(self, announce: Announce) -> bool:
        changed = bool(announce.progress)  # nothing to draw anew, but something to tell beside the picture
        chunk_of = self._template.chunk
        for load_time in announce.load_times:
            if load_time.dataset == self.dataset.id:
                self.load_ms = load_time.milliseconds
        for ready in announce.ready:
            chunk = chunk_of(ready.key)
            if chunk is not None:
                self._announced[chunk] = ready
                self._announced.move_to_end(chunk)
                changed |= chunk in self._wanted
        for key in announce.missing:
            chunk = chunk_of(key)
            if chunk is not None:
                self._missing[chunk] = None
                changed = True
        for failure in announce.failed:
            chunk = chunk_of(failure.key)
            if chunk is not None and chunk in self._wanted:
                self.failures[chunk] = failure.reason
                changed = True
        while len(self._announced) > _ANNOUNCED_MOST:
            self._announced.popitem(last=False)
        return changed

    def _reopen(self, event: Reopened) -> None:
        known = event.datasets.get(self.dataset.name)
        self._gone = known is None
        if known is None:
            log.warning("%s is not served any more; what is in VRAM stays", self.dataset.name)
            return
        if (known.levels, known.dtype, known.axes) != (self.dataset.levels, self.dataset.dtype, self.dataset.axes):
            log.warning("%s has changed since it was opened; open it again to see it", self.dataset.name)
            self._gone = True
            return
        self.dataset = known
        self._template = KeyTemplate(known, self.position)
        self._announced.clear()
        self.failures.clear()
        self._last_want = ()

    def awaited(self) -> int:
        """Visible ideal chunks that are neither in VRAM nor in their slots, as of the last plan."""
        announced, missing, failures = self._announced, self._missing, self.failures
        return sum(
            1
            for chunk, wanted in self._wanted.items()
            if wanted.tier is Tier.VISIBLE
            and chunk[0] == self.ideal
            and chunk not in announced
            and chunk not in missing
            and chunk not in failures
        )

    def aim(self, camera: Camera, motion: Motion) -> None:
        """Decide what is wanted for a camera, and say so. Called when the camera moves: chunks are on their way
        before the frame is drawn that needs them."""
        self.pieces = self._cover(camera)
        self._want(camera, motion)

    def prepare(
        self, camera: Camera, motion: Motion, frame: int, budget_ms: float, flush: Callable[[], None]
    ) -> LayerFrame:
        """Plan a frame, page in what the budget allows, and tell the daemon what is wanted from now on.

        Parameters
        ----------
        frame
            Number of the frame, rising.
        budget_ms
            Milliseconds that uploads may take.
        flush
            Executes GL's queue now, so that slots are free to be given away once it returns.
        """
        began = time.perf_counter()
        result = LayerFrame()
        pieces = self._cover(camera)
        place = self.position
        used = touched_tiles(pieces)
        self.tiles.touch(used, frame)
        if self._drawn is not None and self.connection.settings.force_synchronous:
            used |= touched_tiles(self._drawn[0])
        planned = self._plan_uploads(used, pieces, budget_ms)
        middle = time.perf_counter()
        if planned:
            self._upload(planned, frame, used, pieces, result, flush)
        uploaded = time.perf_counter()
        if result.uploads:
            pieces = self._cover(camera)
        self.pieces = pieces
        self._want(camera, motion)
        result.statuses = cell_statuses(self.levels, self.ideal or 0, pieces)
        result.awaited = self.awaited()
        resident = self.tiles.resident(place)
        result.more = any(
            wanted.tier is Tier.VISIBLE and chunk in self._announced and chunk not in resident
            for chunk, wanted in self._wanted.items()
        )
        done = time.perf_counter()
        result.upload_ms = (uploaded - middle) * 1e3
        result.plan_ms = (done - began) * 1e3 - result.upload_ms
        return result

    def submit(self, camera: Camera, statuses: Counter[CellStatus]) -> None:
        """Hand the frame's geometry to GL, and draw."""
        ideal = self.ideal or 0
        waiting = statuses[CellStatus.PROVISIONAL] + statuses[CellStatus.EMPTY]
        if waiting and self.connection.settings.force_synchronous:
            # Only final frames are shown: until then, the last one stays as it was.
            pieces, ideal, camera = self._drawn or ([], ideal, camera)
        else:
            pieces = self.pieces
            self._drawn = (pieces, ideal, camera)
        self.image.set_frame(pieces, self.tiles.resident(self.position), ideal, camera)
        self.image.draw()

    # --- what the frame is made of -----------------------------------------------------------------------------------

    def _cover(self, camera: Camera) -> list[Piece]:
        levels, view = self.levels, self._view(camera)
        capacity = self.tiles.capacity
        if not self.connection.settings.octree_enabled:
            self.ideal = whole_level(levels, capacity)
        else:
            current = self.ideal
            ideal = choose_level(levels, camera.pixel_size, current, self.level_lock)
            self.ideal = affordable_level(levels, ideal, view, capacity, len(self.base), current)
        return cover(levels, self.ideal, view, self.tiles.resident(self.position), self._missing, self.failures)

    def _view(self, camera: Camera) -> Rect:
        """What is to be covered: what the camera sees; without the octree, one level whole."""
        return camera.view() if self.connection.settings.octree_enabled else self.extent

    def _plan_uploads(self, used: set[int], pieces: list[Piece], budget_ms: float) -> list[Candidate]:
        if self.connection.arena is None or self._gone:
            return []
        resident = self.tiles.resident(self.position)
        announced = self._announced
        candidates = []
        for chunk, wanted in self._wanted.items():
            # Prefetched chunks stay in the arena until they come into view: their upload costs the same then.
            ready = announced.get(chunk)
            if ready is None or wanted.tier is not Tier.VISIBLE or chunk in resident:
                continue
            nbytes = self.levels[chunk[0]].chunk[0] * self.levels[chunk[0]].chunk[1] * self.image.kind.bytes_per_texel
            candidates.append(Candidate(chunk, nbytes, wanted.tier, wanted.relative_level, wanted.priority))
        if not candidates:
            return []
        room = self.tiles.available(used) + len(spare_tiles(pieces, self.ideal or 0))
        return plan_uploads(candidates, budget_ms, self._cost, room)

    def _upload(
        self,
        planned: list[Candidate],
        frame: int,
        used: set[int],
        pieces: list[Piece],
        result: LayerFrame,
        flush: Callable[[], None],
    ) -> None:
        arena = self.connection.arena
        assert arena is not None
        began = time.perf_counter()
        place = self.position
        done: list[tuple[PlaneChunk, Ready]] = []
        spare: list[int] | None = None
        for candidate in planned:
            chunk = candidate.chunk
            ready = self._announced[chunk]
            try:
                if not arena.is_current(ready):
                    del self._announced[chunk]  # given away since; what is wanted will be announced anew
                    continue
                data = self._plane(arena.array(ready), chunk[0])
            except OctreeError as error:
                log.warning("%s", error)
                del self._announced[chunk]
                continue
            ideal_in_view = chunk[0] == self.ideal
            if spare is None and ideal_in_view:
                spare = spare_tiles(pieces, chunk[0])
            tile = self.tiles.assign(place, chunk, frame, used, (spare or ()) if ideal_in_view else ())
            if tile is None:
                break
            if spare and tile in spare:
                spare.remove(tile)
            used.add(tile)
            if self._range_unknown:
                self._range_unknown = False
                self._choose_range(data)
            self.image.upload(tile, data)
            if chunk[0] >= self._contrast_from:
                self.contrast.observe(data)
            done.append((chunk, ready))
            result.uploaded_bytes += candidate.nbytes
        flush()
        self.image.flushed()
        for chunk, ready in done:
            if not arena.is_current(ready):
                # The slot was given to another chunk while GL read it: the tile may hold parts of both.
                self.tiles.forget(place, chunk)
                self._announced.pop(chunk, None)
        result.uploads = len(done)
        self._cost.measured(result.uploads, result.uploaded_bytes, (time.perf_counter() - began) * 1e3)

    def _choose_range(self, data: NDArray[Any]) -> None:
        """Colours of floats are 0 .. 1 by custom; where the first chunk is beyond that, 0 .. 255, or up to its most."""
        finite = data[np.isfinite(data)]
        most = float(finite.max()) if finite.size else 1.0
        if most > 1.0:
            self.image.set_range(0.0, max(most, 255.0))

    def _plane(self, data: NDArray[Any], level: int) -> NDArray[Any]:
        """The displayed plane of a chunk over all axes."""
        offset = self._template.offsets[level]
        plane: NDArray[Any] = data[offset] if offset else data
        return plane

    def _want(self, camera: Camera, motion: Motion) -> None:
        if self._gone:
            return
        levels, ideal, view = self.levels, self.ideal or 0, self._view(camera)
        settings = self.connection.settings
        resident = self.tiles.resident(self.position)
        ahead = None if is_still(camera, motion) else predicted_view(camera, motion, _LOOK_AHEAD)
        cells = prefetch_cells(levels, ideal, view, ahead, _PREFETCH_MOST)
        entries = working_set(
            self._template,
            levels,
            ideal,
            view,
            self.pieces,
            resident,
            self._missing,
            self.failures,
            load_ms=self.load_ms,
            prefetch=cells,
            base=self.base,
            settings=settings,
        )
        if entries == self._last_want:
            return
        self._last_want = entries
        chunk_of = self._template.chunk
        self._wanted = {chunk: entry for entry in entries if (chunk := chunk_of(entry.key)) is not None}
        self.requests += 1
        self.connection.want(self._inbox, entries)

    # --- for people --------------------------------------------------------------------------------------------------

    def retry(self) -> int:
        """Ask again for what could not be read; returns how many chunks that is."""
        self.hear()  # what was told before now must not count as the answer
        count = len(self.failures)
        self.failures.clear()
        self._last_want = ()
        return count

    def chunk_at(self, y: float, x: float) -> tuple[Piece, tuple[int, int]] | None:
        """The piece drawn at a place of the world, and the voxel (down, across) of its level there; None outside."""
        for piece in self.pieces:
            y0, x0, y1, x1 = piece.rect
            if y0 <= y < y1 and x0 <= x < x1:
                level = self.levels[piece.chunk[0]]
                row = min(max(int(level.world_to_voxel(0, y) // 1), 0), level.shape[0] - 1)
                col = min(max(int(level.world_to_voxel(1, x) // 1), 0), level.shape[1] - 1)
                return piece, (row, col)
        return None

    def value_at(self, y: float, x: float) -> Any:
        """The value drawn at a place of the world, if its bytes still lie in the arena; None if nobody knows."""
        found = self.chunk_at(y, x)
        arena = self.connection.arena
        if found is None or arena is None:
            return None
        piece, (row, col) = found
        if piece.status is CellStatus.MISSING:
            return self.dataset.fill_value
        ready = self._announced.get(piece.chunk)
        if piece.tile < 0 or ready is None or not arena.is_current(ready):
            return None
        chunk = self.levels[piece.chunk[0]].chunk
        try:
            plane = self._plane(arena.array(ready), piece.chunk[0])
        except OctreeError:
            return None  # thrown out of a cache just now
        value = plane[row - piece.chunk[1] * chunk[0], col - piece.chunk[2] * chunk[1]]
        value = tuple(int(v) for v in value) if self.dataset.rgb else value.item()
        return value if arena.is_current(ready) else None

    def close(self) -> None:
        """Forget what it wants, and free its tiles at the next flush."""
        self.connection.close_view(self._inbox)
        self.image.close()
