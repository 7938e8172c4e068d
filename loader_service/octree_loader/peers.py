"""The daemon's side of the wire: sockets, who is at their other ends, and what may be said to whom.

Decodes what clients say and passes it on, sends what they are told, and drops who has fallen silent or does not read.
Knows nothing of chunks, and not what a message means to the daemon (`server`).
"""

from __future__ import annotations

import logging
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import zmq

from octree_loader.link import Link
from octree_loader.loop import Loop
from octree_protocol import codec, limits
from octree_protocol.errors import LocalProtocolError, OctreeError, RemoteProtocolError
from octree_protocol.messages import Announce, ClientMessage, DaemonMessage, Farewell, Refused, Welcome
from octree_protocol.session import Session

log = logging.getLogger("octree.server")

#: Messages that are taken in before anything else is looked at.
_HEARD_AT_ONCE = 256

#: Entries in one announcement: the longest (8 axes) stay well below the limit of a frame.
_ANNOUNCED_AT_ONCE = 4096

#: A failure with its reason takes the room of so many.
_ANNOUNCED_PER_FAILURE = 16


class AddressInUse(OctreeError):
    """Somebody else listens where we were told to."""

    exit_code = 69


@dataclass(slots=True)
class Client:
    """What the daemon knows of one peer.

    `acknowledges`: it says how much it has received (protocol 1.1).
    """

    identity: bytes
    heard: float
    link: Link
    session: Session = field(default_factory=Session)
    name: str = ""
    pid: int = 0
    announced: int = 0
    complaints: int = 0
    acknowledges: bool = False


class Peers:
    """The clients of a daemon.

    Parameters
    ----------
    addresses
        URLs to bind.
    loop
        Wakes when a client says something.
    obey
        Called with a client and what it said, if it may say that now.
    gone
        Called with a client that has left, died, or was dropped.

    Attributes
    ----------
    addresses
        As they were bound: with the port that the system chose, if it was left to it.
    clients
        Those that have been welcomed, by identity.
    sent_bytes
        Of all messages so far.

    Raises
    ------
    AddressInUse
        If an address cannot be bound.
    """

    def __init__(
        self,
        addresses: tuple[str, ...],
        loop: Loop,
        obey: Callable[[Client, ClientMessage], None],
        gone: Callable[[Client], None],
    ) -> None:
        self.clients: dict[bytes, Client] = {}
        self.sent_bytes = 0
        self._loop = loop
        self._obey = obey
        self._gone = gone
        self._context = zmq.Context(io_threads=1)
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # else a client that does not read loses messages unnoticed
        self._socket.setsockopt(zmq.MAXMSGSIZE, limits.FRAME_BYTES)
        self._socket.setsockopt(zmq.SNDHWM, limits.SEND_QUEUE_MESSAGES)
        self._socket.setsockopt(zmq.LINGER, 200)
        bound = []
        for address in addresses:
            try:
                self._socket.bind(address)
                bound.append(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))
            except zmq.ZMQError as error:
                self._context.destroy(linger=0)
                raise AddressInUse(f"cannot listen on {address}: {error}; choose another one with --bind") from None
        self.addresses = tuple(bound)
        loop.selector.register(self._socket, selectors.EVENT_READ, lambda: None)

    def close(self, reason: str) -> None:
        """Say farewell, and let go of the sockets."""
        for client in list(self.clients.values()):
            self.send(client, Farewell(reason))
        self._loop.selector.unregister(self._socket)
        self._socket.close()
        self._context.term()

    # --- what clients say --------------------------------------------------------------------------------------------

    def receive(self) -> bool:
        """Take in what clients said, not endlessly; returns whether there was anything.

        The descriptor of a ZeroMQ socket only tells of *changes*: to be called before every wait.
        """
        for count in range(_HEARD_AT_ONCE):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return count > 0
            self._hear(frames)
        return True

    def _hear(self, frames: list[bytes]) -> None:
        identity, now = frames[0], time.monotonic()
        client = self.clients.get(identity)
        if client is None:
            client = Client(identity, now, Link(now))
        client.heard = now
        try:
            if len(frames) != 2:
                raise RemoteProtocolError(f"{len(frames) - 1} frames in a message; this protocol has one")
            message = codec.decode_from_client(frames[1])
            client.session.received(message)
        except RemoteProtocolError as error:
            client.complaints += 1
            if client.complaints == 1:
                log.warning("client %s: %s", client.name or identity.hex(), error)
            self.send(client, Refused(error.code, str(error)[: limits.TEXT_CHARACTERS]))
            return
        self._obey(client, message)

    # --- what they are told ------------------------------------------------------------------------------------------

    def send(self, client: Client, message: DaemonMessage, frames: Sequence[bytes | memoryview] = ()) -> bool:
        """Tell a client something, if that may be said now; returns whether it was. Who cannot be told is dropped.

        `frames` follow the message; they are copied and may change at once.
        """
        try:
            client.session.sent(message)
            head = codec.encode(message)
            self._socket.send_multipart([client.identity, head, *frames], zmq.NOBLOCK)
        except zmq.Again:
            self.drop(client, "it does not read what it is sent")
            return False
        except zmq.ZMQError as error:
            self.drop(client, f"it cannot be reached: {error}")
            return False
        except LocalProtocolError as error:
            log.debug("not said to %s: %s", client.name, error)
            return False
        nbytes = len(head) + sum(map(len, frames))
        self.sent_bytes += nbytes
        client.link.count(nbytes, time.monotonic())
        if client.acknowledges and client.link.overfull():
            self.drop(client, "it does not read what it is sent")
            return False
        return True

    def announce(self, client: Client, announce: Announce) -> None:
        """Tell a client what became of its chunks, in as many messages as it takes."""
        client.announced += len(announce.ready)
        longest = max(len(announce.ready), len(announce.missing), _ANNOUNCED_PER_FAILURE * len(announce.failed))
        if longest <= _ANNOUNCED_AT_ONCE:
            self.send(client, announce)
            return
        for first in range(0, longest, _ANNOUNCED_AT_ONCE):
            part = slice(first, first + _ANNOUNCED_AT_ONCE)
            few = slice(first // _ANNOUNCED_PER_FAILURE, (first + _ANNOUNCED_AT_ONCE) // _ANNOUNCED_PER_FAILURE)
            self.send(client, Announce(announce.ready[part], announce.missing[part], announce.failed[few]))
        self.send(client, Announce(load_times=announce.load_times))

    # --- who comes and goes ------------------------------------------------------------------------------------------

    def welcome(self, client: Client, message: Welcome, acknowledges: bool) -> bool:
        """A client has said hello and may stay; returns whether it could be told."""
        self.clients[client.identity] = client
        client.acknowledges = False
        told = self.send(client, message)
        # Both sides count from here.
        client.link, client.acknowledges = Link(time.monotonic()), acknowledges
        return told

    def drop(self, client: Client, reason: str) -> None:
        """Forget a client."""
        if self.clients.pop(client.identity, None) is not None:
            log.info("client %s (pid %d) is gone: %s", client.name, client.pid, reason)
            self._gone(client)

    def look_over(self, now: float) -> None:
        """Drop the clients that have been silent for too long, or do not read."""
        for client in list(self.clients.values()):
            if client.acknowledges and client.link.stuck(now):
                self.drop(client, "it does not read what it is sent")
            elif now - client.heard > limits.HEARTBEAT_TIMEOUT:
                self.drop(client, f"nothing heard for {now - client.heard:.1f} s")
