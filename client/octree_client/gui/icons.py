"""Small drawings for buttons: lines on a 24 x 24 grid, in whatever colour the theme wants, sharp on every screen.

Nothing is kept here: a pixmap that outlives Qt's application object brings the process down.
"""

from __future__ import annotations

from qtpy.QtCore import QByteArray, QRectF, QSize, Qt
from qtpy.QtGui import QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer

#: Path data of each drawing; a name that ends in ``+`` is filled instead of stroked.
_DRAWINGS = {
    "fit": "M4 9V4h5 M20 9V4h-5 M4 15v5h5 M20 15v5h-5 M9 9h6v6H9z",
    "one-to-one": "M5 7l2-1.5V18 M17 7l2-1.5V18 M12 9.5v.2 M12 14.5v.2",
    "rectangle": "M4 4h3 M10 4h4 M17 4h3v3 M20 10v2 M4 4v3 M4 10v4 M4 17v3h3 M10 20h2 "
    "M15.5 15.5m-3.2 0a3.2 3.2 0 1 0 6.4 0"
    "a3.2 3.2 0 1 0-6.4 0 M18 18l3 3",
    "planes": "M12 3l8 4.5v9L12 21l-8-4.5v-9z M12 12l8-4.5 M12 12v9 M12 12L4 7.5",
    "grid": "M4 4h16v16H4z M4 12h16 M12 4v16 M12 8h8 M16 4v8",
    "eye": "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z "
    "M12 12m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
    "eye-off": "M4 4l16 16 M9.5 5.9C10.3 5.6 11.1 5.5 12 5.5c6 0 9.5 6.5 9.5 6.5s-1 1.8-2.8 3.5 M6.2 7.3"
    "C3.8 9.2 2.5 12 2.5 12s3.5 6.5 9.5 6.5c1.5 0 2.9-.4 4.1-1",
    "plus": "M12 5v14 M5 12h14",
    "trash": "M5 7h14 M9 7V4.5h6V7 M7 7l1 13h8l1-13 M10.5 11v5.5 M13.5 11v5.5",
    "merge": "M6 4v4c0 3 6 3 6 7v5 M18 4v4c0 3-6 3-6 7 M9 17l3 3 3-3",
    "split": "M12 4v5c0 3-6 3-6 7v4 M12 9c0 3 6 3 6 7v4 M3 17l3 3 3-3 M15 17l3 3 3-3",
    "play+": "M7 4.5v15l12.5-7.5z",
    "pause+": "M6.5 5h4v14h-4z M13.5 5h4v14h-4z",
    "camera": "M3.5 7.5h4L9 5h6l1.5 2.5h4v11.5h-17z M12 13m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0",
    "link": "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1.3 1.3 M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7L12 17",
    "export": "M12 15V4 M8 8l4-4 4 4 M4 14v6h16v-6",
    "map": "M4 5h16v14H4z M12 11h5v5h-5z",
    "lock": "M6 11h12v9H6z M8.5 11V8a3.5 3.5 0 0 1 7 0v3",
    "swap": "M4 8h14 M15 5l3 3-3 3 M20 16H6 M9 13l-3 3 3 3",
    "pulse": "M3 12h4l3-7 4 14 3-7h4",
    "retry": "M19 12a7 7 0 1 1-2-5 M19 3v5h-5",
    "drawer": "M4 5h16v14H4z M15 5v14",
    "more+": "M6 10.3a1.7 1.7 0 1 0 .1 0z M12 10.3a1.7 1.7 0 1 0 .1 0z M18 10.3a1.7 1.7 0 1 0 .1 0z",
}


def pixmap(name: str, colour: str, size: int = 18, ratio: float = 1.0) -> QPixmap:
    """A drawing, `size` logical pixels wide on a screen of `ratio` physical pixels a logical one."""
    filled = f"{name}+" in _DRAWINGS
    path = _DRAWINGS[f"{name}+" if filled else name]
    paint = f'fill="{colour}"' if filled else f'fill="none" stroke="{colour}" stroke-width="1.7"'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path d="{path}" {paint} '
        'stroke-linecap="round" stroke-linejoin="round"/></svg>'
    )
    edge = max(1, round(size * ratio))
    drawn = QPixmap(QSize(edge, edge))
    drawn.fill(Qt.transparent)
    painter = QPainter(drawn)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(0, 0, edge, edge))
    painter.end()
    drawn.setDevicePixelRatio(ratio)
    return drawn


def icon(name: str, colour: str, on_colour: str = "", size: int = 18) -> QIcon:
    """An icon with that drawing; in `on_colour` while its button is checked."""
    found = QIcon()
    for ratio in (1.0, 2.0):
        found.addPixmap(pixmap(name, colour, size, ratio), QIcon.Normal, QIcon.Off)
        if on_colour:
            found.addPixmap(pixmap(name, on_colour, size, ratio), QIcon.Normal, QIcon.On)
    return found
