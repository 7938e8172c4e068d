"""The dialog of an export: which layer, what of it, at which level, to which file; then how far it is. Not modal.

What is read and in which order decides `export_plan`, writing is done by `export` in a thread.
"""

from __future__ import annotations

import threading
from math import prod
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from octree_client.colormaps import colormap_table
from octree_client.export import Export, ExportCancelled, Look, NotExported, run_export
from octree_client.export_plan import ExportPlan, ExportRefused, total_bytes
from octree_client.export_view import plan_of_layer
from octree_client.layer import ImageLayer
from octree_client.readout import bytes_text, shape_text
from octree_client.viewer import Viewer

_FORMATS: tuple[tuple[str, str], ...] = (
    ("OME-TIFF", ".ome.tif"),
    ("OME-Zarr", ".ome.zarr"),
    ("PNG, as shown", ".png"),
    ("PNG, values", ".png"),
)
_AS_SHOWN = 2

#: An export that was given up takes away what it wrote within so long. Seconds.
_GIVEN_UP_S = 5.0


class ExportDialog(QDialog):  # type: ignore[misc]
    """See the module."""

    _progressed = Signal(int, int)
    _ended = Signal(object)

    def __init__(self, parent: QWidget, viewer: Viewer, folder: str) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export a region")
        self.setMinimumWidth(480)
        self.setAttribute(Qt.WA_DeleteOnClose)
        self._viewer = viewer
        self._view = viewer.camera.view()
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 16)
        column.setSpacing(12)
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(9)
        grid.setColumnStretch(1, 1)
        self.layer, self.region, self.level = QComboBox(), QComboBox(), QComboBox()
        self.others, self.format = QComboBox(), QComboBox()
        self._layers: list[ImageLayer] = list(reversed(viewer.layers))
        self.layer.addItems([layer.name for layer in self._layers])
        if viewer.layers.active in self._layers:
            self.layer.setCurrentIndex(self._layers.index(viewer.layers.active))
        self.region.addItems(["what is seen", "everything"])
        self.others.addItems(["where it is now", "all of them"])
        self.format.addItems([name for name, _ in _FORMATS])
        self.path = QLineEdit(str(Path(folder) / "region.ome.tif"))
        browse = QPushButton("Choose…")
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        place = QHBoxLayout()
        place.addWidget(self.path, 1)
        place.addWidget(browse)
        for number, (text, widget) in enumerate(
            (
                ("Layer", self.layer),
                ("Region", self.region),
                ("Level", self.level),
                ("Other axes", self.others),
                ("Format", self.format),
            )
        ):
            label = QLabel(text)
            label.setObjectName("key")
            grid.addWidget(label, number, 0)
            grid.addWidget(widget, number, 1)
        label = QLabel("File")
        label.setObjectName("key")
        grid.addWidget(label, 5, 0)
        grid.addLayout(place, 5, 1)
        column.addLayout(grid)
        self.note = QLabel()
        self.note.setObjectName("hint")
        self.note.setWordWrap(True)
        self.note.setMinimumHeight(34)
        column.addWidget(self.note)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.hide()
        column.addWidget(self.bar)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        self.cancel, self.begin = QPushButton("Close"), QPushButton("Export")
        self.cancel.setAutoDefault(False)
        self.begin.setDefault(True)
        self.cancel.clicked.connect(self._cancel)
        self.begin.clicked.connect(self._begin)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.begin)
        column.addLayout(buttons)
        self.layer.currentIndexChanged.connect(self._layer_chosen)
        self.format.currentIndexChanged.connect(self._format_chosen)
        for box in (self.region, self.level, self.others):
            box.currentIndexChanged.connect(self._tell)
        self.path.textChanged.connect(self._tell)
        self._progressed.connect(self._show_progress, Qt.QueuedConnection)
        self._ended.connect(self._over, Qt.QueuedConnection)
        self._layer_chosen()

    # --- what is wanted ----------------------------------------------------------------------------------------------

    def _chosen(self) -> ImageLayer:
        place: int = self.layer.currentIndex()
        return self._layers[max(0, place)]

    def _layer_chosen(self, *_: object) -> None:
        layer = self._chosen()
        before = self.level.currentIndex()
        self.level.blockSignals(True)
        self.level.clear()
        for number, level in enumerate(layer.dataset.levels):
            self.level.addItem(f"{number}   {shape_text(level.shape)}")
        self.level.setCurrentIndex(min(max(before, 0), self.level.count() - 1) if before >= 0 else (layer.level or 0))
        self.level.blockSignals(False)
        self._tell()

    def _format_chosen(self, *_: object) -> None:
        path = Path(self.path.text())
        name = path.name
        for _label, ending in _FORMATS:
            name = name.removesuffix(ending)
        self.path.setText(str(path.with_name((name or "region") + _FORMATS[self.format.currentIndex()][1])))
        self._tell()

    def plan(self) -> ExportPlan:
        """What is set. Raises `ExportRefused`."""
        layer, dims = self._chosen(), self._viewer.dims
        region = None
        if self.region.currentIndex() == 0:
            y0, x0, y1, x1 = layer.extent
            a, b, c, d = self._view
            region = max(a, y0), max(b, x0), min(c, y1), min(d, x1)
            if not (region[0] < region[2] and region[1] < region[3]):
                raise ExportRefused(f"nothing of {layer.name} is in view")
        return plan_of_layer(
            layer,
            dims,
            Path(self.path.text()).name,
            self.level.currentIndex(),
            region,
            whole_axes=self.others.currentIndex() == 1,
        )

    def _tell(self, *_: object) -> None:
        try:
            plan = self.plan()
        except ExportRefused as refusal:
            self._say(str(refusal), "trouble")
            self.begin.setEnabled(False)
            return
        shape = [high - low for low, high in plan.box]
        size = bytes_text(total_bytes(plan, self._chosen().image.dtype.itemsize))
        more = f" and {len(plan.boxes) - 1} coarser levels" if len(plan.boxes) > 1 else ""
        self._say(f"{shape_text(shape)} voxels{more}, {size} before compression ({prod(shape):,} voxels)", "hint")
        self.begin.setEnabled(True)

    def _browse(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Export to", self.path.text(), options=QFileDialog.DontConfirmOverwrite
        )
        if path:
            self.path.setText(path)

    # --- doing it ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._thread is not None:
            return
        path, layer = Path(self.path.text()).expanduser().absolute(), self._chosen()
        overwrite = False
        if path.exists():
            answer = QMessageBox.question(self, "Export", f"{path.name} is there already. Replace it?")
            if answer != QMessageBox.Yes:
                return
            overwrite = True
        look = None
        if self.format.currentIndex() == _AS_SHOWN and layer.kind == "image":
            look = Look(layer.contrast_limits, layer.gamma, colormap_table(layer.colormap))
        self._cancelled.clear()
        self._set_busy(True)
        arguments = (layer, self.plan(), path, look, overwrite)
        self._thread = threading.Thread(target=self._run, args=arguments, name="octree-exporting", daemon=True)
        self._thread.start()

    def _run(self, layer: ImageLayer, plan: ExportPlan, path: Path, look: Look | None, overwrite: bool) -> None:
        """In the thread."""
        result: Export | NotExported
        try:
            result = run_export(
                layer.image,
                plan,
                path,
                look=look,
                overwrite=overwrite,
                progress=self._tell_progress,
                cancelled=self._cancelled,
            )
        except NotExported as error:
            result = error
        except Exception as error:  # whatever it is, people are told, and not left waiting
            result = NotExported(f"{path} is not written: {error!r}")
        try:
            self._ended.emit(result)
        except RuntimeError:
            pass  # the dialog is gone, and so is who asked

    def _tell_progress(self, done: int, total: int) -> None:
        try:
            self._progressed.emit(done, total)
        except RuntimeError:
            self._cancelled.set()

    def _show_progress(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _over(self, result: Export | NotExported) -> None:
        self._thread = None
        self._set_busy(False)
        if isinstance(result, ExportCancelled):
            self._say("Cancelled; nothing was written.", "hint")
        elif isinstance(result, NotExported):
            self._say(str(result), "trouble")
        elif result.holes:
            self._say(f"Written to {result.path}, but {result.problem}", "trouble")
        else:
            self._say(f"Written to {result.path}", "done")

    def _say(self, text: str, mood: str) -> None:
        """Say how things stand, in the look of the style sheet that has this name."""
        self.note.setText(text)
        self.note.setObjectName(mood)
        self.note.style().polish(self.note)
        self.adjustSize()

    def _set_busy(self, busy: bool) -> None:
        self.bar.setVisible(busy)
        self.bar.setRange(0, 0)
        self.cancel.setText("Cancel" if busy else "Close")
        self.begin.setEnabled(not busy)
        for box in (self.layer, self.region, self.level, self.others, self.format, self.path):
            box.setEnabled(not busy)

    def _cancel(self) -> None:
        if self._thread is not None:
            self._cancelled.set()
            self._say("Cancelling …", "hint")
        else:
            self.close()

    def give_up(self) -> None:
        """Cancel, and wait until nothing is left of it: the window closes, and the process may be about to end."""
        self._cancelled.set()
        if self._thread is not None:
            self._thread.join(_GIVEN_UP_S)

    def closeEvent(self, event: Any) -> None:
        """Qt's hook: what is being written is given up."""
        self._cancelled.set()
        super().closeEvent(event)

    def reject(self) -> None:
        """Qt's hook: Escape."""
        self._cancel()
