"""What of the window is shown and in which colours: panel, marks over the picture, theme, full screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from qtpy.QtCore import QObject, Qt

from octree_client import readout
from octree_client.gui.appearance import Theme, rgb, theme_named
from octree_client.gui.application import dress, system_is_dark
from octree_client.look_steps import next_of
from octree_client.playing import MODES, next_rate
from octree_client.remembered import Remembered

if TYPE_CHECKING:
    from octree_client.gui.window import ViewerWindow

#: How long a new piece fades in, where one likes that.
_FADE_MS = 150.0


class Showing(QObject):  # type: ignore[misc]
    """Commands that show and hide. What they set is remembered.

    Attributes
    ----------
    remembered
        As it is now; the window writes it down when it closes.
    theme
        The colours in use.
    """

    def __init__(self, window: ViewerWindow, remembered: Remembered) -> None:
        super().__init__(window)
        self._window = window
        self.remembered = remembered
        self.theme: Theme = theme_named(remembered.theme, system_is_dark())

    def begin(self) -> None:
        """Show what is remembered."""
        self.dress()
        self._window.panel.setVisible(self.remembered.panel)
        self._tell_handle()

    def dress(self) -> None:
        """Give everything the theme's colours."""
        window, theme = self._window, self.theme
        dress(window, theme)
        window.stage.dress(theme)
        window.focus_mark.dress(theme)
        window.panel.dress(theme)
        window.dims_bar.dress(theme)
        window.system.dress(theme)
        window.canvas.background = rgb(theme.picture)
        if window.key_card.is_open:
            window.key_card.toggle(theme)
            window.key_card.toggle(theme)
        if window.viewer is not None:
            window.canvas.request_frame()
            window.refresh()

    def states(self) -> dict[str, bool]:
        """Whether each thing that can be on is on, by action."""
        window, remembered = self._window, self.remembered
        viewer, navigation = window.viewer, window.gestures.navigation
        return {
            "toggle_panel": remembered.panel,
            "toggle_scale_bar": remembered.scale_bar,
            "toggle_minimap": remembered.minimap,
            "toggle_axes": remembered.axes,
            "toggle_fade": remembered.fade,
            "toggle_overlay": viewer is not None and any(layer.overlay for layer in viewer.layers),
            "play": viewer is not None and viewer.playing is not None,
            "toggle_system": window.system.isVisible(),
            "toggle_statistics": bool(window.stage.figures.text()),
            "toggle_full_screen": window.isFullScreen(),
            "toggle_keys": window.key_card.is_open,
            "zoom_rectangle": navigation is not None and (navigation.marking or navigation.marked is not None),
        }

    def show_marks(self) -> None:
        """Show the marks that are on; all of them are about an image."""
        stage, remembered = self._window.stage, self.remembered
        there = self._window.viewer is not None and len(self._window.viewer.layers) > 0
        stage.show_mark(stage.scale_bar, there and remembered.scale_bar)
        stage.show_mark(stage.axes, there and remembered.axes)
        stage.show_mark(stage.minimap, there and remembered.minimap)
        stage.show_mark(stage.tools, there)

    def _set(self, **changes: Any) -> None:
        self.remembered = msgspec.structs.replace(self.remembered, **changes)
        self.show_marks()
        self._window.refreshing.soon()

    # --- commands ----------------------------------------------------------------------------------------------------

    def toggle_panel(self) -> None:
        """Side panel, or not."""
        panel = self._window.panel
        panel.setVisible(not panel.isVisibleTo(self._window))
        self._set(panel=panel.isVisibleTo(self._window))
        self._window.canvas.native.setFocus()  # what had the keys may be gone
        self._tell_handle()

    def toggle_system(self) -> None:
        """What the system does, or not."""
        self._window.system.setVisible(not self._window.system.isVisible())
        self._set(system=self._window.system.isVisible())

    def toggle_scale_bar(self) -> None:
        """Scale bar, or not."""
        self._set(scale_bar=not self.remembered.scale_bar)

    def toggle_minimap(self) -> None:
        """Map, or not."""
        self._set(minimap=not self.remembered.minimap)

    def toggle_axes(self) -> None:
        """Names of the axes, or not."""
        self._set(axes=not self.remembered.axes)

    def toggle_fade(self) -> None:
        """Whether new pieces fade in, or are there at once."""
        self._set(fade=not self.remembered.fade)
        self.apply_fade()

    def apply_fade(self) -> None:
        """Have the viewer do what is remembered."""
        if self._window.viewer is not None:
            self._window.viewer.fade_ms = _FADE_MS if self.remembered.fade else 0.0

    def toggle_theme(self) -> None:
        """Dark, light, dark ..."""
        self.choose_theme("light" if self.theme.name == "dark" else "dark")

    def choose_theme(self, name: str) -> None:
        """``dark``, ``light`` or ``system``."""
        self._set(theme=name)
        self.theme = theme_named(name, system_is_dark())
        self.dress()

    def set_play(self, fps: float, mode: Any) -> None:
        """How axes are played; one that is being played goes on so."""
        self._set(fps=fps, play_mode=mode)
        viewer = self._window.viewer
        if viewer is not None and viewer.playing is not None:
            viewer.play(viewer.playing.axis, fps, mode)

    def play(self) -> None:
        """Play along the last axis that can be moved along, or stop."""
        viewer = self._window.viewer
        axes = self._window.gestures.movable_axes()
        if viewer is not None and (viewer.playing is not None or axes):
            self.play_axis(None if viewer.playing is not None else axes[-1])

    def play_faster(self) -> None:
        """More places a second."""
        self._set_fps(1)

    def play_slower(self) -> None:
        """Fewer places a second."""
        self._set_fps(-1)

    def next_play_mode(self) -> None:
        """Loop, once, back and forth, loop ..."""
        self._set_play_shown(self.remembered.fps, next_of(MODES, self.remembered.play_mode, 1))

    def _set_fps(self, step: int) -> None:
        self._set_play_shown(next_rate(self.remembered.fps, step), self.remembered.play_mode)

    def _set_play_shown(self, fps: float, mode: Any) -> None:
        self.set_play(fps, mode)
        self._window.dims_bar.set_play(fps, mode)
        text = f"{fps:g} a second, {mode.replace('-', ' ')}"
        self._window.stage.notice.say(readout.Message(f"Played: {text}"))

    def play_axis(self, axis: str | None) -> None:
        """Play along an axis; None stops."""
        viewer = self._window.viewer
        if viewer is None:
            return
        if axis is None:
            viewer.stop_playing()
        else:
            viewer.play(axis, self.remembered.fps, self.remembered.play_mode)
        self._window.refresh()

    def fill_themes(self, menu: Any) -> None:
        """A line for each theme."""
        for name, text in (("dark", "Dark"), ("light", "Light"), ("system", "As the desktop")):
            action = menu.addAction(text)
            action.setCheckable(True)
            action.setChecked(self.remembered.theme == name)
            action.triggered.connect(lambda _=False, name=name: self.choose_theme(name))

    def toggle_statistics(self) -> None:
        """Show what frames cost, or not."""
        window = self._window
        if window.stage.figures.text():
            window.stage.figures.tell("")
        elif window.viewer is not None:
            window.words.tell_figures(window.viewer, self.theme)

    def toggle_full_screen(self) -> None:
        """Full screen, or not."""
        self._window.setWindowState(self._window.windowState() ^ Qt.WindowFullScreen)

    def toggle_keys(self) -> None:
        """The list of keys, or not."""
        self._window.key_card.toggle(self.theme)

    def dismiss(self) -> None:
        """Close the list of keys; else give up marking; else leave a field of the panel; else the full screen."""
        window = self._window
        if window.key_card.is_open:
            window.key_card.toggle(self.theme)
        elif window.gestures.unmark():
            pass
        elif not window.canvas.native.hasFocus():
            window.canvas.native.setFocus()
        elif window.isFullScreen():
            self.toggle_full_screen()

    def _tell_handle(self) -> None:
        there = self._window.panel.isVisibleTo(self._window)
        self._window.handle.setText("›" if there else "‹")
        self._window.handle.setToolTip("Hide the panel (G)" if there else "Show the panel (G)")
