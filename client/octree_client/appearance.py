"""What the window looks like beyond Fusion's palette: a few colours, distances, and one style sheet.

The sheet names our own widgets only. A sheet for sliders or combo boxes would replace Fusion's drawing of them whole,
and hide the handles of range sliders.
"""

from __future__ import annotations

from octree_client.readout import BAD, BUSY, CALM

#: Colour of each mood.
MOODS = {CALM: "#5fc88f", BUSY: "#f0b34a", BAD: "#ff6f61"}

#: What is on, chosen, filled.
ACCENT = "#5b8cf5"

#: Distance between things, in logical pixels; everything is a multiple of half of it.
GAP = 12

#: Width of the side panel.
PANEL_WIDTH = 284

#: The overlay's tints over mid-grey, as `visuals.shaders` mixes them, and what they mean.
LEGEND = (
    ("#4fa462", "final"),
    ("#e08a1f", "coarser"),
    ("#3f86d8", "finer"),
    ("#8f6fd0", "missing"),
    ("#e0483f", "failed"),
)

STYLE = """
QMainWindow, #stage { background: #1b1d21; }
#panel, #panelBody { background: #202227; }
#panelScroll { border: none; background: #202227; }
#divider { background: #2e3138; }
#handle {
    background: #202227; border: none; border-left: 1px solid #2e3138; color: #7d828b; font-size: 13px; padding: 0;
}
#handle:hover { background: #2a2d33; color: #ffffff; }
#title { font-size: 16px; font-weight: 600; color: #f2f4f7; }
#heading { font-size: 11px; font-weight: 600; color: #7fb0ff; }
#key { color: #8b9099; }
#fact { color: #d8dade; }
#hint { color: #757a83; font-size: 11px; }
#swatch { border-radius: 3px; }
#failures { background: #33211f; border: 1px solid #5c332e; border-radius: 6px; }
#failures QLabel { color: #f3b7ae; }
#failuresTitle { font-weight: 600; color: #ff8d80; }
#small {
    background: #2a2d33; border: 1px solid #3a3e46; border-radius: 4px; color: #c9ccd2; padding: 2px 10px;
}
#small:hover { background: #343840; color: #ffffff; }
#small:checked { background: #3a5fae; border-color: #5b8cf5; color: #ffffff; }
#small:disabled { color: #6b6f76; }
#field {
    background: #16171b; border: 1px solid #33373e; border-radius: 4px; padding: 2px 6px; color: #e6e8ec;
}
#field:focus { border-color: #5b8cf5; }
QComboBox {
    background: #2a2d33; border: 1px solid #3a3e46; border-radius: 4px; color: #e6e8ec; padding: 2px 6px;
    min-height: 18px;
}
QComboBox:hover { background: #343840; }
QComboBox::drop-down { border: none; width: 18px; }
QComboBox::down-arrow {
    image: none; width: 0; height: 0; margin-right: 8px;
    border-left: 4px solid #2a2d33; border-right: 4px solid #2a2d33; border-top: 5px solid #aeb3bc;
}
QComboBox QAbstractItemView { background: #202227; selection-background-color: #3a5fae; border: 1px solid #3a3e46; }
QComboBox QLineEdit { background: transparent; }
QStatusBar { background: #17191c; border-top: 1px solid #2e3138; color: #c9ccd2; }
QStatusBar::item { border: none; }
QStatusBar QLabel { color: #c9ccd2; padding: 0 2px; }
#card, #figures {
    background: rgba(18, 19, 23, 236); border: 1px solid rgba(255, 255, 255, 28); border-radius: 8px; color: #e6e8ec;
}
#card { padding: 14px 22px 18px 22px; }
#figures { padding: 8px 12px; font-size: 12px; }
#banner {
    background: rgba(120, 38, 30, 235); border: 1px solid rgba(255, 160, 148, 90); border-radius: 8px;
    color: #ffffff; padding: 8px 16px;
}
#notice {
    background: rgba(18, 19, 23, 224); border: 1px solid rgba(255, 255, 255, 28); border-radius: 8px;
    color: #ffffff; padding: 8px 16px;
}
#opening { color: #aeb3bc; font-size: 15px; }
"""
