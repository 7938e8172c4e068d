"""The messages, as frozen values. Pure (no I/O).

Two unions, one a direction: `ClientMessage` and `DaemonMessage`. Each message carries its name in the field ``type``;
fields that a newer peer adds are ignored, and every field that is added later needs a default. `codec` turns them into
bytes and `session` says which may follow which. What they mean stands in ``protocol/SPEC.md``.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from octree_protocol import limits
from octree_protocol.geometry import Dataset
from octree_protocol.keys import ChunkKey, Tier

_Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Text = Annotated[str, Meta(max_length=limits.TEXT_CHARACTERS)]
_ViewNumber = Annotated[int, Meta(ge=0, lt=1 << 31)]


class Message(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """Base of everything that travels."""


# --- what a client says ----------------------------------------------------------------------------------------------


class Hello(Message, frozen=True, tag="hello"):
    """First message of a session: which protocol the client speaks, and who it is (for logs and `status`)."""

    version: tuple[int, int]
    name: Annotated[str, Meta(max_length=256)] = ""
    pid: _Count = 0


class Describe(Message, frozen=True, tag="describe"):
    """Asks for a dataset by name. Answered by `Described` or `Refused` with the same `about`."""

    dataset: _Text
    about: _Count = 0


class Wanted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of a working set.

    `relative_level` is the chunk's level minus the view's ideal level: it picks the pool, and within a tier the higher
    comes first because it covers more. `priority` orders the rest, lower first: the distance from the centre of the
    view, in sixteenths of a chunk.
    """

    key: ChunkKey
    relative_level: Annotated[int, Meta(ge=-limits.LEVELS, le=limits.LEVELS)] = 0
    tier: Tier = Tier.VISIBLE
    priority: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0


class Want(Message, frozen=True, tag="want"):
    """The whole working set of one view: request, cancel and release in one.

    What is in it is loaded, announced, and stays in its slot as long as it is in it. What is not in it any more is
    forgotten. `view` tells the views of one client apart (a layer, a read): each has a working set of its own, and a
    Want replaces that of its view alone. An empty Want ends the view. `sequence` rises with every Want of a view.
    """

    view: _ViewNumber
    sequence: _Count
    entries: Annotated[tuple[Wanted, ...], Meta(max_length=limits.WANTS_PER_VIEW)] = ()


class Ping(Message, frozen=True, tag="ping"):
    """Says that the sender is alive; answered by `Pong` with the same number."""

    number: _Count = 0


class Inline(Message, frozen=True, tag="inline"):
    """The client cannot map the arena: from now on the bytes of chunks travel with what announces them.

    `codecs` are the encodings that it can decode; bytes as they are (``""``) need not be named. Since 1.1.
    """

    codecs: Annotated[tuple[Annotated[str, Meta(max_length=16)], ...], Meta(max_length=16)] = ()


class Ack(Message, frozen=True, tag="ack"):
    """How much the client has received in this session: bytes of all frames after the last `Welcome`. Since 1.1."""

    received: _Count


class AskStatus(Message, frozen=True, tag="ask-status"):
    """Asks for a `Status`."""

    about: _Count = 0


class Bye(Message, frozen=True, tag="bye"):
    """Last message of a session: everything that the client wanted is free at once."""


ClientMessage = Hello | Describe | Want | Ping | Inline | Ack | AskStatus | Bye


# --- what the daemon says --------------------------------------------------------------------------------------------


class ArenaAddress(msgspec.Struct, frozen=True):
    """Where a client on the same machine finds the arena, and the token (hex) that proves that it is the right one."""

    path: _Text
    nbytes: _Count
    token: Annotated[str, Meta(max_length=2 * 32)]


class ViewerSettings(msgspec.Struct, frozen=True):
    """The part of the daemon's configuration that its viewers follow. Milliseconds and voxels."""

    tile_size: int = 256
    octree_enabled: bool = True
    force_synchronous: bool = False
    auto_sync_ms: float = 30.0
    octree_log_path: str | None = None


class Welcome(Message, frozen=True, tag="welcome"):
    """Answer to `Hello`. `instance` is new with every start of a daemon: nothing learnt from another one holds."""

    version: tuple[int, int]
    instance: Annotated[str, Meta(max_length=64)]
    datasets: Annotated[tuple[str, ...], Meta(max_length=limits.DATASETS)] = ()
    settings: ViewerSettings = ViewerSettings()
    arena: ArenaAddress | None = None


class Described(Message, frozen=True, tag="described"):
    """Answer to `Describe`."""

    dataset: Dataset
    about: _Count = 0


