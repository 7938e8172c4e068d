"""Qt's application object: there is one a process, made when the first window is, in a quiet style."""

from __future__ import annotations

import os
from typing import Any

from octree_client.gui.appearance import DARK, Theme, palette_colours


def qt_application() -> Any:
    """The `QApplication` of this process, made and styled if there is none yet. One that is there keeps its style."""
    os.environ.setdefault("QT_API", "pyqt5")
    import qtpy
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication

    # It would take another Qt, if a process has one imported for whatever reason, or if this was inherited from a
    # process that had: two of them end it.
    os.environ["PYQTGRAPH_QT_LIB"] = qtpy.API_NAME
    application = QApplication.instance()
    if application is not None:
        return application
    for attribute in ("AA_EnableHighDpiScaling", "AA_UseHighDpiPixmaps"):
        if hasattr(Qt, attribute):  # always on in Qt 6
            QApplication.setAttribute(getattr(Qt, attribute), True)
    application = QApplication(["octree-view"])
    application.setApplicationName("octree-view")
    application.setProperty("octree_system_is_dark", _is_dark(application))
    # Set before any widget exists: style sheets and palettes that come later reach only some of them.
    application.setStyle("Fusion")
    application.setPalette(theme_palette(DARK))
    application.setProperty("octree_is_ours", True)
    return application


def system_is_dark() -> bool:
    """Whether the desktop is dark; asked before we coloured anything ourselves, so it holds for the whole process."""
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance()
    known = application.property("octree_system_is_dark") if application is not None else None
    return bool(known) if known is not None else application is None or _is_dark(application)


def _is_dark(application: Any) -> bool:
    from qtpy.QtGui import QPalette

    return bool(application.palette().color(QPalette.Window).lightness() < 128)


def theme_palette(theme: Theme) -> Any:
    """The `QPalette` of our windows; they set it themselves too, for applications that have another one."""
    from qtpy.QtGui import QColor, QPalette

    palette = QPalette()
    for role, colour in palette_colours(theme).items():
        palette.setColor(getattr(QPalette, role), QColor(colour))
    for role in ("WindowText", "Text", "ButtonText"):
        palette.setColor(QPalette.Disabled, getattr(QPalette, role), QColor(theme.faint))
    return palette


def dress(window: Any, theme: Theme) -> None:
    """Have a window, and what it opens, look like a theme. An application that is not ours keeps its palette."""
    from qtpy.QtWidgets import QApplication

    from octree_client.gui.appearance import style_sheet

    application = QApplication.instance()
    if application is not None and application.property("octree_is_ours"):
        application.setPalette(theme_palette(theme))
    window.setPalette(theme_palette(theme))
    window.setStyleSheet(style_sheet(theme))
