"""What moves and is drawn of a viewer: camera, position, frames, and what they cost; layers lie in it.

It holds the models together: what the layers, the dimensions and the camera are set to decides what is drawn, and when
a frame is due. Knows neither how images come in nor what is taken out (`viewer`), and nothing of widgets.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from octree_client.camera import Camera, camera_on
from octree_client.canvas import Canvas
from octree_client.canvas_opening import open_canvas
from octree_client.cover import ViewStatus
from octree_client.dims import Dims
from octree_client.driver import Driver, HeadlessDriver
from octree_client.frame_loop import FrameLoop
from octree_client.layer_list import LayerList
from octree_client.loaded import loaded_places
from octree_client.player import Player
from octree_client.playing import Playback, PlayMode
from octree_client.session import Session
from octree_client.statistics import FrameStatistics
from octree_client.world import NOTHING, World

#: Bytes of video memory for tiles, by default.
_VRAM_BYTES = 256 << 20

#: The same where the processor draws: there it is main memory, cleared before the first frame (half a millisecond a
#: MiB), and a second copy of what lies in the arena anyway.
_SOFTWARE_BYTES = 64 << 20

#: A thread that waits for the interpreter gets it at the latest after so many seconds: Python's own 5 ms would be a
#: third of a frame.
_SWITCH_SECONDS = 0.0005

#: Background of a canvas: a dark neutral grey, so that black data can be told from no data.
BACKGROUND = (0.106, 0.114, 0.129)


class ViewerCore:
    """See the module; parameters and attributes are those of `viewer.Viewer`, which is the one to be made."""

    def __init__(
        self,
        size: tuple[int, int],
        visible: bool,
        title: str,
        *,
        vram_bytes: int | None,
        canvas: Canvas | None,
        driver: Driver | None,
    ) -> None:
        if canvas is None:
            if visible:
                from octree_client.gui.application import qt_application

                qt_application()
            canvas = open_canvas(size, visible, title, background=BACKGROUND)
        self.canvas = canvas
        self._driver: Driver = driver if driver is not None else driver_for(canvas)
        if vram_bytes is None:
            vram_bytes = _SOFTWARE_BYTES if canvas.is_software else _VRAM_BYTES
        self._world = World(
            lambda: canvas.size, canvas.max_texture_size, self._driver.wake, vram_bytes, canvas.between_frames
        )
        self.layers: LayerList = self._world.layers
        self.dims: Dims = self._world.dims
        self._closed = False
        self._player = Player(self.dims, self._driver)
        self._loop = FrameLoop(canvas, self._driver, self.layers, camera_on(NOTHING, canvas.size), self._resized)
        self.frame_statistics: FrameStatistics = self._loop.statistics
        self.on_frame: list[Callable[[], None]] = self._loop.listeners
        self._world.on_moved = lambda: self.move(self.camera)
        self._world.on_changed = self._loop.changed
        self._world.on_turned = self._turned
        sys.setswitchinterval(_SWITCH_SECONDS)

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
        chunks, nbytes = self.frame_statistics.uploaded()
        return {
            "frames": len(frames),
            **self.frame_statistics.summary(),
            "chunks": chunks,
            "bytes": nbytes,
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
        """Forget everything and close the canvas. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._player.stop()
        self._loop.close()
        self._world.close()
        self.canvas.close()
        # vispy's canvases are cycles; collected inside another canvas' frame they would take its context away.
        gc.collect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def driver_for(canvas: Canvas) -> Driver:
    """What has frames drawn on a canvas: its event loop, or whoever waits."""
    if canvas.native is None:
        return HeadlessDriver()
    from octree_client.gui.driver_qt import QtDriver

    return QtDriver()
