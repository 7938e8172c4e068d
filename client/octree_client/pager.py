"""What of one image is in VRAM, and what is drawn from it. The doing part of a layer's frame.

Everything that is decided here is decided by pure functions (`level_choice`, `cover`, `paging`); this file asks them in
the right order and carries out what they say. It runs in the GUI thread: it never waits, reads no file and decodes
nothing. Knows nothing of other layers, nor of how the image is shown (`layer`); what is asked of the daemon is
`wanting`'s business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from numpy.typing import NDArray

from octree_client.camera import Camera, PlaneLevel
from octree_client.cover import (
    NO_CELLS,
    Piece,
    PlaneChunk,
    cell_statuses,
    cover,
    is_drawn,
    spare_tiles,
    touched_tiles,
)
from octree_client.fading import Fading, FadingPiece, split, without
from octree_client.layer_frame import LayerFrame
from octree_client.level_choice import affordable_level, choose_level, whole_level
from octree_client.paging import Candidate
from octree_client.placing import Plane, Position, middle
from octree_client.plane_atlas import PlaneAtlas
from octree_client.plane_grid import Rect, visible_cells
from octree_client.prefetch import Motion
from octree_client.slices import KeyTemplate
from octree_client.transport.connection import Connection
from octree_client.transport.heard import Heard
from octree_client.transport.said import Said
from octree_client.uploading import Uploads
from octree_client.visuals.tiled_image import TiledImage
from octree_client.wanting import Wanting
from octree_protocol.geometry import Dataset
from octree_protocol.keys import CellStatus


class LayerPager:
    """Pages one plane of a dataset into VRAM.

    Parameters
    ----------
    connection, dataset
        Where its chunks come from; the dataset with its scales as the world has them.
    vram_bytes
        Budget of its atlas.
    max_texture
        Edge of the largest texture that GL takes.
    wake
        Called in the connection's thread when something has come.
    plane, position
        What is shown; by default the dataset's own plane, in the middle of the other axes.
    labels
        Whether the values are names.
    on_visual
        Called with every `TiledImage` that is made, before it is drawn.
    on_plane
        Called with the level and the voxels of everything that is uploaded.

    Attributes
    ----------
    active
        Whether anything is wanted and drawn; `rest` and `show` change it.
    atlas
        Where its tiles are; another one when other axes are displayed.
    ideal
        The level that fits; None until a camera has been seen.
    wanting
        What is asked of the daemon, and what it has said.
    quality, level_lock
        See `looks.Look`.
    """

    def __init__(
        self,
        connection: Connection,
        dataset: Dataset,
        vram_bytes: int,
        max_texture: int,
        wake: Callable[[], None],
        plane: Plane | None = None,
        position: Position | None = None,
        labels: bool = False,
        on_visual: Callable[[TiledImage], None] = lambda _: None,
        on_plane: Callable[[int, NDArray[Any]], None] = lambda _level, _plane: None,
    ) -> None:
        self.active = True
        self.level_lock: int | None = None
        self.quality = 0.0
        self.ideal: int | None = None
        self.pieces: list[Piece] = []
        self.fading = Fading()
        self._max_texture, self._labels = max_texture, labels
        self._on_visual = on_visual
        self._drawn: tuple[list[Piece], int, Camera] | None = None
        self._frame = LayerFrame()
        self._status_of: list[Piece] | None = None
        self._status = NO_CELLS
        #: What `pieces` were made from: as long as it is the same, so are they.
        self._covered: object = None
        self._number = 0
        self._used: set[int] = set()
        self._candidates: list[Candidate] = []
        plane = plane if plane is not None else dataset.displayed()
        position = position if position is not None else middle(dataset, plane)
        self.wanting = Wanting(connection, dataset, plane, position, wake)
        self._uploads = Uploads(self.wanting, on_plane)
        self._turn(plane, vram_bytes)
        self.atlas.show(position)

    # --- what is shown -----------------------------------------------------------------------------------------------

    @property
    def plane(self) -> Plane:
        """The dataset's axes that are displayed, down and across."""
        return self.atlas.plane

    @property
    def position(self) -> Position:
        """Voxel of level 0 that is shown, on each axis that is not displayed."""
        return self.wanting.position

    @property
    def connection(self) -> Connection:
        """Where chunks come from."""
        return self.wanting.connection

    @property
    def dataset(self) -> Dataset:
        """What is shown a plane of."""
        return self.wanting.dataset

    @property
    def template(self) -> KeyTemplate:
        """Names of the chunks of the plane that is shown."""
        return self.wanting.template

    @property
    def heard(self) -> Heard:
        """What the daemon has said."""
        return self.wanting.heard

    @property
    def said(self) -> Said:
        """What was last said to the daemon."""
        return self.wanting.said

    @property
    def levels(self) -> tuple[PlaneLevel, ...]:
        """As the camera sees them."""
        return self.atlas.levels

    @property
    def load_ms(self) -> float | None:
        """How long a load takes; None while nobody knows."""
        return self.heard.load_ms

    def show(self, plane: Plane, position: Position) -> None:
        """Show this plane from now on. Tiles of other positions stay in VRAM, those of another plane do not."""
        self.active = True
        if plane != self.plane:
            self.atlas.close()
            self._turn(plane, self.atlas.vram_bytes)
            self._put(plane, position)
        elif position != self.position:
            self._put(plane, position)

    def rest(self) -> None:
        """Want nothing and draw nothing until `show`; what is in VRAM stays."""
        self.active = False
        self.pieces = []
        self._frame = LayerFrame()
        self._drawn = self._covered = None
        self.wanting.rest()

    def _turn(self, plane: Plane, vram_bytes: int) -> None:
        self.atlas = PlaneAtlas(self.dataset, plane, vram_bytes, self._max_texture, self._labels)
        self._uploads.atlas = self.atlas
        self.ideal = None
        self._drawn = self._covered = None
        self._on_visual(self.atlas.visual)

    def _put(self, plane: Plane, position: Position) -> None:
        self.wanting.show(plane, position)
        self.atlas.show(position)
        self.fading.clear()

    # --- the frame ---------------------------------------------------------------------------------------------------

    def aim(self, camera: Camera, motion: Motion) -> None:
        """Decide what is wanted for a camera, and say so. Called when the camera moves: chunks are on their way
        before the frame is drawn that needs them."""
        if self.active:
            self._cover(camera)
            self._ask(camera, motion)

    def plan(self, camera: Camera, number: int) -> bool:
        """Begin frame `number`, of rising numbers; returns whether there is something to upload."""
        if not self.active:
            return False
        self._frame, self._number = LayerFrame(), number
        self._cover(camera)
        self._used = self._in_use()
        self.atlas.tiles.touch(self._used, number)
        self._candidates = self._uploads.ready(self.ideal or 0)
        return bool(self._candidates)

    def page(self, budget_ms: float, first: bool, context: Any) -> LayerFrame:
        """Upload the best of what `plan` found, within a budget.

        Parameters
        ----------
        first
            Nothing was uploaded in this frame yet: something is in any case. The same if parts of the view are blank,
            which a single coarse chunk ends.
        context
            Of the canvas.
        """
        began, frame = time.perf_counter(), self._frame
        blank = any(piece.status is CellStatus.EMPTY for piece in self.pieces)
        spare = spare_tiles(self.pieces, self.ideal or 0)
        done = self._uploads.upload(self._candidates, budget_ms, first, blank, self._used, spare, self._number, context)
        frame.uploads, frame.uploaded_bytes, frame.spent_ms = done.chunks, done.nbytes, done.spent_ms
        self.fading.came(done.ideal, time.monotonic())
        frame.upload_ms = (time.perf_counter() - began) * 1e3
        return frame

    def settle(self, camera: Camera, motion: Motion) -> LayerFrame:
        """End the plan: what is drawn after the uploads, and what is wanted from now on."""
        if not self.active:
            return self._frame
        frame = self._frame
        self._cover(camera)
        resident, ready, visible = self.atlas.tiles.resident(self.position), self.heard.ready, self.said.visible
        frame.more = any(wanted.key in ready and chunk not in resident for chunk, wanted in visible)
        frame.ahead = not frame.more and self._uploads.is_ahead_ready(self._used)
        self._ask(camera, motion, later=frame.more or frame.ahead)
        if self._status_of is not self.pieces:
            self._status_of, self._status = self.pieces, cell_statuses(self.levels, self.ideal or 0, self.pieces)
        frame.status = self._status
        return frame

    def page_between(self, camera: Camera, motion: Motion, budget_ms: float, context: Any) -> LayerFrame:
        """Upload some of what lies in its slot, what is seen before what may come into view. Between frames: what is on
        the screen stays as it is."""
        if not self.active:
            return LayerFrame()
        self._frame = LayerFrame(status=self._status)
        self._used = self._in_use()
        ideal, uploads = self.ideal or 0, self._uploads
        self._candidates = uploads.ready(ideal) or uploads.ready_ahead(ideal, self._used)
        if not self._candidates:
            return self._frame
        frame = self.page(budget_ms, True, context)
        frame.ahead = frame.uploads > 0 and (bool(uploads.ready(ideal)) or uploads.is_ahead_ready(self._used))
        self._cover(camera)
        self._ask(camera, motion, later=frame.ahead)
        return frame

    def submit(self, camera: Camera, lowest: bool = True) -> None:
        """Hand the frame's geometry to GL, and draw.

        Parameters
        ----------
        lowest
            No other layer lies below: only then are cells drawn of which there is nothing yet.
        """
        if not self.active:
            return
        ideal, status = self.ideal or 0, self._frame.status
        revision: object = None
        if not status.is_final and self.connection.settings.force_synchronous:
            # Only final frames are shown: until then, the last one stays as it was.
            pieces, ideal, camera = self._drawn or ([], ideal, camera)
        else:
            pieces, revision = self.pieces, (self._covered, lowest)
            self._drawn = (pieces, ideal, camera)
        fades: dict[PlaneChunk, float] = {}
        fading: list[FadingPiece] = []
        if self.fading.seconds and not self.atlas.visual.overlay:
            fades = self.fading.factors(pieces, time.monotonic())
            if fades:
                revision = None
                pieces, fading = split(pieces, self._cover_without(camera, fades), fades)
        if not lowest:
            if status.empty:
                pieces = [piece for piece in pieces if is_drawn(piece)]
            fading = [one if one.before and is_drawn(one.before) else one._replace(before=None) for one in fading]
        self._frame.fading = bool(fades)
        self.atlas.visual.set_frame(pieces, self.atlas.tiles.resident(self.position), ideal, camera, fading, revision)
        self.atlas.visual.draw(lowest)

    # --- what the frame is made of -----------------------------------------------------------------------------------

    def _cover(self, camera: Camera) -> None:
        """Have `pieces` and `ideal` follow the camera, and what is there."""
        levels, tiles, place = self.levels, self.atlas.tiles, self.position
        if not self.connection.settings.octree_enabled:
            ideal = whole_level(levels, tiles.capacity)
        else:
            current = self.ideal
            ideal = choose_level(levels, camera.pixel_size * 2.0**-self.quality, current, self.level_lock)
            ideal = affordable_level(levels, ideal, camera.view(), tiles.capacity, len(self.atlas.base), current)
        self.ideal = ideal
        view = self._view(camera)
        cells = visible_cells(levels, ideal, view)
        covered = (self.atlas, place, ideal, cells, tiles.revision(place), self.heard.revision)
        if covered != self._covered:
            self._covered = covered
            self.pieces = cover(levels, ideal, view, tiles.resident(place), self.heard.missing, self.heard.failed)

    def _in_use(self) -> set[int]:
        """Tiles that must not be given away: those of the view, and of what is on the screen instead of it."""
        used = touched_tiles(self.pieces)
        if self._drawn is not None and self.connection.settings.force_synchronous:
            used |= touched_tiles(self._drawn[0])
        return used

    def _ask(self, camera: Camera, motion: Motion, later: bool = False) -> None:
        self.wanting.ask(self.atlas, self.ideal or 0, self._view(camera), self.pieces, camera, motion, later)

    def _cover_without(self, camera: Camera, chunks: Collection[PlaneChunk]) -> list[Piece]:
        resident = without(self.atlas.tiles.resident(self.position), chunks)
        return cover(self.levels, self.ideal or 0, self._view(camera), resident, self.heard.missing, self.heard.failed)

    def _view(self, camera: Camera) -> Rect:
        """What is to be covered: what the camera sees, and what the pixels at its edges are interpolated with; without
        the octree, one level whole."""
        if not self.connection.settings.octree_enabled:
            return self.atlas.extent
        y0, x0, y1, x1 = camera.view()
        if self.ideal is None or self.atlas.visual.interpolation == "nearest":
            return y0, x0, y1, x1
        # Pixel centres lie half a pixel within the view; a voxel reaches them from half a voxel away.
        down, across = (max(0.0, 0.5 * (scale - camera.pixel_size)) for scale in self.levels[self.ideal].scale)
        return y0 - down, x0 - across, y1 + down, x1 + across

    # --- for people --------------------------------------------------------------------------------------------------

    def retry(self) -> int:
        """Ask again for what could not be read; returns how many chunks that is."""
        return self.wanting.retry()

    def close(self) -> None:
        """Forget what it wants, and free its tiles at the next flush."""
        self.wanting.close()
        self.atlas.close()
