"""Commands about layers: contrast, visibility, order, channels, levels by hand. Harmless while there is no layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from octree_client import readout

if TYPE_CHECKING:
    from octree_client.gui.window import ViewerWindow
    from octree_client.layer import ImageLayer
    from octree_client.viewer import Viewer


class LayerCommands(QObject):  # type: ignore[misc]
    """What keys, menus and buttons do to the active layer."""

    def __init__(self, window: ViewerWindow) -> None:
        super().__init__(window)
        self._window = window

    @property
    def _viewer(self) -> Viewer | None:
        return self._window.viewer

    @property
    def _active(self) -> ImageLayer | None:
        return None if self._viewer is None else self._viewer.layers.active

    def auto_contrast(self) -> None:
        """Follow the data."""
        if self._active is not None and self._active.kind == "image":
            self._active.auto_contrast = True

    def full_range(self) -> None:
        """Contrast limits over all that the dtype can be."""
        self._window.panel.controls.contrast.full_range()

    def switch_labels(self) -> None:
        """Show the active layer's numbers as labels, or as an image."""
        viewer, active = self._viewer, self._active
        if viewer is None or active is None:
            return
        try:
            viewer.show_as(active, "image" if active.kind == "labels" else "labels")
        except ValueError as error:
            self._say(str(error))

    def rename_layer(self) -> None:
        """Type another name into the list."""
        if self._active is not None:
            if not self._window.panel.isVisible():
                self._window.showing.toggle_panel()
            self._window.panel.rows.rename()

    def toggle_overlay(self) -> None:
        """Tint cells by level and status, of all layers or of none."""
        if self._viewer is not None:
            on = not any(layer.overlay for layer in self._viewer.layers)
            for layer in self._viewer.layers:
                layer.overlay = on

    def toggle_visible(self) -> None:
        """Show the active layer, or hide it."""
        if self._active is not None:
            self._active.visible = not self._active.visible

    def layer_above(self) -> None:
        """The next layer is the active one."""
        self._step(1)

    def layer_below(self) -> None:
        """The layer before is the active one."""
        self._step(-1)

    def raise_layer(self) -> None:
        """Move the active layer up."""
        self._move(1)

    def lower_layer(self) -> None:
        """Move the active layer down."""
        self._move(-1)

    def remove_layer(self) -> None:
        """Take the chosen layers away."""
        if self._viewer is not None:
            for layer in self._window.panel.rows.chosen() or ([self._active] if self._active is not None else []):
                self._viewer.layers.remove(layer)

    def split_channels(self) -> None:
        """A layer for each channel, instead of the active layer."""
        active = self._active
        if self._viewer is not None and active is not None and active.channel is None:
            if any(axis.kind == "channel" for axis in active.dataset.axes):
                self._viewer.split_channels(active)
            else:
                self._say(f"{active.name} has no channels")

    def merge_channels(self) -> None:
        """One layer with a position on the axis of channels, instead of all layers of the active one's image."""
        active = self._active
        if self._viewer is not None and active is not None and active.channel is not None:
            same = [layer for layer in self._viewer.layers if layer.image is active.image and layer.channel is not None]
            self._viewer.merge_channels(same)

    def finer_level(self) -> None:
        """Show always the next finer level."""
        self._lock(-1)

    def coarser_level(self) -> None:
        """Show always the next coarser level."""
        self._lock(1)

    def toggle_level_lock(self) -> None:
        """Show always the level that is shown now, or the one that fits."""
        active = self._active
        if active is not None:
            active.level_lock = active.level if active.level_lock is None else None

    def pick(self, y: float, x: float) -> None:
        """Choose the label at a place of the world: of the active layer, or of the topmost that has any."""
        viewer = self._viewer
        if viewer is None:
            return
        shown = [layer for layer in reversed(viewer.layers) if layer.kind == "labels" and layer.visible]
        if self._active in shown:
            shown.insert(0, self._active)
        for layer in shown:
            label = layer.value_at(y, x)
            if label is not None:
                layer.selected_label = int(label)
                viewer.layers.active = layer
                return

    def retry(self) -> None:
        """Read again what failed."""
        if self._viewer is not None:
            self._viewer.retry()

    def _step(self, step: int) -> None:
        viewer, active = self._viewer, self._active
        if viewer is not None and active is not None:
            place = viewer.layers.index(active) + step
            viewer.layers.active = viewer.layers[min(max(place, 0), len(viewer.layers) - 1)]

    def _move(self, step: int) -> None:
        viewer, active = self._viewer, self._active
        if viewer is not None and active is not None:
            place = viewer.layers.index(active)
            viewer.layers.move(place, min(max(place + step, 0), len(viewer.layers) - 1))

    def _lock(self, step: int) -> None:
        active = self._active
        if active is not None:
            now = active.level_lock if active.level_lock is not None else active.level or 0
            active.level_lock = min(max(now + step, 0), len(active.levels) - 1)

    def _say(self, text: str) -> None:
        self._window.stage.notice.say(readout.Message(text))
