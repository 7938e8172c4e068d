"""Clients over the network, and many of them: what the daemon adds to a bare socket, and how it shares itself out.

Loopback TCP stands for the network: it is faster than any, so what the daemon costs shows most. The bare socket sends
messages of a chunk's size from one process to another, with as many under way as the daemon has. Chunks lie in the
arena already where the way is measured and not the loading.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import zmq
from tests.bench.announcing import latencies_at
from tests.bench.data import CHUNK, EDGE, pyramid, warm
from tests.bench.figures import Measurements, percentile
from tests.bench.sections import Options

from octree_client.transport.connection import Connection
from octree_client.transport.inbox import Lost
from octree_client.transport.wire import CurveKeys
from octree_protocol.curve_keys import parse_key
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Announce, Wanted

_CHUNK_BYTES = 2 * CHUNK * CHUNK
_ACROSS = EDGE // CHUNK

#: Chunks that lie in the arena, and how often each travels.
_WARM, _ROUNDS = 768, 5

#: Messages that the bare socket has under way: what the daemon's window holds.
_WINDOW = (4 << 20) // _CHUNK_BYTES

_CLIENTS = 16


def measure(options: Options) -> Measurements:
    """All of it."""
    found = Measurements()
    path = pyramid("lz4")
    warm(path)
    with tempfile.TemporaryDirectory(prefix="octree-bench-") as name:
        folder = Path(name)
        keys = _keys(folder)
        with _daemon(folder, path, "clear") as clear, _daemon(folder, path, "curve") as curve:
            for number in range(options.repeat):
                for what, address, pair in (("CURVE", curve, keys), ("in the clear", clear, None)):
                    bare = _bare(pair)
                    served = _served(address, pair)
                    found.add(f"tcp {what}: daemon / bare socket", "", served / bare, 0.6, ">=")
                    found.add(f"tcp {what}: daemon", "MB/s", served * 1e-6)
                    found.add(f"tcp {what}: bare socket", "MB/s", bare * 1e-6)
                connection = _connect(curve, keys)
                fresh = range(_WARM + 1000 * number, _WARM + 1000 * (number + 1))
                rate, latencies = latencies_at(connection, connection.describe("image").id, 500, fresh)
                connection.close()
                note = f"{rate:.0f} chunks/s came"
                found.add("tcp CURVE at 500 chunks/s: latency p50", "ms", percentile(latencies, 0.5), note=note)
                found.add("tcp CURVE at 500 chunks/s: latency p99", "ms", percentile(latencies, 0.99), 10.0)
        for _ in range(options.repeat):
            with _daemon(folder, path, "clear"):
                alone = _rate(_crowd(folder, 1))
            with _daemon(folder, path, "clear"):
                together = _crowd(folder, _CLIENTS)
            found.add(f"{_CLIENTS} clients: chunks/s of all / of one alone", "", _rate(together) / alone, 0.9, ">=")
            found.add(f"{_CLIENTS} clients: least share / equal share", "", _least_share(together))
            found.add("one client alone", "chunks/s", alone)
            with _daemon(folder, path, "clear"):
                modest = _rate(_crowd(folder, _CLIENTS, 32)[1:])
            with _daemon(folder, path, "clear"):
                beside_greedy = _rate(_crowd(folder, _CLIENTS, 1024)[1:])
            found.add(
                "15 clients beside one that wants 1,024 chunks at once / 32", "", beside_greedy / modest, 0.8, ">="
            )
    return found


def _keys(folder: Path) -> CurveKeys:
    """Keys of a daemon and of us, made as anybody makes them."""
    subprocess.run(
        [sys.executable, "-m", "octree_loader.cli", "keys", "--folder", str(folder / "keys"), "--client", "bench"],
        capture_output=True,
        check=True,
    )
    server = parse_key((folder / "keys" / "server.pub").read_text())
    mine = parse_key((folder / "keys" / "bench.key").read_text())
    return CurveKeys(server.public, mine.public, mine.secret)


@contextmanager
def _daemon(folder: Path, path: Path, kind: str) -> Iterator[str]:
    """A daemon with two workers: its TCP address. ``curve`` asks for keys."""
    config = {
        "datasets": {"image": str(path)},
        "loader_defaults": {"num_workers": 2, "delay_queue_ms": 0},
        "octree": {"loaders": {}},
        "memory": {"arena_bytes": 192 << 20},
        "serve": {
            "bind": [f"ipc://{folder}/{kind}.sock", "tcp://127.0.0.1:*"],
            "keys": str(folder / "keys"),
            "keys_on_loopback": kind == "curve",
            "compression": "none",
        },
    }
    (folder / f"{kind}.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "octree_loader.cli", "--config", str(folder / f"{kind}.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert "tcp://" in lines[2], lines
        try:
            yield lines[2].split()[-1]
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _connect(address: str, keys: CurveKeys | None) -> Connection:
    connection = Connection(address, keys=keys, share_memory=False, cache_bytes=512 * _CHUNK_BYTES)
    connection.wait_until_open(10)
    return connection


def _entry(dataset: int, number: int, place: int) -> Wanted:
    return Wanted(ChunkKey(dataset, 0, (number // _ACROSS, number % _ACROSS)), 0, Tier.VISIBLE, place)


# --- the way of the bytes ---------------------------------------------------------------------------------------------


def _served(address: str, keys: CurveKeys | None) -> float:
    """Bytes a second of chunks that lie in the arena, to a client whose cache holds two thirds of them."""
    connection = _connect(address, keys)
    dataset = connection.describe("image").id
    try:
        _travel(connection, dataset, 1)  # they are loaded, and the link is known
        began = time.perf_counter()
        _travel(connection, dataset, _ROUNDS)
        return _ROUNDS * _WARM * _CHUNK_BYTES / (time.perf_counter() - began)
    finally:
        connection.close()


def _travel(connection: Connection, dataset: int, rounds: int) -> None:
    """Want some chunks after the others, again and again, until all have come so often."""
    news = threading.Event()
    inbox = connection.open_view(news.set)
    # In the order in which they are named: none comes so late that the next round wants it already.
    todo = iter([_entry(dataset, place % _WARM, place) for place in range(rounds * _WARM)])
    wanted: dict[ChunkKey, Wanted] = {}
    while True:
        while len(wanted) < 256 and (entry := next(todo, None)) is not None:
            wanted[entry.key] = entry
        if not wanted:
            break
        connection.want(inbox, tuple(wanted.values()))
        least = len(wanted) - 128
        while len(wanted) > max(0, least):
            assert news.wait(30), f"{len(wanted)} chunks do not come"
            news.clear()
            for event in inbox.take():
                assert not isinstance(event, Lost), event.reason
                if isinstance(event, Announce):
                    assert not event.failed, event.failed[0]
                    for ready in event.ready:
                        wanted.pop(ready.key, None)
    connection.close_view(inbox)


def _bare(keys: CurveKeys | None) -> float:
    """Bytes a second of messages as long as a chunk, from another process."""
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe()
    sender = context.Process(target=_send_bare, args=(ours, keys is not None))
    sender.start()
    address, public = theirs.recv()
    with zmq.Context() as sockets, sockets.socket(zmq.DEALER) as socket:
        if public:
            mine = zmq.curve_keypair()
            socket.curve_serverkey, (socket.curve_publickey, socket.curve_secretkey) = public, mine
        socket.connect(address)
        count = 2 * _ROUNDS * _WARM
        for _ in range(_WINDOW):
            socket.send(b"")
        for _ in range(_WARM):  # the way is warm
            socket.recv(copy=False)
            socket.send(b"")
        began = time.perf_counter()
        for _ in range(count):
            socket.recv(copy=False)
            socket.send(b"")
        seconds = time.perf_counter() - began
        theirs.send("enough")
    sender.join()
    return count * _CHUNK_BYTES / seconds


def _send_bare(pipe: Any, curve: bool) -> None:
    with zmq.Context() as sockets, sockets.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        public = b""
        if curve:
            public, secret = zmq.curve_keypair()
            socket.curve_server, socket.curve_secretkey, socket.curve_publickey = True, secret, public
        socket.bind("tcp://127.0.0.1:*")
        pipe.send((socket.getsockopt_string(zmq.LAST_ENDPOINT), public))
        payload = memoryview(bytearray(_CHUNK_BYTES))
        while not pipe.poll(0):
            while socket.poll(50):
                identity, _ = socket.recv_multipart()
                socket.send_multipart([identity, payload])


# --- many clients ----------------------------------------------------------------------------------------------------


def _crowd(folder: Path, count: int, at_once: int | None = None) -> list[tuple[float, list[float]]]:
    """Clients that want 4,096 chunks between them: when each began, and when each of its chunks came.

    `at_once`: the first of them wants so many at a time, and a quarter of all chunks.
    """
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(count + 1), context.Queue()
    address = f"ipc://{folder}/clear.sock"
    everything = _ACROSS * _ACROSS
    first = everything // 4 if at_once else everything // count
    processes = []
    for number in range(count):
        low = 0 if number == 0 else first + (everything - first) * (number - 1) // (count - 1)
        high = first if number == 0 else first + (everything - first) * number // (count - 1)
        room = at_once if at_once and number == 0 else max(32, 512 // count)
        processes.append(context.Process(target=_one, args=(address, number, low, high, room, barrier, results)))
    for process in processes:
        process.start()
    barrier.wait(120)
    times = {number: (began, arrivals) for number, began, arrivals in (results.get(timeout=120) for _ in processes)}
    for process in processes:
        process.join()
    return [times[number] for number in range(count)]


def _rate(times: list[tuple[float, list[float]]]) -> float:
    """Chunks a second of all of them together."""
    ended = max(arrivals[-1] for _, arrivals in times)
    return sum(len(arrivals) for _, arrivals in times) / (ended - min(began for began, _ in times))


def _least_share(times: list[tuple[float, list[float]]]) -> float:
    """What the one that got least had of an equal share when the first had all it wanted."""
    first = min(arrivals[-1] for _, arrivals in times)
    counts = [sum(1 for at in arrivals if at <= first) for _, arrivals in times]
    return min(counts) / (sum(counts) / len(counts))


def _one(address: str, number: int, low: int, high: int, room: int, barrier: Barrier, results: Any) -> None:
    connection = Connection(address, f"client {number}")
    connection.wait_until_open(30)
    dataset = connection.describe("image").id
    news = threading.Event()
    inbox = connection.open_view(news.set)
    todo = iter(range(low, high))
    wanted: dict[ChunkKey, Wanted] = {}
    arrivals: list[float] = []
    barrier.wait(120)
    began = time.monotonic()
    while True:
        if len(wanted) <= room // 2:
            while len(wanted) < room and (place := next(todo, None)) is not None:
                entry = _entry(dataset, place, place)
                wanted[entry.key] = entry
            if not wanted:
                break
            connection.want(inbox, tuple(wanted.values()))
        assert news.wait(60), f"client {number}: {len(wanted)} chunks do not come"
        news.clear()
        for event in inbox.take():
            if isinstance(event, Announce):
                now = time.monotonic()
                arrivals += [now for ready in event.ready if wanted.pop(ready.key, None) is not None]
    connection.close()
    results.put((number, began, arrivals))
