"""The socket to a daemon: frames out, frames in, and what becomes of the connection below them.

Used by the connection's thread alone, but for `wake`. Knows nothing of what the frames say.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from octree_protocol import limits

_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


class CurveKeys(NamedTuple):
    """What a client needs to speak to a daemon that asks for keys: its public key, and our pair. Z85, 40 characters."""

    server: str
    public: str
    secret: str


class WireEvent(Enum):
    """What became of the connection."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    REJECTED = "rejected"
    """The daemon does not know our key."""
    UNANSWERED = "unanswered"
    """No handshake came about: the other side speaks otherwise, or has another key than we think."""


class Heard(NamedTuple):
    """What `Wire.wait` came back with."""

    woken: bool
    readable: bool
    events: tuple[WireEvent, ...]


class Wire:
    """One socket at a time, towards one address.

    Parameters
    ----------
    address
        ``ipc://...`` or ``tcp://...``.
    keys
        None speaks in the clear.

    Raises
    ------
    zmq.ZMQError
        By `connect`, if that is no address or no key.
    """

    def __init__(self, address: str, keys: CurveKeys | None = None) -> None:
        self._address = address
        self._keys = keys
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._awake = False
        self._poller = zmq.Poller()
        self._poller.register(self._wake_read, zmq.POLLIN)
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None

    def wake(self) -> None:
        """Have `wait` come back. From any thread; harmless after `close`."""
        if not self._awake:
            self._awake = True
            try:
                os.write(self._wake_write, b"\0")
            except OSError:
                pass  # full of wake-ups already, or closed

    def connect(self) -> None:
        """Make a socket, instead of the one that there may be: what that had under way, both ways, is lost."""
        self._let_go(0)
        if self._context is None:
            self._context = zmq.Context(io_threads=1)
        socket = self._socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 200)
        socket.setsockopt(zmq.MAXMSGSIZE, limits.FRAME_BYTES)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing queues up for a daemon that is not there
        socket.setsockopt(zmq.SNDTIMEO, 0)
        socket.setsockopt(zmq.IPV6, 1)
        if self._keys is not None:
            socket.setsockopt_string(zmq.CURVE_SERVERKEY, self._keys.server)
            socket.setsockopt_string(zmq.CURVE_PUBLICKEY, self._keys.public)
            socket.setsockopt_string(zmq.CURVE_SECRETKEY, self._keys.secret)
        self._monitor = socket.get_monitor_socket(_EVENTS)
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        socket.connect(self._address)

    def wait(self, seconds: float) -> Heard:
        """Wait until something is there, at most so long."""
        ready = dict(self._poller.poll(max(0, int(seconds * 1e3) + 1)))
        woken = self._wake_read in ready
        if woken:
            # In this order: who wakes us in between finds us awake, and what he had to say is heard after this. The
            # other way round his byte would be read with the others, and nobody could wake us any more.
            os.read(self._wake_read, 4096)
            self._awake = False
        events = []
        if self._monitor in ready:
            assert self._monitor is not None
            while self._monitor.poll(0):
                events.append(_event(recv_monitor_message(self._monitor)["event"]))
        return Heard(woken, self._socket in ready, tuple(events))

    def send(self, frame: bytes) -> bool:
        """Say something; returns whether it could be."""
        assert self._socket is not None
        try:
            self._socket.send(frame)
        except zmq.Again:
            return False
        return True

    def receive(self) -> tuple[bytes, list[memoryview]] | None:
        """The next message and what follows it, or None if there is none now. What follows is not copied."""
        assert self._socket is not None
        try:
            first = self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        if not self._socket.getsockopt(zmq.RCVMORE):
            return first, []
        return first, [frame.buffer for frame in self._socket.recv_multipart(zmq.NOBLOCK, copy=False)]

    def _let_go(self, linger: int | None = None) -> None:
        socket, monitor = self._socket, self._monitor
        self._socket = self._monitor = None
        if socket is None or monitor is None:
            return
        self._poller.unregister(socket)
        self._poller.unregister(monitor)
        socket.disable_monitor()
        monitor.close()
        socket.close(linger)

    def close(self) -> None:
        """Let go of the socket, after what was said has left."""
        self._let_go()
        if self._context is not None:
            self._context.term()

    def close_wake(self) -> None:
        """The very end: nobody wakes the thread any more."""
        os.close(self._wake_read)
        os.close(self._wake_write)


def _event(number: int) -> WireEvent:
    if number == zmq.EVENT_HANDSHAKE_SUCCEEDED:
        return WireEvent.CONNECTED
    if number == zmq.EVENT_DISCONNECTED:
        return WireEvent.DISCONNECTED
    if number == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        return WireEvent.REJECTED
    return WireEvent.UNANSWERED
