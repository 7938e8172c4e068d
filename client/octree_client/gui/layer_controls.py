"""The controls of one layer: its contrast, its labels, how it lies over the others, levels by hand.

Every control sets one property of the layer; `refresh` brings the controls up to what the layer says. Knows nothing of
lists, cameras, sockets or GL.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cmap
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget
from superqt.cmap import QColormapComboBox

from octree_client.colormaps import FAVOURITES, UnknownColormap, colormap_table
from octree_client.gui.appearance import GAP, Theme
from octree_client.gui.contrast_controls import ContrastControls
from octree_client.gui.label_controls import LabelControls
from octree_client.gui.single_controls import Slider, add_row, choice, quiet, rows_of, switch
from octree_client.layer import ImageLayer
from octree_client.look_steps import GAMMA_LEAST, GAMMA_MOST, QUALITY_USUAL
from octree_client.looks import BLENDINGS, INTERPOLATIONS


class LayerControls(QWidget):  # type: ignore[misc]
    """See the module. `show_layer` says which layer they are of."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layer: ImageLayer | None = None
        self._colormap = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP // 2 + 2)
        self.contrast = ContrastControls()
        column.addWidget(self.contrast)
        self.labels = LabelControls()
        column.addWidget(self.labels)
        self._make_rows(column)
        self.setEnabled(False)

    # --- made once ---------------------------------------------------------------------------------------------------

    def _make_rows(self, column: QVBoxLayout) -> None:
        part = QWidget()
        grid = rows_of(part)
        self.opacity = Slider("Opacity", 0.0, 1.0, 0.05, lambda value: self._set("opacity", value))
        self.opacity.setToolTip("0 shows nothing of it  (O, Shift+O)")
        self.blending = choice("Blending", BLENDINGS, lambda text: self._set("blending", text))
        self.blending.setToolTip("How it lies over what is below  (B, Shift+B)")
        self.colormap = ColourMaps(self._colormap_chosen)
        self.gamma = Slider("Gamma", GAMMA_LEAST, GAMMA_MOST, 0.05, lambda value: self._set("gamma", value))
        self.gamma.setToolTip("Above 1 is darker between the limits, below 1 brighter  (D, Shift+D)")
        self.interpolation = choice("Interpolation", INTERPOLATIONS, lambda text: self._set("interpolation", text))
        self.interpolation.setToolTip("Whether one sees the voxels  (N)")
        self.level = choice("Level", (), lambda _text: None)
        self.level.setToolTip("The level that is shown: the one that fits the zoom, or always the same  (K)")
        self.level.currentIndexChanged.connect(self._level_chosen)
        self.quality = Slider("Quality", -QUALITY_USUAL, QUALITY_USUAL, 0.25, lambda value: self._set("quality", value))
        self.quality.setToolTip("Finer (right) or coarser than what fits the screen, in levels  (<, >)")
        self.overlay = switch("Levels and status of cells", "Levels and status", lambda on: self._set("overlay", on))
        self.overlay.setToolTip("Of this layer; L does it for all")
        rows: list[tuple[str, QWidget]] = [
            ("Opacity", self.opacity),
            ("Blending", self.blending),
            ("Colour map", self.colormap),
            ("Gamma", self.gamma),
            ("Voxels", self.interpolation),
            ("Level", self.level),
            ("Quality", self.quality),
        ]
        self._words: dict[str, QLabel] = {
            name: add_row(grid, number, name, widget) for number, (name, widget) in enumerate(rows)
        }
        grid.addWidget(self.overlay, len(rows), 0, 1, 2)
        column.addWidget(part)

    # --- which layer -------------------------------------------------------------------------------------------------

    def show_layer(self, layer: ImageLayer | None) -> None:
        """Be of this layer from now on; of none, and they cannot be used."""
        if self._layer is not None:
            self._layer.events.disconnect(self._changed, missing_ok=True)
        self._layer = layer
        self.setEnabled(layer is not None)
        if layer is None:
            self.contrast.leave()
            self.labels.leave()
            return
        layer.events.connect(self._changed)
        self.contrast.show_layer(layer)
        self.labels.show_layer(layer)
        for name, widget, there in (
            ("Colour map", self.colormap, layer.kind == "image"),
            ("Gamma", self.gamma, layer.kind != "labels"),
            ("Voxels", self.interpolation, layer.kind != "labels"),
        ):
            widget.setVisible(there)
            self._words[name].setVisible(there)
        with quiet(self.level):
            self.level.clear()
            self.level.addItem("fits the zoom")
            self.level.addItems([f"always {number}" for number in range(len(layer.levels))])
        self._colormap = ""
        self.refresh()

    def in_order(self) -> list[QWidget]:
        """What Tab goes through, from the top to the bottom."""
        rows = [self.opacity, self.blending, self.colormap, self.gamma, self.interpolation, self.level, self.quality]
        return [*self.contrast.in_order(), *self.labels.in_order(), *rows, self.overlay]

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme, where a style sheet does not reach."""
        self.contrast.dress(theme)
        self.labels.dress(theme)
        self.overlay.setProperty("onColor", QColor(theme.accent))

    # --- what the layer says -----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring every control up to what the layer says. Cheap; tells the layer nothing."""
        layer = self._layer
        if layer is None:
            return
        self.contrast.refresh()
        self.labels.refresh()
        with quiet(self.gamma, self.opacity, self.interpolation, self.blending, self.level, self.quality, self.overlay):
            self.gamma.setValue(layer.gamma)
            self.opacity.setValue(layer.opacity)
            self.quality.setValue(layer.quality)
            self.interpolation.setCurrentText(layer.interpolation)
            self.blending.setCurrentText(layer.blending)
            self.overlay.setChecked(layer.overlay)
            self.level.setCurrentIndex(0 if layer.level_lock is None else layer.level_lock + 1)
        if layer.kind == "image" and self._colormap != layer.colormap:
            # Comparing names: comparing colour maps compares their colours.
            self._colormap = layer.colormap
            self.colormap.tell(layer.colormap)

    def _changed(self, _name: str, _value: object) -> None:
        self.refresh()

    # --- what people do ----------------------------------------------------------------------------------------------

    def _set(self, name: str, value: Any) -> None:
        """By way of the look, which checks it; the interpolation by way of the layer, which knows more."""
        if self._layer is None:
            return
        if name == "interpolation":
            self._layer.interpolation = value
        else:
            self._layer.look = replace(self._layer.look, **{name: value})

    def _colormap_chosen(self, name: str) -> None:
        if self._layer is not None:
            self._colormap = name
            self._layer.colormap = name

    def _level_chosen(self, index: int) -> None:
        self._set("level_lock", None if index <= 0 else index - 1)


