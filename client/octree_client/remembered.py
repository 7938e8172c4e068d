"""What a viewer remembers from one day to the next: theme, what is shown, sizes, what was open. Pure (no I/O).

`remembered_file` keeps it. A file of an older or newer viewer, or one that somebody has spoilt, costs what cannot be
understood of it and nothing else.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

#: Entries of the list of what was open.
RECENT_MOST = 12

Theme = Literal["system", "dark", "light"]


class Remembered(msgspec.Struct, frozen=True):
    """What is remembered. Sizes in logical pixels.

    `recent` are paths, URLs and links, the last first. `folder` is where files were last taken from or written to.
    """

    theme: Theme = "dark"
    size: tuple[Annotated[int, Meta(ge=200, le=16384)], Annotated[int, Meta(ge=200, le=16384)]] | None = None
    panel: bool = True
    system: bool = False
    scale_bar: bool = True
    minimap: bool = True
    axes: bool = True
    fade: bool = False
    fps: Annotated[float, Meta(gt=0.0, le=120.0)] = 10.0
    play_mode: Literal["loop", "once", "back-and-forth"] = "loop"
    folder: Annotated[str, Meta(max_length=4096)] = ""
    recent: Annotated[tuple[Annotated[str, Meta(max_length=65536)], ...], Meta(max_length=RECENT_MOST)] = ()


_TYPES: dict[str, Any] = get_type_hints(Remembered, include_extras=True)


def with_recent(remembered: Remembered, place: str) -> Remembered:
    """With something that was opened just now on top of the list."""
    others = tuple(each for each in remembered.recent if each != place)
    return msgspec.structs.replace(remembered, recent=(place, *others)[:RECENT_MOST])


def read_remembered(content: bytes) -> Remembered:
    """What the content of a file says; each entry that cannot be understood is as if nobody had set it."""
    try:
        entries = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return Remembered()
    if not isinstance(entries, dict):
        return Remembered()
    found: dict[str, Any] = {}
    for name, kind in _TYPES.items():
        if name in entries:
            try:
                found[name] = msgspec.convert(entries[name], kind)
            except msgspec.ValidationError:
                continue
    return Remembered(**found)


def write_remembered(remembered: Remembered) -> bytes:
    """The content of the file."""
    return msgspec.json.format(msgspec.json.encode(remembered), indent=2) + b"\n"
