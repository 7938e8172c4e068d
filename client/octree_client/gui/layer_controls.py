"""The controls of one layer: contrast with its histogram, colours, how it lies over the others, levels by hand.

Every control sets one property of the layer; `refresh` brings the controls up to what the layer says. Knows nothing of
lists, cameras, sockets or GL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cmap
from qtpy.QtCore import QLocale, QSignalBlocker, QSize, Qt
from qtpy.QtGui import QColor, QDoubleValidator
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QDoubleRangeSlider, QLabeledDoubleSlider, QLabeledSlider, QLargeIntSpinBox, QToggleSwitch
from superqt.cmap import QColormapComboBox

from octree_client.colormaps import FAVOURITES, UnknownColormap, colormap_table
from octree_client.gui.appearance import DARK, GAP, Theme
from octree_client.gui.histogram_view import HistogramView
from octree_client.layer import ImageLayer
from octree_client.looks import BLENDINGS, CONTOUR_MOST, INTERPOLATIONS
from octree_client.readout import contrast_digits, contrast_span

#: The histogram is asked for again after so many calls of `refresh` while data come.
_HISTOGRAM_EVERY = 4

#: Levels finer or coarser by hand.
_QUALITY_MOST = 3.0


class LayerControls(QWidget):  # type: ignore[misc]
    """See the module. `show_layer` says which layer they are of."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layer: ImageLayer | None = None
        self._theme = DARK
        self._span = (0.0, 1.0)
        self._digits = 0
        self._refreshes = 0
        self._colormap = ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP // 2 + 2)
        self._make_contrast(column)
        self._make_labels(column)
        self._make_rows(column)
        self.setEnabled(False)

    # --- made once ---------------------------------------------------------------------------------------------------

    def _make_contrast(self, column: QVBoxLayout) -> None:
        self.contrast_part = QWidget()
        part = QVBoxLayout(self.contrast_part)
        part.setContentsMargins(0, 0, 0, 0)
        part.setSpacing(4)
        self.histogram = HistogramView()
        part.addWidget(self.histogram)
        self.contrast = QDoubleRangeSlider(Qt.Horizontal)
        self.contrast.setFocusPolicy(Qt.NoFocus)
        self.contrast.valueChanged.connect(self._contrast_slid)
        part.addWidget(self.contrast)
        row = QHBoxLayout()
        row.setSpacing(GAP // 2)
        self.low, self.high = self._field(Qt.AlignLeft), self._field(Qt.AlignRight)
        self.auto = self._button("Auto", "Follow the data, by quantiles of a coarse level  (A)", checkable=True)
        self.auto.clicked.connect(self._auto_clicked)
        self.full = self._button("Full", "All that the type of the data can be  (Shift+A)")
        self.full.clicked.connect(self.full_range)
        row.addWidget(self.low, 1)
        row.addWidget(self.auto)
        row.addWidget(self.full)
        row.addWidget(self.high, 1)
        part.addLayout(row)
        column.addWidget(self.contrast_part)

    def _make_labels(self, column: QVBoxLayout) -> None:
        self.labels_part = QWidget()
        grid = _grid(self.labels_part)
        self.selected = QLargeIntSpinBox()
        self.selected.setObjectName("number")
        self.selected.setRange(-(2**63), 2**64 - 1)
        self.selected.setButtonSymbols(QLargeIntSpinBox.NoButtons)
        self.selected.setFocusPolicy(Qt.ClickFocus)
        self.selected.setToolTip("The label that is chosen; a click on the image with Alt chooses one")
        self.selected.valueChanged.connect(lambda value: self._set("selected_label", int(value)))
        self.only = QToggleSwitch("Only this one")
        self.only.toggled.connect(lambda on: self._set("show_selected_only", on))
        self.contour = QLabeledSlider(Qt.Horizontal)
        self.contour.setRange(0, CONTOUR_MOST)
        self.contour.setFocusPolicy(Qt.NoFocus)
        self.contour.setToolTip("Pixels of the outline; 0 fills the label")
        self.contour.valueChanged.connect(lambda value: self._set("contour", value))
        self.shuffle = self._button("Other colours", "Give every label another colour")
        self.shuffle.clicked.connect(self._shuffle)
        _row(grid, 0, "Label", self.selected)
        grid.addWidget(self.only, 1, 1)
        _row(grid, 2, "Contour", self.contour)
        grid.addWidget(self.shuffle, 3, 1)
        column.addWidget(self.labels_part)

    def _make_rows(self, column: QVBoxLayout) -> None:
        part = QWidget()
        grid = _grid(part)
        self.opacity = self._slider(0.0, 1.0, lambda value: self._set("opacity", value))
        self.blending = self._choice(BLENDINGS, lambda text: self._set("blending", text))
        self.colormap = QColormapComboBox(allow_user_colormaps=True, add_colormap_text="All colour maps…")
        self.colormap.addColormaps(FAVOURITES)
        self.colormap.setIconSize(QSize(44, 12))
        self.colormap.setMinimumContentsLength(8)
        self.colormap.currentColormapChanged.connect(self._colormap_chosen)
        self.gamma = self._slider(0.1, 4.0, lambda value: self._set("gamma", value))
        self.interpolation = self._choice(INTERPOLATIONS, lambda text: self._set("interpolation", text))
        self.level = QComboBox()
        self.level.setToolTip("The level that is shown: the one that fits the zoom, or always the same")
        self.level.currentIndexChanged.connect(self._level_chosen)
        self.quality = self._slider(-_QUALITY_MOST, _QUALITY_MOST, lambda value: self._set("quality", value))
        self.quality.setToolTip("Finer (right) or coarser than what fits the screen, in levels")
        self.overlay = QToggleSwitch("Levels and status of cells")
        self.overlay.toggled.connect(lambda on: self._set("overlay", on))
        self._labels: dict[str, QLabel] = {}
        rows: list[tuple[str, QWidget]] = [
            ("Opacity", self.opacity),
            ("Blending", self.blending),
            ("Colour map", self.colormap),
            ("Gamma", self.gamma),
            ("Voxels", self.interpolation),
            ("Level", self.level),
            ("Quality", self.quality),
        ]
        for number, (name, widget) in enumerate(rows):
            widget.setFocusPolicy(Qt.ClickFocus if isinstance(widget, QComboBox) else Qt.NoFocus)
            self._labels[name] = _row(grid, number, name, widget)
        self.overlay.setFocusPolicy(Qt.NoFocus)
        grid.addWidget(self.overlay, len(rows), 0, 1, 2)
        column.addWidget(part)

    def _button(self, text: str, tip: str, *, checkable: bool = False) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName("small")
        button.setToolTip(tip)
        button.setCheckable(checkable)
        button.setFocusPolicy(Qt.NoFocus)
        return button

    def _field(self, align: Qt.AlignmentFlag) -> QLineEdit:
        field = QLineEdit()
        field.setObjectName("field")
        field.setAlignment(align)
        field.setMinimumWidth(60)
        validator = QDoubleValidator(field)
        validator.setLocale(QLocale.c())
        field.setValidator(validator)
        field.editingFinished.connect(self._contrast_typed)
        field.returnPressed.connect(field.clearFocus)
        return field

    def _slider(self, low: float, high: float, call: Callable[[float], None]) -> QLabeledDoubleSlider:
        slider = QLabeledDoubleSlider(Qt.Horizontal)
        slider.setRange(low, high)
        slider.setDecimals(2)
        slider.setSingleStep(0.05)
        slider.valueChanged.connect(call)
        return slider

    def _choice(self, texts: Sequence[str], call: Callable[[str], None]) -> QComboBox:
        box = QComboBox()
        box.addItems(list(texts))
        box.currentTextChanged.connect(call)
        return box

    # --- which layer -------------------------------------------------------------------------------------------------

    def show_layer(self, layer: ImageLayer | None) -> None:
        """Be of this layer from now on; of none, and they cannot be used."""
        if self._layer is not None:
            self._layer.events.disconnect(self._changed, missing_ok=True)
        self._layer = layer
        self.setEnabled(layer is not None)
        if layer is None:
            return
        layer.events.connect(self._changed)
        is_image, is_labels = layer.kind == "image", layer.kind == "labels"
        self.contrast_part.setVisible(not is_labels)
        self.histogram.setVisible(is_image)
        self.auto.setVisible(is_image)
        self.full.setVisible(is_image)
        self.labels_part.setVisible(is_labels)
        for name, widget, there in (
            ("Colour map", self.colormap, is_image),
            ("Gamma", self.gamma, not is_labels),
            ("Voxels", self.interpolation, not is_labels),
        ):
            widget.setVisible(there)
            self._labels[name].setVisible(there)
        with _quiet(self.level):
            self.level.clear()
            self.level.addItem("fits the zoom")
            self.level.addItems([f"always {number}" for number in range(len(layer.levels))])
        self._span, self._colormap, self._refreshes = (0.0, 0.0), "", 0
        self.refresh()

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme, where a style sheet does not reach."""
        self._theme = theme
        self.histogram.dress(theme)
        # Its own blue is another one than the palette's; a property is forgotten in an inactive window, and a style
        # sheet as soon as the window gets another one.
        for state in ("active", "inactive", "disabled"):
            setattr(self.contrast._style, f"brush_{state}", theme.accent if state != "disabled" else theme.line)
        self.contrast.update()
        for switch in (self.overlay, self.only):
            switch.setProperty("onColor", QColor(theme.accent))

    # --- commands ----------------------------------------------------------------------------------------------------

    def full_range(self) -> None:
        """Contrast limits over all that the dtype can be."""
        if self._layer is not None and self._layer.kind != "labels":
            self._layer.contrast_limits = self._layer.full_range()

    def _shuffle(self) -> None:
        if self._layer is not None:
            self._layer.look = replace(self._layer.look, seed=self._layer.look.seed + 1)

    # --- what the layer says -----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring every control up to what the layer says. Cheap; tells the layer nothing."""
        layer = self._layer
        if layer is None:
            return
        if layer.kind != "labels":
            self._refresh_contrast(layer)
        with _quiet(
            self.gamma,
            self.opacity,
            self.interpolation,
            self.blending,
            self.level,
            self.quality,
            self.overlay,
            self.auto,
        ):
            self.auto.setChecked(layer.auto_contrast)
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
            found = catalogue_colormap(layer.colormap)
            with _quiet(self.colormap):
                self.colormap.setCurrentColormap(found)
                self.colormap.lineEdit().setColormap(found)  # its text alone may be no name of the catalogue
        if layer.kind == "labels":
            with _quiet(self.selected, self.only, self.contour):
                self.selected.setValue(layer.look.selected_label or 0)
                self.only.setChecked(layer.look.show_selected_only)
                self.contour.setValue(layer.look.contour)

    def _refresh_contrast(self, layer: ImageLayer) -> None:
        low, high = layer.contrast_limits
        dtype = layer.dataset.dtype
        if layer.kind == "image" and self._refreshes % _HISTOGRAM_EVERY == 0:
            self.histogram.tell(*layer.histogram())
        self._refreshes += 1
        if self.contrast.isSliderDown():
            pass  # a span that changes below the hand would run away from it
        elif self._span[0] >= self._span[1] or layer.auto_contrast or not self._span[0] <= low <= high <= self._span[1]:
            self._span = contrast_span((min(low, high), max(low, high)), dtype)
            self._digits = contrast_digits(self._span, dtype)
        with _quiet(self.contrast):
            self.contrast.setRange(*self._span)
            self.contrast.setValue((min(low, high), max(low, high)))
        self.histogram.tell_limits(self._span, (low, high), layer.gamma)
        for field, value in ((self.low, low), (self.high, high)):
            text = f"{value:.{self._digits}f}"
            if field.text() != text and not (field.hasFocus() and field.isModified()):
                field.setText(text)
                field.setCursorPosition(0)

    def _changed(self, _name: str, _value: object) -> None:
        self.refresh()

    # --- what people do ----------------------------------------------------------------------------------------------

    def _set(self, name: str, value: Any) -> None:
        """By way of the look, which checks it; interpolation and colour map by way of the layer, which knows more."""
        if self._layer is None:
            return
        if name in ("interpolation", "colormap", "contrast_limits"):
            setattr(self._layer, name, value)
        else:
            self._layer.look = replace(self._layer.look, **{name: value})

    def _contrast_slid(self, limits: Sequence[float]) -> None:
        low, high = (round(value, self._digits) for value in limits)
        self._set_contrast(low, high)

    def _contrast_typed(self) -> None:
        layer = self._layer
        if layer is None:
            return
        shown = tuple(f"{value:.{self._digits}f}" for value in layer.contrast_limits)
        typed = (self.low.text(), self.high.text())
        for field in (self.low, self.high):
            field.setModified(False)
        if typed == shown:
            return  # focus went by, nothing was typed
        try:
            low, high = (float(text) for text in typed)
        except ValueError:
            self.refresh()
            return
        self._set_contrast(low, high)

    def _set_contrast(self, low: float, high: float) -> None:
        least = 10.0**-self._digits
        self._set("contrast_limits", (low, max(high, low + least)))

    def _auto_clicked(self, on: bool) -> None:
        if self._layer is not None:
            self._layer.contrast_limits = None if on else self._layer.contrast_limits

    def _colormap_chosen(self, colormap: Any) -> None:
        if colormap is None or self._layer is None:
            return
        name = our_name(colormap)
        if name:
            self._colormap = name
            self._set("colormap", name)

    def _level_chosen(self, index: int) -> None:
        self._set("level_lock", None if index <= 0 else index - 1)


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


def _grid(part: QWidget) -> QGridLayout:
    grid = QGridLayout(part)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(GAP)
    grid.setVerticalSpacing(GAP // 2 + 2)
    grid.setColumnStretch(1, 1)
    return grid


def _row(grid: QGridLayout, row: int, name: str, widget: QWidget) -> QLabel:
    label = QLabel(name)
    label.setObjectName("key")
    label.setMinimumWidth(68)
    grid.addWidget(label, row, 0)
    grid.addWidget(widget, row, 1)
    return label


@contextmanager
def _quiet(*widgets: QWidget) -> Iterator[None]:
    """Within, the widgets tell nobody what they are set to."""
    blockers = [QSignalBlocker(widget) for widget in widgets]
    try:
        yield
    finally:
        for blocker in blockers:
            blocker.unblock()
