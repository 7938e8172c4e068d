"""What Prometheus is told: figures copied from the daemon's books, put into its text format.

Nothing is counted here, so a daemon that nobody scrapes pays nothing. Knows neither sockets nor who asks. The names are
a promise: dashboards and alerts of others stand on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from octree_loader.monitoring.observation import Observation
from octree_loader.monitoring.readiness import Readiness
from octree_loader.scheduling.profile import SPREAD_BOUNDS

__all__ = ["CONTENT_TYPE_LATEST", "DATASETS_LABELLED", "Exposition"]

#: So many datasets have figures of their own, those first configured; the others are added up under `OTHERS`.
DATASETS_LABELLED = 100

#: The label of their sum; a dataset that is called so is counted there too.
OTHERS = "(others)"

_DATASET_STATES = ("closed", "opening", "open", "unreadable")


class _DatasetSums(NamedTuple):
    name: str
    chunks: int
    nbytes: int
    missing: int
    failed: int
    load_seconds: float


class Exposition(Collector):
    """Turns observations into the text of a scrape."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._observation: Observation | None = None
        self._readiness = Readiness(False, False, ())
        self._registry.register(self)
        ProcessCollector(registry=self._registry)  # process_cpu_seconds_total, process_resident_memory_bytes, ...

    def text(self, observation: Observation | None, readiness: Readiness) -> bytes:
        """The scrape of a daemon in this state; without an observation only what is known before it serves."""
        self._observation, self._readiness = observation, readiness
        return bytes(generate_latest(self._registry))

    def describe(self) -> Iterable[Metric]:
        """See `prometheus_client`: nothing need be collected to register this."""
        return ()

    def collect(self) -> Iterator[Any]:
        """See `prometheus_client`."""
        yield _gauge("octree_ready", "Whether the arena, the sockets and every dataset are up.", self._readiness.ready)
        if self._observation is None:
            return
        yield from _daemon(self._observation)
        yield from _requests(self._observation)
        yield from _pools(self._observation)
        yield from _arena(self._observation)
        yield from _datasets(self._observation)


def _daemon(seen: Observation) -> Iterator[Metric]:
    status = seen.status
    yield InfoMetricFamily("octree_build", "The release that runs.", {"version": status.version})
    yield _gauge("octree_uptime_seconds", "Since the daemon began to serve.", status.uptime_seconds)
    yield _gauge("octree_clients", "Clients that have said hello and are heard.", len(status.clients))
    yield _gauge("octree_views", "Views of all clients.", sum(client.views for client in status.clients))
    wanted = sum(client.wanted for client in status.clients)
    yield _gauge("octree_wanted_chunks", "Chunks in the working sets of all views.", wanted)
    yield _counter("octree_sent_bytes", "Bytes of messages sent to clients, announcements above all.", seen.sent_bytes)


def _requests(seen: Observation) -> Iterator[Metric]:
    status = seen.status
    started = "Requests for a chunk that went to a worker."
    yield _counter("octree_requests_started", started, status.requests_started)
    forgotten = CounterMetricFamily(
        "octree_requests_forgotten",
        "Requests that nobody wanted any more, while they waited or loaded.",
        None,
        ["while"],
    )
    forgotten.add_metric(["waiting"], status.requests_forgotten)
    forgotten.add_metric(["loading"], status.requests_forgotten_loading)
    yield forgotten


