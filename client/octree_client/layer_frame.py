"""What one frame of one layer came to. No code."""

from __future__ import annotations

from dataclasses import dataclass

from octree_client.cover import NO_CELLS, ViewStatus


@dataclass(slots=True)
class LayerFrame:
    """What one frame of a layer came to. Milliseconds and bytes."""

    upload_ms: float = 0.0
    spent_ms: float = 0.0
    """Of processor time in uploads: what other processes took meanwhile is not counted against the budget."""
    uploads: int = 0
    uploaded_bytes: int = 0
    more: bool = False
    """Chunks lie in their slots that did not fit into this frame's budget."""
    fading: bool = False
    """Something fades in: another frame shows more of it."""
    ahead: bool = False
    """Of what may come into view, something lies in its slot: it could be uploaded between frames."""
    status: ViewStatus = NO_CELLS
