"""The daemon's sockets: what a client says is noticed, whatever else happens at that moment."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator

import pytest
import zmq

from octree_loader.loop import Loop
from octree_loader.transport.peers import Client, Door, Peers
from octree_protocol import PROTOCOL_VERSION, codec
from octree_protocol.messages import ClientMessage, Hello, Ping, Pong, Welcome

ADDRESS = f"ipc://@octree-test-peers-{os.getpid()}-{secrets.token_hex(4)}"


class Daemon:
    """Peers, and what their clients said."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.heard: list[tuple[Client, ClientMessage]] = []
        self.peers = Peers((Door(ADDRESS),), None, self.loop, lambda *said: self.heard.append(said), lambda _: None)

    def wait(self, count: int) -> None:
        until = time.monotonic() + 10
        while len(self.heard) < count:
            assert time.monotonic() < until, "nothing is heard"
            if not self.peers.receive():
                self.loop.wait(1.0)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    yield daemon
    daemon.peers.close("")
    daemon.loop.close()


def test_a_message_that_comes_while_we_send_is_not_slept_over(daemon: Daemon) -> None:
    """Sending takes the news of it away from the descriptor, so that nobody who waits for that would hear of it."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        socket.connect(ADDRESS)
        socket.send(codec.encode(Hello(PROTOCOL_VERSION)))
        daemon.wait(1)
        client = daemon.heard[0][0]
        assert daemon.peers.welcome(client, Welcome(PROTOCOL_VERSION, "x"), acknowledges=False)
        while daemon.peers.receive():
            pass
        for number in range(20):
            assert not daemon.peers.pending()
            socket.send(codec.encode(Ping(number)))
            assert daemon.loop.selector.select(10), "the message does not come"
            # ZeroMQ looks after its own news only once a millisecond or so.
            until = time.monotonic() + 10
            while daemon.loop.selector.select(0):
                assert time.monotonic() < until, "the descriptor tells of everything now: then nobody has to ask"
                assert daemon.peers.send(client, Pong(number))
                while socket.poll(0):
                    socket.recv()
            assert daemon.peers.pending()
            assert daemon.peers.receive()
            assert daemon.heard[-1][1] == Ping(number)
            while daemon.peers.receive():
                pass
    finally:
        socket.close(0)
        context.term()
