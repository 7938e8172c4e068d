"""What the windows look like: two themes of a few colours each, distances, one style sheet. Pure (no I/O).

The sheet names our own widgets and the plainest of Qt's. A sheet for sliders would replace Fusion's drawing of them
whole, and hide the handles of range sliders.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from octree_client.readout import ABSENT, BAD, BUSY, CALM

#: Distance between things, in logical pixels; everything is a multiple of half of it.
GAP = 12

#: Width of the side panel.
PANEL_WIDTH = 312

#: The overlay's tints over mid-grey, as `visuals.shaders` mixes them, and what they mean.
LEGEND = (
    ("#4fa462", "final"),
    ("#e08a1f", "coarser"),
    ("#3f86d8", "finer"),
    ("#8f6fd0", "missing"),
    ("#e0483f", "failed"),
)


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours by what they are for. Neutral greys, so that no colour of the data is judged against a tinted ground.

    Attributes
    ----------
    ground, raised, sunk, hover
        Behind everything; panels; fields; what the mouse is over.
    line
        Between things, and around fields.
    ink, quiet, faint
        Text that matters, that explains, that may be overlooked.
    accent, accent_ink
        What is on, chosen, filled; and text on it. The one colour.
    picture
        What lies around the image.
    glass, glass_ink, glass_line
        What lies over the picture.
    calm, busy, bad, bad_ground
        How things stand.
    """

    name: str
    ground: str
    raised: str
    sunk: str
    hover: str
    line: str
    ink: str
    quiet: str
    faint: str
    accent: str
    accent_ink: str
    accent_ground: str
    picture: str
    glass: str
    glass_ink: str
    glass_quiet: str
    glass_line: str
    calm: str
    busy: str
    bad: str
    bad_ground: str

    def mood(self, mood: str) -> str:
        """Colour of a mood of `readout`."""
        return {CALM: self.calm, BUSY: self.busy, BAD: self.bad, ABSENT: self.faint}[mood]


DARK = Theme(
    name="dark",
    ground="#17181b",
    raised="#1e2023",
    sunk="#131417",
    hover="#2b2e33",
    line="#2d3035",
    ink="#e4e6ea",
    quiet="#9a9fa8",
    faint="#6d727b",
    accent="#4f8ff7",
    accent_ink="#ffffff",
    accent_ground="#243450",
    picture="#0c0d0f",
    glass="rgba(22, 23, 26, 216)",
    glass_ink="#f1f2f4",
    glass_quiet="#a9aeb6",
    glass_line="rgba(255, 255, 255, 26)",
    calm="#57c48a",
    busy="#efb045",
    bad="#ff6f61",
    bad_ground="#372321",
)

LIGHT = Theme(
    name="light",
    ground="#eceef1",
    raised="#f7f8f9",
    sunk="#ffffff",
    hover="#e2e5e9",
    line="#d5d8dd",
    ink="#1d2025",
    quiet="#5d636d",
    faint="#8b919b",
    accent="#2468d6",
    accent_ink="#ffffff",
    accent_ground="#d9e6fb",
    picture="#d9dce0",
    glass="rgba(250, 250, 251, 226)",
    glass_ink="#1d2025",
    glass_quiet="#5d636d",
    glass_line="rgba(0, 0, 0, 34)",
    calm="#1f9358",
    busy="#b87400",
    bad="#cf3a2c",
    bad_ground="#fbe4e1",
)

THEMES = {theme.name: theme for theme in (DARK, LIGHT)}


def theme_named(name: str, system_is_dark: bool) -> Theme:
    """The theme of a setting: ``dark``, ``light``, or ``system`` for what the desktop has."""
    return THEMES.get(name, DARK if system_is_dark else LIGHT)


def palette_colours(theme: Theme) -> dict[str, str]:
    """Colours of Qt's palette, by the names of its roles."""
    return {
        "Window": theme.raised,
        "WindowText": theme.ink,
        "Base": theme.sunk,
        "AlternateBase": theme.raised,
        "ToolTipBase": theme.raised,
        "ToolTipText": theme.ink,
        "Text": theme.ink,
        "Button": theme.hover,
        "ButtonText": theme.ink,
        "BrightText": theme.bad,
        "Highlight": theme.accent,
        "HighlightedText": theme.accent_ink,
        "PlaceholderText": theme.faint,
        "Link": theme.accent,
    }


def rgb(colour: str) -> tuple[float, float, float]:
    """``#rrggbb`` as three numbers, 0 .. 1."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255.0 for at in (1, 3, 5))
    return red, green, blue


_SHEET = Template(
    """
