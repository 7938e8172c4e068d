"""What keys and mouse do in the window: the one table that F1, ``--help`` and the tests read. Pure (no I/O).

Knows nothing of Qt, but for the portable names of keys (``QKeySequence.fromString``); what an action does is the
window's business.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Binding:
    """One action of the window.

    Attributes
    ----------
    action
        Its name: the method of the window that carries it out.
    keys
        Any of them starts it; portable names.
    shown
        The keys as people read them.
    text
        What it does.
    repeats
        Whether a key that is held down starts it again and again.
    """

    action: str
    keys: tuple[str, ...]
    shown: str
    text: str
    repeats: bool = False


#: Every key, by group, in the order in which they are shown.
BINDINGS: dict[str, tuple[Binding, ...]] = {
    "Move": (
        Binding("home", ("Home", "H"), "Home  H", "the whole image"),
        Binding("one_to_one", ("1",), "1", "one voxel of level 0 a pixel"),
        Binding("zoom_in", ("+", "=", "Shift++"), "+", "zoom in", True),
        Binding("zoom_out", ("-", "_"), "−", "zoom out", True),
        Binding("pan_left", ("Left",), "←", "to the left", True),
        Binding("pan_right", ("Right",), "→", "to the right", True),
        Binding("pan_up", ("Up",), "↑", "upwards", True),
        Binding("pan_down", ("Down",), "↓", "downwards", True),
        Binding("previous_slice", ("PgUp",), "PgUp", "previous slice (z, t …)", True),
        Binding("next_slice", ("PgDown",), "PgDn", "next slice", True),
    ),
    "Look": (
        Binding("auto_contrast", ("A",), "A", "automatic contrast"),
        Binding("toggle_interpolation", ("N", "B"), "N  B", "nearest or linear interpolation"),
        Binding("toggle_overlay", ("L",), "L", "levels and status of cells"),
        Binding("toggle_statistics", ("F",), "F", "what frames cost"),
        Binding("toggle_panel", ("G",), "G", "side panel"),
        Binding("toggle_full_screen", ("F11",), "F11", "full screen"),
    ),
    "Do": (
        Binding("retry", ("R",), "R", "read again what failed"),
        Binding("save_screenshot", ("S",), "S", "save what is on the screen"),
        Binding("toggle_keys", ("F1",), "F1", "this list"),
        Binding("dismiss", ("Escape",), "Esc", "close it, leave full screen"),
        Binding("close", ("Q", "Ctrl+Q"), "Q  Ctrl+Q", "quit"),
    ),
}

#: What the mouse does: (gesture, effect).
GESTURES: tuple[tuple[str, str], ...] = (
    ("Drag", "move the image"),
    ("Wheel", "zoom at the cursor"),
    ("Shift + wheel", "next or previous slice"),
    ("Double click", "zoom in there"),
    ("Shift + double click", "zoom out"),
)


def all_bindings() -> list[Binding]:
    """Every binding, in the order of the table."""
    return [binding for group in BINDINGS.values() for binding in group]


def terminal_table(indent: str = "  ") -> str:
    """The table for a terminal."""
    rows = [(binding.shown, binding.text) for binding in all_bindings()]
    rows += [(gesture.lower(), effect) for gesture, effect in GESTURES]
    width = max(len(shown) for shown, _ in rows) + 2
    return "\n".join(f"{indent}{shown:<{width}}{text}" for shown, text in rows)


def rich_table() -> str:
    """The table as rich text: two columns of groups, for the card over the picture."""

    def rows(pairs: list[tuple[str, str]]) -> str:
        return "".join(
            f"<tr><td align='right' style='color:#ffffff; white-space:pre; padding:2px 14px 2px 0'><b>{shown}</b></td>"
            f"<td style='color:#b9bdc5; white-space:pre; padding:2px 0'>{text}</td></tr>"
            for shown, text in pairs
        )

    def group(title: str, pairs: list[tuple[str, str]]) -> str:
        heading = f"<tr><td colspan='2' style='color:#7fb0ff; padding:10px 0 4px 0'>{title}</td></tr>"
        return heading + rows(pairs)

    columns = [
        group("Move", [(b.shown, b.text) for b in BINDINGS["Move"]]) + group("Mouse", list(GESTURES)),
        group("Look", [(b.shown, b.text) for b in BINDINGS["Look"]])
        + group("Do", [(b.shown, b.text) for b in BINDINGS["Do"]]),
    ]
    cells = "<td width='36'></td>".join(f"<td><table cellspacing='0'>{column}</table></td>" for column in columns)
    return f"<table cellspacing='0'><tr>{cells}</tr></table>"