def _pools(seen: Observation) -> Iterator[Metric]:
    loads = CounterMetricFamily(
        "octree_loads", "Chunks whose load ended, by what came of it.", None, ["pool", "result"]
    )
    seconds = HistogramMetricFamily("octree_load_seconds", "How long loads took at their workers.", labels=["pool"])
    deaths = CounterMetricFamily("octree_worker_deaths", "Workers that died or were ended for hanging.", None, ["pool"])
    workers = GaugeMetricFamily("octree_workers", "Workers that run.", None, ["pool"])
    most = GaugeMetricFamily("octree_workers_most", "Workers that the pool may have.", None, ["pool"])
    queue = GaugeMetricFamily(
        "octree_queue_chunks", "Requests in the delay queue, in line, and at workers.", None, ["pool", "place"]
    )
    for pool, books in zip(seen.status.pools, seen.pools, strict=True):
        label = str(pool.relative_level)
        loads.add_metric([label, "loaded"], pool.loaded)
        loads.add_metric([label, "missing"], books.missing)
        loads.add_metric([label, "failed"], pool.failed)
        buckets, below = [], 0
        for bound, count in zip([*map(str, SPREAD_BOUNDS), "+Inf"], books.counts, strict=True):
            below += count
            buckets.append((bound, float(below)))
        seconds.add_metric([label], buckets, books.seconds)
        deaths.add_metric([label], pool.deaths)
        workers.add_metric([label], pool.workers)
        most.add_metric([label], pool.workers_most)
        queue.add_metric([label, "delayed"], pool.delayed)
        queue.add_metric([label, "queued"], pool.queued)
        queue.add_metric([label, "loading"], pool.loading)
    yield from (loads, seconds, deaths, workers, most, queue)


def _arena(seen: Observation) -> Iterator[Metric]:
    arena = seen.status.arena
    held = GaugeMetricFamily("octree_arena_bytes", "The arena's bytes by what becomes of them.", None, ["state"])
    held.add_metric(["wanted"], arena.wanted)
    held.add_metric(["recent"], arena.recent)
    held.add_metric(["free"], arena.free)
    yield held
    yield _gauge("octree_arena_capacity_bytes", "Size of the arena.", arena.nbytes)
    yield _counter("octree_arena_evictions", "Chunks that gave up their slot to another.", arena.evictions)


def _datasets(seen: Observation) -> Iterator[Metric]:
    states = GaugeMetricFamily("octree_datasets", "Datasets of the configuration, by state.", None, ["state"])
    for state in _DATASET_STATES:
        states.add_metric([state], sum(1 for dataset in seen.datasets if dataset.state == state))
    yield states
    chunks = CounterMetricFamily("octree_dataset_chunks", "Chunks loaded.", None, ["dataset"])
    nbytes = CounterMetricFamily("octree_dataset_bytes", "Bytes of the chunks loaded.", None, ["dataset"])
    missing = CounterMetricFamily("octree_dataset_missing", "Chunks that the store does not have.", None, ["dataset"])
    failed = CounterMetricFamily("octree_dataset_failures", "Chunks that failed for good.", None, ["dataset"])
    load = GaugeMetricFamily("octree_dataset_load_seconds", "How long a load takes of late.", None, ["dataset"])
    for sums in _bounded(seen):
        label = [sums.name]
        chunks.add_metric(label, sums.chunks)
        nbytes.add_metric(label, sums.nbytes)
        missing.add_metric(label, sums.missing)
        failed.add_metric(label, sums.failed)
        if sums.load_seconds:
            load.add_metric(label, sums.load_seconds)
    yield from (chunks, nbytes, missing, failed, load)


def _bounded(seen: Observation) -> Iterator[_DatasetSums]:
    """The first datasets one by one, the rest in one sum: a plate of 10,000 fields must not fill a Prometheus."""
    every = seen.status.datasets
    rest = [d for place, d in enumerate(every) if place >= DATASETS_LABELLED or d.name == OTHERS]
    for d in every[:DATASETS_LABELLED]:
        if d.name == OTHERS:
            continue
        yield _DatasetSums(d.name, d.chunks, d.nbytes, d.missing, d.failed, d.load_ms * 1e-3)
    if rest:
        yield _DatasetSums(
            OTHERS,
            sum(d.chunks for d in rest),
            sum(d.nbytes for d in rest),
            sum(d.missing for d in rest),
            sum(d.failed for d in rest),
            0.0,
        )


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, float(value))


def _counter(name: str, meaning: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, meaning, float(value))
