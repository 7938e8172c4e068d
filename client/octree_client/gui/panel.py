"""The panel beside the picture: the list of layers, the controls of the active one, what its image is, what failed.

It puts its parts together and follows the viewer's active layer. Knows nothing of cameras, sockets or GL.
"""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from octree_client.gui.appearance import DARK, GAP, LEGEND, PANEL_WIDTH, Theme
from octree_client.gui.icons import icon
from octree_client.gui.layer_controls import LayerControls
from octree_client.gui.layer_rows import LayerRows
from octree_client.layer import ImageLayer
from octree_client.readout import failure_lines, shape_text, unit_sign
from octree_client.viewer import Viewer

#: Buttons above the list: (command, drawing, what it does).
_BUTTONS = (
    ("open_file", "plus", "Open another image  (Ctrl+O)"),
    ("merge_channels", "merge", "Merge the channels of an image into one layer"),
    ("split_channels", "split", "Split an image into a layer for each channel"),
    ("remove_layer", "trash", "Remove the layer  (Del)"),
)

_FACTS = ("Image", "Axes", "Shape", "Type", "Voxel", "Levels", "Shown")


class SidePanel(QFrame):  # type: ignore[misc]
    """See the module. `show_viewer` fills it; before that nothing in it can be used."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setFixedWidth(PANEL_WIDTH)
        self._viewer: Viewer | None = None
        self._theme = DARK
        self._failed: tuple[str, ...] = ()
        self._facts_of: ImageLayer | None = None
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        scroll = QScrollArea()
        scroll.setObjectName("panelScroll")
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.TabFocus)  # arrows scroll to what stands below the controls
        scroll.setAccessibleName("Side panel")
        self._scroll = scroll
        outer.addWidget(scroll)
        body = QWidget()
        body.setObjectName("panelBody")
        scroll.setWidget(body)
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(GAP + 4, GAP, GAP + 4, GAP)
        self._column.setSpacing(GAP // 2 + 2)
        self._make_list()
        self._make_failures()
        # What is about the active layer is not there while there is none.
        self.details = QWidget()
        self._column.addWidget(self.details)
        self._column.addStretch(1)
        self._column = QVBoxLayout(self.details)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(GAP // 2 + 2)
        self._heading("LAYER")
        self.controls = LayerControls()
        self._column.addWidget(self.controls)
        self._make_legend()
        self._make_facts()
        self.details.hide()
        self.setEnabled(False)

    # --- made once ---------------------------------------------------------------------------------------------------

    def _label(self, text: str, name: str) -> QLabel:
        label = QLabel(text)
        label.setObjectName(name)
        label.setTextFormat(Qt.PlainText)
        return label

    def _heading(self, text: str, *beside: QWidget, divided: bool = True) -> QLabel:
        if divided:
            divider = QFrame()
            divider.setObjectName("divider")
            divider.setFixedHeight(1)
            self._column.addSpacing(GAP // 2)
            self._column.addWidget(divider)
        row = QHBoxLayout()
        row.setSpacing(2)
        label = self._label(text, "heading")
        row.addWidget(label)
        row.addStretch(1)
        for widget in beside:
            row.addWidget(widget)
        self._column.addLayout(row)
        return label

    def _make_list(self) -> None:
        self.buttons: dict[str, QToolButton] = {}
        for name, _, tip in _BUTTONS:
            button = QToolButton()
            button.setObjectName("icon")
            button.setIconSize(QSize(16, 16))
            button.setFocusPolicy(Qt.TabFocus)
            button.setToolTip(tip)
            button.setAccessibleName(tip.partition("  ")[0])
            self.buttons[name] = button
        self._heading("LAYERS", *self.buttons.values(), divided=False)
        self.rows = LayerRows()
        self._column.addWidget(self.rows)

    def _make_legend(self) -> None:
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
        self.legend.hide()

    def _make_facts(self) -> None:
        self._heading("IMAGE")
        grid = QGridLayout()
        grid.setHorizontalSpacing(GAP)
        grid.setVerticalSpacing(GAP // 3)
        grid.setColumnStretch(1, 1)
        self.facts: dict[str, QLabel] = {}
        for row, key in enumerate(_FACTS):
            value = self.facts[key] = self._label("", "fact")
            value.setWordWrap(True)
            value.setTextInteractionFlags(Qt.TextSelectableByMouse)
            value.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Preferred)
            label = self._label(key, "key")
            label.setMinimumWidth(68)
            grid.addWidget(label, row, 0, Qt.AlignTop)
            grid.addWidget(value, row, 1)
        self._column.addLayout(grid)

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
        self.retry_button.setFocusPolicy(Qt.TabFocus)
        self.retry_button.setAccessibleName("Read again what failed")
        for widget in (self.failures_title, self.failures_text, self.retry_button):
            column.addWidget(widget)
        self._column.addWidget(self.failures)
        self.failures.hide()

    # --- whose -------------------------------------------------------------------------------------------------------

    def show_viewer(self, viewer: Viewer, command: Callable[[str], Callable[[], None]]) -> None:
        """Be about a viewer from now on; `command` gives what a button calls."""
        self._viewer = viewer
        self.rows.show_viewer(viewer)
        viewer.layers.events.active.connect(self._follow_active)
        for name, button in (*self.buttons.items(), ("retry", self.retry_button)):
            call = command(name)
            button.clicked.connect(lambda _=False, call=call: call())
        self.setEnabled(True)
        self.dress(self._theme)
        self._follow_active(viewer.layers.active)

    def leave(self) -> None:
        """Be about nothing any more."""
        if self._viewer is not None:
            self._viewer.layers.events.active.disconnect(self._follow_active)
            self._viewer = None
        self.rows.leave()
        self.controls.show_layer(None)

    def dress(self, theme: Theme) -> None:
        """Take the colours of a theme, where a style sheet does not reach."""
        self._theme = theme
        self.rows.dress(theme)
        self.controls.dress(theme)
        for name, drawing, _ in _BUTTONS:
            self.buttons[name].setIcon(icon(drawing, theme.ink))

    def controls_in_order(self) -> list[QWidget]:
        """What Tab goes through, from the top to the bottom."""
        return [*self.buttons.values(), self.rows, self.retry_button, *self.controls.in_order(), self._scroll]

    # --- what the viewer says ----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring everything up to what the viewer says. Cheap; tells the viewer nothing."""
        viewer = self._viewer
        if viewer is None or not self.isVisible():
            return
        self.rows.refresh()
        self.controls.refresh()
        active = viewer.layers.active
        self.legend.setVisible(any(layer.overlay for layer in viewer.layers))
        self.buttons["remove_layer"].setEnabled(active is not None)
        self.buttons["split_channels"].setEnabled(active is not None and _can_split(active))
        self.buttons["merge_channels"].setEnabled(active is not None and active.channel is not None)
        self._tell_failures(
            {(n, *chunk): why for n, each in enumerate(viewer.layers) for chunk, why in each.failures.items()}
        )

    def tell_level(self, text: str) -> None:
        """Which levels of the active layer are on the screen."""
        if self.facts["Shown"].text() != text:
            self.facts["Shown"].setText(text)

    def _follow_active(self, layer: ImageLayer | None) -> None:
        self.controls.show_layer(layer)
        self.details.setVisible(layer is not None)
        if layer is self._facts_of:
            return
        self._facts_of = layer
        texts = dict.fromkeys(_FACTS, "")
        if layer is not None:
            image, dataset = layer.image, layer.dataset
            down, across = layer.pager.plane
            finest = dataset.levels[0]
            unit = unit_sign(dataset.axes[across].unit)
            texts |= {
                "Image": image.name,
                "Axes": " ".join(image.axes),
                "Shape": shape_text(image.shape),
                "Type": f"{image.dtype.name}{', colour' if image.rgb else ''}",
                "Voxel": f"{finest.scale[down]:.4g} × {finest.scale[across]:.4g} {unit}".rstrip(),
                "Levels": str(len(image.levels)),
            }
        for key, text in texts.items():
            self.facts[key].setText(text)
        self.facts["Image"].setToolTip(texts["Image"])

    def _tell_failures(self, failures: dict[tuple[int, ...], str]) -> None:
        lines = tuple(failure_lines(failures))
        if lines == self._failed:
            return
        self._failed = lines
        self.failures.setVisible(bool(lines))
        count = len(failures)
        self.failures_title.setText(f"{count} chunk{'s' if count != 1 else ''} could not be read")
        # Paths have no spaces to break lines at.
        self.failures_text.setText("\n".join(lines).replace("/", "/\u200b"))
        self.failures.setToolTip("\n".join(sorted(set(failures.values()))[:20]))


def _can_split(layer: ImageLayer) -> bool:
    return layer.channel is None and any(axis.kind == "channel" for axis in layer.dataset.axes)
