"""One layer of a viewer: an image, or one channel of it, with a name and a look of its own.

It keeps what people set (`looks.Look`), dresses what is drawn in it, and tells whoever listens what changed. What is
wanted and paged for it is the business of its `pager.LayerPager`; in which order layers are drawn, that of `viewer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from octree_client.colormaps import known_colormap
from octree_client.contrast import ContrastEstimate
from octree_client.cover import Piece, PlaneChunk, ViewStatus
from octree_client.dressing import Dressing
from octree_client.layer_frame import LayerFrame
from octree_client.look_attribute import LookAttribute, int_or_none, two_floats, unchanged
from octree_client.looks import Blending, Interpolation, LayerKind, Look
from octree_client.navigation import finest_scale
from octree_client.pager import LayerPager
from octree_client.placing import Plane, Position, channel_axis, plane_of, position_at
from octree_client.probing import BetweenFrames, chunk_at, value_at
from octree_client.session import Image
from octree_client.visuals.tiled_image import TiledImage
from octree_protocol.geometry import Dataset

#: A level with fewer voxels tells little of the contrast.
_CONTRAST_VOXELS = 64 * 64

Loading = Literal["loading", "done", "failed"]


class ImageLayer:
    """One image in a viewer, or one channel of it. Made by `Viewer.add`.

    Attributes
    ----------
    events
        Emits (name, value) of every property that was changed: ``layer.events.connect(callback)``.
    name
        Unique in its viewer.
    kind
        ``image``, ``rgb`` or ``labels``.
    channel
        The one that it shows; None if it has none, or follows the viewer's position.
    image, dataset
        What it shows; the dataset with its scales in the world's units.
    frame
        What its last frame came to.
    """

    events = Signal(str, object)

    def __init__(
        self,
        image: Image,
        dataset: Dataset,
        name: str,
        kind: LayerKind,
        channel: int | None,
        look: Look,
        make_pager: Callable[
            [Dataset, bool, Callable[[TiledImage], None], Callable[[int, NDArray[Any]], None]], LayerPager
        ],
    ) -> None:
        self.image = image
        self.kind: LayerKind = kind
        self.channel = channel
        self.frame = LayerFrame()
        #: Makes a name that is free in its viewer of one that is wished for.
        self.choose_name: Callable[[str], str] = str
        #: Calls something within the context of its viewer's canvas.
        self.between_frames: BetweenFrames = lambda action: action()
        self._name = name
        self._look = look
        self._dressing = Dressing(kind, image.dtype)
        self._seen_coarse = False
        axis = channel_axis(dataset)
        self.fixed: Mapping[int, int] = {axis: channel} if axis is not None and channel is not None else {}
        self.contrast = ContrastEstimate(kind != "image")
        self.contrast.use(look.auto_quantiles)
        self.pager = make_pager(dataset, kind == "labels", self._dress, self._observe)
        self.pager.level_lock, self.pager.quality = look.level_lock, look.quality
        self._is_whole = np.dtype(dataset.dtype).kind in "uib"
        self.follow_contrast()

    def __repr__(self) -> str:
        channel = f", channel {self.channel}" if self.channel is not None else ""
        return f"<layer {self.name}: {self.kind}{channel}{'' if self.visible else ', hidden'}>"

    def _repr_html_(self) -> str:
        """Its settings and a small picture, for notebooks."""
        from octree_client.notebook import layer_html

        return layer_html(self)

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Unique in its viewer; a name that is taken gets a number."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        name = self.choose_name(str(name))
        if name != self._name:
            self._name = name
            self.events.emit("name", name)

    @property
    def dataset(self) -> Dataset:
        """With its scales and translations in the world's units."""
        return self.pager.dataset

    @property
    def levels(self) -> Any:
        """`camera.PlaneLevel` of every level, on the axes that are displayed."""
        return self.pager.levels

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """World (y0, x0, y1, x1) on the axes that are displayed."""
        return self.pager.atlas.extent

    @property
    def voxel_size(self) -> float:
        """World units of a voxel of level 0 along its shorter edge, on the axes that are displayed."""
        return finest_scale(self.levels)

    @property
    def look(self) -> Look:
        """Everything that it is set to, as a value; setting it changes what differs."""
        return self._look

    @look.setter
    def look(self, look: Look) -> None:
        if look.auto_quantiles != self._look.auto_quantiles:
            self.contrast.use(look.auto_quantiles)
        if look.auto_contrast and self.contrast.limits is not None:
            look = replace(look, contrast_limits=self.contrast.limits)
        before, self._look = self._look, look
        changed = [name for name in Look.__slots__ if getattr(before, name) != getattr(look, name)]
        if not changed:
            return
        self.pager.level_lock, self.pager.quality = look.level_lock, look.quality
        self._dress(self.pager.atlas.visual)
        for name in changed:
            self.events.emit(name, getattr(look, name))

    # --- how it is shown ---------------------------------------------------------------------------------------------

    visible = LookAttribute(bool, "Whether it is drawn; a hidden layer wants nothing.")
    opacity = LookAttribute(float, "0 .. 1.")
    blending = LookAttribute[Blending](
        unchanged, "``translucent``, ``additive``, ``minimum`` or ``opaque``; see `looks.Look`."
    )
    auto_contrast = LookAttribute(bool, "Whether the limits follow what a coarse level holds, by quantiles.")
    auto_quantiles = LookAttribute(
        two_floats, "Parts of the data below the lower and below the upper limit, where the contrast is automatic."
    )
    gamma = LookAttribute(float, "Exponent between the contrast limits.")
    colormap = LookAttribute(
        known_colormap, "A name of the ``cmap`` catalogue, or ``#rrggbb`` for black to that colour."
    )
    overlay = LookAttribute(bool, "Whether cells are tinted by status and level, with their outlines.")
    level_lock = LookAttribute[int | None](
        unchanged, "The level that is shown whatever the zoom; None for the one that fits."
    )
    quality = LookAttribute(float, "Levels to add to the one that fits: above 0 is finer.")
    selected_label = LookAttribute(int_or_none, "The label that is chosen, or None.")
    show_selected_only = LookAttribute(bool, "Whether all labels but the selected one are left out.")
    contour = LookAttribute(int, "Pixels of the labels' outlines; 0 fills them.")
    seed = LookAttribute(int, "Another number, other colours of labels.")

    @property
    def contrast_limits(self) -> tuple[float, float]:
        """Data values of the colour map's ends. Setting them ends the automatic contrast; None brings it back."""
        return self._look.contrast_limits

    @contrast_limits.setter
    def contrast_limits(self, limits: tuple[float, float] | None) -> None:
        if limits is None:
            self.auto_contrast = True
            return
        low, high = limits
        self.look = replace(self._look, contrast_limits=(float(low), float(high)), auto_contrast=False)

    @property
    def interpolation(self) -> Interpolation:
        """``nearest`` or ``linear``; labels are never interpolated."""
        return self._look.interpolation

    @interpolation.setter
    def interpolation(self, interpolation: Interpolation) -> None:
        self.look = replace(self._look, interpolation="nearest" if self.kind == "labels" else interpolation)

    # --- what its data are -------------------------------------------------------------------------------------------

    def full_range(self) -> tuple[float, float]:
        """What the dtype can be; for floats, what has been seen."""
        dtype = np.dtype(self.dataset.dtype)
        if dtype.kind == "b":
            return 0.0, 1.0
        if dtype.kind in "ui":
            info = np.iinfo(dtype)
            return float(info.min), float(info.max)
        _, edges = self.contrast.histogram()
        return (float(edges[0]), float(edges[-1])) if edges.size else (0.0, 1.0)

    def histogram(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(counts, edges) of what has been seen of a coarse level; both empty for colours, labels, and at first."""
        return self.contrast.histogram(self._is_whole)

    # --- how far it is -----------------------------------------------------------------------------------------------

    @property
    def level(self) -> int | None:
        """The level that fits now; None before the first frame."""
        return self.pager.ideal

    @property
    def pieces(self) -> list[Piece]:
        """What the last frame drew from what."""
        return self.pager.pieces

    @property
    def failures(self) -> dict[PlaneChunk, str]:
        """Why chunks (level, row, column) of the plane that is shown could not be read."""
        return dict(self.pager.heard.failed)

    def status(self) -> ViewStatus:
        """How its visible cells stood in the last frame."""
        return self.frame.status

    @property
    def loading(self) -> Loading:
        """``loading`` while something is to come, else ``failed`` if something in view could not be read."""
        status = self.frame.status
        return "loading" if not status.is_final else "failed" if status.failed else "done"

    def retry(self) -> int:
        """Ask again for what could not be read; returns how many chunks that is."""
        count = self.pager.retry()
        if count:
            self.events.emit("retry", count)
        return count

    def chunk_at(self, y: float, x: float) -> tuple[Piece, tuple[int, int]] | None:
        """The piece drawn at a place of the world, and the voxel (down, across) of its level there; None outside."""
        return chunk_at(self.pager, y, x)

    def value_at(self, y: float, x: float) -> Any:
        """The value drawn at a place of the world; None where there is none, or nobody knows."""
        return value_at(self.pager, y, x, self.between_frames) if self.visible else None

    # --- for the viewer ----------------------------------------------------------------------------------------------

    def place(
        self,
        displayed: tuple[str, str],
        point: Mapping[str, float],
        following: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """Show this plane of the world, as far as the layer is visible and has it; `following` points may be next."""
        plane: Plane | None = plane_of(self.dataset, displayed) if self.visible else None
        position: Position | None = None
        if plane is not None:
            position = position_at(self.dataset, plane, point, self.fixed)
        if plane is None or position is None:
            if self.pager.active:
                self.pager.rest()
                self.frame = LayerFrame()
        else:
            found = (position_at(self.dataset, plane, one, self.fixed) for one in following)
            self.pager.show(plane, position)
            self.pager.wanting.expect([one for one in dict.fromkeys(found) if one is not None])

    def follow_contrast(self) -> None:
        """Take what the data say for the contrast limits, if they are automatic."""
        if not self._look.auto_contrast:
            return
        # Colours are shown over all that they are stored between.
        limits = self.pager.atlas.visual.contrast_limits if self.kind == "rgb" else self.contrast.limits
        if limits is not None and limits != self._look.contrast_limits:
            self.look = replace(self._look, contrast_limits=limits)

    def close(self) -> None:
        """Forget what it wants, and free its tiles."""
        self.pager.close()

    def _dress(self, visual: TiledImage) -> None:
        self._dressing.dress(visual, self._look)

    def _observe(self, level: int, plane: NDArray[Any]) -> None:
        """Something was uploaded: the coarsest level that has enough voxels for quantiles, and all above it, count.

        Of an image that is shown before any of these is wanted, what is shown counts until then.
        """
        if self.contrast.is_sure:
            return
        levels = self.pager.levels
        enough = [n for n, v in enumerate(levels) if v.shape[0] * v.shape[1] >= _CONTRAST_VOXELS]
        coarse = level >= (enough[-1] if enough else 0)
        self._seen_coarse |= coarse
        if coarse or not self._seen_coarse:
            self.contrast.observe(plane)
