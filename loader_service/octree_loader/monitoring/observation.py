"""What monitoring is told of the daemon. Pure (no I/O): values, copied from its books by `health`."""

from __future__ import annotations

from typing import NamedTuple

from octree_loader.monitoring.readiness import DatasetState
from octree_protocol.messages import Status


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
