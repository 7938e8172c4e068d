"""The way of an announcement without any of us: three processes that do nothing but pass the time on.

What is late here is late by the machine. The first process has the priority of a worker and wakes as often as chunks
come, the second passes on as the daemon does, the third receives as a client does.
"""

from __future__ import annotations

import multiprocessing
import socket
import struct
import time
from multiprocessing.connection import Connection

from octree_loader.giving_way import give_way
from octree_loader.worker import WORKERS_NICE

_STAMP = struct.Struct("<q")


class Relay:
    """A context manager: measures while it lasts, then `latencies` are in milliseconds.

    Parameters
    ----------
    rate
        Messages a second.
    """

    def __init__(self, rate: float) -> None:
        self.latencies: list[float] = []
        self._rate = rate

    def __enter__(self) -> Relay:
        context = multiprocessing.get_context("spawn")
        first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        third, fourth = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._stop, stopped = context.Pipe()
        self._found, found = context.Pipe(False)
        self._processes = [
            context.Process(target=_fill, args=(first, stopped, self._rate), daemon=True),
            context.Process(target=_pass_on, args=(second, third), daemon=True),
            context.Process(target=_receive, args=(fourth, found), daemon=True),
        ]
        for process in self._processes:
            process.start()
        for end in (first, second, third, fourth, found):
            end.close()
        assert self._stop.poll(60), "the control does not start"
        self._stop.recv()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.send(None)
        if self._found.poll(60):
            self.latencies = self._found.recv()
        for process in self._processes:
            process.join(10)


def _fill(out: socket.socket, stop: Connection, rate: float) -> None:
    give_way(WORKERS_NICE)
    stop.send(None)
    due = time.monotonic()
    while not stop.poll(max(0.0, due - time.monotonic())):
        due = max(due + 1 / rate, time.monotonic())
        out.send(_STAMP.pack(time.monotonic_ns()))
    out.close()


def _pass_on(into: socket.socket, out: socket.socket) -> None:
    while packet := into.recv(64):
        out.send(packet)
    out.close()


def _receive(into: socket.socket, found: Connection) -> None:
    latencies = []
    while packet := into.recv(64):
        latencies.append((time.monotonic_ns() - _STAMP.unpack(packet)[0]) * 1e-6)
    found.send(latencies)
