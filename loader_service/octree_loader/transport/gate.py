"""Who may speak to the daemon where keys are asked for: answers ZeroMQ's question at each handshake.

ZeroMQ asks over a socket of this process (ZAP, https://rfc.zeromq.org/spec/27/) with the public key that a client has
proved to have the secret of. Answered in the daemon's own thread. What comes to no handshake at all (no key, or another
server's) ZeroMQ tells its monitor. Each kind of refusal is said once a minute, not once an attempt: who is refused
tries again and again.
"""

from __future__ import annotations

import logging
import selectors
import time

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from octree_loader.loop import Loop
from octree_loader.transport.keys import AllowedClients
from octree_protocol.curve_keys import Key, fingerprint

log = logging.getLogger("octree.gate")

#: The same refusal is said again after so long. Seconds.
_SAID_AGAIN = 60.0

#: Refused keys that are remembered.
_REMEMBERED = 1000

_FAILED = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_AUTH


class Gate:
    """Lets in who is allowed.

    Parameters
    ----------
    context
        Of the sockets that ask.
    loop
        Where questions are answered.
    key
        The daemon's pair.
    allowed
        Public keys of clients.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], loop: Loop, key: Key, allowed: AllowedClients) -> None:
        self.allowed = allowed
        self._key = key
        self._loop = loop
        self._said: dict[str, float] = {}
        self._socket = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind("inproc://zeromq.zap.01")
        self._monitors: list[tuple[zmq.Socket[bytes], zmq.Socket[bytes], str]] = []
        loop.selector.register(self._socket, selectors.EVENT_READ, self.answer)
        self._tell_mistakes()

    def guard(self, socket: zmq.Socket[bytes], address: str) -> None:
        """Have a socket ask for keys; before it is bound."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt_string(zmq.CURVE_PUBLICKEY, self._key.public)
        socket.setsockopt_string(zmq.CURVE_SECRETKEY, self._key.secret)
        socket.setsockopt_string(zmq.ZAP_DOMAIN, "octree-serve")
        monitor = socket.get_monitor_socket(_FAILED)
        self._monitors.append((socket, monitor, address))
        self._loop.selector.register(monitor, selectors.EVENT_READ, self.answer)

    def close(self) -> None:
        """Before the guarded sockets are closed."""
        for socket, monitor, _ in self._monitors:
            self._loop.selector.unregister(monitor)
            socket.disable_monitor()
            monitor.close()
        self._loop.selector.unregister(self._socket)
        self._socket.close()

    def answer(self) -> None:
        """Answer what has been asked. The descriptor tells of changes only: to be called in every round."""
        while True:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._socket.send_multipart(self._judge(frames))
        for _, monitor, address in self._monitors:
            while monitor.poll(0):
                event = recv_monitor_message(monitor)
                if event["event"] != zmq.EVENT_HANDSHAKE_FAILED_AUTH:  # of these we know more ourselves
                    self._say(f"somebody is refused at {address}: with no key, or looking for another daemon")

    def _judge(self, frames: list[bytes]) -> list[bytes]:
        version, number, _domain, address, _identity, mechanism, *credentials = frames
        refusal = [version, number, b"400", b"not allowed", b"", b""]
        if mechanism != b"CURVE" or len(credentials) != 1 or len(credentials[0]) != 32:
            self._say(f"somebody at {address.decode(errors='replace')} is refused: with no key")
            return refusal
        public = z85.encode(credentials[0]).decode()
        self.refresh()
        if self.allowed.name_of(public) is None:
            self._say(
                f"a client at {address.decode(errors='replace')} is refused: its key ({fingerprint(public)}) is not "
                f"among those let in; they stand in {self.allowed.folder}"
            )
            return refusal
        return [version, number, b"200", b"", public.encode(), b""]

    def refresh(self) -> bool:
        """Look whether somebody was let in or shut out; returns whether that may be."""
        if not self.allowed.refresh():
            return False
        self._tell_mistakes()
        return True

    def _tell_mistakes(self) -> None:
        for mistake in self.allowed.mistakes:
            log.warning("a client's key is not used: %s", mistake)

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if now - self._said.get(text, -_SAID_AGAIN) >= _SAID_AGAIN:
            if len(self._said) >= _REMEMBERED:
                self._said.clear()
            self._said[text] = now
            log.warning("%s", text)
