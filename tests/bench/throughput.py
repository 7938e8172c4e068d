"""What the daemon costs: chunks a second through it, against the same two cores reading without any daemon.

The baselines are two processes that read and decode those very chunks, or only decode what they hold, into a numpy
array of their own, touched beforehand, each chunk into its own place: what a program would do that needs them all. They
have the priority of the daemon's workers; the daemon shares the same two cores with its workers and its client.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from tests.bench.data import (
    CHUNK,
    EDGE,
    Place,
    places,
    places_in_shards,
    places_in_tiff,
    pyramid,
    sharded,
    tiff,
    warm,
)
from tests.bench.figures import Measurements
from tests.bench.sections import Options

import octree_client
from octree_client.transport.connection import Connection, Lost
from octree_loader.giving_way import give_way
from octree_loader.worker import WORKERS_NICE
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Announce, Wanted

#: Chunks that the client keeps wanted, and how many have come when it wants others instead.
_WANTED = 512
_REPLACED = 256

#: All of level 0.
_CHUNKS = 4096

#: The first row of chunks is read beforehand, to warm up.
_WARMED = EDGE // CHUNK

#: Edge of a shard.
_SHARD = 4096


class Stored(NamedTuple):
    """An image in one format, where the bytes of its chunks lie, and what is asked of the daemon.

    `codec` names the decoder of the baselines. `share` is of what two processes reach that read and decode,
    `share_decoding` of those that only decode.
    """

    name: str
    path: Path
    places: list[Place]
    codec: str
    share: float | None
    share_decoding: float


def _formats() -> list[Stored]:
    zstd, lz4, deflate = pyramid("zstd"), pyramid("lz4"), tiff()
    shards = sharded(EDGE, _SHARD, CHUNK)
    return [
        Stored("zstd", zstd, places(zstd), "zstd", 0.8, 0.8),
        Stored("lz4", lz4, places(lz4), "blosc", 0.5, 0.5),
        Stored("zstd in shards", shards, places_in_shards(shards, EDGE, _SHARD, CHUNK), "zstd", None, 0.8),
        Stored("TIFF deflate", deflate, places_in_tiff(deflate), "deflate", None, 0.8),
    ]


def measure(options: Options) -> Measurements:
    """Each format, daemon and baselines in turn, so that a change of the machine's mood meets both."""
    found = Measurements()
    for stored in _formats():
        name = stored.name
        warm(stored.path)
        for _ in range(options.repeat):
            reading, reading_cpu = baseline(stored, "read")
            decoding, decoding_cpu = baseline(stored, "decode")
            served, served_cpu = through_daemon(stored.path)
            found.add(f"{name}: daemon / two processes reading and decoding", "", served / reading, stored.share, ">=")
            note = f"{reading_cpu:.0f} µs a chunk without a daemon, {served_cpu:.0f} with; other programs do not matter"
            found.add(f"{name}: the same by processor time", "", reading_cpu / served_cpu, note=note)
            found.add(
                f"{name}: daemon / two processes only decoding",
                "",
                served / decoding,
                stored.share_decoding,
                ">=",
                note="what they decode lies in their memory",
            )
            note = f"{decoding_cpu:.0f} µs a chunk"
            found.add(f"{name}: only decoding, by processor time", "", decoding_cpu / served_cpu, note=note)
            found.add(f"{name}: daemon", "chunks/s", served)
            found.add(f"{name}: two processes reading and decoding", "chunks/s", reading)
            found.add(f"{name}: two processes only decoding", "chunks/s", decoding)
    return found


def baseline(stored: Stored, what: str) -> tuple[float, float]:
    """Two processes that read and decode, or only decode what they hold: chunks a second, processor µs a chunk."""
    context = multiprocessing.get_context("spawn")
    barrier, cpu = context.Barrier(3), context.Array("d", 2)
    processes = [
        context.Process(target=_read_half, args=(stored.places[half::2], half, stored.codec, what, barrier, cpu))
        for half in (0, 1)
    ]
    for process in processes:
        process.start()
    barrier.wait(120)
    began = time.perf_counter()
    barrier.wait(120)
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return len(stored.places) / seconds, sum(cpu) / len(stored.places) * 1e6


