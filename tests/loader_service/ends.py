"""How loads may end, for tests that play the workers. Times in seconds."""

from __future__ import annotations

from collections.abc import Sequence

from octree_loader.orders import Outcome


def loaded(
    task: int, present: Sequence[bool] = (True,), wall: float = 0.01, cpu: float | None = None, blocked: float = 0.0
) -> list[Outcome]:
    """It was read; `present` says of each chunk whether it is stored."""
    times = [round(seconds * 1e9) for seconds in (wall, wall if cpu is None else cpu, blocked)]
    return [Outcome(task, tuple(present), times[0], times[1], times[2], 1)]


def failed(task: int, reason: str, transient: bool) -> list[Outcome]:
    """It could not be read."""
    return [Outcome(task, (), 1_000_000, 1_000_000, 0, 1, reason, transient)]


def unfinished(task: int) -> list[Outcome]:
    """It has done its share, and is to go on later."""
    return [Outcome(task, (), 1_000_000, 1_000_000, 0, 1, unfinished=True)]


def forgotten(task: int) -> list[Outcome]:
    """It was never begun."""
    return [Outcome(task, (), 0, 0, 0, 0, forgotten=True)]
