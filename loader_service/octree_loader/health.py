"""What the daemon is doing: the status that a client may ask for, what monitoring sees, and the log of the loads."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from octree_loader.monitoring.readiness import DatasetState
from octree_loader.orders import Outcome
from octree_loader.scheduling.actions import Load
from octree_loader.sources.locations import shown_location
from octree_protocol.errors import OctreeError
from octree_protocol.messages import ArenaStatus, ClientStatus, DatasetStatus, PoolStatus, Status

if TYPE_CHECKING:
    from octree_loader.pools import Pools
    from octree_loader.server import Server


class LoadLog:
    """One line of JSON for every load: when, what, where, how long, and what came of it.

    Parameters
    ----------
    path
        Appended to; None writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8", buffering=1)
            except OSError as error:
                raise OctreeError(f"loader_defaults.log_path: cannot write {path}: {error.strerror}") from None
        self.enabled = path is not None

    def write(self, load: Load | None, outcome: Outcome) -> None:
        """Add one load."""
        if self._file is None or load is None:
            return
        line = {
            "time": round(time.time(), 6),
            "dataset": load.dataset,
            "level": load.level,
            "chunks": [list(index) for index in load.indices],
            "pool": load.pool,
            "worker": load.worker,
            "ms": round(outcome.wall_ns * 1e-6, 3),
            "cpu_ms": round(outcome.cpu_ns * 1e-6, 3),
            "blocked_ms": round(outcome.blocked_ns * 1e-6, 3),
            "present": list(outcome.present),
        }
        if outcome.error:
            line["error"] = outcome.error
        self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def describe_status(server: Server, pools: Pools, about: int) -> Status:
    """The answer to `AskStatus`."""
    scheduler = server.scheduler
    now = time.monotonic()
    uptime = max(now - server.began, 1e-9)
    usage = scheduler.arena.usage()
    datasets = []
    for name, entry in server.catalog.entries.items():
        known = scheduler.datasets.get(entry.number)
        counts = (known.chunks, known.nbytes, known.missing, known.failed) if known else (0, 0, 0, 0)
        rates = known.rate.per_second(now) if known else (0.0, 0.0)
        built = server.builder.progress(entry.number)
        load_ms = known.profile.wall * 1e3 if known else 0.0
        datasets.append(
            DatasetStatus(name, shown_location(entry.spec.location), entry.state, load_ms, *counts, *rates, *built)
        )
    return Status(
        version=version("octree-serve"),
        pid=server.pid,
        uptime_seconds=uptime,
        instance=server.instance,
        addresses=server.addresses,
        arena=ArenaStatus(usage.nbytes, usage.held + usage.filling, usage.recent, usage.free, usage.evictions),
        pools=tuple(
            PoolStatus(
                relative_level=pool.spec.relative_level,
                backend=pools.backends[pool.number],
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
            for client in server.peers.clients.values()
        ),
        requests_forgotten=scheduler.forgotten_waiting,
        requests_started=scheduler.started,
        requests_forgotten_loading=scheduler.forgotten_loading,
        cluster=pools.cluster_status(),
        about=about,
    )


class PoolBooks(NamedTuple):
    """Of one pool, what its status leaves out: chunks that were missing, and its `Spread` of load times."""

    missing: int
    counts: tuple[int, ...]
    seconds: float


class Observation(NamedTuple):
    """All that monitoring is told, copied in one moment of the daemon's own thread.

    `datasets` are those of the configuration, `status.datasets` also those found inside of them.
    """

    status: Status
    datasets: tuple[DatasetState, ...]
    pools: tuple[PoolBooks, ...]
    sent_bytes: int


def observe(server: Server, configured: Iterable[str]) -> Observation:
    """Copy what the books of the daemon say now. To be called in its own thread; about 0.1 ms."""
    entries = server.catalog.entries
    return Observation(
        server.status(),
        tuple(DatasetState(name, entries[name].state, entries[name].reason) for name in configured),
        tuple(PoolBooks(p.missing, tuple(p.spread.counts), p.spread.seconds) for p in server.scheduler.pools),
        server.peers.sent_bytes,
    )
