"""Brings status line, overlays and panel up to what the viewer says. Reads the viewer, changes nothing of it."""

from __future__ import annotations

import time
from html import escape
from typing import Any

from octree_client import readout
from octree_client.colormaps import colormap_table
from octree_client.gui.appearance import Theme
from octree_client.gui.panel import SidePanel
from octree_client.gui.stage import Stage
from octree_client.gui.stage_marks import BAR_LONGEST
from octree_client.gui.status_bar import StatusBar
from octree_client.layer import ImageLayer
from octree_client.navigation import finest_scale
from octree_client.scale_bar import scale_bar
from octree_client.transport.connection import ConnectionState
from octree_client.viewer import Viewer
from octree_protocol.keys import CellStatus

#: The figures over the picture are read one by one: slower than the rest. Seconds.
_FIGURES_S = 0.25

#: Frames that those figures are of.
_FIGURES_FRAMES = 240

#: Values of so many layers fit the status line.
_VALUES_MOST = 5

#: How bad each state of a connection is, worst last.
_STATES = (ConnectionState.OPEN, ConnectionState.CONNECTING, ConnectionState.CLOSED, ConnectionState.LOST,
           ConnectionState.REFUSED)  # fmt: skip


class Words:
    """What the window says."""

    def __init__(self, bar: StatusBar, stage: Stage, panel: SidePanel) -> None:
        self._bar, self._stage, self._panel = bar, stage, panel
        self._figures_at = 0.0

    def tell(self, viewer: Viewer, cursor: tuple[float, float] | None, theme: Theme) -> None:
        """Say it all; texts that stay the same cost nothing."""
        self._tell_loading(viewer, theme)
        self._tell_connection(viewer, theme)
        active = viewer.layers.active
        level = ""
        if active is not None and active.visible:
            drawn = [piece.chunk[0] for piece in active.pieces if piece.tile >= 0]
            level = readout.level_text(drawn, active.level, len(active.levels))
        self._bar.tell_level(level + (" (kept)" if active is not None and active.level_lock is not None else ""))
        if active is not None:
            self._bar.tell_zoom(readout.zoom_text(viewer.camera.pixel_size, finest_scale(active.levels)))
        self._tell_cursor(viewer, cursor, theme)
        self._tell_marks(viewer)
        self._panel.tell_level(level.removeprefix("level "))
        self._panel.refresh()
        if self._stage.figures.text() and time.monotonic() - self._figures_at > _FIGURES_S:
            self.tell_figures(viewer, theme)

    def _tell_loading(self, viewer: Viewer, theme: Theme) -> None:
        reason = next((why for layer in viewer.layers for why in layer.failures.values()), "")
        images = {id(layer.image): layer.image for layer in viewer.layers}.values()
        made = [image.progress() for image in images]
        together = sum(done for done, _ in made), sum(total for _, total in made)
        message = readout.loading_message(*viewer.status(), reason, together)
        if not len(viewer.layers):
            message = readout.Message("no image", readout.ABSENT)
        self._bar.tell_loading(message, theme)

    def _tell_connection(self, viewer: Viewer, theme: Theme) -> None:
        """The worst of all connections."""
        connections = [session.connection for session in viewer.sessions]
        if not connections:
            self._bar.tell_connection(readout.Message("no daemon", readout.ABSENT), theme)
            self._stage.banner.tell("")
            return
        worst = max(connections, key=lambda connection: _STATES.index(connection.state))
        problem = worst.problem or next((c.notice for c in connections if c.notice), "")
        self._bar.tell_connection(readout.connection_message(worst.state.value, problem), theme)
        self._stage.banner.tell(readout.lost_text(worst.state.value, worst.problem))

    def _tell_cursor(self, viewer: Viewer, cursor: tuple[float, float] | None, theme: Theme) -> None:
        if cursor is None or not len(viewer.layers):
            self._bar.tell_cursor("", "", "")
            self._stage.tell_tip("", (0.0, 0.0))
            return
        camera = viewer.camera
        world = camera.world_at(cursor)
        names = viewer.dims.displayed
        position = readout.position_text(world, camera.pixel_size, names, viewer.dims.units.get(names[1], ""))
        parts, tips = [], []
        shown = [layer for layer in reversed(viewer.layers) if layer.visible]
        for layer in shown:
            found = layer.chunk_at(*world)
            if found is None:
                continue
            value = readout.value_text(layer.value_at(*world))
            level = f"at level {found[0].chunk[0]}" if found[0].tile >= 0 else ""
            at = f" <span style='color:{theme.quiet}'>{level}</span>" if level else ""
            parts.append(f"= {value}{at}" if len(shown) == 1 else f"{_dot(layer, theme)}&nbsp;{value}")
            tips.append(f"{layer.name}: {value} {level}".rstrip())
        more = f" <span style='color:{theme.quiet}'>+{len(parts) - _VALUES_MOST}</span>"
        text = "&nbsp;&nbsp; ".join(parts[:_VALUES_MOST]) + (more if len(parts) > _VALUES_MOST else "")
        self._bar.tell_cursor(position, text, "\n".join(tips))
        ratio = viewer.canvas.pixel_ratio
        self._stage.tell_tip(_why_not(shown, world), (cursor[0] / ratio, cursor[1] / ratio))

    def _tell_marks(self, viewer: Viewer) -> None:
        stage, camera = self._stage, viewer.camera
        down, across = viewer.dims.displayed
        if stage.scale_bar.isVisibleTo(stage):
            before = stage.scale_bar.size()
            unit = viewer.dims.units.get(across, "")
            stage.scale_bar.tell(scale_bar(camera.pixel_size * viewer.canvas.pixel_ratio, unit, BAR_LONGEST))
            if stage.scale_bar.size() != before:
                stage.arrange()
        stage.axes.tell(down, across)
        if stage.minimap.isVisibleTo(stage):
            before = stage.minimap.size()
            stage.minimap.tell(viewer.extent, camera.view())
            if stage.minimap.size() != before:
                stage.arrange()

    def tell_figures(self, viewer: Viewer, theme: Theme) -> None:
        """Show what frames cost."""
        self._figures_at = time.monotonic()
        statistics = viewer.frame_statistics
        frames = [statistics.frames[n] for n in range(-min(_FIGURES_FRAMES, len(statistics.frames)), 0)]
        used, most, vram_bytes = viewer.video_memory()
        self._stage.figures.tell_rows(
            readout.statistics_rows(frames, statistics.frame_rate(), (used, most), vram_bytes), theme.glass_quiet
        )


def _dot(layer: ImageLayer, theme: Theme) -> str:
    """A dot in the layer's colour."""
    colour = theme.quiet
    if layer.kind == "image":
        red, green, blue, _ = (int(sample) for sample in colormap_table(layer.colormap)[-1])
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        if max(red, green, blue) < 60 or min(red, green, blue) > 225:
            colour = theme.quiet  # it would not be seen
    return f"<span style='color:{escape(colour)}'>●</span>"


def _why_not(layers: list[ImageLayer], world: tuple[float, float]) -> str:
    """Why the cell at a place could not be read; nothing if it could."""
    for layer in layers:
        found: Any = layer.chunk_at(*world)
        if found is None or found[0].status is not CellStatus.FAILED or layer.level is None:
            continue
        level = layer.levels[layer.level]
        row, column = (int(level.world_to_voxel(axis, world[axis]) // level.chunk[axis]) for axis in (0, 1))
        reason = layer.failures.get((layer.level, row, column), "it could not be read")
        return f"{layer.name}: {readout.shortened(reason, 160)}\nR reads it again"
    return ""
