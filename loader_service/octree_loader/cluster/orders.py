"""What the daemon, its bridge and the cluster's workers say to each other. Pure (no I/O).

MessagePack all the way, as in `octree_loader.orders`: what dask pickles is a function's name and these bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from octree_loader.orders import LoadOrder, OpenDataset, Outcome

# --- the daemon to its bridge ----------------------------------------------------------------------------------------


class ClusterSettings(msgspec.Struct, frozen=True):
    """Which cluster, and how it is reached. Without a `scheduler`: one of our own, of so many workers and threads.

    `ca`, `cert`, `key` are files; `patience` is how long (seconds) there may be no worker until the cluster is away.
    """

    scheduler: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    workers: int = 1
    threads: int = 1
    patience: float = 5.0


class Cluster(NamedTuple):
    """A cluster that some pools load with.

    `workers_most`: for each of these pools, how many workers of the cluster it may have. `fallback`: while the cluster
    is away, they have processes of our own.
    """

    settings: ClusterSettings
    workers_most: dict[int, int]
    fallback: bool


class ClusterLoad(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A load for a worker of the cluster. `generation` is that of its first slot; the lower the `rank`, the sooner."""

    worker: int
    rank: int
    generation: int
    order: LoadOrder


class ClusterLoads(msgspec.Struct, frozen=True, tag="load"):
    """Loads, in the order in which they are to be begun."""

    loads: tuple[ClusterLoad, ...]


class ForgetLoads(msgspec.Struct, frozen=True, tag="forget"):
    """Nobody wants these tasks any more."""

    tasks: tuple[int, ...]


class EndWorker(msgspec.Struct, frozen=True, tag="end"):
    """A worker hangs over a load."""

    worker: int
    reason: str


# --- and back --------------------------------------------------------------------------------------------------------


class Outcomes(msgspec.Struct, frozen=True, tag="outcomes"):
    """Loads that have ended, or were forgotten."""

    outcomes: tuple[Outcome, ...]


class WorkerCame(msgspec.Struct, frozen=True, tag="came"):
    """A worker takes loads, `threads` of them side by side. `direct`: it writes into the arena itself."""

    worker: int
    name: str
    threads: int
    direct: bool


class WorkerLeaves(msgspec.Struct, frozen=True, tag="leaves"):
    """A worker is lost to the cluster; some of its loads may still be writing, and end one by one."""

    worker: int


class WorkerWent(msgspec.Struct, frozen=True, tag="went"):
    """A worker is gone, and writes nowhere any more. `over`: the loads that it died over."""

    worker: int
    reason: str
    over: tuple[int, ...]


class ClusterNews(msgspec.Struct, frozen=True, tag="news"):
    """How the cluster stands: ``connecting``, ``open``, or ``away`` (no worker for too long). `problem` says why."""

    state: str
    problem: str = ""


FromBridge = Outcomes | WorkerCame | WorkerLeaves | WorkerWent | ClusterNews

# --- the bridge and the cluster's workers ----------------------------------------------------------------------------


class Greeting(msgspec.Struct, frozen=True):
    """Who asks (`house` is new with each bridge), and where its arena would be, if the worker can map it."""

    house: str
    arena: str


class Greeted(msgspec.Struct, frozen=True):
    """Who answers. `token` (hex) is what stands in the arena's file, "" where there is none; the others name the
    process among all of its machine."""

    token: str
    pid: int
    started: int
    boot: str
    pid_namespace: str


class Batch(msgspec.Struct, frozen=True):
    """Loads that are one task of dask, and the datasets that they name. `direct`: into the arena."""

    house: str
    direct: bool
    datasets: tuple[OpenDataset, ...]
    loads: tuple[ClusterLoad, ...]


def encode(message: msgspec.Struct) -> bytes:
    """The bytes of any of these."""
    return _encoder.encode(message)


def encode_outcomes(outcomes: list[Outcome]) -> bytes:
    """What a worker answers to a `Batch`, beside the voxels."""
    return _encoder.encode(outcomes)


_encoder = msgspec.msgpack.Encoder()
decode_for_bridge = msgspec.msgpack.Decoder(OpenDataset | ClusterLoads | ForgetLoads | EndWorker).decode
decode_from_bridge = msgspec.msgpack.Decoder(Outcomes | WorkerCame | WorkerLeaves | WorkerWent | ClusterNews).decode
decode_greeting = msgspec.msgpack.Decoder(Greeting).decode
decode_greeted = msgspec.msgpack.Decoder(Greeted).decode
decode_batch = msgspec.msgpack.Decoder(Batch).decode
decode_outcomes = msgspec.msgpack.Decoder(tuple[Outcome, ...]).decode
