"""What the daemon is doing: the status that a client may ask for, and what monitoring sees.

Reads the books of the daemon's parts, in the daemon's own thread, and changes nothing in them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from importlib.metadata import version

from octree_loader.builder import Builder
from octree_loader.catalog import Catalog
from octree_loader.monitoring.observation import Observation, PoolBooks
from octree_loader.monitoring.readiness import DatasetState
from octree_loader.pools import Pools
from octree_loader.scheduling.scheduler import Scheduler
from octree_loader.sources.locations import shown_location
from octree_loader.transport.peers import Peers
from octree_protocol.messages import ArenaStatus, ClientStatus, DatasetStatus, PoolStatus, Status


class Health:
    """How a daemon of these parts is.

    Parameters
    ----------
    instance
        The name that tells this run of the daemon from all others.
    scheduler, catalog, builder, pools, peers
        The parts whose books are read.
    """

    def __init__(
        self, instance: str, scheduler: Scheduler, catalog: Catalog, builder: Builder, pools: Pools, peers: Peers
    ) -> None:
        self.instance = instance
        self._began = time.monotonic()
        self._scheduler = scheduler
        self._catalog = catalog
        self._builder = builder
        self._pools = pools
        self._peers = peers

    def status(self, about: int = 0) -> Status:
        """The answer to `AskStatus`."""
        scheduler = self._scheduler
        now = time.monotonic()
        uptime = max(now - self._began, 1e-9)
        usage = scheduler.arena.usage()
        datasets = []
        for name, entry in self._catalog.entries.items():
            known = scheduler.datasets.get(entry.number)
            counts = (known.chunks, known.nbytes, known.missing, known.failed) if known else (0, 0, 0, 0)
            rates = known.rate.per_second(now) if known else (0.0, 0.0)
            built = self._builder.progress(entry.number)
            load_ms = known.profile.wall * 1e3 if known else 0.0
            datasets.append(
                DatasetStatus(name, shown_location(entry.spec.location), entry.state, load_ms, *counts, *rates, *built)
            )
        return Status(
            version=version("octree-serve"),
            pid=os.getpid(),
            uptime_seconds=uptime,
            instance=self.instance,
            addresses=self._peers.addresses,
            arena=ArenaStatus(usage.nbytes, usage.held + usage.filling, usage.recent, usage.free, usage.evictions),
            pools=tuple(
                PoolStatus(
                    relative_level=pool.spec.relative_level,
                    backend=self._pools.backends[pool.number],
                    workers=len(pool.workers),
                    workers_most=pool.spec.workers_most if pool.offer is None else pool.offer.workers,
                    delayed=sum(len(view.queues[pool.number].delayed) for view in pool.views),
                    queued=sum(len(view.queues[pool.number].ready) for view in pool.views),
                    loading=sum(len(worker.tasks) for worker in pool.workers.values()),
                    loaded=pool.loaded,
                    failed=pool.failed,
                    deaths=pool.deaths,
                )
                for pool in scheduler.pools
            ),
            datasets=tuple(datasets),
            clients=tuple(
                ClientStatus(
                    name=client.name,
                    pid=client.pid,
                    views=sum(1 for view in scheduler.views.values() if view.client == client.identity),
                    wanted=sum(len(v.wanted) for v in scheduler.views.values() if v.client == client.identity),
                    announced=client.announced,
                    silent_seconds=round(now - client.heard, 3),
                )
                for client in self._peers.clients.values()
            ),
            requests_forgotten=scheduler.forgotten_waiting,
            requests_started=scheduler.started,
            requests_forgotten_loading=scheduler.forgotten_loading,
            cluster=self._pools.cluster_status(),
            about=about,
        )

    def observe(self, configured: Iterable[str]) -> Observation:
        """Copy what the books say now, of these datasets in particular. About 0.1 ms."""
        entries = self._catalog.entries
        return Observation(
            self.status(),
            tuple(DatasetState(name, entries[name].state, entries[name].reason) for name in configured),
            tuple(PoolBooks(p.missing, tuple(p.spread.counts), p.spread.seconds) for p in self._scheduler.pools),
            self._peers.sent_bytes,
        )
