"""The window of ``octree-view``: picture, side panel, status line, keys. Its thread does no I/O and waits for nothing.

It hands gestures to `navigation`, wishes to the `Viewer`, and shows what `readout` makes of the viewer's state. It is
there before the image is: `Opening` opens it in a thread meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QMainWindow,
    QShortcut,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from octree_client import readout
from octree_client.appearance import STYLE
from octree_client.application import dark_palette
from octree_client.canvas import MouseEvent, open_canvas
from octree_client.keys import all_bindings
from octree_client.navigation import PAN_SHARE, STEP_FACTOR, Navigation, finest_scale, inside
from octree_client.opening import Opening, ViewOptions
from octree_client.overlays import Banner, FiguresOverlay, KeyCard, Notice, Overlay
from octree_client.panel import SidePanel
from octree_client.picture_file import PictureWriter
from octree_client.session import Image
from octree_client.status_bar import StatusBar
from octree_client.viewer import BACKGROUND, Viewer

log = logging.getLogger("octree.window")

#: Window at first, in logical pixels.
DEFAULT_SIZE = (1280, 860)

#: Below this the list of keys or the status line would be cut off.
_SMALLEST_SIZE = (820, 500)

#: Words and figures are brought up to date at most so often: nobody reads faster. Milliseconds.
_REFRESH_MS = 66

#: The figures over the picture: slower still, they are read one by one.
_FIGURES_MS = 250

#: Frames that those figures are of.
_FIGURES_FRAMES = 240

#: How often the connection is looked at while no frames come. Milliseconds.
_LOOK_MS = 500

#: Between two steps of a glide. Milliseconds.
_GLIDE_MS = 8


class ViewerWindow(QMainWindow):  # type: ignore[misc]
    """A window for one image.

    Parameters
    ----------
    opening
        Of the image; or the image, if it is open.
    size
        (width, height) in logical pixels.
    options
        How the image is shown at first.

    Attributes
    ----------
    viewer
        None until the image is open and the window shown.
    opening_error
        Why the image could not be opened; the window closes itself then.
    """

    opened = Signal()
    failed = Signal()
    closed = Signal()
    _arrived = Signal()

    def __init__(
        self,
        opening: Opening | Image,
        size: tuple[int, int] = DEFAULT_SIZE,
        options: ViewOptions | None = None,
    ) -> None:
        super().__init__()
        self.viewer: Viewer | None = None
        self.opening_error: BaseException | None = None
        self._image = opening if isinstance(opening, Image) else None
        self._opening = None if isinstance(opening, Image) else opening
        self._options = options if options is not None else ViewOptions()
        self._navigation: Navigation | None = None
        self._cursor: tuple[float, float] | None = None
        self._done = False
        self._figures_at = 0.0
        what = opening.name if isinstance(opening, Image) else opening.what
        self.setWindowTitle(f"{what} – octree-view")
        self.setPalette(dark_palette())
        self.setStyleSheet(STYLE)
        self._lay_out(what)
        self._add_keys()
        self._refresh_timer = self._timer(_REFRESH_MS, self.refresh, single=True)
        self._glide_timer = self._timer(_GLIDE_MS, self._glide)
        self._glide_timer.setTimerType(Qt.PreciseTimer)
        self._look_timer = self._timer(_LOOK_MS, self._refresh_soon)
        self._writer = PictureWriter(self._written)
        self._saved.connect(self.notice.say, Qt.QueuedConnection)
        self._arrived.connect(self._image_arrived, Qt.QueuedConnection)
        self.setMinimumSize(*_SMALLEST_SIZE)
        self.resize(*size)

    _saved = Signal(object)

    # --- made once ---------------------------------------------------------------------------------------------------

    def _lay_out(self, what: str) -> None:
        central = QWidget()
        row = QHBoxLayout(central)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self.stage = QWidget()
        self.stage.setObjectName("stage")
        self.stage.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        grid = QGridLayout(self.stage)
        grid.setContentsMargins(0, 0, 0, 0)
        self.setCentralWidget(central)
        # Its widget never moves to another window later: Qt would throw the context away.
        self.canvas = open_canvas(DEFAULT_SIZE, True, background=BACKGROUND, parent=self.stage)
        grid.addWidget(self.canvas.native, 0, 0)
        self.canvas.native.setMouseTracking(True)
        self.canvas.native.setFocusPolicy(Qt.StrongFocus)
        self.canvas.native.setCursor(Qt.CrossCursor)
        self.handle = QToolButton()
        self.handle.setObjectName("handle")
        self.handle.setFixedWidth(16)
        self.handle.setSizePolicy(QSizePolicy.Fixed, QSizePolicy.Expanding)
        self.handle.setFocusPolicy(Qt.NoFocus)
        self.handle.clicked.connect(self.toggle_panel)
        self.panel = SidePanel()
        row.addWidget(self.stage, 1)
        row.addWidget(self.handle)
        row.addWidget(self.panel)
        self.status_bar = StatusBar()
        self.setStatusBar(self.status_bar)
        self.figures = FiguresOverlay(self.stage)
        self.banner = Banner(self.stage)
        self.notice = Notice(self.stage)
        self.key_card = KeyCard(central)
        self.waiting = Overlay(self.stage, "opening", (0.5, 0.5))
        self.waiting.tell(f"Opening {readout.shortened(what, 80)} …")
        self._tell_handle()
        self.status_bar.tell_connection(readout.connection_message("connecting", ""))

    def _add_keys(self) -> None:
        self.shortcuts: dict[str, list[QShortcut]] = {}
        for binding in all_bindings():
            slot = getattr(self, binding.action)
            for key in binding.keys:
                shortcut = QShortcut(QKeySequence.fromString(key), self)
                shortcut.setAutoRepeat(binding.repeats)
                shortcut.activated.connect(slot)
                self.shortcuts.setdefault(binding.action, []).append(shortcut)

    def _timer(self, milliseconds: int, call: Callable[[], None], *, single: bool = False) -> QTimer:
        timer = QTimer(self)
        timer.setInterval(milliseconds)
        timer.setSingleShot(single)
        timer.timeout.connect(call)
        return timer

    # --- opening and closing -----------------------------------------------------------------------------------------

    def showEvent(self, event: Any) -> None:
        """Qt's hook: the window is about to be on the screen."""
        super().showEvent(event)
        if self._opening is not None and self.viewer is None:
            self._opening.when_done(self._arrived.emit)
        elif self._image is not None and self.viewer is None:
            self._arrived.emit()
        self.canvas.native.setFocus()

    def _image_arrived(self) -> None:
        if self._done or self.viewer is not None:
            return
        if self._opening is not None:
            self._image, self.opening_error = self._opening.image, self._opening.error
        if self._image is None:
            self.waiting.tell(f"Cannot be opened: {self.opening_error}")
            self.failed.emit()
            return
        if not self.canvas.native.isValid():
            QTimer.singleShot(5, self._arrived.emit)  # Qt makes the context when the widget is first painted
            return
        try:
            self.viewer = Viewer(self._image, canvas=self.canvas)
            self._options.apply(self.viewer)
        except Exception as error:
            self.opening_error = error
            self.failed.emit()
            return
        self._navigation = Navigation(self.viewer.layer.levels, self.viewer.camera)
        self.canvas.handlers.on_mouse = self._mouse
        self.canvas.handlers.on_error = self._drawing_failed
        self.viewer.on_frame.append(self._refresh_soon)
        self.waiting.tell("")
        self.setWindowTitle(f"{self._image.name} – octree-view")
        self.panel.show_viewer(self.viewer)
        self._look_timer.start()
        self._refresh_soon()
        self.opened.emit()

    def closeEvent(self, event: Any) -> None:
        """Qt's hook: the viewer ends, the session is its owner's."""
        if not self._done:
            self._done = True
            for timer in (self._refresh_timer, self._glide_timer, self._look_timer):
                timer.stop()
            if self.viewer is not None:
                self.viewer.on_frame.clear()
                self.viewer.close()
            else:
                self.canvas.close()
            self._writer.close()
            self.closed.emit()
        super().closeEvent(event)

    def _drawing_failed(self, error: BaseException) -> None:
        log.error("drawing failed: %s", error, exc_info=error)
        self.canvas.error = None  # it is told here, once; raised in a slot it would end the process
        self.banner.tell(f"Drawing failed: {readout.shortened(str(error), 120)}")

    # --- camera ------------------------------------------------------------------------------------------------------

    def _mouse(self, event: MouseEvent) -> None:
        viewer, navigation = self.viewer, self._navigation
        if viewer is None or navigation is None:
            return
        self._cursor = None if event.kind == "leave" else event.position
        if event.kind == "wheel" and "shift" in event.modifiers and viewer.position:
            # With shift, some systems turn the wheel sideways.
            self._step_slice(-1 if event.delta[0] + event.delta[1] > 0 else 1)
            return
        navigation.put(viewer.camera)
        if navigation.mouse(event, time.monotonic()):
            self._follow()
        if event.kind in ("press", "release", "double"):
            self.canvas.native.setCursor(Qt.ClosedHandCursor if navigation.dragging else Qt.CrossCursor)
        self._refresh_soon()

    def _follow(self) -> None:
        """The navigation has moved, or begins to glide."""
        if self.viewer is None or self._navigation is None:
            return
        if self._navigation.camera != self.viewer.camera:
            self.viewer.move(self._navigation.camera)
        if self._navigation.gliding and not self._glide_timer.isActive():
            self._glide_timer.start()

    def _glide(self) -> None:
        if self.viewer is not None and self._navigation is not None and self._navigation.gliding:
            self._navigation.put(self.viewer.camera)
            self.viewer.move(self._navigation.step(time.monotonic()))
        if self._navigation is None or not self._navigation.gliding:
            self._glide_timer.stop()

    def _middle(self) -> tuple[float, float]:
        width, height = self.canvas.size
        return 0.5 * width, 0.5 * height

    def _zoom(self, factor: float) -> None:
        if self.viewer is not None and self._navigation is not None:
            self._navigation.put(self.viewer.camera)
            self._navigation.glide(factor, self._middle(), time.monotonic())
            self._follow()

    def _pan(self, down: float, across: float) -> None:
        if self.viewer is not None and self._navigation is not None:
            self._navigation.put(self.viewer.camera)
            self._navigation.panned(down, across)
            self._follow()

    def home(self) -> None:
        """Show the whole image."""
        if self.viewer is not None and self._navigation is not None:
            self._navigation.stop()
            self.viewer.home()

    def one_to_one(self) -> None:
        """One voxel of level 0 a physical pixel."""
        if self.viewer is not None and self._navigation is not None:
            self._navigation.put(self.viewer.camera)
            self._navigation.one_to_one()
            self._follow()

    def zoom_in(self) -> None:
        """Twice as large."""
        self._zoom(STEP_FACTOR)

    def zoom_out(self) -> None:
        """Half as large."""
        self._zoom(1 / STEP_FACTOR)

    def pan_left(self) -> None:
        """Look further to the left."""
        self._pan(0.0, -PAN_SHARE)

    def pan_right(self) -> None:
        """Look further to the right."""
        self._pan(0.0, PAN_SHARE)

    def pan_up(self) -> None:
        """Look further up."""
        self._pan(-PAN_SHARE, 0.0)

    def pan_down(self) -> None:
        """Look further down."""
        self._pan(PAN_SHARE, 0.0)

    def previous_slice(self) -> None:
        """One back on the last axis that is not displayed."""
        self._step_slice(-1)

    def next_slice(self) -> None:
        """One on on the last axis that is not displayed."""
        self._step_slice(1)

    def _step_slice(self, step: int) -> None:
        viewer = self.viewer
        if viewer is None or not viewer.position:
            return
        # The last axis with more than one place: channels and times of one are not worth a key.
        sizes = viewer.image.shape[: len(viewer.position)]
        axis = max((n for n, size in enumerate(sizes) if size > 1), default=0)
        position = list(viewer.position)
        position[axis] = min(max(position[axis] + step, 0), sizes[axis] - 1)
        viewer.position = tuple(position)
        self.panel.refresh()

    # --- appearance --------------------------------------------------------------------------------------------------

    def auto_contrast(self) -> None:
        """Follow what the coarsest level holds."""
        if self.viewer is not None and not self.viewer.image.rgb:
            self.viewer.contrast_limits = None
            self.panel.refresh()

    def toggle_interpolation(self) -> None:
        """Nearest, linear, nearest ..."""
        if self.viewer is not None:
            self.viewer.interpolation = "nearest" if self.viewer.interpolation == "linear" else "linear"
            self.panel.refresh()

    def toggle_overlay(self) -> None:
        """Tint cells by level and status, or not."""
        if self.viewer is not None:
            self.viewer.overlay = not self.viewer.overlay
            self.panel.refresh()

    def toggle_statistics(self) -> None:
        """Show what frames cost, or not."""
        if self.figures.text():
            self.figures.tell("")
        elif self.viewer is not None:
            self._tell_figures(self.viewer)

    def toggle_panel(self) -> None:
        """Side panel, or not."""
        self.panel.setVisible(not self.panel.isVisibleTo(self))
        self._tell_handle()

    def toggle_full_screen(self) -> None:
        """Full screen, or not."""
        self.setWindowState(self.windowState() ^ Qt.WindowFullScreen)

    def toggle_keys(self) -> None:
        """The list of keys, or not."""
        self.key_card.toggle()

    def dismiss(self) -> None:
        """Close the list of keys; else leave a field of the panel, else the full screen."""
        if self.key_card.is_open:
            self.key_card.toggle()
        elif not self.canvas.native.hasFocus():
            self.canvas.native.setFocus()
        elif self.isFullScreen():
            self.toggle_full_screen()

    def _tell_handle(self) -> None:
        there = self.panel.isVisibleTo(self)
        self.handle.setText("›" if there else "‹")
        self.handle.setToolTip("Hide the panel (G)" if there else "Show the panel (G)")

    # --- doing -------------------------------------------------------------------------------------------------------

    def retry(self) -> None:
        """Read again what failed."""
        if self.viewer is not None:
            self.viewer.retry()

    def save_screenshot(self) -> None:
        """Ask for a file, and save what is on the screen to it."""
        if self.viewer is None:
            return
        suggested = str(Path.home() / f"{self.viewer.image.name}.png")
        path, _ = QFileDialog.getSaveFileName(self, "Save what is on the screen", suggested, "PNG image (*.png)")
        if path:
            self.save_to(Path(path))

    def save_to(self, path: Path) -> None:
        """Save what is on the screen; a thread writes the file."""
        if self.viewer is not None:
            self._writer.write(self.viewer.render(), path if path.suffix else path.with_suffix(".png"))

    def _written(self, path: Path, error: Exception | None) -> None:
        """In the writer's thread."""
        if error is None:
            self._saved.emit(readout.Message(f"Saved to {path}"))
        else:
            self._saved.emit(readout.Message(f"Not saved: {error}", readout.BAD))

    # --- words and figures -------------------------------------------------------------------------------------------

    def _refresh_soon(self) -> None:
        if not self._refresh_timer.isActive() and not self._done:
            self._refresh_timer.start()

    def refresh(self) -> None:
        """Bring status line, panel and overlays up to what the viewer says."""
        viewer = self.viewer
        if viewer is None or self._done:
            return
        status, layer = viewer.status(), viewer.layer
        failures = viewer.failures()
        reason = next(iter(failures.values()), "")
        bar = self.status_bar
        bar.tell_loading(
            readout.loading_message(
                status.final,
                status.provisional,
                status.missing,
                status.failed,
                status.empty,
                reason,
                viewer.image.progress(),
            )
        )
        drawn = [piece.chunk[0] for piece in layer.pieces if piece.tile >= 0]
        level = readout.level_text(drawn, layer.ideal, len(layer.levels))
        bar.tell_level(level)
        bar.tell_zoom(readout.zoom_text(viewer.camera.pixel_size, finest_scale(layer.levels)))
        connection = viewer.session.connection
        state, problem = connection.state.value, connection.problem
        bar.tell_connection(readout.connection_message(state, problem))
        self.banner.tell(readout.lost_text(state, problem))
        self._tell_cursor(viewer)
        self.panel.tell_level(level.removeprefix("level "))
        self.panel.tell_failures(failures)
        if viewer.auto_contrast:
            self.panel.refresh()
        if self.figures.text() and time.monotonic() - self._figures_at > _FIGURES_MS / 1e3:
            self._tell_figures(viewer)

    def _tell_cursor(self, viewer: Viewer) -> None:
        if self._cursor is None:
            self.status_bar.tell_cursor("", "")
            return
        camera, layer = viewer.camera, viewer.layer
        world = camera.world_at(self._cursor)
        down, across = layer.dataset.displayed()
        axes = viewer.image.axis_details
        names = axes[down].name, axes[across].name
        position = readout.position_text(world, camera.pixel_size, names, axes[across].unit)
        value = ""
        if inside(layer.levels, world):
            found = layer.chunk_at(*world)
            value = f"= {readout.value_text(layer.value_at(*world))}"
            if found is not None and found[0].tile >= 0:
                value += f" <span style='color:#8b9099'>at level {found[0].chunk[0]}</span>"
        self.status_bar.tell_cursor(position, value)

    def _tell_figures(self, viewer: Viewer) -> None:
        self._figures_at = time.monotonic()
        statistics = viewer.frame_statistics
        frames = [statistics.frames[n] for n in range(-min(_FIGURES_FRAMES, len(statistics.frames)), 0)]
        tiles = viewer.layer.tiles
        self.figures.tell_rows(
            readout.statistics_rows(
                frames, statistics.frame_rate(), (len(tiles), tiles.capacity), viewer.layer.image.atlas.nbytes
            )
        )
