"""Brings status line, overlays and panel up to what the viewer says. Reads the viewer, changes nothing of it."""

from __future__ import annotations

import time

from octree_client import readout
from octree_client.appearance import Theme
from octree_client.navigation import finest_scale, inside
from octree_client.panel import SidePanel
from octree_client.scale_bar import scale_bar
from octree_client.stage import Stage
from octree_client.stage_marks import BAR_LONGEST
from octree_client.status_bar import StatusBar
from octree_client.viewer import Viewer

#: The figures over the picture are read one by one: slower than the rest. Seconds.
_FIGURES_S = 0.25

#: Frames that those figures are of.
_FIGURES_FRAMES = 240


class Words:
    """What the window says."""

    def __init__(self, bar: StatusBar, stage: Stage, panel: SidePanel) -> None:
        self._bar, self._stage, self._panel = bar, stage, panel
        self._figures_at = 0.0

    def tell(self, viewer: Viewer, cursor: tuple[float, float] | None, theme: Theme) -> None:
        """Say it all; texts that stay the same cost nothing."""
        status, layer = viewer.status(), viewer.layers[0]
        failures = layer.failures
        reason = next(iter(failures.values()), "")
        self._bar.tell_loading(
            readout.loading_message(
                status.final,
                status.provisional,
                status.missing,
                status.failed,
                status.empty,
                reason,
                layer.image.progress(),
            ),
            theme,
        )
        drawn = [piece.chunk[0] for piece in layer.pieces if piece.tile >= 0]
        level = readout.level_text(drawn, layer.level, len(layer.levels))
        self._bar.tell_level(level)
        self._bar.tell_zoom(readout.zoom_text(viewer.camera.pixel_size, finest_scale(layer.levels)))
        connection = layer.image.session.connection
        state, problem = connection.state.value, connection.problem
        self._bar.tell_connection(readout.connection_message(state, problem), theme)
        self._stage.banner.tell(readout.lost_text(state, problem))
        self._tell_cursor(viewer, cursor, theme)
        self._tell_marks(viewer)
        self._panel.tell_level(level.removeprefix("level "))
        self._panel.tell_failures(failures)
        self._panel.refresh()
        if self._stage.figures.text() and time.monotonic() - self._figures_at > _FIGURES_S:
            self.tell_figures(viewer, theme)

    def _tell_cursor(self, viewer: Viewer, cursor: tuple[float, float] | None, theme: Theme) -> None:
        if cursor is None:
            self._bar.tell_cursor("", "")
            return
        camera, layer = viewer.camera, viewer.layers[0]
        world = camera.world_at(cursor)
        names = viewer.dims.displayed
        position = readout.position_text(world, camera.pixel_size, names, viewer.dims.units[names[1]])
        value = ""
        if inside(layer.levels, world):
            found = layer.chunk_at(*world)
            value = f"= {readout.value_text(layer.value_at(*world))}"
            if found is not None and found[0].tile >= 0:
                value += f" <span style='color:{theme.quiet}'>at level {found[0].chunk[0]}</span>"
        self._bar.tell_cursor(position, value)

    def _tell_marks(self, viewer: Viewer) -> None:
        stage, camera, layer = self._stage, viewer.camera, viewer.layers[0]
        ratio = viewer.canvas.pixel_ratio
        down, across = viewer.dims.displayed
        if stage.scale_bar.isVisibleTo(stage):
            before = stage.scale_bar.size()
            stage.scale_bar.tell(scale_bar(camera.pixel_size * ratio, viewer.dims.units[across], BAR_LONGEST))
            if stage.scale_bar.size() != before:
                stage.arrange()
        stage.axes.tell(down, across)
        if stage.minimap.isVisibleTo(stage):
            before = stage.minimap.size()
            stage.minimap.tell(layer.extent, camera.view())
            if stage.minimap.size() != before:
                stage.arrange()

    def tell_figures(self, viewer: Viewer, theme: Theme) -> None:
        """Show what frames cost."""
        self._figures_at = time.monotonic()
        statistics = viewer.frame_statistics
        frames = [statistics.frames[n] for n in range(-min(_FIGURES_FRAMES, len(statistics.frames)), 0)]
        found = viewer.statistics()
        self._stage.figures.tell_rows(
            readout.statistics_rows(
                frames, statistics.frame_rate(), (found["tiles"], found["tiles_most"]), found["vram_bytes"]
            ),
            theme.glass_quiet,
        )