class ColourMaps(QColormapComboBox):  # type: ignore[misc]
    """A choice of colour maps with their colours; `call` gets the name of one that somebody chooses."""

    def __init__(self, call: Any) -> None:
        super().__init__(allow_user_colormaps=True, add_colormap_text="All colour maps…")
        self._call = call
        self.addColormaps(FAVOURITES)
        self.setIconSize(QSize(44, 12))
        self.setMinimumContentsLength(8)
        self.setAccessibleName("Colour map")
        self.lineEdit().setAccessibleName("Name of the colour map")
        self.setToolTip("Type a name, or choose one  (I, Shift+I)")
        self.setFocusPolicy(Qt.StrongFocus)
        self.currentColormapChanged.connect(self._chosen)

    def tell(self, name: str) -> None:
        """Show the colour map of a layer."""
        found = catalogue_colormap(name)
        with quiet(self):
            self.setCurrentColormap(found)
            self.lineEdit().setColormap(found)  # its text alone may be no name of the catalogue

    def keyPressEvent(self, event: Any) -> None:
        """Qt's hook: the arrows stay among the colour maps; the last line, which opens a dialog, takes a choice."""
        last = self.count() - 2
        if event.key() in (Qt.Key_Down, Qt.Key_PageDown, Qt.Key_End) and (
            event.key() != Qt.Key_Down or self.currentIndex() >= last
        ):
            self.setCurrentIndex(last)
            return
        super().keyPressEvent(event)

    def _chosen(self, colormap: Any) -> None:
        name = our_name(colormap) if colormap is not None else ""
        if name:
            self._call(name)


def catalogue_colormap(name: str) -> Any:
    """The `cmap.Colormap` of a layer's colour map; a colour is a map from black to it."""
    return cmap.Colormap(["#000000", name], name=name) if name.startswith("#") else cmap.Colormap(name)


def our_name(colormap: Any) -> str:
    """What a layer calls a `cmap.Colormap`: the short name, where it is enough; nothing if it cannot be named."""
    for name in (colormap.name.rpartition(":")[2], colormap.name):
        try:
            colormap_table(name)
        except UnknownColormap:
            continue
        return str(name)
    return ""
