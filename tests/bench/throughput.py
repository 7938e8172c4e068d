"""What the daemon costs: chunks a second through it, against the same two cores reading without any daemon.

The baselines are two processes that do nothing but read and decode those very chunks into a numpy array of their own,
touched beforehand, each chunk into its own place: what a program would do that needs them all. The daemon shares the
same two cores with its workers and its client.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tests.bench.data import CHUNK, EDGE, pyramid, warm
from tests.bench.figures import Measurements
from tests.bench.sections import Options

import octree_client
from octree_client.connection import Connection
from octree_client.inbox import Lost
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Announce, Wanted

#: Chunks that the client keeps wanted, and how many have come when it wants others instead.
_WANTED = 512
_REPLACED = 256

#: All of level 0.
_CHUNKS = 4096

_SHARE = {"zstd": 0.8, "lz4": 0.5}


def measure(options: Options) -> Measurements:
    """Both codecs, daemon and baselines in turn, so that a change of the machine's mood meets both."""
    found = Measurements()
    for codec, share in _SHARE.items():
        path = pyramid(codec)
        warm(path)
        for _ in range(options.repeat):
            direct, direct_cpu = baseline(path, "read")
            decoding, _ = baseline(path, "decode")
            served, served_cpu = through_daemon(path)
            found.add(f"{codec}: daemon / two processes reading and decoding", "", served / direct, share, ">=")
            found.add(f"{codec}: daemon / two processes only decoding", "", served / decoding, note="files in memory")
            note = f"{direct_cpu:.0f} µs a chunk without a daemon, {served_cpu:.0f} with; other programs do not matter"
            found.add(f"{codec}: the same by processor time", "", direct_cpu / served_cpu, note=note)
            found.add(f"{codec}: daemon", "chunks/s", served)
            found.add(f"{codec}: two processes reading and decoding", "chunks/s", direct)
            found.add(f"{codec}: two processes only decoding", "chunks/s", decoding)
    return found


def baseline(path: Path, what: str) -> tuple[float, float]:
    """Two processes that read and decode, or only decode what they hold: chunks a second, processor µs a chunk."""
    context = multiprocessing.get_context("spawn")
    barrier, cpu = context.Barrier(3), context.Array("d", 2)
    processes = [context.Process(target=_read_half, args=(path, half, what, barrier, cpu)) for half in (0, 1)]
    for process in processes:
        process.start()
    barrier.wait(120)
    began = time.perf_counter()
    barrier.wait(120)
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return _CHUNKS / seconds, sum(cpu) / _CHUNKS * 1e6


def _read_half(path: Path, half: int, what: str, barrier: Barrier, cpu: Any) -> None:
    from numcodecs import blosc, zstd

    blosc.use_threads = False
    across = EDGE // CHUNK
    names = [f"{path}/0/c/{i // across}/{i % across}" for i in range(half, _CHUNKS, 2)]
    out = np.zeros((len(names), CHUNK, CHUNK), np.uint16)
    out += 1  # every page is there
    held = [Path(name).read_bytes() for name in names] if what == "decode" else []
    decompress = zstd.decompress if "zstd" in path.name else blosc.decompress
    buffer = memoryview(bytearray(2 * CHUNK * CHUNK + 4096))
    barrier.wait(120)
    began = time.process_time()
    if held:
        for encoded, target in zip(held, out, strict=True):
            decompress(encoded, target)
    else:
        for name, target in zip(names, out, strict=True):
            descriptor = os.open(name, os.O_RDONLY)
            length = os.readv(descriptor, (buffer,))
            os.close(descriptor)
            decompress(buffer[:length], target)
    cpu[half] = time.process_time() - began
    barrier.wait(120)


def through_daemon(path: Path) -> tuple[float, float]:
    """Into a client's view of the arena, with two workers: chunks a second, processor µs a chunk."""
    settings = {
        "loader_defaults": {"num_workers": 2},
        "octree": {"loaders": {"0": {}}},
        "memory": {"arena_bytes": 192 << 20},  # small: slots are given away again and again, as in daily life
    }
    with octree_client.open(path, settings=settings) as session:
        image = session.dataset()
        connection = session.connection
        # Workers start when they are needed, and prepare the arena's pages behind the start: both is over before.
        image.levels[1][:2048, :2048]
        time.sleep(3.0)
        client = Demand(connection, image.dataset.id, EDGE // CHUNK)
        assert session.daemon_pid is not None
        daemon = psutil.Process(session.daemon_pid)
        everybody = [psutil.Process(), daemon, *daemon.children(recursive=True)]
        before = _cpu_seconds(everybody)
        rate = client.run()
        return rate, (_cpu_seconds(everybody) - before) / _CHUNKS * 1e6


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(one.user + one.system for one in times))


class Demand:
    """A client that keeps many chunks wanted, and replaces those that came."""

    def __init__(self, connection: Connection, dataset: int, across: int) -> None:
        self._connection = connection
        self._something = threading.Event()
        self._inbox = connection.open_view(self._something.set)
        self._todo = iter(
            [Wanted(ChunkKey(dataset, 0, (i // across, i % across)), 0, Tier.VISIBLE, i) for i in range(_CHUNKS)]
        )
        self._wanted: dict[ChunkKey, Wanted] = {}

    def run(self) -> float:
        """Until every chunk has come once; chunks a second."""
        arena = self._connection.arena
        assert arena is not None
        began = time.perf_counter()
        self._refill()
        seen = 0
        while self._wanted:
            assert self._something.wait(30), f"nothing comes any more: {seen} of {_CHUNKS}"
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
        assert seen == _CHUNKS
        return _CHUNKS / seconds

    def _refill(self) -> None:
        for entry in self._todo:
            self._wanted[entry.key] = entry
            if len(self._wanted) >= _WANTED:
                break
        self._connection.want(self._inbox, tuple(self._wanted.values()))
