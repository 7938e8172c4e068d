"""The controls of a layer's contrast: histogram, limits by hand, automatic ones and what these leave out.

Every control sets one property of the layer; `refresh` brings the controls up to what the layer says.
"""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from octree_client.gui.appearance import GAP, Theme
from octree_client.gui.histogram_view import HistogramView
from octree_client.gui.single_controls import (
    LimitsSlider,
    PercentField,
    number_field,
    quiet,
    small_button,
)
from octree_client.layer import ImageLayer
from octree_client.look_steps import CUT_MOST, cut_of, cut_text, quantiles_of
from octree_client.readout import contrast_digits, contrast_span

#: The histogram is asked for again after so many calls of `refresh` while data come.
_HISTOGRAM_EVERY = 4


class ContrastControls(QWidget):  # type: ignore[misc]
    """See the module. `show_layer` says which layer they are of."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layer: ImageLayer | None = None
        self._span = (0.0, 1.0)
        self._digits = 0
        self._refreshes = 0
        part = QVBoxLayout(self)
        part.setContentsMargins(0, 0, 0, 0)
        part.setSpacing(4)
        self.histogram = HistogramView()
        part.addWidget(self.histogram)
        self.slider = LimitsSlider("Contrast limits", self._slid)
        self.slider.setToolTip("Contrast limits; arrows move one of them, space chooses the other")
        part.addWidget(self.slider)
        row = QHBoxLayout()
        row.setSpacing(GAP // 2)
        self.low = number_field("Lower contrast limit", Qt.AlignLeft, self._typed)
        self.high = number_field("Upper contrast limit", Qt.AlignRight, self._typed)
        self.auto = small_button("Auto", "Automatic contrast", "", checkable=True)
        self.auto.clicked.connect(self._auto_clicked)
        self.full = small_button("Full", "Full range of the type", "All that the type of the data can be  (Shift+A)")
        self.full.clicked.connect(self.full_range)
        for widget, stretch in ((self.low, 1), (self.auto, 0), (self.full, 0), (self.high, 1)):
            row.addWidget(widget, stretch)
        part.addLayout(row)
        self.cut = QWidget()
        row = QHBoxLayout(self.cut)
        row.setContentsMargins(0, 3, 0, 0)
        row.setSpacing(GAP // 2)
        self.dark = PercentField("Darkest part that automatic contrast cuts", "dark", CUT_MOST, self._cut_set)
        self.bright = PercentField("Brightest part that automatic contrast cuts", "bright", CUT_MOST, self._cut_set)
        self.bright.setAlignment(Qt.AlignRight)
        words = QLabel("Auto cuts")
        words.setObjectName("key")
        words.setAlignment(Qt.AlignCenter)
        for widget, stretch in ((self.dark, 1), (words, 0), (self.bright, 1)):
            row.addWidget(widget, stretch)
        part.addWidget(self.cut)

    def show_layer(self, layer: ImageLayer) -> None:
        """Be of this layer from now on."""
        self._layer = layer
        self.setVisible(layer.kind != "labels")
        for widget in (self.histogram, self.auto, self.full, self.cut):
            widget.setVisible(layer.kind == "image")
        self._span, self._refreshes = (0.0, 0.0), 0

    def leave(self) -> None:
        """Be of no layer."""
        self._layer = None

    def in_order(self) -> list[QWidget]:
        """What Tab goes through."""
        return [self.slider, self.low, self.auto, self.full, self.high, self.dark, self.bright]

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme, where a style sheet does not reach."""
        self.histogram.dress(theme)
        self.slider.dress(theme)

    # --- what the layer says -----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring every control up to what the layer says. Cheap; tells the layer nothing."""
        layer = self._layer
        if layer is None or layer.kind == "labels":
            return
        low, high = layer.contrast_limits
        dtype = layer.dataset.dtype
        if layer.kind == "image" and self._refreshes % _HISTOGRAM_EVERY == 0:
            self.histogram.tell(*layer.histogram())
        self._refreshes += 1
        if self.slider.isSliderDown():
            pass  # a span that changes below the hand would run away from it
        elif self._span[0] >= self._span[1] or layer.auto_contrast or not self._span[0] <= low <= high <= self._span[1]:
            self._span = contrast_span((min(low, high), max(low, high)), dtype)
            self._digits = contrast_digits(self._span, dtype)
        with quiet(self.slider, self.auto, self.dark, self.bright):
            self.slider.setRange(*self._span)
            self.slider.setValue((min(low, high), max(low, high)))
            self.auto.setChecked(layer.auto_contrast)
            for field, share in zip((self.dark, self.bright), cut_of(layer.auto_quantiles), strict=True):
                if not field.hasFocus():
                    field.setValue(share)
        self.histogram.tell_limits(self._span, (low, high), layer.gamma)
        for number, value in ((self.low, low), (self.high, high)):
            text = f"{value:.{self._digits}f}"
            if number.text() != text and not (number.hasFocus() and number.isModified()):
                number.setText(text)
                number.setCursorPosition(0)
        tip = f"Follow the data: {cut_text(layer.auto_quantiles)}  (A)"
        if self.auto.toolTip() != tip:
            for widget in (self.auto, self.dark, self.bright):
                widget.setToolTip(tip)

    # --- what people do ----------------------------------------------------------------------------------------------

    def full_range(self) -> None:
        """Contrast limits over all that the dtype can be."""
        if self._layer is not None and self._layer.kind != "labels":
            self._layer.contrast_limits = self._layer.full_range()

    def move_limit(self, which: int, steps: float) -> None:
        """Move the lower (0) or the upper (1) limit by so many hundredths of the slider's length."""
        layer = self._layer
        if layer is not None and layer.kind != "labels":
            self.refresh()
            limits = list(layer.contrast_limits)
            limits[which] += steps * (self._span[1] - self._span[0]) / 100
            low, high = (round(value, self._digits) for value in limits)
            self._set(low, high, kept=which)

    def _slid(self, limits: Sequence[float]) -> None:
        low, high = (round(value, self._digits) for value in limits)
        self._set(low, high)

    def _typed(self) -> None:
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
        self._set(low, high)

    def _set(self, low: float, high: float, kept: int = 0) -> None:
        """Set both limits, at least one step apart; the one that is `kept` does not give way."""
        least = 10.0**-self._digits
        low, high = (low, max(high, low + least)) if kept == 0 else (min(low, high - least), high)
        if self._layer is not None:
            self._layer.contrast_limits = (low, high)

    def _auto_clicked(self, on: bool) -> None:
        if self._layer is not None:
            self._layer.contrast_limits = None if on else self._layer.contrast_limits

    def _cut_set(self, _share: float) -> None:
        """Another part is to be cut; who says so wants automatic contrast."""
        if self._layer is not None:
            self._layer.auto_quantiles = quantiles_of(self.dark.value(), self.bright.value())
            self._layer.auto_contrast = True
