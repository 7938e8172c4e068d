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
    card
        Of the first of several that do the same, only in different directions: what the card says of all of them. Those
        that follow have ``"``.
    on_picture
        Whether its keys are the picture's alone: where a slider or a list has the keys, it moves with them.
    """

    action: str
    keys: tuple[str, ...]
    shown: str
    text: str
    repeats: bool = False
    checkable: bool = False
    card: str = ""
    on_picture: bool = False


#: Every action, by menu, in the order in which they are shown; None is a line between two groups.
BINDINGS: dict[str, tuple[Binding | None, ...]] = {
    "File": (
        Binding("open_file", ("Ctrl+O",), "Ctrl+O", "Open a file…"),
        Binding(
            "open_folder", ("Ctrl+Shift+O",), "Ctrl+Shift+O", "Open a folder (Zarr, planes)…", card="Open a folder…"
        ),
        Binding("open_address", ("Ctrl+L",), "Ctrl+L", "Open a path, URL or link…"),
        Binding("add_served", ("Ctrl+D",), "Ctrl+D", "Add from a daemon…"),
        Binding("paste", ("Ctrl+V",), "Ctrl+V", "Open what is on the clipboard", card="Open the clipboard"),
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
        Binding("zoom_in", ("+", "=", "Shift++"), "+", "Zoom in", True, card="Zoom in, out"),
        Binding("zoom_out", ("-", "_"), "−", "Zoom out", True, card='"'),
        None,
        Binding("pan_left", ("Left",), "←", "To the left", True, card="Move about", on_picture=True),
        Binding("pan_right", ("Right",), "→", "To the right", True, card='"', on_picture=True),
        Binding("pan_up", ("Up",), "↑", "Upwards", True, card='"', on_picture=True),
        Binding("pan_down", ("Down",), "↓", "Downwards", True, card='"', on_picture=True),
        None,
        Binding("previous_slice", ("PgUp",), "PgUp", "Previous slice", True, card="Previous, next slice"),
        Binding("next_slice", ("PgDown",), "PgDn", "Next slice", True, card='"'),
        Binding(
            "previous_place",
            ("Shift+PgUp",),
            "Shift+PgUp",
            "Back on the axis before",
            True,
            card="… on the axis before",
        ),
        Binding("next_place", ("Shift+PgDown",), "Shift+PgDn", "On on the axis before", True, card='"'),
        Binding("play", ("P",), "P", "Play, or stop", checkable=True),
        Binding("play_faster", ("Ctrl+Up",), "Ctrl+↑", "Play faster", True, card="Play faster, slower"),
        Binding("play_slower", ("Ctrl+Down",), "Ctrl+↓", "Play slower", True, card='"'),
        Binding("next_play_mode", ("Shift+P",), "Shift+P", "Loop, once, back and forth"),
        None,
        Binding("show_xy", ("Ctrl+1",), "Ctrl+1", "XY plane", card="XY, XZ, YZ plane"),
        Binding("show_xz", ("Ctrl+2",), "Ctrl+2", "XZ plane", card='"'),
        Binding("show_yz", ("Ctrl+3",), "Ctrl+3", "YZ plane", card='"'),
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
        Binding("layer_above", ("]",), "]", "The layer above", True, card="The layer above, below"),
        Binding("layer_below", ("[",), "[", "The layer below", True, card='"'),
        Binding("raise_layer", ("Alt+PgUp",), "Alt+PgUp", "Move it up", True, card="Move it up, down"),
        Binding("lower_layer", ("Alt+PgDown",), "Alt+PgDn", "Move it down", True, card='"'),
        Binding("rename_layer", ("F2",), "F2", "Give it another name"),
        Binding("remove_layer", ("Del",), "Del", "Remove it"),
        None,
        Binding("switch_labels", ("Shift+L",), "Shift+L", "As labels, as an image"),
        Binding("merge_channels", ("Ctrl+M",), "Ctrl+M", "Merge channels"),
        Binding("split_channels", ("Ctrl+Shift+M",), "Ctrl+Shift+M", "Split channels"),
        None,
        Binding("finer_level", (",",), ",", "Always a finer level", True, card="Keep a finer, coarser level"),
        Binding("coarser_level", (".",), ".", "Always a coarser level", True, card='"'),
        Binding("toggle_level_lock", ("K",), "K", "Keep this level, or not"),
        Binding("more_quality", ("<",), "<", "Finer than what fits", True, card="Finer, coarser than fits"),
        Binding("less_quality", (">",), ">", "Coarser than what fits", True, card='"'),
        None,
        Binding("retry", ("R",), "R", "Read again what failed"),
    ),
    "Look": (
        Binding("auto_contrast", ("A",), "A", "Automatic contrast"),
        Binding("more_cut", ("Ctrl+A",), "Ctrl+A", "Cut more at both ends", True, card="It cuts more, less"),
        Binding("less_cut", ("Ctrl+Shift+A",), "Ctrl+Shift+A", "Cut less at both ends", True, card='"'),
        Binding("full_range", ("Shift+A",), "Shift+A", "Full range of the type"),
        Binding("raise_low", ("J",), "J", "Lower limit up", True, card="Lower limit up, down"),
        Binding("lower_low", ("Shift+J",), "Shift+J", "Lower limit down", True, card='"'),
        Binding("raise_high", ("U",), "U", "Upper limit up", True, card="Upper limit up, down"),
        Binding("lower_high", ("Shift+U",), "Shift+U", "Upper limit down", True, card='"'),
        Binding("more_gamma", ("D",), "D", "More gamma: darker", True, card="Gamma up, down"),
        Binding("less_gamma", ("Shift+D",), "Shift+D", "Less gamma: brighter", True, card='"'),
        None,
        Binding("next_colormap", ("I",), "I", "Next colour map", True, card="Next, previous colour map"),
        Binding("previous_colormap", ("Shift+I",), "Shift+I", "Previous colour map", True, card='"'),
        Binding("less_opacity", ("O",), "O", "More transparent", True, card="Less, more opaque"),
        Binding("more_opacity", ("Shift+O",), "Shift+O", "More opaque", True, card='"'),
        Binding("next_blending", ("B",), "B", "Next blending", True, card="Next, previous blending"),
        Binding("previous_blending", ("Shift+B",), "Shift+B", "Previous blending", True, card='"'),
        Binding("toggle_interpolation", ("N",), "N", "Nearest or linear"),
        None,
        Binding("toggle_alone", ("E",), "E", "Only the chosen label"),
        Binding("more_contour", ("W",), "W", "Wider outlines of labels", True, card="Outlines of labels"),
        Binding("less_contour", ("Shift+W",), "Shift+W", "Narrower outlines of labels", True, card='"'),
        Binding("other_colours", ("Shift+E",), "Shift+E", "Other colours of labels"),
    ),
    "Help": (
        Binding("toggle_keys", ("F1",), "F1", "Keys and mouse"),
        Binding("dismiss", ("Escape",), "Esc", "Close, back to the picture"),
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

#: What keys do in the panels: (keys, effect).
CONTROL_KEYS: tuple[tuple[str, str], ...] = (
    ("Tab  Shift+Tab", "next, previous control"),
    ("←  →  ↑  ↓", "set it"),
    ("Space", "press it, show it"),
)

#: Which groups stand below each other on the card.
_COLUMNS = (("Go", "Show"), ("Layer", "Look"), ("File", "Help", "Controls", "Mouse"))

#: What stands on the card for one that is told together with those before it.
_SAME = '"'


def all_bindings() -> list[Binding]:
    """Every binding, in the order of the table."""
    return [binding for group in BINDINGS.values() for binding in group if binding is not None]


def card_rows(title: str) -> list[tuple[str, str]]:
    """(keys, effect) of a group as the card has it: what is the same in several directions has one line."""
    if title in ("Mouse", "Controls"):
        return [
            (_short(shown), effect[0].upper() + effect[1:])
            for shown, effect in (GESTURES if title == "Mouse" else CONTROL_KEYS)
        ]
    rows: list[tuple[str, str]] = []
    for binding in BINDINGS[title]:
        if binding is None or not binding.keys:
            continue
        keys = _short(binding.shown)
        if binding.card == _SAME:
            shown, text = rows[-1]
            rows[-1] = _joined(shown, keys), text
        else:
            rows.append((keys, binding.card or binding.text))
    return rows


def _short(shown: str) -> str:
    """With a sign for the shift key: the card is crowded."""
    return shown.replace("Shift + ", "⇧ ").replace("Shift+", "⇧")


def _joined(shown: str, more: str) -> str:
    """``Ctrl+1  2  3``: Ctrl or Alt is said once, where nothing else is held."""
    held, plus, key = more.rpartition("+")
    if plus and key and "⇧" not in shown + more and shown.startswith(f"{held}+"):
        more = key
    return f"{shown}  {more}"


def terminal_table(indent: str = "  ") -> str:
    """The table for a terminal."""
    rows = [(binding.shown, binding.text) for binding in all_bindings() if binding.keys]
    rows += [*CONTROL_KEYS, *GESTURES]
    width = max(len(shown) for shown, _ in rows) + 2
    return "\n".join(f"{indent}{shown:<{width}}{text[:1].lower()}{text[1:]}".replace("…", "") for shown, text in rows)


def rich_table(ink: str, quiet: str, accent: str) -> str:
    """The table as rich text in columns, for the card over the picture. Colours are those of style sheets."""

    def rows(pairs: list[tuple[str, str]]) -> str:
        return "".join(
            f"<tr><td align='right' style='color:{ink}; white-space:pre; padding:1px 10px 1px 0'>"
            f"<b>{escape(shown)}</b></td>"
            f"<td style='color:{quiet}; white-space:pre; padding:1px 0'>{escape(text)}</td></tr>"
            for shown, text in pairs
        )

    def group(title: str) -> str:
        head = f"<tr><td colspan='2' style='color:{accent}; padding:8px 0 3px 0'>{title}</td></tr>"
        return head + rows(card_rows(title))

    columns = ["".join(group(title) for title in titles) for titles in _COLUMNS]
    cells = "<td width='20'></td>".join(f"<td><table cellspacing='0'>{column}</table></td>" for column in columns)
    return f"<table cellspacing='0'><tr>{cells}</tr></table>"
