"""A viewer: a camera, layers, and a canvas that they are drawn on. With a window or without.

It holds the models together: what the layers, the dimensions and the camera are set to decides what is drawn, and when
a frame is due. Knows nothing of widgets (`window`).
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octree_client.camera import Camera, camera_on
from octree_client.canvas import Canvas, open_canvas
from octree_client.cover import ViewStatus
from octree_client.dims import Dims
from octree_client.driver import Driver, HeadlessDriver
from octree_client.enlarging import Enlarging
from octree_client.frame_loop import FrameLoop
from octree_client.layer import ImageLayer
from octree_client.layer_list import LayerList
from octree_client.links import BadLink, read_link, write_link
from octree_client.loaded import loaded_places
from octree_client.looks import Blending, LayerKind
from octree_client.new_layers import ChannelChoice, LayerPlan, planned_layers, shown_as
from octree_client.picture_file import png_bytes, write_picture
from octree_client.places import open_places, place_of
from octree_client.player import Player
from octree_client.playing import Playback, PlayMode
from octree_client.session import Image, Session
from octree_client.session import open as open_session
from octree_client.statistics import FrameStatistics
from octree_client.view_link import link_of, show_link
from octree_client.world import NOTHING, World

if TYPE_CHECKING:
    from octree_client.export import Export

__all__ = ["BACKGROUND", "ViewStatus", "Viewer"]

#: Bytes of video memory for tiles, by default.
_VRAM_BYTES = 256 << 20

#: The same where the processor draws: there it is main memory, cleared before the first frame (half a millisecond a
#: MiB), and a second copy of what lies in the arena anyway.
_SOFTWARE_BYTES = 64 << 20

#: A thread that waits for the interpreter gets it at the latest after so many seconds: Python's own 5 ms would be a
#: third of a frame.
_SWITCH_SECONDS = 0.0005

#: How long a notebook waits for the picture of a viewer without a window. Seconds.
_PICTURE_SECONDS = 5.0

#: Background of a canvas: a dark neutral grey, so that black data can be told from no data.
BACKGROUND = (0.106, 0.114, 0.129)


class Viewer:
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
        if canvas is None:
            if visible:
                from octree_client.gui.application import qt_application

                qt_application()
            title = f"{image.name} - octree-view" if image is not None else "octree-view"
            canvas = open_canvas(size, visible, title, background=BACKGROUND)
        self.canvas = canvas
        self._driver: Driver = driver if driver is not None else _driver_for(canvas)
        if vram_bytes is None:
            vram_bytes = _SOFTWARE_BYTES if canvas.is_software else _VRAM_BYTES
        self._world = World(
            lambda: canvas.size, canvas.max_texture_size, self._driver.wake, vram_bytes, canvas.between_frames
        )
        self.layers: LayerList = self._world.layers
        self.dims: Dims = self._world.dims
        self._own_sessions: list[Session] = []
        self._closed = False
        self._player = Player(self.dims, self._driver)
        self._loop = FrameLoop(canvas, self._driver, self.layers, camera_on(NOTHING, canvas.size), self._resized)
        self.frame_statistics: FrameStatistics = self._loop.statistics
        self.on_frame: list[Callable[[], None]] = self._loop.listeners
        self._world.on_moved = lambda: self.move(self.camera)
        self._world.on_changed = self._loop.changed
        self._world.on_turned = self._turned
        sys.setswitchinterval(_SWITCH_SECONDS)
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

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions that the layers' images come from, each once."""
        return tuple({id(layer.image.session): layer.image.session for layer in self.layers}.values())

    @property
    def vram_bytes(self) -> int:
        """Budget for the tiles of all layers; what it shrinks by goes with the next frame, the oldest first."""
        return self._world.vram_bytes

    @vram_bytes.setter
    def vram_bytes(self, vram_bytes: int) -> None:
        self._world.vram_bytes = vram_bytes

    @property
    def fade_ms(self) -> float:
        """How long a new piece takes to fade in over what stood in for it, in translucent and opaque layers; 0 for not
        at all. When it is over, the picture is the same."""
        return self._world.fade_ms

    @fade_ms.setter
    def fade_ms(self, fade_ms: float) -> None:
        self._world.fade_ms = fade_ms

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

    def _turned(self, before: tuple[str, str], now: tuple[str, str]) -> None:
        """Turn the view about the place in its middle: what was seen there is seen there still."""
        place = self.dims.full_point | dict(zip(before, self.camera.center, strict=True))
        self._world.set_points({axis: place[axis] for axis in before if axis not in now})
        self._loop.stop_motion()
        self.move(replace(self.camera, center=(place[now[0]], place[now[1]])))

    # --- camera ------------------------------------------------------------------------------------------------------

    @property
    def camera(self) -> Camera:
        """Where the view is; set it as `move`."""
        return self._loop.camera

    @camera.setter
    def camera(self, camera: Camera) -> None:
        self.move(camera)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """World (y0, x0, y1, x1) of what is drawn on the displayed axes; of all layers, if nothing is."""
        return self._world.extent

    def set_view(self, center: tuple[float, float] | None = None, pixel_size: float | None = None) -> None:
        """Put the camera somewhere.

        Parameters
        ----------
        center
            World (y, x), or (down, across), in the middle of the canvas.
        pixel_size
            World units a screen pixel.
        """
        camera = self.camera
        if center is not None:
            if not all(np.isfinite(center)):
                raise ValueError(f"center must be two finite numbers, not {center}")
            camera = replace(camera, center=(float(center[0]), float(center[1])))
        if pixel_size is not None:
            if not 0.0 < pixel_size < float("inf"):
                raise ValueError(f"pixel_size must be above 0, not {pixel_size}")
            camera = replace(camera, pixel_size=float(pixel_size))
        self._loop.stop_motion()
        self.move(camera)

    def home(self) -> None:
        """Show everything."""
        self._world.place_layers()
        self._loop.stop_motion()
        self.move(camera_on(self.extent, self.canvas.size))

    def zoom_to(self, rect: tuple[float, float, float, float]) -> None:
        """Show a rectangle of the world, (y0, x0, y1, x1), as large as the canvas allows."""
        y0, x0, y1, x1 = (float(value) for value in rect)
        if not (np.isfinite([y0, x0, y1, x1]).all() and y0 != y1 and x0 != x1):
            raise ValueError(f"a rectangle has two different edges each way, not {rect}")
        self._loop.stop_motion()
        self.move(camera_on((min(y0, y1), min(x0, x1), max(y0, y1), max(x0, x1)), self.canvas.size, 1.0))

    def move(self, camera: Camera) -> None:
        """The camera is here from now on; chunks are asked for at once, the frame follows."""
        self._world.place_layers(self._player.following())
        self._loop.move(camera)

    # --- playing -----------------------------------------------------------------------------------------------------

    @property
    def playing(self) -> Playback | None:
        """What is played now, or None."""
        return self._player.playback

    def play(self, axis: str | None = None, fps: float = 10.0, mode: PlayMode = "loop") -> None:
        """Go along an axis by itself, from where one is.

        Parameters
        ----------
        axis
            By default the last one that is not displayed and has more than one place.
        fps
            Places a second; what cannot be drawn in time is skipped.
        mode
            ``loop``, ``once`` or ``back-and-forth``.

        Raises
        ------
        ValueError
            If there is no such axis, or it is displayed.
        """
        self._player.play(axis, fps, mode)

    def stop_playing(self) -> None:
        """Stay where one is."""
        self._player.stop()

    def loaded(self, axis: str) -> NDArray[np.float64]:
        """Which part of an axis could be shown at once.

        Returns
        -------
        ndarray
            For each place of the axis, 0 .. 1: how much of this view of all visible layers lies in VRAM or in the
            arena there.
        """
        return loaded_places(self.layers, self.dims, self.camera, axis)

    def _resized(self, size: tuple[int, int]) -> None:
        if size != self.camera.canvas and min(size) > 0:
            self._world.share_vram()
            self.move(replace(self.camera, canvas=size))

    # --- looking at it -----------------------------------------------------------------------------------------------

    @property
    def background(self) -> tuple[float, float, float]:
        """(r, g, b), 0 .. 1, of where there is no image."""
        return self.canvas.background

    @background.setter
    def background(self, background: tuple[float, float, float]) -> None:
        if len(background) != 3 or not all(0.0 <= value <= 1.0 for value in background):
            raise ValueError(f"a background is (r, g, b), 0 .. 1, not {background}")
        self.canvas.background = background
        self._loop.changed()

    def render(self) -> NDArray[np.uint8]:
        """What is on the screen now, drawn anew.

        Returns
        -------
        ndarray
            (h, w, 4) uint8, top row first.
        """
        picture = self.canvas.render()
        self._loop.rendered()
        return picture

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
        twin = Viewer(canvas=canvas, driver=_driver_for(self.canvas))
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

    def wait_until_final(self, timeout: float = 10.0) -> None:
        """Wait until every visible cell of every visible layer is drawn from its own chunk, or is known to be missing
        or failed.

        Raises
        ------
        TimeoutError
            With how many cells are still to come, and what the connections have to say.
        """
        if not self._driver.wait(self.is_final, timeout):
            problems = {session.connection.problem for session in self.sessions} - {""}
            raise TimeoutError("; ".join([f"not final after {timeout:g} s: {self.status()}", *sorted(problems)]))

    def wait(self, seconds: float) -> None:
        """Let frames be drawn for a while."""
        self._driver.wait(lambda: False, seconds)

    def is_final(self) -> bool:
        """Whether the last frame showed the present camera, and nothing is to come."""
        return self._loop.is_final()

    def status(self) -> ViewStatus:
        """How the visible cells of all visible layers stood in the last frame."""
        return self._loop.status

    def retry(self) -> int:
        """Ask again for what failed; returns how many chunks that is."""
        return sum(layer.retry() for layer in self.layers)

    def statistics(self) -> dict[str, Any]:
        """What the frames since the last reset cost, and what is in VRAM.

        Returns
        -------
        dict
            ``frames``: number; ``plan``, ``upload``, ``submit``, ``own``, ``draw``: `statistics.Spread` in ms;
            ``chunks``, ``bytes``: uploaded; ``tiles``, ``tiles_most``, ``vram_bytes``; ``per_frame``: the records.
        """
        frames = self.frame_statistics.frames
        pagers = [layer.pager for layer in self.layers]
        tiles, tiles_most, vram_bytes = self.video_memory()
        return {
            "frames": len(frames),
            **self.frame_statistics.summary(),
            "chunks": sum(frame.uploads for frame in frames),
            "bytes": sum(frame.nbytes for frame in frames),
            "tiles": tiles,
            "tiles_most": tiles_most,
            "vram_bytes": vram_bytes,
            "requests": sum(pager.said.requests for pager in pagers),
            "per_frame": list(frames),
        }

    def video_memory(self) -> tuple[int, int, int]:
        """Tiles in use, tiles that there are, and their bytes, of all layers."""
        atlases = [layer.pager.atlas for layer in self.layers]
        return (
            sum(len(atlas.tiles) for atlas in atlases),
            sum(atlas.tiles.capacity for atlas in atlases),
            sum(atlas.nbytes for atlas in atlases),
        )

    def close(self) -> None:
        """Forget everything and close the canvas. Sessions stay, but for those that `open` made."""
        if self._closed:
            return
        self._closed = True
        self._player.stop()
        self._loop.close()
        self._world.close()
        self.canvas.close()
        for session in self._own_sessions:
            session.close()
        # vispy's canvases are cycles; collected inside another canvas' frame they would take its context away.
        gc.collect()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _driver_for(canvas: Canvas) -> Driver:
    if canvas.native is None:
        return HeadlessDriver()
    from octree_client.gui.driver_qt import QtDriver

    return QtDriver()
