"""What keys, menus and mouse do in the window: the one table of menus, F1, ``--help`` and tests. Pure (no I/O).

Knows nothing of Qt, but for the portable names of keys (``QKeySequence.fromString``); what an action does is the
window's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Binding:
    """One action of the window.

    Attributes
    ----------
    action
        Its name: the method that carries it out.
    keys
        Any of them starts it; portable names. None: it is in the menu alone.
    shown
        The keys as people read them.
    text
        What it does, as the menu says it.
    repeats
        Whether a key that is held down starts it again and again.
    checkable
        Whether it turns something on and off, so that the menu has a tick.
    """

    action: str
    keys: tuple[str, ...]
    shown: str
    text: str
    repeats: bool = False
    checkable: bool = False


#: Every action, by menu, in the order in which they are shown; None is a line between two groups.
BINDINGS: dict[str, tuple[Binding | None, ...]] = {
    "File": (
        Binding("open_file", ("Ctrl+O",), "Ctrl+O", "Open a file…"),
        Binding("open_folder", ("Ctrl+Shift+O",), "Ctrl+Shift+O", "Open a folder (Zarr, planes)…"),
        Binding("open_address", ("Ctrl+L",), "Ctrl+L", "Open a path, URL or link…"),
        Binding("add_served", ("Ctrl+D",), "Ctrl+D", "Add from a daemon…"),
        Binding("paste", ("Ctrl+V",), "Ctrl+V", "Open what is on the clipboard"),
        None,
        Binding("save_screenshot", ("S",), "S", "Save a picture…"),
        Binding("export_region", ("Ctrl+E",), "Ctrl+E", "Export a region…"),
        None,
        Binding("copy_link", ("Ctrl+C",), "Ctrl+C", "Copy a link to this view"),
        Binding("copy_picture", ("Ctrl+Shift+C",), "Ctrl+Shift+C", "Copy the picture"),
        None,
        Binding("close", ("Q", "Ctrl+Q"), "Q  Ctrl+Q", "Quit"),
    ),
    "Go": (
        Binding("home", ("Home", "H"), "Home  H", "Fit the whole image"),
        Binding("one_to_one", ("1",), "1", "One voxel a pixel"),
        Binding("zoom_rectangle", ("Z",), "Z", "Zoom to a rectangle", checkable=True),
        Binding("zoom_in", ("+", "=", "Shift++"), "+", "Zoom in", True),
        Binding("zoom_out", ("-", "_"), "−", "Zoom out", True),
        None,
        Binding("pan_left", ("Left",), "←", "To the left", True),
        Binding("pan_right", ("Right",), "→", "To the right", True),
        Binding("pan_up", ("Up",), "↑", "Upwards", True),
        Binding("pan_down", ("Down",), "↓", "Downwards", True),
        None,
        Binding("previous_slice", ("PgUp",), "PgUp", "Previous slice", True),
        Binding("next_slice", ("PgDown",), "PgDn", "Next slice", True),
        Binding("previous_place", ("Shift+PgUp",), "Shift+PgUp", "Back on the axis before", True),
        Binding("next_place", ("Shift+PgDown",), "Shift+PgDn", "On on the axis before", True),
        Binding("play", ("P",), "P", "Play, or stop", checkable=True),
        None,
        Binding("show_xy", ("Ctrl+1",), "Ctrl+1", "XY plane"),
        Binding("show_xz", ("Ctrl+2",), "Ctrl+2", "XZ plane"),
        Binding("show_yz", ("Ctrl+3",), "Ctrl+3", "YZ plane"),
        Binding("swap_axes", ("Ctrl+T",), "Ctrl+T", "Swap down and across"),
    ),
    "Show": (
        Binding("toggle_panel", ("G",), "G", "Side panel", checkable=True),
        Binding("toggle_system", ("Y",), "Y", "What the system does", checkable=True),
        Binding("toggle_scale_bar", ("C",), "C", "Scale bar", checkable=True),
        Binding("toggle_minimap", ("M",), "M", "Map", checkable=True),
        Binding("toggle_axes", ("X",), "X", "Axes", checkable=True),
        Binding("toggle_overlay", ("L",), "L", "Levels and status of cells", checkable=True),
        Binding("toggle_fade", ("Shift+F",), "Shift+F", "Fade new pieces in", checkable=True),
        Binding("toggle_statistics", ("F",), "F", "What frames cost", checkable=True),
        None,
        Binding("toggle_theme", ("T",), "T", "Dark or light"),
        Binding("toggle_full_screen", ("F11",), "F11", "Full screen", checkable=True),
    ),
    "Layer": (
        Binding("toggle_visible", ("V",), "V", "Show or hide it"),
        Binding("layer_above", ("]",), "]", "The layer above"),
        Binding("layer_below", ("[",), "[", "The layer below"),
        Binding("raise_layer", ("Alt+PgUp",), "Alt+PgUp", "Move it up"),
        Binding("lower_layer", ("Alt+PgDown",), "Alt+PgDn", "Move it down"),
        Binding("remove_layer", ("Del",), "Del", "Remove it"),
        None,
        Binding("auto_contrast", ("A",), "A", "Automatic contrast"),
        Binding("full_range", ("Shift+A",), "Shift+A", "Full range of the type"),
        Binding("toggle_interpolation", ("N", "B"), "N  B", "Nearest or linear"),
        None,
        Binding("finer_level", (",",), ",", "Always a finer level"),
        Binding("coarser_level", (".",), ".", "Always a coarser level"),
        Binding("toggle_level_lock", ("K",), "K", "Keep this level, or not"),
        None,
        Binding("merge_channels", ("Ctrl+M",), "Ctrl+M", "Merge channels"),
        Binding("split_channels", ("Ctrl+Shift+M",), "Ctrl+Shift+M", "Split channels"),
        None,
        Binding("retry", ("R",), "R", "Read again what failed"),
    ),
    "Help": (
        Binding("toggle_keys", ("F1",), "F1", "Keys and mouse"),
        Binding("dismiss", ("Escape",), "Esc", "Close, leave, give up"),
    ),
}

#: What the mouse does: (gesture, effect).
GESTURES: tuple[tuple[str, str], ...] = (
    ("Drag", "move the image"),
    ("Wheel", "zoom at the cursor"),
    ("Ctrl + drag", "zoom to a rectangle"),
    ("Shift + wheel", "next or previous slice"),
    ("Alt + click", "choose a label"),
    ("Double click", "zoom in there"),
    ("Shift + double click", "zoom out"),
)

#: Which groups stand below each other on the card.
_COLUMNS = (("Go",), ("Layer", "Show"), ("File", "Help", "Mouse"))


def all_bindings() -> list[Binding]:
    """Every binding, in the order of the table."""
    return [binding for group in BINDINGS.values() for binding in group if binding is not None]


def terminal_table(indent: str = "  ") -> str:
    """The table for a terminal."""
    rows = [(binding.shown, binding.text) for binding in all_bindings() if binding.keys]
    rows += [(gesture, effect) for gesture, effect in GESTURES]
    width = max(len(shown) for shown, _ in rows) + 2
    return "\n".join(f"{indent}{shown:<{width}}{text[:1].lower()}{text[1:]}".replace("…", "") for shown, text in rows)


def rich_table(ink: str, quiet: str, accent: str) -> str:
    """The table as rich text in columns, for the card over the picture. Colours are those of style sheets."""

    def rows(pairs: list[tuple[str, str]]) -> str:
        return "".join(
            f"<tr><td align='right' style='color:{ink}; white-space:pre; padding:1px 12px 1px 0'>"
            f"<b>{escape(shown)}</b></td>"
            f"<td style='color:{quiet}; white-space:pre; padding:1px 0'>{escape(text)}</td></tr>"
            for shown, text in pairs
        )

    def group(title: str) -> str:
        bindings = [b for b in BINDINGS.get(title, ()) if b is not None and b.keys]
        pairs = [(b.shown, b.text) for b in bindings] if bindings else list(GESTURES)
        return f"<tr><td colspan='2' style='color:{accent}; padding:8px 0 3px 0'>{title}</td></tr>" + rows(pairs)

    columns = ["".join(group(title) for title in titles) for titles in _COLUMNS]
    cells = "<td width='26'></td>".join(f"<td><table cellspacing='0'>{column}</table></td>" for column in columns)
    return f"<table cellspacing='0'><tr>{cells}</tr></table>"
