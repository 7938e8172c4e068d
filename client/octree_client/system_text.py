"""What the panel of the system says: working set, queues, rates, arena, video memory. Pure (no I/O)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from octree_client.readout import bytes_text
from octree_client.statistics import FrameRecord, spread

if TYPE_CHECKING:
    from octree_client.cover import Piece
    from octree_protocol.messages import Status

#: States of a cell in the order of the table.
STATES = ("final", "provisional", "missing", "failed", "empty")

#: What people read for each.
_HEADS = ("final", "coarse", "missing", "failed", "empty")

Rows = list[tuple[str, ...]]


def working_set_rows(pieces: Iterable[Piece], most: int = 6) -> Rows:
    """What is drawn, by level: (level, how many of each state); a head first."""
    counted: Counter[tuple[int, str]] = Counter()
    for piece in pieces:
        counted[piece.chunk[0], piece.status.name.lower()] += 1
    rows: Rows = [("level", *_HEADS)]
    for level in sorted({level for level, _ in counted})[:most]:
        rows.append((str(level), *(str(counted[level, state] or "·") for state in STATES)))
    return rows


def pool_rows(status: Status) -> Rows:
    """The pools: workers, and how much waits where; a head first."""
    rows: Rows = [("pool", "workers", "delayed", "queued", "loading", "failed")]
    for pool in status.pools:
        rows.append(
            (
                f"{pool.relative_level:+d} {pool.backend}",
                f"{pool.workers}/{pool.workers_most}",
                *(f"{number:,}" if number else "·" for number in (pool.delayed, pool.queued, pool.loading)),
                f"{pool.failed:,}" if pool.failed else "·",
            )
        )
    return rows


def dataset_rows(status: Status, most: int = 5) -> Rows:
    """The datasets that load fastest now: rate, time of a load; a head first."""
    rows: Rows = [("dataset", "bytes/s", "chunks/s", "ms")]
    busy = sorted(status.datasets, key=lambda dataset: -dataset.bytes_per_second)
    for dataset in busy[:most]:
        rows.append(
            (
                dataset.name,
                bytes_text(dataset.bytes_per_second) if dataset.bytes_per_second >= 1 else "·",
                f"{dataset.chunks_per_second:.1f}" if dataset.chunks_per_second >= 0.05 else "·",
                f"{dataset.load_ms:.1f}" if dataset.load_ms else "·",
            )
        )
    return rows


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: parts of a whole as (share, strength 0 .. 1), and what stands beside it."""

    parts: tuple[tuple[float, float], ...]
    text: str


def arena_bar(status: Status) -> Bar:
    """Shared memory: what is held for somebody, what is kept in case it is wanted again."""
    arena = status.arena
    whole = max(1, arena.nbytes)
    text = f"{bytes_text(arena.wanted)} held, {bytes_text(arena.recent)} kept, of {bytes_text(arena.nbytes)}"
    return Bar(((arena.wanted / whole, 1.0), (arena.recent / whole, 0.45)), text)


def tiles_bar(used: int, most: int, nbytes: int) -> Bar:
    """Video memory: tiles in use."""
    return Bar(((used / max(1, most), 1.0),), f"{used:,} of {most:,} tiles, {bytes_text(nbytes)}")


def rate_lines(status: Status | None, frames: Sequence[FrameRecord]) -> Rows:
    """(what, figure): frames, hits, requests."""
    own = spread([frame.own for frame in frames])
    cells = sum(frame.cells for frame in frames)
    uploads = sum(frame.uploads for frame in frames)
    final = sum(frame.final for frame in frames)
    rows: Rows = [
        ("own work", f"{own.p50:.1f} ms, 99 %: {own.p99:.1f}"),
        ("found in video memory", f"{100 * max(0, final - uploads) / cells:.0f} %" if cells else "·"),
        ("drawn from another level", f"{100 * (cells - final) / cells:.0f} %" if cells else "·"),
    ]
    if status is not None:
        total = status.requests_forgotten + status.requests_started
        rows.append(("requests begun", f"{status.requests_started:,}"))
        rows.append(
            ("forgotten in time", f"{100 * status.requests_forgotten / total:.0f} % of {total:,}" if total else "·")
        )
        rows.append(("evictions", f"{status.arena.evictions:,}"))
        rows.append(("rate", bytes_text(sum(dataset.bytes_per_second for dataset in status.datasets)) + "/s"))
    return rows
