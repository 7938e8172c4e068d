"""The pools' workers, whatever they are: each pool has a backend, and each worker stays with the one that started it.

Decides nothing (`scheduler`); what is dangerous about processes, threads and clusters stands in the backends' files.
"""

from __future__ import annotations

import json
import logging
from typing import Literal

from octree_loader.backends import Backend, PoolEvents
from octree_loader.cluster.link import ClusterLink
from octree_loader.cluster.orders import Cluster
from octree_loader.local_workers import LocalWorkers
from octree_loader.loop import Loop
from octree_loader.memory import Segment
from octree_loader.orders import OpenDataset
from octree_loader.own_thread import OwnThread
from octree_loader.planning import DatasetPlan
from octree_loader.scheduling.actions import Load
from octree_loader.sources.base import SourceSpec
from octree_loader.spawning import Spawner
from octree_protocol.messages import ClusterStatus

log = logging.getLogger("octree.pools")


class Pools:
    """All workers of a daemon.

    Parameters
    ----------
    backends
        For each pool "processes", "threads", "synchronous" or "dask".
    segment
        The arena's memory.
    loop
        The daemon's, which watches the workers' sockets.
    events
        Who is told.
    cluster
        Of the pools of "dask".
    """

    def __init__(
        self, backends: tuple[str, ...], segment: Segment, loop: Loop, events: PoolEvents, cluster: Cluster | None
    ) -> None:
        self._segment = segment
        self._loop = loop
        self._events = events
        self._spawner = Spawner(loop)
        self._own: OwnThread | None = None
        self._cluster = cluster
        self._link: ClusterLink | None = None
        self._datasets: list[OpenDataset] = []
        self._kinds: dict[str, Backend] = {}
        self._of_pool = [self._backend(kind) for kind in backends]
        self._of_worker: dict[tuple[int, int], Backend] = {}

    def _backend(self, kind: str) -> Backend:
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = self._make(kind)
            for order in self._datasets:
                known.add_dataset(order)
        return known

    def _make(self, kind: str) -> Backend:
        if kind == "synchronous":
            self._own = OwnThread(self._segment, self._events)
            return self._own
        if kind == "dask":
            assert self._cluster is not None
            self._link = ClusterLink(
                self._cluster.settings, self._segment, self._loop, self._events, self._spawner, self._cluster_changed
            )
            return self._link
        local: Literal["processes", "threads"] = "processes" if kind == "processes" else "threads"
        return LocalWorkers(local, self._segment, self._loop, self._events, self._spawner)

    # --- the cluster -------------------------------------------------------------------------------------------------

    def _cluster_changed(self) -> None:
        """Give the pools what the cluster has, or, if they are to fall back, workers of our own while it is away."""
        link, cluster = self._link, self._cluster
        assert link is not None
        assert cluster is not None
        for pool, most in cluster.workers_most.items():
            falls_back = self._of_pool[pool] is not link
            if link.workers or not (falls_back or (cluster.fallback and link.state == "away")):
                if falls_back:
                    log.warning("pool %d loads with the dask cluster again", pool)
                    self._of_pool[pool] = link
                self._events.pool_offered(pool, min(link.workers, most), link.threads)
            elif not falls_back:
                log.warning("pool %d falls back to processes of our own, until the dask cluster is back", pool)
                self._of_pool[pool] = self._backend("processes")
                self._events.pool_withdrawn(pool)
        self._events.cluster_changed()

    def cluster_status(self) -> ClusterStatus | None:
        """How the cluster stands, if there is to be one."""
        link = self._link
        if link is None:
            return None
        away = any(self._of_pool[pool] is not link for pool in (self._cluster.workers_most if self._cluster else ()))
        return ClusterStatus(link.state, link.workers, link.threads, link.direct, link.problem, away)

    # --- all of them -------------------------------------------------------------------------------------------------

    @property
    def backends(self) -> tuple[str, ...]:
        """The name of each pool's backend."""
        return tuple(backend.name for backend in self._of_pool)

    def warm_up(self) -> None:
        """Do now what would keep the first load waiting."""
        for backend in list(self._kinds.values()):
            backend.warm_up()
        if self._link is not None:
            self._cluster_changed()

    def add_dataset(self, plan: DatasetPlan, spec: SourceSpec) -> None:
        """Loads may name this dataset from now on."""
        order = OpenDataset(plan.dataset, spec.location, json.dumps(dict(spec.options)), plan.making)
        self._datasets.append(order)
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
        self._spawner.close()
