"""The panel beside the picture: what the image is, and how it is shown. A thin widget over a `Viewer`.

Every control calls one property of the lowest layer; `refresh` brings the controls up to what the viewer says. Knows
nothing of cameras, sockets or GL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any

from qtpy.QtCore import QLocale, QSignalBlocker, QSize, Qt
from qtpy.QtGui import QColor, QDoubleValidator
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QDoubleRangeSlider, QEnumComboBox, QLabeledDoubleSlider, QLabeledSlider, QToggleSwitch
from superqt.cmap import QColormapComboBox

from octree_client.appearance import DARK, GAP, LEGEND, PANEL_WIDTH, Theme
from octree_client.colormaps import FAVOURITES
from octree_client.readout import contrast_digits, contrast_span, failure_lines, shape_text, unit_sign
from octree_client.viewer import Viewer


class Interpolation(Enum):
    """What a combo box offers."""

    nearest = "nearest"
    linear = "linear"


class SidePanel(QFrame):  # type: ignore[misc]
    """See the module. `show_viewer` fills it; before that it says that nothing is open yet."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setFixedWidth(PANEL_WIDTH)
        self._viewer: Viewer | None = None
        self._theme = DARK
        self._span = (0.0, 1.0)
        self._digits = 0
        self._colormap = ""
        self._failed: tuple[str, ...] = ()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        scroll = QScrollArea()
        scroll.setObjectName("panelScroll")
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        outer.addWidget(scroll)
        body = QWidget()
        body.setObjectName("panelBody")
        scroll.setWidget(body)
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(GAP + 4, GAP + 2, GAP + 4, GAP)
        self._column.setSpacing(GAP // 2 + 2)
        self.setEnabled(False)

    # --- made once, for one viewer -----------------------------------------------------------------------------------

    def show_viewer(self, viewer: Viewer) -> None:
        """Fill the panel for a viewer."""
        self._viewer = viewer
        self._make_facts(viewer)
        self._make_positions(viewer)
        self._make_contrast(viewer)
        self._make_appearance(viewer)
        self._make_failures()
        self._column.addStretch(1)
        hint = self._label("F1  lists the keys", "hint")
        self._column.addWidget(hint)
        self.setEnabled(True)
        self.dress(self._theme)
        self.refresh()

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme, where a style sheet does not reach."""
        self._theme = theme
        if self._viewer is not None:
            # Its own blue is another one than the palette's, and a property alone is forgotten in an inactive window.
            self.contrast.setStyleSheet(f"QRangeSlider {{ qproperty-barColor: {theme.accent}; }}")
            self.overlay.setProperty("onColor", QColor(theme.accent))

    def _label(self, text: str, name: str) -> QLabel:
        label = QLabel(text)
        label.setObjectName(name)
        label.setTextFormat(Qt.PlainText)
        return label

    def _heading(self, text: str, *beside: QWidget) -> None:
        divider = QFrame()
        divider.setObjectName("divider")
        divider.setFixedHeight(1)
        self._column.addSpacing(GAP // 2)
        self._column.addWidget(divider)
        row = QHBoxLayout()
        row.addWidget(self._label(text, "heading"))
        row.addStretch(1)
        for widget in beside:
            row.addWidget(widget)
        self._column.addLayout(row)

    def _make_facts(self, viewer: Viewer) -> None:
        image = viewer.layers[0].image
        self.title = self._label(image.name, "title")
        self.title.setToolTip(image.name)
        self.title.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Preferred)
        self._column.addWidget(self.title)
        down, across = image.dataset.displayed()
        finest = image.levels[0]
        unit = unit_sign(image.axis_details[across].unit)
        facts = [
            ("Axes", " ".join(image.axes)),
            ("Shape", shape_text(image.shape)),
            ("Type", f"{image.dtype.name}{', colour' if image.rgb else ''}"),
            ("Voxel", f"{finest.scale[down]:.4g} × {finest.scale[across]:.4g} {unit}".rstrip()),
            ("Levels", str(len(image.levels))),
            ("Shown", ""),
        ]
        grid = QGridLayout()
        grid.setHorizontalSpacing(GAP)
        grid.setVerticalSpacing(GAP // 3)
        grid.setColumnStretch(1, 1)
        self.facts: dict[str, QLabel] = {}
        for row, (key, text) in enumerate(facts):
            value = self.facts[key] = self._label(text, "fact")
            value.setWordWrap(True)
            value.setTextInteractionFlags(Qt.TextSelectableByMouse)
            grid.addWidget(self._label(key, "key"), row, 0, Qt.AlignTop)
            grid.addWidget(value, row, 1)
        self._column.addLayout(grid)

    def _make_positions(self, viewer: Viewer) -> None:
        """A slider for each axis that is not displayed."""
        self.positions: list[QLabeledSlider] = []
        hidden = viewer.dims.hidden
        if not hidden:
            return
        self._heading("POSITION")
        grid = self._grid()
        for row, axis in enumerate(hidden):
            size = viewer.dims.count(axis)
            slider = QLabeledSlider(Qt.Horizontal)
            slider.setRange(0, size - 1)
            slider.setPageStep(max(1, size // 10))
            slider.setFocusPolicy(Qt.NoFocus)
            slider.setEnabled(size > 1)
            slider.valueChanged.connect(lambda value, axis=axis: self._moved(axis, value))
            grid.addWidget(self._label(axis, "key"), row, 0)
            grid.addWidget(slider, row, 1)
            self.positions.append(slider)

    def _make_contrast(self, viewer: Viewer) -> None:
        self.auto = QPushButton("Auto")
        self.auto.setObjectName("small")
        self.auto.setCheckable(True)
        self.auto.setFocusPolicy(Qt.NoFocus)
        self.auto.setToolTip("Follow what the coarsest level holds (A)")
        self.auto.clicked.connect(self._auto_clicked)
        self.auto.setVisible(not viewer.layers[0].image.rgb)  # colours are shown as they are
        self._heading("CONTRAST", self.auto)
        self.contrast = QDoubleRangeSlider(Qt.Horizontal)
        self.contrast.setFocusPolicy(Qt.NoFocus)
        self.contrast.valueChanged.connect(self._contrast_slid)
        self._column.addWidget(self.contrast)
        row = QHBoxLayout()
        self.low, self.high = (self._field(align) for align in (Qt.AlignLeft, Qt.AlignRight))
        row.addWidget(self.low)
        row.addStretch(1)
        row.addWidget(self.high)
        self._column.addLayout(row)

    def _field(self, align: Qt.AlignmentFlag) -> QLineEdit:
        field = QLineEdit()
        field.setObjectName("field")
        field.setAlignment(align)
        field.setFixedWidth(96)
        validator = QDoubleValidator(field)
        validator.setLocale(QLocale.c())
        field.setValidator(validator)
        field.editingFinished.connect(self._contrast_typed)
        field.returnPressed.connect(field.clearFocus)
        return field

    def _make_appearance(self, viewer: Viewer) -> None:
        self._heading("APPEARANCE")
        grid = self._grid()
        self.colormap = QColormapComboBox()
        self.colormap.addColormaps(dict.fromkeys((*FAVOURITES, viewer.layers[0].colormap)))
        self.colormap.setIconSize(QSize(44, 12))
        self.colormap.currentColormapChanged.connect(self._colormap_chosen)
        self.interpolation = QEnumComboBox(enum_class=Interpolation)
        self.interpolation.currentEnumChanged.connect(self._interpolation_chosen)
        self.gamma = self._slider(0.1, 4.0, 2, lambda value: self._set("gamma", value))
        self.opacity = self._slider(0.0, 1.0, 2, lambda value: self._set("opacity", value))
        rows = [("Gamma", self.gamma), ("Opacity", self.opacity), ("Between voxels", self.interpolation)]
        if viewer.layers[0].image.rgb:
            self.colormap.setParent(self)
            self.colormap.hide()
        else:
            rows.insert(0, ("Colour map", self.colormap))
        for number, (name, widget) in enumerate(rows):
            widget.setFocusPolicy(Qt.NoFocus)
            grid.addWidget(self._label(name, "key"), number, 0)
            grid.addWidget(widget, number, 1)
        self.overlay = QToggleSwitch("Levels and status of cells")
        self.overlay.setFocusPolicy(Qt.NoFocus)
        self._column.addSpacing(2)
        self.overlay.toggled.connect(self._overlay_toggled)
        self._column.addWidget(self.overlay)
        self.legend = QWidget()
        line = QGridLayout(self.legend)
        line.setContentsMargins(GAP * 2 - 2, 0, 0, 0)
        line.setVerticalSpacing(3)
        for number, (colour, text) in enumerate(LEGEND):
            swatch = QLabel()
            swatch.setObjectName("swatch")
            swatch.setFixedSize(11, 11)
            swatch.setStyleSheet(f"background: {colour};")
            line.addWidget(swatch, number // 3, number % 3 * 2)
            line.addWidget(self._label(text, "hint"), number // 3, number % 3 * 2 + 1)
        line.setColumnStretch(5, 1)
        self._column.addWidget(self.legend)

    def _grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(GAP)
        grid.setVerticalSpacing(GAP // 2 + 2)
        grid.setColumnStretch(1, 1)
        self._column.addLayout(grid)
        return grid

    def _slider(self, low: float, high: float, digits: int, call: Callable[[float], None]) -> QLabeledDoubleSlider:
        slider = QLabeledDoubleSlider(Qt.Horizontal)
        slider.setRange(low, high)
        slider.setDecimals(digits)
        slider.setSingleStep(0.05)
        slider.valueChanged.connect(call)
        return slider

    def _make_failures(self) -> None:
        self.failures = QFrame()
        self.failures.setObjectName("failures")
        column = QVBoxLayout(self.failures)
        column.setContentsMargins(GAP, GAP - 2, GAP, GAP - 2)
        self.failures_title = self._label("", "failuresTitle")
        self.failures_text = self._label("", "failuresText")
        self.failures_text.setWordWrap(True)
        self.failures_text.setTextInteractionFlags(Qt.TextSelectableByMouse)
        self.retry_button = QPushButton("Read again  (R)")
        self.retry_button.setObjectName("small")
        self.retry_button.setFocusPolicy(Qt.NoFocus)
        self.retry_button.clicked.connect(self.retry)
        for widget in (self.failures_title, self.failures_text, self.retry_button):
            column.addWidget(widget)
        self._column.addSpacing(GAP // 2)
        self._column.addWidget(self.failures)
        self.failures.hide()

    # --- commands ----------------------------------------------------------------------------------------------------

    def auto_contrast(self) -> None:
        """Follow what the coarsest level holds."""
        if self._viewer is not None and self._viewer.layers[0].kind == "image":
            self._viewer.layers[0].auto_contrast = True
            self.refresh()

    def toggle_interpolation(self) -> None:
        """Nearest, linear, nearest ..."""
        if self._viewer is not None:
            layer = self._viewer.layers[0]
            layer.interpolation = "nearest" if layer.interpolation == "linear" else "linear"
            self.refresh()

    def toggle_overlay(self) -> None:
        """Tint cells by level and status, or not."""
        if self._viewer is not None:
            self._viewer.layers[0].overlay = not self._viewer.layers[0].overlay
            self.refresh()

    def retry(self) -> None:
        """Read again what failed."""
        if self._viewer is not None:
            self._viewer.retry()

    # --- what the viewer says ----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring every control up to what the viewer says. Cheap; tells the viewer nothing."""
        viewer = self._viewer
        if viewer is None:
            return
        self._refresh_contrast(viewer)
        with _quiet(self.gamma, self.opacity, self.interpolation, self.colormap, self.overlay, self.auto):
            self.auto.setChecked(viewer.layers[0].auto_contrast)
            self.gamma.setValue(viewer.layers[0].gamma)
            self.opacity.setValue(viewer.layers[0].opacity)
            self.interpolation.setCurrentEnum(Interpolation(viewer.layers[0].interpolation))
            self.overlay.setChecked(viewer.layers[0].overlay)
            # Comparing names: comparing colour maps compares their colours.
            if self._colormap != viewer.layers[0].colormap:
                self._colormap = viewer.layers[0].colormap
                self.colormap.setCurrentColormap(viewer.layers[0].colormap)
        self.legend.setVisible(viewer.layers[0].overlay)
        for slider, axis in zip(self.positions, viewer.dims.hidden, strict=True):
            value = viewer.dims.index(axis)
            if slider.value() != value:
                with _quiet(slider):
                    slider.setValue(value)

    def tell_level(self, text: str) -> None:
        """Which levels are on the screen."""
        if self._viewer is not None and self.facts["Shown"].text() != text:
            self.facts["Shown"].setText(text)

    def tell_failures(self, failures: dict[tuple[int, int, int], str]) -> None:
        """What could not be read, and why."""
        lines = tuple(failure_lines(failures))
        if lines == self._failed or self._viewer is None:
            return
        self._failed = lines
        self.failures.setVisible(bool(lines))
        self.failures_title.setText(f"{len(failures)} chunk{'s' if len(failures) > 1 else ''} could not be read")
        # Paths have no spaces to break lines at.
        self.failures_text.setText("\n".join(lines).replace("/", "/\u200b"))
        self.failures.setToolTip("\n".join(sorted(set(failures.values()))[:20]))

    def _refresh_contrast(self, viewer: Viewer) -> None:
        low, high = viewer.layers[0].contrast_limits
        dtype = viewer.layers[0].image.dataset.dtype
        if self.contrast.isSliderDown():
            pass  # a span that changes below the hand would run away from it
        elif viewer.layers[0].auto_contrast or not self._span[0] <= low <= high <= self._span[1]:
            self._span = contrast_span((low, high), dtype)
            self._digits = contrast_digits(self._span, dtype)
        with _quiet(self.contrast):
            self.contrast.setRange(*self._span)
            if tuple(self.contrast.value()) != (low, high):
                self.contrast.setValue((low, high))
        for field, value in ((self.low, low), (self.high, high)):
            text = f"{value:.{self._digits}f}"
            if not field.hasFocus() and field.text() != text:
                field.setText(text)

    # --- what the hand says ------------------------------------------------------------------------------------------

    def _set(self, name: str, value: Any) -> None:
        if self._viewer is not None:
            setattr(self._viewer.layers[0], name, value)

    def _contrast_slid(self, limits: Sequence[float]) -> None:
        low, high = (round(value, self._digits) for value in limits)
        self._set_contrast(low, high)

    def _contrast_typed(self) -> None:
        viewer = self._viewer
        if viewer is None:
            return
        shown = tuple(f"{value:.{self._digits}f}" for value in viewer.layers[0].contrast_limits)
        typed = (self.low.text(), self.high.text())
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
        self.refresh()

    def _auto_clicked(self, on: bool) -> None:
        if self._viewer is not None:
            self._viewer.layers[0].auto_contrast = on
            self.refresh()

    def _colormap_chosen(self, colormap: Any) -> None:
        self._colormap = colormap.name.rpartition(":")[2]
        self._set("colormap", self._colormap)

    def _interpolation_chosen(self, chosen: Interpolation) -> None:
        self._set("interpolation", chosen.value)

    def _overlay_toggled(self, on: bool) -> None:
        self._set("overlay", on)
        self.legend.setVisible(on)

    def _moved(self, axis: str, value: int) -> None:
        if self._viewer is not None:
            self._viewer.dims.set_index(axis, value)


@contextmanager
def _quiet(*widgets: QWidget) -> Iterator[None]:
    """Within, the widgets tell nobody what they are set to."""
    blockers = [QSignalBlocker(widget) for widget in widgets]
    try:
        yield
    finally:
        for blocker in blockers:
            blocker.unblock()
