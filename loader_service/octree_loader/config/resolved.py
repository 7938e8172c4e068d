"""What follows from a configuration: its pools, and the cluster that they load with.

Asks the machine what is installed and how many processors there are, and nothing else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

from octree_loader.cluster.orders import Cluster, ClusterSettings
from octree_loader.config.mistakes import ConfigError
from octree_loader.config.models import Config, PoolOverride

#: Workers of a cluster that a pool has if it says nothing.
_CLUSTER_WORKERS = 4096


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """One pool: `loader_defaults` and its own entry of `octree.loaders` put together.

    `backend` is ``processes``, ``threads``, ``synchronous`` or ``dask``; times are in milliseconds. `cluster_workers`
    is how many workers of a cluster the pool may have.
    """

    relative_level: int
    num_workers: int
    use_processes: bool
    auto_sync_ms: float
    delay_queue_ms: float
    backend: str
    cluster_workers: int = _CLUSTER_WORKERS


def resolve_pools(config: Config) -> tuple[PoolConfig, ...]:
    """The pools of a configuration, by rising relative level; never none.

    A chunk goes to the last one whose `relative_level` is not above its own, or to the first. With `force_synchronous`
    there is one, which loads in the daemon itself and never waits.
    """
    defaults = config.loader_defaults
    if defaults.force_synchronous:
        return (PoolConfig(0, 1, False, defaults.auto_sync_ms, 0.0, "synchronous"),)
    pools = []
    for relative_level, own in sorted((config.octree.loaders or {0: PoolOverride()}).items()):
        use_processes = defaults.use_processes if own.use_processes is None else own.use_processes
        backend = "processes" if use_processes else "threads"
        if own.backend is not None:
            backend = own.backend
        elif config.dask.scheduler is not None and own.use_processes is None:
            backend = "dask"
        pools.append(
            PoolConfig(
                relative_level,
                defaults.num_workers if own.num_workers is None else own.num_workers,
                use_processes,
                defaults.auto_sync_ms if own.auto_sync_ms is None else own.auto_sync_ms,
                defaults.delay_queue_ms if own.delay_queue_ms is None else own.delay_queue_ms,
                backend,
                own.num_workers if backend == "dask" and own.num_workers is not None else _CLUSTER_WORKERS,
            )
        )
    return tuple(pools)


def resolve_cluster(config: Config) -> Cluster | None:
    """The cluster that pools of a configuration load with, if any does.

    Raises
    ------
    ConfigError
        If the packages for it are not installed.
    """
    pools = {n: pool.cluster_workers for n, pool in enumerate(resolve_pools(config)) if pool.backend == "dask"}
    if not pools:
        return None
    dask = config.dask
    own = dask.scheduler in (None, "local")
    missing = [name for name in ("distributed", *(["cryptography"] if own else [])) if find_spec(name) is None]
    if missing:
        what = " and ".join(missing)
        raise ConfigError([f"dask.scheduler: needs {what}, not installed here: pip install 'octree-serve[cluster]'"])
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    settings = ClusterSettings(
        "" if own or dask.scheduler is None else dask.scheduler,
        dask.ca or "",
        dask.cert or "",
        dask.key or "",
        dask.workers or processors,
        dask.threads,
        dask.patience_ms * 1e-3,
    )
    return Cluster(settings, pools, dask.fallback)
