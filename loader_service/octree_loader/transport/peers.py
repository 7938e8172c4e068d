"""The daemon's side of the wire: sockets, who is at their other ends, and what may be said to whom.

Decodes what clients say and passes it on, sends what they are told, and drops who has fallen silent or does not read.
Knows nothing of chunks, and not what a message means to the daemon (`server`).
"""

from __future__ import annotations

import logging
import os
import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import zmq

from octree_loader.loop import Loop
from octree_loader.rate_limit import RateLimit
from octree_loader.transport.gate import Gate
from octree_loader.transport.keys import AllowedClients
from octree_loader.transport.link import Link
from octree_protocol import codec, limits
from octree_protocol.curve_keys import Key
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


#: A frame that is not longer may be an `Ack`, which is always heard.
_ACK_BYTES = 40

#: A client that says too much is told so this often. Seconds.
_TOLD_AGAIN = 1.0

#: A connection over the network that has died unnoticed is given up after so long, and what waited for it is freed.
#: Milliseconds.
_DEAD_AFTER = 10_000

#: Threads that encrypt and send, at most.
_SENDERS = 4


class AddressInUse(OctreeError):
    """Somebody else listens where we were told to."""

    exit_code = 69


class Door(NamedTuple):
    """An address to listen at. `guarded`: whoever comes is asked for a key."""

    address: str
    guarded: bool = False


class Guard(NamedTuple):
    """For guarded doors: the daemon's pair, and who is let in."""

    key: Key
    allowed: AllowedClients


class _Listener(NamedTuple):
    """A door that is open; `number` is the first byte of the identities of those who came through it."""

    number: bytes
    socket: zmq.Socket[bytes]
    guarded: bool


