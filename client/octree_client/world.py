"""The layers and the dimensions of a viewer, and what keeps them together: units, axes, positions, video memory.

Knows nothing of cameras, frames or canvases: it says when something changed that moves what is seen (`on_moved`), and
when something is only to be drawn anew (`on_changed`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from octree_client.dims import Dims
from octree_client.layer import ImageLayer
from octree_client.layer_list import LayerList
from octree_client.new_layers import LayerPlan
from octree_client.pager import LayerPager
from octree_client.placing import axes_of_world, placed, world_units
from octree_client.probing import BetweenFrames
from octree_client.session import Image
from octree_client.transport.connection import Connection
from octree_client.vram import share_out
from octree_protocol.geometry import Dataset

#: World (y0, x0, y1, x1) while there is nothing: the unit square.
NOTHING = (0.0, 0.0, 1.0, 1.0)

#: Properties of a layer that change what is wanted of it.
_MOVING = frozenset({"visible", "level_lock", "quality", "retry"})


class World:
    """Layers in one world.

    Parameters
    ----------
    canvas_size
        Says the canvas' (width, height) in pixels: what the video memory is shared by.
    max_texture
        Edge of the largest texture that GL takes.
    wake
        Called in connections' threads when something has come.
    vram_bytes
        Budget for the tiles of all layers.
    between_frames
        Calls something within the canvas' context.

    Attributes
    ----------
    layers, dims
        The models.
    on_moved, on_changed, on_turned
        Who is told: what is seen moved; something is to be drawn anew; other axes are displayed than before.
    """

    def __init__(
        self,
        canvas_size: Callable[[], tuple[int, int]],
        max_texture: int,
        wake: Callable[[], None],
        vram_bytes: int,
        between_frames: BetweenFrames,
    ) -> None:
        self.layers = LayerList()
        self.dims = Dims()
        self.on_moved: Callable[[], None] = lambda: None
        self.on_changed: Callable[[], None] = lambda: None
        self.on_turned: Callable[[tuple[str, str], tuple[str, str]], None] = lambda _before, _now: None
        self._canvas_size, self._max_texture, self._wake = canvas_size, max_texture, wake
        self._between_frames = between_frames
        self._vram_bytes = vram_bytes
        self._fade_ms = 0.0
        self._units: dict[str, str] = {}
        self._displayed = self.dims.displayed
        self._turning = False
        events = self.layers.events
        events.inserted.connect(self._inserted)
        events.removed.connect(self._removed)
        events.moved.connect(lambda *_: self.on_changed())
        events.changed.connect(self._layer_changed)
        self.dims.events.point_changed.connect(self._point_changed)
        self.dims.events.displayed_changed.connect(self._displayed_changed)

    @property
    def vram_bytes(self) -> int:
        """Budget for the tiles of all layers."""
        return self._vram_bytes

    @vram_bytes.setter
    def vram_bytes(self, vram_bytes: int) -> None:
        if vram_bytes < 0:
            raise ValueError(f"a budget is a number of bytes, not {vram_bytes}")
        self._vram_bytes = int(vram_bytes)
        self.share_vram()
        self.on_moved()

    @property
    def fade_ms(self) -> float:
        """How long a new piece takes to fade in over what stood in for it; 0 for not at all."""
        return self._fade_ms

    @fade_ms.setter
    def fade_ms(self, fade_ms: float) -> None:
        if not 0.0 <= fade_ms <= 10_000.0:
            raise ValueError(f"a fade takes 0 to 10000 ms, not {fade_ms}")
        self._fade_ms = float(fade_ms)
        for layer in self.layers:
            layer.pager.fading.seconds = self._fade_ms / 1e3
        self.on_changed()

    def insert(self, image: Image, plans: Sequence[LayerPlan], index: int) -> list[ImageLayer]:
        """Make layers of an image, and put them at a place of the list."""
        for axis, unit in world_units([*(layer.dataset for layer in self.layers), image.dataset]).items():
            self._units[axis] = self._units.get(axis) or unit
        dataset = placed(image.dataset, self._units)
        share = self._vram_bytes // (len(self.layers) + len(plans))
        make = partial(_make_pager, image.session.connection, share, self._max_texture, self._wake)
        layers = [ImageLayer(image, dataset, plan.name, plan.kind, plan.channel, plan.look, make) for plan in plans]
        for number, layer in enumerate(layers):
            layer.pager.fading.seconds = self._fade_ms / 1e3
            layer.between_frames = self._between_frames
            self.layers.insert(index + number, layer)
        return layers

    def place_layers(self, following: Sequence[dict[str, float]] = ()) -> None:
        """Have every layer show what is displayed of it; `following` points may be next."""
        displayed, point = self.dims.displayed, self.dims.point
        for layer in self.layers:
            layer.place(displayed, point, following)

    def share_vram(self) -> None:
        """Give every layer its part of the budget; it is taken at the next frame."""
        size = self._canvas_size()
        needs = [layer.pager.atlas.need(size, layer.pager.active) for layer in self.layers]
        for layer, share in zip(self.layers, share_out(needs, self._vram_bytes), strict=True):
            layer.pager.atlas.vram_bytes = share

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """World (y0, x0, y1, x1) of what is drawn on the displayed axes; of all layers, if nothing is."""
        shown = [layer.extent for layer in self.layers if layer.pager.active]
        shown = shown or [layer.extent for layer in self.layers]
        if not shown:
            return NOTHING
        y0, x0, y1, x1 = zip(*shown, strict=True)
        return min(y0), min(x0), max(y1), max(x1)

    def set_points(self, points: dict[str, float]) -> None:
        """Go to these places on several axes, and say so once."""
        self._turning = True
        try:
            for axis, world in points.items():
                if axis in self.dims.axes:
                    self.dims.set_point(axis, world)
        finally:
            self._turning = False

    def close(self) -> None:
        """Free what the layers hold."""
        for layer in self.layers:
            layer.close()

    # --- what happens ------------------------------------------------------------------------------------------------

    def _inserted(self, _index: int, _layer: ImageLayer) -> None:
        self._tell_axes()

    def _removed(self, _index: int, layer: ImageLayer) -> None:
        layer.close()
        self._tell_axes()

    def _tell_axes(self) -> None:
        self.dims.tell_axes(axes_of_world([(layer.dataset, frozenset(layer.fixed)) for layer in self.layers]))
        self._displayed = self.dims.displayed
        self.place_layers()
        self.share_vram()
        self.on_moved()

    def _layer_changed(self, _layer: ImageLayer, name: str, _value: object) -> None:
        if name == "visible":
            self.place_layers()
            self.share_vram()
        if name in _MOVING:
            self.on_moved()
        else:
            self.on_changed()

    def _point_changed(self, _axis: str, _world: float) -> None:
        if not self._turning:
            self.on_moved()

    def _displayed_changed(self, down: str, across: str) -> None:
        before, self._displayed = self._displayed, (down, across)
        self.on_turned(before, self._displayed)
        self.share_vram()


def _make_pager(
    connection: Connection,
    vram_bytes: int,
    max_texture: int,
    wake: Callable[[], None],
    dataset: Dataset,
    labels: bool,
    *on: Any,
) -> LayerPager:
    return LayerPager(connection, dataset, vram_bytes, max_texture, wake, None, None, labels, *on)
