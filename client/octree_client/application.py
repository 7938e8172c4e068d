"""Qt's application object: there is one a process, made when the first window is, in a dark and quiet style."""

from __future__ import annotations

import os
from typing import Any

#: What the window is made of: neutral, so that no colour of the data is judged against a tinted ground.
_PALETTE = {
    "Window": "#1b1d21",
    "WindowText": "#d8dade",
    "Base": "#141518",
    "AlternateBase": "#202227",
    "ToolTipBase": "#2a2d33",
    "ToolTipText": "#e6e8ec",
    "Text": "#d8dade",
    "Button": "#2a2d33",
    "ButtonText": "#d8dade",
    "BrightText": "#ff6b6b",
    "Highlight": "#3d7eff",
    "HighlightedText": "#ffffff",
    "Link": "#6ea8fe",
}


def qt_application() -> Any:
    """The `QApplication` of this process, made and styled if there is none yet. One that is there keeps its style."""
    os.environ.setdefault("QT_API", "pyqt5")
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance()
    if application is not None:
        return application
    for attribute in ("AA_EnableHighDpiScaling", "AA_UseHighDpiPixmaps"):
        if hasattr(Qt, attribute):  # always on in Qt 6
            QApplication.setAttribute(getattr(Qt, attribute), True)
    application = QApplication(["octree-view"])
    application.setApplicationName("octree-view")
    # Set before any widget exists: style sheets and palettes that come later reach only some of them.
    application.setStyle("Fusion")
    application.setPalette(dark_palette())
    return application


def dark_palette() -> Any:
    """The `QPalette` of our windows; they set it themselves too, for applications that have another one."""
    from qtpy.QtGui import QColor, QPalette

    palette = QPalette()
    for role, colour in _PALETTE.items():
        palette.setColor(getattr(QPalette, role), QColor(colour))
    for role in ("WindowText", "Text", "ButtonText"):
        palette.setColor(QPalette.Disabled, getattr(QPalette, role), QColor("#6b6f76"))
    return palette