def _decoder(codec: str) -> Callable[[Any, Any], object]:
    """What decodes bytes into an array with the least ado."""
    from numcodecs import blosc, zstd

    if codec == "deflate":
        from imagecodecs import zlib_decode

        return lambda encoded, target: zlib_decode(encoded, out=target.reshape(-1).view(np.uint8))
    blosc.use_threads = False
    return zstd.decompress if codec == "zstd" else blosc.decompress  # type: ignore[no-any-return]


def _read_half(half: list[Place], which: int, codec: str, what: str, barrier: Barrier, cpu: Any) -> None:
    give_way(WORKERS_NICE)  # else other programs would take from the daemon's workers what they leave to us
    decode = _decoder(codec)
    out = np.zeros((len(half), CHUNK, CHUNK), np.uint16)
    out += 1  # every page is there
    held = [_bytes_at(place) for place in half] if what == "decode" else []
    buffer = memoryview(bytearray(2 * CHUNK * CHUNK + 4096))
    barrier.wait(120)
    began = time.process_time()
    if held:
        for encoded, target in zip(held, out, strict=True):
            decode(encoded, target)
    else:
        for place, target in zip(half, out, strict=True):
            descriptor = os.open(place.file, os.O_RDONLY)
            length = os.preadv(descriptor, (buffer[: place.length],), place.offset)
            os.close(descriptor)
            decode(buffer[:length], target)
    cpu[which] = time.process_time() - began
    barrier.wait(120)


def _bytes_at(place: Place) -> bytes:
    with open(place.file, "rb") as file:
        file.seek(place.offset)
        return file.read(place.length)


def through_daemon(path: Path) -> tuple[float, float]:
    """Into a client's view of the arena, with two workers: chunks a second, processor µs a chunk."""
    settings = {
        "loader_defaults": {"num_workers": 2},
        "octree": {"loaders": {"0": {}}},
        "memory": {"arena_bytes": 192 << 20},  # small: slots are given away again and again, as in daily life
    }
    with octree_client.open(path, settings=settings, levels="zero-only") as session:
        image = session.dataset()
        connection = session.connection
        # Workers start when they are needed, and prepare the arena's pages behind the start: both is over before.
        image.levels[0][:CHUNK]
        time.sleep(3.0)
        client = Demand(connection, image.dataset.id, EDGE // CHUNK, first=_WARMED)
        assert session.daemon_pid is not None
        daemon = psutil.Process(session.daemon_pid)
        everybody = [psutil.Process(), daemon, *daemon.children(recursive=True)]
        before = _cpu_seconds(everybody)
        rate = client.run()
        return rate, (_cpu_seconds(everybody) - before) / (_CHUNKS - _WARMED) * 1e6


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(one.user + one.system for one in times))


class Demand:
    """A client that keeps many chunks wanted, and replaces those that came: from `first` of level 0 to the last."""

    def __init__(self, connection: Connection, dataset: int, across: int, first: int = 0) -> None:
        self._connection = connection
        self._something = threading.Event()
        self._inbox = connection.open_view(self._something.set)
        self._todo = iter(
            [Wanted(ChunkKey(dataset, 0, (i // across, i % across)), 0, Tier.VISIBLE, i) for i in range(first, _CHUNKS)]
        )
        self._count = _CHUNKS - first
        self._wanted: dict[ChunkKey, Wanted] = {}

    def run(self) -> float:
        """Until every chunk has come once; chunks a second."""
        arena = self._connection.arena
        assert arena is not None
        began = time.perf_counter()
        self._refill()
        seen = 0
        while self._wanted:
            assert self._something.wait(30), f"nothing comes any more: {seen} of {self._count}"
            self._something.clear()
            for event in self._inbox.take():
                assert not isinstance(event, Lost), event.reason
                if isinstance(event, Announce):
                    assert not event.failed, event.failed[0]
                    assert not event.missing, event.missing[0]
                    for ready in event.ready:
                        if self._wanted.pop(ready.key, None) is not None:
                            assert arena.is_current(ready)
                            seen += 1
            if len(self._wanted) <= _WANTED - _REPLACED:
                self._refill()
        seconds = time.perf_counter() - began
        self._connection.close_view(self._inbox)
        assert seen == self._count
        return self._count / seconds

    def _refill(self) -> None:
        for entry in self._todo:
            self._wanted[entry.key] = entry
            if len(self._wanted) >= _WANTED:
                break
        self._connection.want(self._inbox, tuple(self._wanted.values()))
