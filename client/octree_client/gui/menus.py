"""The window's actions and menus, made from the table in `keys`. Knows Qt and the table, not what an action does."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAction, QMainWindow, QMenu, QWidget

from octree_client.keys import BINDINGS

#: Keys that are too many, or too plain, for a menu: they are on the card.
_NOT_IN_MENUS = ("pan_left", "pan_right", "pan_up", "pan_down", "dismiss")


def make_actions(
    window: QMainWindow, picture: QWidget, find: Callable[[str], Callable[[], object]]
) -> dict[str, QAction]:
    """An action for each line of the table, with its keys; `find` gives what an action's name calls.

    Most keys hold in the whole `window`; those of the `picture` only where it, or a child of it, has the focus.
    """
    actions: dict[str, QAction] = {}
    for group in BINDINGS.values():
        for binding in group:
            if binding is None:
                continue
            action = QAction(binding.text, window)
            action.setShortcuts([QKeySequence.fromString(key) for key in binding.keys])
            action.setShortcutContext(Qt.WidgetWithChildrenShortcut if binding.on_picture else Qt.WindowShortcut)
            action.setAutoRepeat(binding.repeats)
            action.setCheckable(binding.checkable)
            call = find(binding.action)
            action.triggered.connect(lambda _=False, call=call: call())
            (picture if binding.on_picture else window).addAction(action)
            actions[binding.action] = action
    return actions


def add_submenu(menu: QMenu, after: QAction, title: str, fill: Callable[[QMenu], None]) -> QMenu:
    """A menu below `after` in another one; `fill` fills it whenever it is about to be seen."""
    found = QMenu(title, menu)
    following = menu.actions()[menu.actions().index(after) + 1 :]
    if following:
        menu.insertMenu(following[0], found)
    else:
        menu.addMenu(found)

    def refill() -> None:
        found.clear()
        fill(found)

    found.aboutToShow.connect(refill)
    return found


def make_menus(window: QMainWindow, actions: dict[str, QAction]) -> dict[str, QMenu]:
    """The menu bar; the menus by title, for who puts more into them."""
    bar = window.menuBar()
    bar.setNativeMenuBar(False)
    menus: dict[str, QMenu] = {}
    for title, group in BINDINGS.items():
        menu = menus[title] = bar.addMenu(title)
        for binding in group:
            if binding is None:
                menu.addSeparator()
            elif binding.action not in _NOT_IN_MENUS:
                menu.addAction(actions[binding.action])
    return menus
