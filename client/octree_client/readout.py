"""What the window says in words and figures: position, value, level, loading, frames. Pure (no I/O).

Knows nothing of widgets: values in, short texts out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import Any

from octree_client.statistics import FrameRecord, spread

#: How something stands; the window has a colour for each.
CALM, BUSY, BAD, ABSENT = "calm", "busy", "bad", "absent"

#: Units as OME-Zarr spells them, as people write them.
_UNITS = {
    "angstrom": "Å",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "kilometer": "km",
    "second": "s",
    "millisecond": "ms",
    "microsecond": "µs",
    "nanosecond": "ns",
    "minute": "min",
    "hour": "h",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A text and how grave it is: ``calm``, ``busy`` or ``bad``."""

    text: str
    mood: str = CALM


def unit_sign(unit: str) -> str:
    """``µm`` for ``micrometer``; unknown units as they are."""
    return _UNITS.get(unit, unit)


def position_text(world: tuple[float, float], pixel_size: float, names: tuple[str, str], unit: str) -> str:
    """Where the cursor is, to a tenth of a screen pixel at most: ``y 120.4  x 3077.0 µm``."""
    digits = min(9, max(0, -floor(log10(pixel_size)))) if pixel_size > 0 and isfinite(pixel_size) else 0
    # Minus zero is a rounding error that looks like a mistake.
    y, x = (round(value, digits) + 0.0 for value in world)
    sign = unit_sign(unit)
    return f"{names[0]} {y:,.{digits}f}   {names[1]} {x:,.{digits}f}{' ' + sign if sign else ''}"


def value_text(value: Any) -> str:
    """A voxel's value; a dash where nobody knows it."""
    if value is None:
        return "–"
    if isinstance(value, tuple):
        return ", ".join(value_text(part) for part in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, complex):
        return f"{value:.5g}"
    return f"{value:.6g}" if isinstance(value, float) else f"{value:,}"


def zoom_text(pixel_size: float, finest_scale: float) -> str:
    """Zoom in percent: 100 % is one voxel of level 0 a physical pixel."""
    percent = 100.0 * finest_scale / pixel_size
    if percent >= 9.95:
        return f"{percent:,.0f} %"
    return f"{percent:.{min(6, max(1, 1 - floor(log10(percent))))}f} %"


def level_text(drawn: Iterable[int], ideal: int | None, count: int) -> str:
    """Which levels are on the screen, and which should be: ``level 2 of 7``, ``level 4–5 → 2``."""
    if ideal is None:
        return ""
    seen = sorted(set(drawn))
    if not seen or seen == [ideal]:
        return f"level {ideal}" + (f" of {count}" if count > 1 else "")
    shown = str(seen[0]) if len(seen) == 1 else f"{seen[0]}–{seen[-1]}"
    return f"level {shown} → {ideal}"


def loading_message(
    final: int,
    provisional: int,
    missing: int,
    failed: int,
    empty: int,
    reason: str = "",
    made: tuple[int, int] = (0, 0),
) -> Message:
    """How the cells in view stand: ``loading 12 of 20``, ``final``, ``3 missing``, ``2 failed: reason``.

    `made` are the chunks of lacking levels that the daemon has made, and all of them: ``making levels 37 %``.
    """
    total = final + provisional + missing + failed + empty
    waiting = provisional + empty
    if total == 0:
        return Message("nothing in view")
    parts = [f"loading {total - waiting} of {total}" if waiting else "final"]
    if missing:
        parts.append(f"{missing} missing")
    if failed:
        parts.append(f"{failed} failed" + (f": {reason}" if reason else ""))
    if len(parts) > 1 and not waiting:
        parts = parts[1:]
    if made[0] < made[1]:
        parts.insert(1, f"making levels {100 * made[0] // made[1]} %")
    return Message(", ".join(parts), BAD if failed else BUSY if waiting else CALM)


