"""The sockets of the health endpoint: takes requests in, sends answers out, and lets nobody cost more than a little.

Runs in the thread of its `Loop`, never in the daemon's. However many come, however slowly they speak or read: the
connections, their bytes, their seconds, and how many come in a second are bounded. Of too many the newest stay, since
probes are quick. Knows HTTP by `http_text` only, and not what is answered.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from octree_loader.loop import Loop
from octree_loader.monitoring.http_text import REQUEST_BYTES, BadRequest, Request, answer, is_local_host, read_request
from octree_loader.rate_limit import RateLimit
from octree_protocol.errors import OctreeError

log = logging.getLogger("octree.health")

#: Connections at once; one more closes the oldest.
CONNECTIONS = 32

#: From the first byte to the last: seconds.
SECONDS = 5.0

#: Connections taken a second, in the long run and at a stroke. What comes beyond waits in the kernel's queue.
RATE, BURST = 50.0, 50.0

#: The kernel's queue.
_BACKLOG = 64


class HealthUnavailable(OctreeError):
    """Somebody else listens where the health endpoint should."""

    #: EX_UNAVAILABLE of sysexits.h, as for the other addresses.
    exit_code = 69


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there; ``*`` is every interface. Raises `HealthUnavailable`."""
    host = {"*": "0.0.0.0", "localhost": "127.0.0.1"}.get(host, host)
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET,
        socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
    )
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise HealthUnavailable(
            f"serve.health: cannot listen on {host}:{port}: {error.strerror or error}; choose another port"
        ) from None
    return listening


@dataclass(eq=False, slots=True)
class Connection:
    """One connection: what it has said, or what it is still to be sent."""

    socket: socket.socket
    until: float
    received: bytearray = field(default_factory=bytearray)
    request: Request | None = None
    unsent: bytes = b""


class HttpListener:
    """Listens, and hands each request to `ask`, who answers it with `reply` sooner or later.

    Parameters
    ----------
    host, port
        An IP address; port 0 takes any that is free.
    local_only
        Refuse requests that name another host than this machine's loopback address.
    loop
        In whose thread everything happens, once it turns.
    ask
        Told of each request.

    Raises
    ------
    HealthUnavailable
        If the address cannot be bound.
    """

    def __init__(
        self, host: str, port: int, local_only: bool, loop: Loop, ask: Callable[[Connection, Request], None]
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._local_only = local_only
        self._open: dict[Connection, None] = {}
        self._limit = RateLimit(RATE, BURST, time.monotonic())
        self._accepting = True
        self._socket = bind(host, port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"
        loop.selector.register(self._socket, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Close everything. After the loop has ended."""
        for connection in list(self._open):
            self._end(connection)
        self._stop_accepting()
        self._socket.close()

    def look_over(self, now: float) -> None:
        """End what takes too long, and take connections again when it is time."""
        for connection in [c for c in self._open if c.until <= now]:
            self._end(connection)
        if not self._accepting and self._limit.has(now):
            self._accepting = True
            self._loop.selector.register(self._socket, selectors.EVENT_READ, self._accept)

    def next_look(self) -> float | None:
        """When `look_over` is due, by the monotonic clock; None if nothing waits for it."""
        due = [connection.until for connection in self._open]
        if not self._accepting:
            due.append(self._limit.next_at())
        return min(due, default=None)

    # --- in ----------------------------------------------------------------------------------------------------------

    def _stop_accepting(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.selector.unregister(self._socket)

    def _accept(self) -> None:
        now = time.monotonic()
        while self._limit.has(now):
            try:
                peer, _ = self._socket.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._limit.exhaust()  # it stays readable: come again in a moment, not at once
                    break
                return  # nobody there any more
            self._limit.take(now)
            peer.setblocking(False)
            if len(self._open) >= CONNECTIONS:
                self._end(next(iter(self._open)))
            connection = Connection(peer, now + SECONDS)
            self._open[connection] = None
            self._loop.selector.register(peer, selectors.EVENT_READ, lambda c=connection: self._read(c))
        self._stop_accepting()

    def _read(self, connection: Connection) -> None:
        if connection not in self._open:  # ended by another one's callback in this round
            return
        try:
            received = connection.socket.recv(REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._end(connection)
            return
        if connection.request is not None:
            return  # one request a connection: what follows is read so that closing does not reset it, and forgotten
        connection.received += received
        try:
            request = read_request(bytes(connection.received))
            if request is not None and self._local_only and not is_local_host(request.host):
                raise BadRequest(403, "this endpoint is for this machine; ask for it as localhost")
        except BadRequest as error:
            connection.request = Request("", "", True)
            self.reply(connection, error.status, "text/plain; charset=utf-8", f"{error}\n".encode())
            return
        if request is not None:
            connection.request = request
            self._ask(connection, request)

    # --- out ---------------------------------------------------------------------------------------------------------

    def reply(self, connection: Connection, status: int, content_type: str, content: bytes) -> None:
        """Answer a request. Does nothing if the connection has ended meanwhile."""
        if connection not in self._open or connection.request is None:
            return
        connection.unsent = answer(status, content_type, content, connection.request.body)
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        if connection not in self._open:
            return
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(connection)
            return
        connection.unsent = connection.unsent[sent:]
        if connection.unsent:
            self._loop.selector.modify(connection.socket, selectors.EVENT_WRITE, lambda: self._send(connection))
            return
        with contextlib.suppress(OSError):
            connection.socket.shutdown(socket.SHUT_WR)
        self._end(connection)

    def _end(self, connection: Connection) -> None:
        if connection in self._open:
            del self._open[connection]
            self._loop.selector.unregister(connection.socket)
            connection.socket.close()