QMainWindow, QDialog { background: $raised; }
#stage { background: $picture; }
QMainWindow::separator { background: $line; width: 1px; height: 1px; }
QMenuBar { background: $ground; color: $quiet; padding: 2px 6px; border-bottom: 1px solid $line; }
QMenuBar::item { background: transparent; padding: 5px 9px; border-radius: 4px; }
QMenuBar::item:selected, QMenuBar::item:pressed { background: $hover; color: $ink; }
QMenu { background: $raised; color: $ink; border: 1px solid $line; padding: 5px; }
QMenu::item { padding: 5px 28px 5px 26px; border-radius: 4px; }
QMenu::item:selected { background: $accent; color: $accent_ink; }
QMenu::item:disabled { color: $faint; }
QMenu::separator { height: 1px; background: $line; margin: 5px 8px; }
QMenu::indicator { width: 12px; height: 12px; left: 7px; }
QToolTip { background: $raised; color: $ink; border: 1px solid $line; padding: 4px 6px; }
#panel, #panelBody, #panelScroll, #dims, #systemPanel, #systemBody { background: $raised; border: none; }
#dims { border-top: 1px solid $line; }
#systemPanel QLabel { font-size: 12px; }
#divider { background: $line; }
#handle {
    background: $raised; border: none; border-left: 1px solid $line; border-right: 1px solid $line;
    color: $faint; font-size: 13px; padding: 0;
}
#handle:hover { background: $hover; color: $ink; }
#title { font-size: 15px; font-weight: 600; color: $ink; }
#heading { font-size: 11px; font-weight: 600; color: $quiet; }
#key { color: $quiet; }
#fact { color: $ink; }
#hint { color: $faint; font-size: 11px; }
#trouble { color: $bad; font-size: 12px; }
#done { color: $ink; font-size: 12px; }
#swatch { border-radius: 3px; }
#failures { background: $bad_ground; border: 1px solid $bad; border-radius: 6px; }
#failures QLabel { color: $ink; }
#failuresTitle { font-weight: 600; color: $bad; }
#small, QDialog QPushButton {
    background: $hover; border: 1px solid $line; border-radius: 4px; color: $ink; padding: 3px 10px;
}
#small:hover, QDialog QPushButton:hover { border-color: $faint; }
#small:checked, QDialog QPushButton:default { background: $accent; border-color: $accent; color: $accent_ink; }
QDialog QPushButton:default:focus { border-color: $ink; }
#small:disabled, QDialog QPushButton:disabled { color: $faint; background: transparent; border-color: $line; }
#icon { background: transparent; border: none; border-radius: 4px; padding: 3px; color: $ink; }
#icon:hover { background: $hover; }
#icon:checked { background: $accent_ground; }
#icon::menu-indicator { image: none; width: 0; }
#field, QDialog QLineEdit, QDialog QSpinBox, QDialog QDoubleSpinBox, #number {
    background: $sunk; border: 1px solid $line; border-radius: 4px; padding: 2px 6px; color: $ink;
    selection-background-color: $accent; selection-color: $accent_ink;
}
#field:focus, QDialog QLineEdit:focus, #number:focus { border-color: $accent; }
QDialog QSpinBox:focus, QDialog QDoubleSpinBox:focus, QDialog QPushButton:focus { border-color: $accent; }
QDialog QListWidget:focus { border-color: $accent; }
QComboBox {
    background: $hover; border: 1px solid $line; border-radius: 4px; color: $ink; padding: 2px 6px; min-height: 18px;
}
QComboBox:hover { border-color: $faint; }
QComboBox:focus { border-color: $accent; }
QComboBox::drop-down { border: none; width: 18px; }
QComboBox::down-arrow {
    image: none; width: 0; height: 0; margin-right: 8px;
    border-left: 4px solid $hover; border-right: 4px solid $hover; border-top: 5px solid $quiet;
}
QComboBox QAbstractItemView {
    background: $raised; color: $ink; selection-background-color: $accent; selection-color: $accent_ink;
    border: 1px solid $line;
}
QComboBox QLineEdit { background: transparent; border: none; color: $ink; }
#layerList { background: $sunk; border: 1px solid $line; border-radius: 6px; outline: none; }
QDialog QListWidget { background: $sunk; border: 1px solid $line; border-radius: 6px; color: $ink; outline: none; }
QDialog QListWidget::item { padding: 5px 8px; }
QDialog QListWidget::item:selected { background: $accent_ground; color: $ink; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar::handle:vertical { background: $line; border-radius: 3px; min-height: 28px; margin: 2px; }
QScrollBar::handle:vertical:hover { background: $faint; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle:horizontal { background: $line; border-radius: 3px; min-width: 28px; margin: 2px; }
QScrollBar::handle:horizontal:hover { background: $faint; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QProgressBar { background: $sunk; border: 1px solid $line; border-radius: 4px; height: 8px; color: $ink; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }
QStatusBar { background: $ground; border-top: 1px solid $line; color: $quiet; }
QStatusBar::item { border: none; }
QStatusBar QLabel { color: $ink; padding: 0 2px; }
QDockWidget { color: $quiet; }
QDockWidget::title { background: $ground; padding: 6px 10px; border-top: 1px solid $line; }
#card, #figures, #tools, #tip {
    background: $glass; border: 1px solid $glass_line; border-radius: 8px; color: $glass_ink;
}
#card { background: $raised; border-color: $line; padding: 10px 18px 14px 18px; font-size: 12px; }
#figures { padding: 8px 12px; font-size: 12px; }
#tip { padding: 6px 10px; font-size: 12px; }
#tools QToolButton { background: transparent; border: none; border-radius: 5px; padding: 4px; color: $glass_ink; }
#tools QToolButton:hover { background: $hover; }
#tools QToolButton:checked { background: $accent; }
#tools QToolButton::menu-indicator { image: none; width: 0; }
#banner {
    background: $bad_ground; border: 1px solid $bad; border-radius: 8px; color: $ink; padding: 8px 16px;
}
#notice { background: $glass; border: 1px solid $glass_line; border-radius: 8px; color: $glass_ink; padding: 8px 16px; }
#opening { color: $quiet; font-size: 15px; }
#welcome { background: transparent; border: 1px dashed $faint; border-radius: 14px; }
#welcomeTitle { color: $quiet; font-size: 17px; padding-bottom: 12px; }
#welcomeHeading { color: $faint; font-size: 11px; font-weight: 600; padding-top: 14px; }
#welcomeButton {
    background: transparent; border: none; border-radius: 5px; color: $accent; font-size: 13px; padding: 5px 14px;
}
#welcomeButton:hover, #welcomeButton:focus { background: $hover; }
"""
)


def style_sheet(theme: Theme) -> str:
    """The style sheet of a window."""
    return _SHEET.substitute({name: getattr(theme, name) for name in Theme.__slots__})