def connection_message(state: str, problem: str) -> Message:
    """How the connection stands; `state` is the value of a `ConnectionState`, `problem` may be the daemon's own."""
    if state == "connected":
        return Message(f"connected; {problem}", BUSY) if problem else Message("connected")
    if state == "connecting":
        return Message("connecting …", BUSY)
    if state == "lost":
        return Message("daemon lost, trying again …", BAD)
    if state == "refused":
        return Message(f"refused: {problem}" if problem else "refused", BAD)
    return Message("closed", BAD)


def lost_text(state: str, problem: str) -> str:
    """What stands over the picture while there is no daemon; nothing while there is one."""
    if state == "lost":
        why = problem[:1].upper() + problem[1:] if problem else "The daemon is gone"
        return f"{why}. The picture stays; trying to reach it again …"
    if state == "refused":
        return f"The daemon will not talk to us: {problem}"
    return ""


def shortened(text: str, most: int) -> str:
    """A text on one line, cut in its middle if it is longer than `most`: paths tell most at their ends."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def failure_lines(failures: Mapping[Any, str], most: int = 3) -> list[str]:
    """Reasons of chunks that could not be read, the most frequent first: ``3 × reason``."""
    counted = Counter(failures.values()).most_common()
    lines = [f"{number} × {reason}" if number > 1 else reason for reason, number in counted[:most]]
    if len(counted) > most:
        lines.append(f"… and {len(counted) - most} more reasons")
    return lines


def bytes_text(nbytes: float) -> str:
    """A number of bytes, in binary units."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while nbytes >= 1024 and len(units) > 1:
        nbytes /= 1024
        del units[0]
    unit = units[0]
    return f"{nbytes:.0f} {unit}" if unit == "B" or nbytes >= 100 else f"{nbytes:.1f} {unit}"


def shape_text(shape: Sequence[int]) -> str:
    """``4,096 × 4,096``."""
    return " × ".join(f"{n:,}" for n in shape)


def statistics_rows(
    frames: Sequence[FrameRecord], rate: float, tiles: tuple[int, int], vram_bytes: int
) -> list[tuple[str, str, str]]:
    """The frame statistics as rows of three cells; times are median and 99th percentile.

    Parameters
    ----------
    frames
        The last ones.
    rate
        Frames a second.
    tiles
        In use, and how many there are.
    """
    rows = [("frames", f"{len(frames):,}", f"{rate:.0f} /s"), ("ms", "median", "99 %")]
    for name in ("plan", "upload", "submit", "own", "draw"):
        times = spread([getattr(frame, name) for frame in frames])
        rows.append((name, f"{times.p50:.2f}", f"{times.p99:.2f}"))
    chunks, nbytes = sum(frame.uploads for frame in frames), sum(frame.nbytes for frame in frames)
    rows.append(("chunks", f"{chunks:,}", bytes_text(nbytes)))
    rows.append(("tiles", f"{tiles[0]:,} of {tiles[1]:,}", bytes_text(vram_bytes)))
    return rows


def contrast_span(limits: tuple[float, float], dtype: str) -> tuple[float, float]:
    """What a slider for the contrast limits reaches from and to.

    Bytes and truth values have all they can be; for the others, as much room as the limits are apart is left on
    either side, within what an integer can be, so that the handles are easy to place.

    Parameters
    ----------
    limits
        (low, high) at present.
    dtype
        numpy's short form, e.g. ``<u2``.
    """
    kind, size = dtype.lstrip("<>|=")[0], int(dtype.lstrip("<>|=")[1:] or 1)
    if kind == "b":
        return 0.0, 1.0
    if kind in "ui" and size == 1:
        return (0.0, 255.0) if kind == "u" else (-128.0, 127.0)
    low, high = limits
    room = high - low
    bottom, top = low - room, high + room
    if kind in "ui":
        least, most = (0, 2 ** (8 * size) - 1) if kind == "u" else (-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1)
        bottom, top = max(bottom, float(least)), min(top, float(most))
    return bottom, top


def contrast_digits(span: tuple[float, float], dtype: str) -> int:
    """Decimals that the limits are shown with: none for integers, else a thousandth of the span."""
    if dtype.lstrip("<>|=")[0] in "uib":
        return 0
    width = span[1] - span[0]
    return min(9, max(0, 3 - floor(log10(width)))) if width > 0 else 3
