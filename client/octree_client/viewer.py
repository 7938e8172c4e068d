"""A viewer, with a window or without: what comes in (images, links), and what is taken out (pictures, links, voxels).

What moves and is drawn meanwhile is in `viewer_core`. Knows nothing of widgets (`window`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octree_client.canvas import Canvas
from octree_client.canvas_opening import open_canvas
from octree_client.cover import ViewStatus
from octree_client.driver import Driver
from octree_client.enlarging import Enlarging
from octree_client.layer import ImageLayer
from octree_client.links import BadLink, read_link, write_link
from octree_client.looks import Blending, LayerKind
from octree_client.new_layers import ChannelChoice, LayerPlan, planned_layers, shown_as
from octree_client.picture_file import png_bytes, write_picture
from octree_client.places import open_places, place_of
from octree_client.session import Image, Session
from octree_client.session import open as open_session
from octree_client.view_link import link_of, show_link
from octree_client.viewer_core import BACKGROUND, ViewerCore, driver_for

if TYPE_CHECKING:
    from octree_client.export import Export

__all__ = ["BACKGROUND", "ViewStatus", "Viewer"]

#: How long a notebook waits for the picture of a viewer without a window. Seconds.
_PICTURE_SECONDS = 5.0


class Viewer(ViewerCore):
    """Shows images.

    Parameters
    ----------
    image
        Of a session; more can follow with `add`.
    size
        (width, height) of the canvas in pixels.
    visible
        Whether there is a window. Without one, frames are drawn while `render` or `wait_until_final` runs.
    vram_bytes
        Budget for the tiles of all layers; if left out, 256 MiB, or 64 MiB where the processor draws.
    canvas, driver
        For who embeds the viewer in a window of his own.

    Attributes
    ----------
    layers
        `LayerList`, bottom to top.
    dims
        `Dims`: which axes are displayed, and where one is on the others.
    on_frame
        Called after every frame.

    Examples
    --------
    >>> viewer = octree_client.Viewer(image, size=(1024, 768), visible=False)  # doctest: +SKIP
    >>> viewer.layers[0].colormap = "viridis"  # doctest: +SKIP
    >>> viewer.set_view(center=(5000, 5000), pixel_size=1.0)  # doctest: +SKIP
    >>> viewer.wait_until_final(timeout=10)  # doctest: +SKIP
    >>> picture = viewer.render()  # doctest: +SKIP
    """

    def __init__(
        self,
        image: Image | None = None,
        size: tuple[int, int] = (1024, 768),
        visible: bool = True,
        *,
        vram_bytes: int | None = None,
        canvas: Canvas | None = None,
        driver: Driver | None = None,
    ) -> None:
        super().__init__(
            size,
            visible,
            f"{image.name} - octree-view" if image is not None else "octree-view",
            vram_bytes=vram_bytes,
            canvas=canvas,
            driver=driver,
        )
        self._own_sessions: list[Session] = []
        if image is not None:
            self.add(image)
        self._loop.changed()

    def __repr__(self) -> str:
        if self._closed:
            return "<viewer, closed>"
        width, height = self.canvas.size
        names = ", ".join(layer.name for layer in self.layers) or "no layers"
        return f"<viewer of {width} x {height} pixels: {names}>"

    def _repr_png_(self) -> bytes | None:
        """What is in view, for notebooks; where frames come only while somebody waits, what has come soon."""
        if self._closed:
            return None
        if self.canvas.native is None:
            with suppress(TimeoutError):
                self.wait_until_final(_PICTURE_SECONDS)
        return png_bytes(self.render())

    # --- layers ------------------------------------------------------------------------------------------------------

    def add(
        self,
        image: Image,
        *,
        channel: ChannelChoice = "auto",
        name: str | None = None,
        kind: LayerKind | None = None,
        colormap: str | None = None,
        contrast_limits: tuple[float, float] | None = None,
        blending: Blending | None = None,
    ) -> list[ImageLayer]:
        """Put an image on top of the others.

        Parameters
        ----------
        channel
            ``split``: a layer for each channel, in the colours and windows that the file has, added up. ``merged``:
            one layer, with a position on the axis of channels. A number: that channel alone. ``auto`` splits as many
            channels as one can look at together.
        name
            Instead of the image's.
        kind
            ``image``, ``rgb`` or ``labels``; by default what the dataset says.
        colormap, contrast_limits, blending
            Instead of those that the file has, or that follow from the data.

        Returns
        -------
        list of ImageLayer
            The new layers, from the bottom to the top.
        """
        plans = planned_layers(image.dataset, channel, name, kind, colormap, contrast_limits, blending)
        return self._insert(image, plans, len(self.layers))

    def open(self, location: Any, **options: Any) -> list[ImageLayer]:
        """Add what lies at a path or URL, or a numpy array: in a daemon of its own, which ends with the viewer.

        Parameters
        ----------
        options
            As `octree_client.open` takes them; and those of `add`.
        """
        known = ("channel", "name", "kind", "colormap", "contrast_limits", "blending")
        look = {key: options.pop(key) for key in known if key in options}
        session = open_session(location, **options)
        self._own_sessions.append(session)
        return self.add(session.dataset(), **look)

    def split_channels(self, layer: ImageLayer | str) -> list[ImageLayer]:
        """Show every channel of a layer's image as a layer of its own, instead of the layer."""
        layer = self.layers[self.layers.index(layer)]
        return self._replace([layer], planned_layers(layer.image.dataset, "split"))

    def merge_channels(self, layers: Sequence[ImageLayer | str]) -> list[ImageLayer]:
        """Show the image that layers are channels of as one layer, with a position on the axis of channels."""
        found = [self.layers[self.layers.index(layer)] for layer in layers]
        if not found or any(layer.image is not found[0].image for layer in found):
            raise ValueError("only channels of one image can be merged")
        return self._replace(found, planned_layers(found[0].image.dataset, "merged"))

    def show_as(self, layer: ImageLayer | str, kind: LayerKind) -> ImageLayer:
        """Show a layer as another kind, ``image`` or ``labels``, in its place and its look; returns what is there then.

        Raises
        ------
        ValueError
            If its data cannot be shown so: labels are whole numbers, and colours stay colours.
        """
        layer = self.layers[self.layers.index(layer)]
        if layer.kind == kind:
            return layer
        plan = shown_as(layer.image.dataset, LayerPlan(layer.name, layer.kind, layer.channel, layer.look), kind)
        (made,) = self._replace([layer], [plan])
        return made

    def _replace(self, old: Sequence[ImageLayer], plans: Sequence[LayerPlan]) -> list[ImageLayer]:
        image, place = old[0].image, min(self.layers.index(layer) for layer in old)
        # Without the last layer there are no axes for a moment, and so no place on them.
        camera, displayed, point = self.camera, self.dims.displayed, self.dims.point
        for layer in old:
            self.layers.remove(layer)
        layers = self._insert(image, plans, place)
        if displayed != self.dims.displayed and set(displayed) <= set(self.dims.axes):
            self.dims.set_displayed(*displayed)
        self._world.set_points(point)
        self.move(camera)
        return layers

    def _insert(self, image: Image, plans: Sequence[LayerPlan], index: int) -> list[ImageLayer]:
        first = len(self.layers) == 0
        layers = self._world.insert(image, plans, index)
        if first:
            self._loop.follow(image.session.connection.settings)
            self.home()
        return layers

    def render_enlarged(self, factor: float, timeout: float = 60.0) -> NDArray[np.uint8]:
        """What is in view, drawn `factor` times as large in each direction: from finer levels, if above 1.

        For scripts, which may wait; `Enlarging` makes the same without. Nothing of this viewer moves.

        Returns
        -------
        ndarray
            (h, w, 4) uint8, top row first.

        Raises
        ------
        ValueError
            If the picture would be too large, or empty.
        TimeoutError
            If what it needs is not there in time.
        """
        until = time.monotonic() + timeout
        with Enlarging(self, factor) as job:
            while not job.step():
                job.twin.wait_until_final(max(0.0, until - time.monotonic()))
            return job.picture

    def twin(self, size: tuple[int, int]) -> Viewer:
        """A viewer without a window that shows the same layers at the same place, and goes its own way from there."""
        canvas = open_canvas(size, visible=False, background=self.background)
        twin = Viewer(canvas=canvas, driver=driver_for(self.canvas))
        for layer in self.layers:
            fixed = layer.kind == "image" and layer.contrast.limits is not None
            look = replace(layer.look, auto_contrast=layer.look.auto_contrast and not fixed)
            twin._insert(layer.image, [LayerPlan(layer.name, layer.kind, layer.channel, look)], len(twin.layers))
        if len(twin.layers):
            twin.dims.set_displayed(*self.dims.displayed)
            for axis, world in self.dims.point.items():
                if axis in twin.dims.axes:
                    twin.dims.set_point(axis, world)
            twin.set_view(self.camera.center, self.camera.pixel_size)
        return twin

    def save(self, path: str | Path, factor: float = 1.0, timeout: float = 60.0) -> None:
        """Save what is in view as PNG, `factor` times as large.

        Raises as `render_enlarged`, and `PictureNotWritten`.
        """
        write_picture(self.render() if factor == 1.0 else self.render_enlarged(factor, timeout), Path(path))

    def link(self) -> str:
        """This view as a text, which ``octree-view`` and `open_link` open again. Raises `links.BadLink`."""
        return write_link(link_of(self))

    def open_link(self, text: str) -> None:
        """Show what a link says instead of what is shown. Raises `links.BadLink`, and as `open` and `connect`."""
        link = read_link(text)
        opened = open_places((place_of(layer) for layer in link.layers), self._keep)
        if opened.problems:
            raise BadLink("; ".join(opened.problems))
        show_link(self, link, opened.places)

    def _keep(self, session: Session) -> Session:
        self._own_sessions.append(session)
        return session

    def export(
        self,
        path: str | Path,
        layer: ImageLayer | str | None = None,
        *,
        level: int = 0,
        region: tuple[float, float, float, float] | None = None,
        whole_axes: bool = False,
        overwrite: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Export:
        """Write voxels of a layer to an OME-Zarr, TIFF or PNG; returns when the file is there.

        Parameters
        ----------
        path
            Its ending says the format: ``.zarr``, ``.tif``, ``.png``.
        layer
            By default the active one.
        region
            World (down 0, across 0, down 1, across 1) on the displayed axes; everything if None.
        whole_axes
            Whether the other axes are written whole, instead of where one is on them.
        progress
            Called with the pieces done, and all of them.

        Returns
        -------
        Export
            Its ``holes`` are the chunks that could not be read: the fill value stands for them; ``problem`` says so.

        Raises
        ------
        ExportRefused
            For a level that is not there, a region beside the image, or what the format cannot hold.
        NotExported
            With the file and the reason.
        """
        from octree_client.export import run_export
        from octree_client.export_view import plan_of_layer

        chosen = self.layers[self.layers.index(layer)] if layer is not None else self.layers.active
        if chosen is None:
            raise ValueError("there is no layer to export")
        path = Path(path)
        plan = plan_of_layer(chosen, self.dims, path.name, level, region, whole_axes=whole_axes)
        return run_export(chosen.image, plan, path, overwrite=overwrite, progress=progress)

    def close(self) -> None:
        """Forget everything and close the canvas. Sessions stay, but for those that were opened here."""
        super().close()
        sessions, self._own_sessions = self._own_sessions, []
        for session in sessions:
            session.close()
