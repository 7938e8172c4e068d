"""A static HTTP server on loopback that counts, waits and fails as it is told: a remote store to test against.

``GET`` and ``HEAD`` with one ``Range``, as plain web servers and object stores answer them. It runs in a thread of the
test (`HttpServer`), or by itself for measuring (``python -m tests.http_server FOLDER --latency-ms 50``), where one
event loop holds hundreds of requests under way without a thread for each.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import email.utils
import os
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_AUTHORIZATION = re.compile(rb"^authorization: *(.*?)\r?$", re.IGNORECASE | re.MULTILINE)
_RANGE = re.compile(rb"^range: *bytes=(\d*)-(\d*)\r?$", re.IGNORECASE | re.MULTILINE)

#: What a fault does to an answer.
#: ``403`` ``404`` ``429`` ``500`` ...: that status. ``denied``: 403 as S3 says it. ``truncate``: half of the body, then
#: the connection ends. ``garbage``: as long as it should be, but noise. ``reset``: the connection ends without an
#: answer. ``hang``: nothing comes. ``whole``: 200 with all of the file, whatever range was asked for. ``endless``: a
#: length of 2^40 bytes is announced.
Fault = int | str


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server saw it: `span` is (first, one past last), or (-n, None) for the last n bytes.

    `authorization` is the header of that name, "" if there was none.
    """

    method: str
    path: str
    span: tuple[int | None, int | None] | None
    authorization: str = ""


@dataclass(slots=True)
class Behaviour:
    """How the server behaves, to be changed while it runs.

    Attributes
    ----------
    latency
        Seconds before each answer.
    dated
        Whether answers have an ETag and a time of change.
    fault
        Asked with the path of each request; gives what is to go wrong, or None.
    requests
        All that came, in their order.
    under_way, under_way_most
        Requests that wait for their answer now, and the most there ever were.
    """

    latency: float = 0.0
    dated: bool = True
    fault: Callable[[str], Fault | None] = lambda _: None
    requests: list[Request] = field(default_factory=list)
    under_way: int = 0
    under_way_most: int = 0

    def fail(self, part: str, fault: Fault, times: int | None = None) -> None:
        """Paths that contain `part` get `fault`, the first `times` of them (None: all)."""
        left = [times]

        def choose(path: str) -> Fault | None:
            if part not in path or left[0] == 0:
                return None
            if left[0] is not None:
                left[0] -= 1
            return fault

        self.fault = choose

    def paths(self) -> list[str]:
        """Paths of the requests so far."""
        return [request.path for request in self.requests]


class _Connection(asyncio.Protocol):
    """One client's connection: requests one after the other, kept alive."""

    def __init__(self, folder: Path, behaviour: Behaviour, kept: dict[str, bytes] | None) -> None:
        self._folder = folder
        self._behaviour = behaviour
        self._kept = kept
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            behaviour = self._behaviour
            behaviour.under_way += 1
            behaviour.under_way_most = max(behaviour.under_way_most, behaviour.under_way)
            method, target, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
            path = urllib.parse.unquote(target.decode().partition("?")[0])
            found = _RANGE.search(head)
            span = None
            if found is not None:
                first, last = found.groups()
                span = (int(first), int(last) + 1 if last else None) if first else (-int(last), None)
            signed = _AUTHORIZATION.search(head)
            who = "" if signed is None else signed[1].decode()
            behaviour.requests.append(Request(method.decode(), path, span, who))
            loop = asyncio.get_running_loop()
            if behaviour.latency:
                loop.call_later(behaviour.latency, self._answer, method, path, span)
            else:
                self._answer(method, path, span)

    def _answer(self, method: bytes, path: str, span: tuple[int | None, int | None] | None) -> None:
        self._behaviour.under_way -= 1
        transport = self._transport
        if transport is None:
            return
        fault = self._behaviour.fault(path)
        if fault == "hang":
            return
        if fault == "reset":
            transport.abort()
            return
        if isinstance(fault, int):
            self._send(method, fault, b"as the test wants it")
            return
        if fault == "denied":
            self._send(method, 403, b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>")
            return
        body = self._read(path)
        if body is None:
            self._send(method, 404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        status, extra, size = 200, b"", len(body)
        if span is not None and fault != "whole":
            low, high = span
            low, high = (max(0, size + (low or 0)), size) if (low or 0) < 0 else (low or 0, min(size, high or size))
            if low >= size:
                self._send(method, 416, b"")
                return
            status, extra, body = 206, b"Content-Range: bytes %d-%d/%d\r\n" % (low, high - 1, size), body[low:high]
        if fault == "garbage":
            body = bytes((37 * i + 11) & 255 for i in range(len(body)))
        if fault == "endless":
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40) + body)
            return
        if fault == "truncate":
            transport.write(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), extra))
            transport.write(body[: len(body) // 2])
            transport.close()
            return
        self._send(method, status, body, extra + (self._dates(path) if self._behaviour.dated else b""))

    def _dates(self, path: str) -> bytes:
        if self._kept is not None:
            return b""
        found = (self._folder / path.lstrip("/")).stat()
        changed = email.utils.formatdate(found.st_mtime, usegmt=True)
        return f'ETag: "{found.st_mtime_ns:x}-{found.st_size:x}"\r\nLast-Modified: {changed}\r\n'.encode()

    def _send(self, method: bytes, status: int, body: bytes, extra: bytes = b"") -> None:
        assert self._transport is not None
        head = b"HTTP/1.1 %d Status\r\nContent-Length: %d\r\nAccept-Ranges: bytes\r\n%s\r\n" % (
            status,
            len(body),
            extra,
        )
        self._transport.write(head if method == b"HEAD" else head + body)

    def _read(self, path: str) -> bytes | None:
        if self._kept is not None and path in self._kept:
            return self._kept[path]
        place = self._folder / path.lstrip("/")
        if ".." in place.parts or not place.is_file():
            return None
        body = place.read_bytes()
        if self._kept is not None:
            self._kept[path] = body
        return body


class HttpServer:
    """A server of the files below a folder, in a thread of its own. Use it with ``with``."""

    def __init__(self, folder: Path | str) -> None:
        self.behaviour = Behaviour()
        self.url = ""
        self._folder = Path(folder)
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._thread = threading.Thread(target=self._run, name="http-server")
        self._started = threading.Event()

    def __enter__(self) -> HttpServer:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _connect(self) -> _Connection:
        connection = _Connection(self._folder, self.behaviour, None)
        self._connections.add(connection)
        return connection

    def _run(self) -> None:
        loop = self._loop
        server = loop.run_until_complete(loop.create_server(self._connect, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        loop.run_forever()
        server.close()
        for connection in self._connections:
            if connection._transport is not None:
                connection._transport.abort()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(server.wait_closed())
        loop.close()


@contextlib.contextmanager
def serve_folder(folder: Path | str) -> Iterator[HttpServer]:
    """A running server of a folder."""
    with HttpServer(folder) as server:
        yield server


async def _serve_alone(folder: Path, latency: float) -> None:
    behaviour, kept = Behaviour(latency), {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(folder, behaviour, kept), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    # It ends with its parent: standard input is a pipe that closes then. Each line of it asks what was seen so far.
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb"))
    while await reader.readline():
        print(len(behaviour.requests), behaviour.under_way_most, flush=True)
        behaviour.requests.clear()
        behaviour.under_way_most = behaviour.under_way


def main() -> None:
    """Serve a folder; prints the port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(_serve_alone(options.folder, options.latency_ms / 1e3))


if __name__ == "__main__":
    main()
