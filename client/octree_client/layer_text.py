"""How a layer stands, in a few words and as a share. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octree_client.readout import BAD, BUSY, CALM, Message, level_text

if TYPE_CHECKING:
    from octree_client.cover import ViewStatus
    from octree_client.layer import ImageLayer


def loaded_share(status: ViewStatus) -> float:
    """Which part of the cells in view is as it should be, 0 .. 1."""
    total = status.final + status.provisional + status.missing + status.failed + status.empty
    return 1.0 if total == 0 else (total - status.provisional - status.empty) / total


def layer_message(layer: ImageLayer) -> Message:
    """``level 2 of 7``, ``loading 12 of 40``, ``2 failed``, ``hidden``, ``not in view``."""
    if not layer.visible:
        return Message("hidden")
    status = layer.status()
    total = status.final + status.provisional + status.missing + status.failed + status.empty
    if total == 0:
        return Message("not in view")
    waiting = status.provisional + status.empty
    if waiting:
        return Message(f"loading {total - waiting} of {total}", BUSY)
    if status.failed:
        return Message(f"{status.failed} of {total} failed", BAD)
    drawn = [piece.chunk[0] for piece in layer.pieces if piece.tile >= 0]
    return Message(level_text(drawn, layer.level, len(layer.levels)) or "done", CALM)
