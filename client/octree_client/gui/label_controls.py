"""The controls that only labels have: which one is chosen, whether it is alone, outlines, colours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget
from superqt import QLargeIntSpinBox

from octree_client.gui.appearance import Theme
from octree_client.gui.single_controls import Slider, add_row, quiet, rows_of, small_button, switch
from octree_client.layer import ImageLayer
from octree_client.looks import CONTOUR_MOST


class LabelControls(QWidget):  # type: ignore[misc]
    """See the module. `show_layer` says which layer they are of."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layer: ImageLayer | None = None
        grid = rows_of(self)
        self.selected = QLargeIntSpinBox()
        self.selected.setObjectName("number")
        self.selected.setAccessibleName("Chosen label")
        self.selected.setRange(-(2**63), 2**64 - 1)
        self.selected.setButtonSymbols(QLargeIntSpinBox.NoButtons)
        self.selected.setFocusPolicy(Qt.StrongFocus)
        self.selected.setToolTip("The label that is chosen; a click on the image with Alt chooses one")
        self.selected.valueChanged.connect(lambda value: self._set("selected_label", int(value)))
        self.only = switch("Only this one", "Only the chosen label", lambda on: self._set("show_selected_only", on))
        self.contour = Slider(
            "Contour", 0, CONTOUR_MOST, 1, lambda value: self._set("contour", round(value)), decimals=0
        )
        self.contour.setToolTip("Pixels of the outline; 0 fills the label  (W, Shift+W)")
        self.shuffle = small_button(
            "Other colours", "Other colours of labels", "Give every label another colour  (Shift+E)"
        )
        self.shuffle.clicked.connect(self.other_colours)
        add_row(grid, 0, "Label", self.selected)
        grid.addWidget(self.only, 1, 1)
        add_row(grid, 2, "Contour", self.contour)
        grid.addWidget(self.shuffle, 3, 1)

    def show_layer(self, layer: ImageLayer) -> None:
        """Be of this layer from now on."""
        self._layer = layer
        self.setVisible(layer.kind == "labels")

    def leave(self) -> None:
        """Be of no layer."""
        self._layer = None

    def in_order(self) -> list[QWidget]:
        """What Tab goes through."""
        return [self.selected, self.only, self.contour, self.shuffle]

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme, where a style sheet does not reach."""
        self.only.setProperty("onColor", QColor(theme.accent))

    def refresh(self) -> None:
        """Bring every control up to what the layer says. Cheap; tells the layer nothing."""
        layer = self._layer
        if layer is None or layer.kind != "labels":
            return
        with quiet(self.selected, self.only, self.contour):
            if not self.selected.hasFocus():
                self.selected.setValue(layer.look.selected_label or 0)
            self.only.setChecked(layer.look.show_selected_only)
            self.contour.setValue(layer.look.contour)

    def other_colours(self) -> None:
        """Give every label another colour."""
        if self._layer is not None and self._layer.kind == "labels":
            self._layer.seed += 1

    def _set(self, name: str, value: Any) -> None:
        if self._layer is not None:
            self._layer.look = replace(self._layer.look, **{name: value})
