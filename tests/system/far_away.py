"""Loaded into a worker of dask (``--preload``): what it would map is not there, as on another machine."""

from __future__ import annotations

from typing import Any

from octree_loader.cluster import at_worker
from octree_loader.memory import BadSegment, Segment


class _NoSegment(Segment):
    @classmethod
    def attach(cls, path: str, writable: bool = False, *, token: bytes | None = None) -> Segment:  # noqa: ARG003
        raise BadSegment(f"cannot attach the segment {path}: this is another machine")


def dask_setup(worker: Any) -> None:  # noqa: ARG001
    at_worker.Segment = _NoSegment  # type: ignore[misc]
