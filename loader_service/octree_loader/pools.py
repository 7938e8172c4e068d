"""The pools' workers, whatever they are: each pool has a backend, and each worker stays with the one that started it.

Decides nothing (`scheduler`); what is dangerous about processes, threads and clusters stands in the backends' files.
"""

from __future__ import annotations

import json
from typing import Literal

from octree_loader.actions import Load
from octree_loader.backends import Backend, PoolEvents
from octree_loader.local_workers import LocalWorkers
from octree_loader.loop import Loop
from octree_loader.memory import Segment
from octree_loader.orders import OpenDataset
from octree_loader.own_thread import OwnThread
from octree_loader.planning import DatasetPlan
from octree_loader.sources.base import SourceSpec


class Pools:
    """All workers of a daemon.

    Parameters
    ----------
    backends
        For each pool "processes", "threads" or "synchronous".
    segment
        The arena's memory.
    loop
        The daemon's, which watches the workers' sockets.
    events
        Who is told.
    """

    def __init__(self, backends: tuple[str, ...], segment: Segment, loop: Loop, events: PoolEvents) -> None:
        self._segment = segment
        self._loop = loop
        self._events = events
        self._own: OwnThread | None = None
        self._kinds: dict[str, Backend] = {}
        self._of_pool = [self._backend(kind) for kind in backends]
        self._of_worker: dict[tuple[int, int], Backend] = {}

    def _backend(self, kind: str) -> Backend:
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = self._make(kind)
        return known

    def _make(self, kind: str) -> Backend:
        if kind == "synchronous":
            self._own = OwnThread(self._segment, self._events)
            return self._own
        local: Literal["processes", "threads"] = "processes" if kind == "processes" else "threads"
        return LocalWorkers(local, self._segment, self._loop, self._events)

    @property
    def backends(self) -> tuple[str, ...]:
        """The name of each pool's backend."""
        return tuple(backend.name for backend in self._of_pool)

    def warm_up(self) -> None:
        """Do now what would keep the first load waiting."""
        for backend in self._kinds.values():
            backend.warm_up()

    def add_dataset(self, plan: DatasetPlan, spec: SourceSpec) -> None:
        """Loads may name this dataset from now on."""
        order = OpenDataset(plan.dataset, spec.location, json.dumps(dict(spec.options)), plan.making)
        for backend in self._kinds.values():
            backend.add_dataset(order)

    def start(self, pool: int, worker: int) -> None:
        """Start a worker; `PoolEvents` tells when it can take loads, or that it never will."""
        backend = self._of_worker[pool, worker] = self._of_pool[pool]
        backend.start(pool, worker)

    def stop(self, pool: int, worker: int, reason: str) -> None:
        """Make an end of a worker that hangs, or (without a reason) of one that is not needed any more."""
        self._of_worker[pool, worker].stop(pool, worker, reason)

    def load(self, loads: list[Load]) -> None:
        """Hand out loads, in packets as large as they come."""
        for backend, theirs in self._by_backend(loads):
            backend.load(theirs)

    def forget(self, loads: list[Load]) -> None:
        """Nobody wants these any more."""
        for backend, theirs in self._by_backend(loads):
            backend.forget(theirs)

    def _by_backend(self, loads: list[Load]) -> list[tuple[Backend, list[Load]]]:
        if len(self._kinds) == 1:
            return [(self._of_pool[0], loads)]
        found: dict[int, tuple[Backend, list[Load]]] = {}
        for load in loads:
            backend = self._of_worker[load.pool, load.worker]
            found.setdefault(id(backend), (backend, []))[1].append(load)
        return list(found.values())

    def run_own(self) -> bool:
        """Carry out one load in this thread, if the configuration wants it so. Returns whether more are waiting."""
        return self._own is not None and self._own.run_one()

    def pids(self) -> tuple[int, ...]:
        """The processes that run now."""
        return tuple(pid for backend in self._kinds.values() for pid in backend.pids())

    def close(self) -> None:
        """End all workers."""
        for backend in self._kinds.values():
            backend.close()
