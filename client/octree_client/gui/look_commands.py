"""Commands that change the look of the active layer by one step; what a step is stands in `look_steps`.

Each says what it has come to, since the panel may be hidden. Harmless while there is no layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from octree_client import readout
from octree_client.look_steps import PARTS

if TYPE_CHECKING:
    from octree_client.gui.window import ViewerWindow
    from octree_client.layer import ImageLayer

#: A key moves a contrast limit by so many hundredths of the slider.
_LIMIT_STEPS = 2.0


class LookCommands(QObject):  # type: ignore[misc]
    """What keys do to how the active layer is shown."""

    def __init__(self, window: ViewerWindow) -> None:
        super().__init__(window)
        self._window = window

    @property
    def _active(self) -> ImageLayer | None:
        return None if self._window.viewer is None else self._window.viewer.layers.active

    # --- contrast ----------------------------------------------------------------------------------------------------

    def more_cut(self) -> None:
        """Automatic contrast that cuts more at both ends."""
        self._step("cut", 1)

    def less_cut(self) -> None:
        """Automatic contrast that cuts less at both ends."""
        self._step("cut", -1)

    def raise_low(self) -> None:
        """The lower contrast limit up."""
        self._move_limit(0, _LIMIT_STEPS)

    def lower_low(self) -> None:
        """The lower contrast limit down."""
        self._move_limit(0, -_LIMIT_STEPS)

    def raise_high(self) -> None:
        """The upper contrast limit up."""
        self._move_limit(1, _LIMIT_STEPS)

    def lower_high(self) -> None:
        """The upper contrast limit down."""
        self._move_limit(1, -_LIMIT_STEPS)

    def more_gamma(self) -> None:
        """Darker between the limits."""
        self._step("gamma", 1)

    def less_gamma(self) -> None:
        """Brighter between the limits."""
        self._step("gamma", -1)

    # --- colours, and how it lies over the others --------------------------------------------------------------------

    def next_colormap(self) -> None:
        """The next of the usual colour maps."""
        self._step("colormap", 1)

    def previous_colormap(self) -> None:
        """The one before."""
        self._step("colormap", -1)

    def more_opacity(self) -> None:
        """More opaque."""
        self._step("opacity", 1)

    def less_opacity(self) -> None:
        """More transparent."""
        self._step("opacity", -1)

    def next_blending(self) -> None:
        """The next way to lie over what is below."""
        self._step("blending", 1)

    def previous_blending(self) -> None:
        """The one before."""
        self._step("blending", -1)

    def toggle_interpolation(self) -> None:
        """Nearest, linear, nearest ..."""
        self._step("interpolation", 1)

    # --- levels ------------------------------------------------------------------------------------------------------

    def more_quality(self) -> None:
        """Finer than what fits the screen."""
        self._step("quality", 1)

    def less_quality(self) -> None:
        """Coarser than what fits the screen."""
        self._step("quality", -1)

    # --- labels ------------------------------------------------------------------------------------------------------

    def toggle_alone(self) -> None:
        """Only the chosen label, or all."""
        self._step("alone", 1)

    def more_contour(self) -> None:
        """Wider outlines."""
        self._step("contour", 1)

    def less_contour(self) -> None:
        """Narrower outlines; at last, none: filled."""
        self._step("contour", -1)

    def other_colours(self) -> None:
        """Another colour for every label."""
        self._step("seed", 1)

    # --- how ---------------------------------------------------------------------------------------------------------

    def _step(self, name: str, step: int) -> None:
        active, part = self._active, PARTS[name]
        if active is None:
            return
        if active.kind not in part.kinds:
            what = "labels" if active.kind == "labels" else "colours" if active.kind == "rgb" else "no labels"
            self._say(f"{active.name} is {what}: it has no {part.name}")
            return
        active.look = part.step(active.look, step)
        self._say(f"{active.name}: {part.text(active.look)}")

    def _move_limit(self, which: int, steps: float) -> None:
        active = self._active
        if active is None:
            return
        if active.kind == "labels":
            self._say(f"{active.name} is labels: it has no contrast limits")
            return
        self._window.panel.controls.contrast.move_limit(which, steps)
        low, high = active.contrast_limits
        self._say(f"{active.name}: {low:,.6g} to {high:,.6g}")

    def _say(self, text: str) -> None:
        self._window.stage.notice.say(readout.Message(readout.shortened(text, 100)))