@dataclass(slots=True)
class Client:
    """What the daemon knows of one peer.

    `acknowledges`: it says how much it has received (protocol 1.1). `key`: the public key that it has proved to have,
    where that is asked for.
    """

    identity: bytes
    heard: float
    link: Link
    rate_limit: RateLimit
    listener: _Listener
    key: str = ""
    told_of_limit: float = 0.0
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
    doors
        Where to listen.
    guard
        Needed if any of them is guarded.
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
        doors: tuple[Door, ...],
        guard: Guard | None,
        loop: Loop,
        obey: Callable[[Client, ClientMessage], None],
        gone: Callable[[Client], None],
    ) -> None:
        self.clients: dict[bytes, Client] = {}
        self.sent_bytes = 0
        self._loop = loop
        self._obey = obey
        self._gone = gone
        over_network = any(door.address.startswith("tcp://") for door in doors)
        self._context = zmq.Context(io_threads=min(_SENDERS, os.cpu_count() or 1) if over_network else 1)
        self._gate: Gate | None = None
        if guard is not None and any(door.guarded for door in doors):
            self._gate = Gate(self._context, loop, guard.key, guard.allowed)
        self._listeners: list[_Listener] = []
        bound = []
        try:
            for number, door in enumerate(doors):
                socket = self._open(door)
                self._listeners.append(_Listener(bytes([number]), socket, door.guarded))
                bound.append(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        except AddressInUse:
            self._let_go()
            raise
        self.addresses = tuple(bound)

    def _open(self, door: Door) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # else a client that does not read loses messages unnoticed
        socket.setsockopt(zmq.MAXMSGSIZE, limits.FRAME_BYTES)
        socket.setsockopt(zmq.SNDHWM, limits.SEND_QUEUE_MESSAGES)
        socket.setsockopt(zmq.LINGER, 200)
        if door.address.startswith("tcp://"):
            socket.setsockopt(zmq.HEARTBEAT_IVL, _DEAD_AFTER // 5)
            socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _DEAD_AFTER)
            socket.setsockopt(zmq.IPV6, int("[" in door.address))
        self._loop.selector.register(socket, selectors.EVENT_READ, lambda: None)
        if door.guarded:
            assert self._gate is not None
            self._gate.guard(socket, door.address)
        try:
            socket.bind(door.address)
        except zmq.ZMQError as error:
            self._loop.selector.unregister(socket)
            socket.close(0)
            raise AddressInUse(f"cannot listen on {door.address}: {error}; choose another one with --bind") from None
        return socket

    def close(self, reason: str) -> None:
        """Say farewell, and let go of the sockets."""
        for client in list(self.clients.values()):
            self.send(client, Farewell(reason))
        self._let_go()

    def _let_go(self) -> None:
        if self._gate is not None:
            self._gate.close()
        for listener in self._listeners:
            self._loop.selector.unregister(listener.socket)
            listener.socket.close()
        self._context.term()

    # --- what clients say --------------------------------------------------------------------------------------------

    def receive(self) -> bool:
        """Take in what clients said, not endlessly; returns whether there was anything."""
        if self._gate is not None:
            self._gate.answer()
        heard = False
        for listener in self._listeners:
            for _ in range(_HEARD_AT_ONCE):
                try:
                    if listener.guarded:
                        first = listener.socket.recv(zmq.NOBLOCK, copy=False)
                        key = str(first.get("User-Id"))
                        frames = [first.bytes, *listener.socket.recv_multipart(zmq.NOBLOCK)]
                    else:
                        key = ""
                        frames = listener.socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                heard = True
                self._hear(listener, key, frames)
        return heard

    def pending(self) -> bool:
        """Whether a client has said something that has not been taken in; to be asked right before every wait.

        The descriptor of a ZeroMQ socket only tells of changes, and sending takes the news of a message that came
        meanwhile away from it: who then waits for the descriptor waits for the next message but one.
        """
        return any(int(listener.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN for listener in self._listeners)

    def _hear(self, listener: _Listener, key: str, frames: list[bytes]) -> None:
        identity, now = listener.number + frames[0], time.monotonic()
        client = self.clients.get(identity)
        if client is None:
            if key and self._shut_out(key):
                return  # its key was good when it connected
            rate_limit = RateLimit(limits.MESSAGES_PER_SECOND, limits.MESSAGES_AT_ONCE, now)
            client = Client(identity, now, Link(now), rate_limit, listener, key)
        client.heard = now
        try:
            if len(frames) != 2:
                raise RemoteProtocolError(f"{len(frames) - 1} frames in a message; this protocol has one")
            if len(frames[1]) > _ACK_BYTES and not client.rate_limit.take(now):
                self._limit(client, now)
                return
            message = codec.decode_from_client(frames[1])
            client.session.received(message)
        except RemoteProtocolError as error:
            client.complaints += 1
            if client.complaints == 1:
                log.warning("client %s: %s", client.name or identity.hex(), error)
            self.send(client, Refused(error.code, str(error)[: limits.TEXT_CHARACTERS]))
            return
        self._obey(client, message)

    def _shut_out(self, key: str) -> bool:
        return self._gate is not None and self._gate.allowed.name_of(key) is None

    def _limit(self, client: Client, now: float) -> None:
        """A client says too much: it is not listened to now, and is told so now and then."""
        if now - client.told_of_limit >= _TOLD_AGAIN:
            client.told_of_limit = now
            reason = f"a client says at most {limits.MESSAGES_PER_SECOND} things a second: say all wants again later"
            self.send(client, Refused("limit", reason))

    # --- what they are told ------------------------------------------------------------------------------------------

    def send(self, client: Client, message: DaemonMessage, frames: Sequence[bytes | memoryview] = ()) -> bool:
        """Tell a client something, if that may be said now; returns whether it was. Who cannot be told is dropped.

        `frames` follow the message; they are copied and may change at once.
        """
        try:
            client.session.sent(message)
            head = codec.encode(message)
            client.listener.socket.send_multipart([client.identity[1:], head, *frames], zmq.NOBLOCK)
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
        """Drop the clients that have been silent for too long, do not read, or whose key was revoked."""
        if self._gate is not None and self._gate.refresh():
            for client in list(self.clients.values()):
                if client.key and self._shut_out(client.key):
                    log.warning("client %s (pid %d): its key was revoked", client.name, client.pid)
                    self.drop(client, "its key was revoked")
        for client in list(self.clients.values()):
            if client.acknowledges and client.link.stuck(now):
                self.drop(client, "it does not read what it is sent")
            elif now - client.heard > limits.HEARTBEAT_TIMEOUT:
                self.drop(client, f"nothing heard for {now - client.heard:.1f} s")