class Ready(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A chunk that lies in its slot.

    `slot` is the byte of the segment where the slot begins (its header first, see `slots`); `filled_ns` is the
    machine's monotonic clock when the worker was done, for measuring.
    """

    key: ChunkKey
    slot: _Count
    generation: _Count
    dtype: Annotated[str, Meta(max_length=16)]
    shape: Annotated[tuple[int, ...], Meta(max_length=limits.AXES)]
    filled_ns: int = 0


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """A chunk that cannot be read, and why."""

    key: ChunkKey
    reason: _Text


class LoadTime(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How long a load of a dataset takes now (a moving average): what `auto_sync_ms` is compared with."""

    dataset: int
    milliseconds: float


class LevelProgress(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How far the levels that a dataset lacks have been made: chunks that are there, and chunks in all."""

    dataset: int
    done: _Count
    total: _Count


class Announce(Message, frozen=True, tag="announce"):
    """What became of chunks that the client wants: filled, not there, or not readable.

    `progress` is told to every client, whatever it wants, at most twice a second. `encodings` has one entry for each of
    `ready` when bytes come along (see `Inline`): so many frames follow this one, each with the bytes of one chunk, less
    what `Part` has brought already. Since 1.1. `notice` is told to every client when it changes: what is wrong with the
    daemon as a whole, in words for people; "" when that is over. Since 1.1.
    """

    ready: Annotated[tuple[Ready, ...], Meta(max_length=limits.ANNOUNCED)] = ()
    missing: Annotated[tuple[ChunkKey, ...], Meta(max_length=limits.ANNOUNCED)] = ()
    failed: Annotated[tuple[Failure, ...], Meta(max_length=limits.ANNOUNCED)] = ()
    load_times: Annotated[tuple[LoadTime, ...], Meta(max_length=limits.DATASETS)] = ()
    progress: Annotated[tuple[LevelProgress, ...], Meta(max_length=limits.DATASETS)] = ()
    encodings: Annotated[tuple[Annotated[str, Meta(max_length=16)], ...], Meta(max_length=limits.ANNOUNCED)] = ()
    notice: _Text | None = None


class Part(Message, frozen=True, tag="part"):
    """One more frame follows, with bytes of a chunk that is not whole yet, from byte `offset` of its encoded form on.

    The rest comes with its `Announce`, or more parts before that; at offset 0 it begins anew. Since 1.1.
    """

    key: ChunkKey
    offset: _Count = 0


class Pong(Message, frozen=True, tag="pong"):
    """Answer to `Ping`."""

    number: _Count = 0


class Refused(Message, frozen=True, tag="refused"):
    """The daemon will not do what was asked; the session goes on unless `code` says otherwise.

    Codes: ``malformed``, ``unknown-message``, ``version`` (the session is over), ``no-session`` (say Hello first),
    ``no-dataset``, ``unreadable`` (the dataset does not open), ``limit``.
    """

    code: Annotated[str, Meta(max_length=64)]
    reason: _Text
    about: _Count = 0


class Farewell(Message, frozen=True, tag="farewell"):
    """The daemon ends on purpose: stop touching the arena; another one may come under the same address."""

    reason: _Text = ""


class PoolStatus(msgspec.Struct, frozen=True):
    """One pool: what it takes, how many workers run, and how much waits where."""

    relative_level: int
    backend: str
    workers: int
    workers_most: int
    delayed: int
    queued: int
    loading: int
    loaded: int = 0
    failed: int = 0
    deaths: int = 0


class DatasetStatus(msgspec.Struct, frozen=True):
    """One dataset: how fast it loads now and what came of its chunks so far.

    `levels_done` of `levels_total` chunks of the levels that it lacks have been made; 0 of 0 if it lacks none.
    """

    name: str
    source: str
    state: str
    load_ms: float = 0.0
    chunks: int = 0
    nbytes: int = 0
    missing: int = 0
    failed: int = 0
    chunks_per_second: float = 0.0
    bytes_per_second: float = 0.0
    levels_done: int = 0
    levels_total: int = 0


class ClientStatus(msgspec.Struct, frozen=True):
    """One client: what it wants and how much of the arena stays in place for it."""

    name: str
    pid: int
    views: int
    wanted: int
    announced: int
    silent_seconds: float


class ArenaStatus(msgspec.Struct, frozen=True):
    """The arena in bytes: all of it, held for somebody, kept in case it is wanted again."""

    nbytes: int
    wanted: int
    recent: int
    free: int
    evictions: int


class ClusterStatus(msgspec.Struct, frozen=True):
    """The dask cluster that chunks are loaded with: ``connecting``, ``open``, or ``away`` (no workers for too long).

    `threads` are those of all `workers` together; `direct` of these write into the arena themselves. `fallback`:
    meanwhile the daemon loads with processes of its own.
    """

    state: str
    workers: int
    threads: int
    direct: int
    problem: str = ""
    fallback: bool = False


class Status(Message, frozen=True, tag="status"):
    """Answer to `AskStatus`: what the daemon is doing now."""

    version: str
    pid: int
    uptime_seconds: float
    instance: str
    addresses: tuple[str, ...]
    arena: ArenaStatus
    pools: tuple[PoolStatus, ...]
    datasets: tuple[DatasetStatus, ...]
    clients: tuple[ClientStatus, ...]
    requests_forgotten: int = 0
    requests_started: int = 0
    requests_forgotten_loading: int = 0
    cluster: ClusterStatus | None = None
    about: _Count = 0


DaemonMessage = Welcome | Described | Announce | Part | Pong | Refused | Farewell | Status
