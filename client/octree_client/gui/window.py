"""The window of ``octree-view``: it puts its parts together, and sees to opening and closing.

Its thread does no I/O and waits for nothing. The parts: `gestures` moves the camera, `showing` shows and hides, `files`
takes out pictures and links, `words` says how things stand and `refreshing` when, `panel` has the controls. It is there
before the image is: `Opening` opens it in a thread meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QAction, QHBoxLayout, QMainWindow, QMenu, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from octree_client import readout
from octree_client.canvas_opening import open_canvas
from octree_client.first_view import ViewOptions
from octree_client.gui.adding import Adding, dropped_places
from octree_client.gui.appearance import rgb
from octree_client.gui.dims_bar import DimsBar
from octree_client.gui.files import Files
from octree_client.gui.focus import FocusMark, order_focus
from octree_client.gui.gestures import Gestures
from octree_client.gui.layer_commands import LayerCommands
from octree_client.gui.look_commands import LookCommands
from octree_client.gui.menus import add_submenu, make_actions, make_menus
from octree_client.gui.overlays import KeyCard
from octree_client.gui.panel import SidePanel
from octree_client.gui.refreshing import Refreshing
from octree_client.gui.showing import Showing
from octree_client.gui.stage import Stage
from octree_client.gui.status_bar import StatusBar
from octree_client.gui.system_panel import SystemPanel
from octree_client.opening import Opened, Opening
from octree_client.picture_file import png_bytes, write_picture
from octree_client.remembered import Remembered
from octree_client.remembered_file import recall, remember
from octree_client.session import Image
from octree_client.viewer import Viewer
from octree_client.words import Words

log = logging.getLogger("octree.window")

#: Window at first, in logical pixels.
DEFAULT_SIZE = (1280, 860)

#: Below this the list of keys or the status line would be cut off.
_SMALLEST_SIZE = (940, 600)

#: What a window without an image offers.
_OPENING = ("open_file", "open_folder", "open_address", "add_served")

#: Buttons over the picture: (action, drawing); None is a line.
_TOOLS = (
    ("home", "fit"),
    ("one_to_one", "one-to-one"),
    ("zoom_rectangle", "rectangle"),
    None,
    ("toggle_overlay", "grid"),
    ("toggle_minimap", "map"),
    None,
    ("save_screenshot", "camera"),
    ("copy_link", "link"),
)


class ViewerWindow(QMainWindow):  # type: ignore[misc]
    """A window for one image.

    Parameters
    ----------
    opening
        Of the first images; or an image, if it is open. Without one the window waits for something to be opened.
    size
        (width, height) in logical pixels; what is remembered if left out.
    options
        How the image is shown at first.
    remembered
        What to begin with; what the file says if left out. What is given is not written back.

    Attributes
    ----------
    viewer
        None until the image is open and the window shown.
    opening_error
        Why the image could not be opened; the window closes itself then.
    actions_by_name
        What menus and keys start, by the names in `keys`.
    showing
        `Showing`: theme, and what of the window is shown.
    """

    opened = Signal()
    failed = Signal()
    closed = Signal()
    _arrived = Signal()

    def __init__(
        self,
        opening: Opening | Image | None = None,
        size: tuple[int, int] | None = None,
        options: ViewOptions | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        super().__init__()
        self.viewer: Viewer | None = None
        self.opening_error: BaseException | None = None
        self._opening = opening if isinstance(opening, Opening) else None
        self._opened: Opened | None = Opened((opening,)) if isinstance(opening, Image) else Opened()
        self._options = options if options is not None else ViewOptions()
        self._writes_down = remembered is None
        self._done = False
        what = opening.name if isinstance(opening, Image) else opening.what if opening is not None else ""
        self.setWindowTitle(f"{what} – octree-view" if what else "octree-view")
        self.showing = Showing(self, remembered if remembered is not None else recall())
        self._lay_out(what)
        self.gestures = Gestures(self.canvas, self)
        self.words = Words(self.status_bar, self.stage, self.panel)
        self.refreshing = Refreshing(self)
        self.gestures.changed = self.refreshing.soon
        self.gestures.on_pick = lambda y, x: self.layer_commands.pick(y, x)
        self.files = Files(self)
        self.layer_commands = LayerCommands(self)
        self.look_commands = LookCommands(self)
        self.adding = Adding(self)
        self._make_actions()
        self._arrived.connect(self._image_arrived, Qt.QueuedConnection)
        self.stage.minimap.moved.connect(self.gestures.look_at)
        self.showing.begin()
        self.setMinimumSize(*_SMALLEST_SIZE)
        self.resize(*(size or self.showing.remembered.size or DEFAULT_SIZE))

    def __repr__(self) -> str:
        return f"<window {self.windowTitle()!r}{', closed' if self._done else ''}>"

    def _repr_png_(self) -> bytes | None:
        """The window as it is on the screen, for notebooks."""
        return None if self._done else png_bytes(self.files.grab_window())

    # --- made once ---------------------------------------------------------------------------------------------------

    def _lay_out(self, what: str) -> None:
        central = QWidget()
        row = QHBoxLayout(central)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self.stage = Stage()
        self.setCentralWidget(central)
        # Its widget never moves to another window later: Qt would throw the context away.
        ground = rgb(self.showing.theme.picture)
        self.canvas = open_canvas(DEFAULT_SIZE, True, background=ground, parent=self.stage)
        self.stage.hold(self.canvas.native)
        self.canvas.native.setMouseTracking(True)
        self.canvas.native.setFocusPolicy(Qt.StrongFocus)
        self.canvas.native.setCursor(Qt.CrossCursor)
        self.handle = QToolButton()
        self.handle.setObjectName("handle")
        self.handle.setFixedWidth(16)
        self.handle.setSizePolicy(QSizePolicy.Fixed, QSizePolicy.Expanding)
        self.handle.setFocusPolicy(Qt.TabFocus)
        self.handle.setAccessibleName("Show or hide the panel")
        self.handle.clicked.connect(self.showing.toggle_panel)
        self.panel = SidePanel()
        left = QVBoxLayout()
        left.setContentsMargins(0, 0, 0, 0)
        left.setSpacing(0)
        self.dims_bar = DimsBar()
        left.addWidget(self.stage, 1)
        left.addWidget(self.dims_bar)
        row.addLayout(left, 1)
        row.addWidget(self.handle)
        row.addWidget(self.panel)
        self.status_bar = StatusBar()
        self.setStatusBar(self.status_bar)
        self.system = SystemPanel(self)
        self.addDockWidget(Qt.BottomDockWidgetArea, self.system)
        self.key_card = KeyCard(self)
        self.focus_mark = FocusMark(self, self.canvas.native)
        self.canvas.native.setAccessibleName("Picture")
        self.setAcceptDrops(True)
        if what:
            self.stage.waiting.tell(f"Opening {readout.shortened(what, 80)} …")
            self.status_bar.tell_connection(readout.connection_message("connecting", ""), self.showing.theme)

    def _make_actions(self) -> None:
        self.actions_by_name: dict[str, QAction] = make_actions(self, self.stage, self.command)
        self.menus: dict[str, QMenu] = make_menus(self, self.actions_by_name)
        add_submenu(self.menus["File"], self.actions_by_name["paste"], "Open recent", self.adding.fill_recent)
        add_submenu(
            self.menus["File"], self.actions_by_name["save_screenshot"], "Save a picture of", self.files.fill_pictures
        )
        add_submenu(self.menus["Show"], self.actions_by_name["toggle_theme"], "Theme", self.showing.fill_themes)
        for name in _OPENING:
            self.stage.welcome.add(name, self.actions_by_name[name])
        for tool in _TOOLS:
            if tool is None:
                self.stage.tools.add_divider()
            else:
                self.stage.tools.add(self.actions_by_name[tool[0]], *tool)

    def _order_focus(self) -> None:
        tools = self.stage.tools.buttons.values()
        below = self.dims_bar.controls_in_order()
        panels = [*self.panel.controls_in_order(), *self.system.controls_in_order()]
        order_focus([self.canvas.native, *tools, *below, self.handle, *panels])

    def command(self, name: str) -> Callable[[], None]:
        """What an action of `keys` calls."""
        parts = (
            self, self.gestures, self.showing, self.layer_commands, self.look_commands, self.adding, self.files,
        )  # fmt: skip
        call = next(getattr(part, name) for part in parts if hasattr(part, name))

        def run() -> None:
            call()
            self.tick_actions()

        return run

    def turn(self, what: str, on: bool) -> None:
        """Turn something on or off that has a tick in the menus: ``window.turn("minimap", False)``.

        Parameters
        ----------
        what
            The name of an action of `keys` that can be on and off, with or without its ``toggle_``.

        Raises
        ------
        ValueError
            If there is none of that name; the text says which there are.
        """
        states = self.showing.states()
        name = what if what in states else f"toggle_{what}"
        if name not in states:
            raise ValueError(f"{what!r} cannot be turned; there are {', '.join(sorted(states))}")
        if states[name] != bool(on):
            self.command(name)()

    def save(self, path: str | Path) -> None:
        """Save a picture of the whole window as PNG. Raises `PictureNotWritten`."""
        write_picture(self.files.grab_window(), Path(path))

    def refresh(self) -> None:
        """Bring everything up to what the viewer says, now and not a few frames later."""
        self.refreshing.now()

    def tick_actions(self) -> None:
        """Bring the ticks of menus and buttons up to what is on."""
        for name, on in self.showing.states().items():
            self.actions_by_name[name].setChecked(on)

    # --- opening and closing -----------------------------------------------------------------------------------------

    def showEvent(self, event: Any) -> None:
        """Qt's hook: the window is about to be on the screen."""
        super().showEvent(event)
        if self._opening is not None and self.viewer is None:
            self._opening.when_done(self._arrived.emit)
        elif self.viewer is None:
            self._arrived.emit()
        self.canvas.native.setFocus()

    def _image_arrived(self) -> None:
        if self._done or self.viewer is not None:
            return
        if self._opening is not None:
            self._opened, self.opening_error = self._opening.opened, self._opening.error
        if self._opened is None:
            self.stage.waiting.tell(f"Cannot be opened: {self.opening_error}")
            self.failed.emit()
            return
        if not self.canvas.native.isValid():
            QTimer.singleShot(5, self._arrived.emit)  # Qt makes the context when the widget is first painted
            return
        try:
            self.viewer = Viewer(canvas=self.canvas)
            self._options.show(self.viewer, self._opened)
        except Exception as error:
            self.opening_error = error
            self.failed.emit()
            return
        self.gestures.take(self.viewer)
        self.canvas.handlers.on_error = self._drawing_failed
        self.viewer.on_frame.append(self.refreshing.soon)
        self.viewer.layers.events.inserted.connect(self._layers_changed)
        self.viewer.layers.events.removed.connect(self._layers_changed)
        self.stage.waiting.tell("")
        self.panel.show_viewer(self.viewer, self.command)
        self.dims_bar.on_rebuilt = self._order_focus
        self._order_focus()
        self.dims_bar.show_dims(self.viewer.dims)
        self.system.show_viewer(self.viewer)
        self.dims_bar.set_play(self.showing.remembered.fps, self.showing.remembered.play_mode)
        self.dims_bar.on_play = self.showing.play_axis
        self.dims_bar.on_play_changed = self.showing.set_play
        self.showing.apply_fade()
        self._layers_changed()
        if not self._options.says_where:
            QTimer.singleShot(0, self._fit)
        if self._opening is not None:
            self.adding.note_opened(self._opened)
        self.refreshing.begin()
        self.opened.emit()

    def _fit(self) -> None:
        """Show everything: the sliders below the picture have just taken their room."""
        if self.viewer is not None and not self._done:
            self.viewer.home()

    def _layers_changed(self, *_: object) -> None:
        """There are more layers, or fewer."""
        if self.viewer is None or self._done:
            return
        names = list(dict.fromkeys(layer.image.name for layer in reversed(self.viewer.layers)))
        title = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        self.setWindowTitle(f"{title} – octree-view" if title else "octree-view")
        if names:
            self.stage.welcome.hide()
        else:
            self.stage.welcome.offer(self.showing.remembered.recent, self.adding.add)
        self.showing.show_marks()
        self.refreshing.soon()

    def viewer_filled(self, first: bool = False) -> None:
        """Something was added: keys go to the picture again. The `first` is shown whole."""
        if first:
            QTimer.singleShot(0, self._fit)
        self.canvas.native.setFocus()
        self.refreshing.soon()

    def closeEvent(self, event: Any) -> None:
        """Qt's hook: the viewer ends, the session is its owner's."""
        if not self._done:
            self._done = True
            self.refreshing.close()
            self.gestures.close()
            self.panel.leave()
            self.dims_bar.leave()
            self.system.leave()
            if self.viewer is not None:
                self.viewer.on_frame.clear()
                self.viewer.close()
            else:
                self.canvas.close()
            self.focus_mark.leave()
            self.files.close()
            self.adding.close()
            self._remember()
            self.closed.emit()
        super().closeEvent(event)

    def _remember(self) -> None:
        if self._writes_down:
            size = None if self.isFullScreen() or self.isMaximized() else (self.width(), self.height())
            kept = self.showing.remembered
            remember(msgspec.structs.replace(kept, size=size or kept.size))

    def _drawing_failed(self, error: BaseException) -> None:
        log.error("drawing failed: %s", error, exc_info=error)
        self.canvas.error = None  # it is told here, once; raised in a slot it would end the process
        self.stage.banner.tell(f"Drawing failed: {readout.shortened(str(error), 120)}")

    def dragEnterEvent(self, event: Any) -> None:
        """Qt's hook: something is dragged over the window."""
        if self.viewer is not None and dropped_places(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Qt's hook: paths and URLs are opened."""
        event.acceptProposedAction()
        self.adding.dropped(event.mimeData())
