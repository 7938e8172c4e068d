"""The client's end of the wire, against a daemon that the test plays by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from octree_client.transport import wire as wire_module
from octree_client.transport.connection import Connection, ConnectionFailed, ConnectionState
from octree_client.transport.inbox import Inbox, Lost, Reopened
from octree_client.transport.wire import Wire
from octree_protocol import PROTOCOL_VERSION, codec
from octree_protocol.geometry import Axis, Dataset, Level
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import (
    AskStatus,
    Bye,
    ClientMessage,
    DaemonMessage,
    Describe,
    Described,
    Farewell,
    Hello,
    Refused,
    Want,
    Wanted,
    Welcome,
)

KEY = ChunkKey(0, 0, (1, 2))


class Daemon:
    """The other end: hears and says what the test wants."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(address)
        self._client = b""

    def hear(self, kind: type, timeout: float = 10.0) -> ClientMessage:
        """The next message of a kind; others are passed over."""
        while self._socket.poll(int(timeout * 1e3)):
            self._client, frame = self._socket.recv_multipart()
            message = codec.decode_from_client(frame)
            if isinstance(message, kind):
                return message
        raise AssertionError(f"no {kind.__name__} within {timeout:g} s")

    def heard_until(self, kind: type) -> list[ClientMessage]:
        """All messages up to the first of a kind."""
        heard: list[ClientMessage] = []
        while not heard or not isinstance(heard[-1], kind):
            heard.append(self.hear(object))
        return heard

    def say(self, message: DaemonMessage) -> None:
        self._socket.send_multipart([self._client, codec.encode(message)])

    def welcome(self, instance: str = "one") -> None:
        self.say(Welcome(PROTOCOL_VERSION, instance, ("a", "b")))

    def close(self) -> None:
        self._socket.close()
        self._context.term()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/d.sock"


@pytest.fixture
def daemon(address: str) -> Iterator[Daemon]:
    daemon = Daemon(address)
    yield daemon
    daemon.close()


@pytest.fixture
def connection(address: str) -> Iterator[Connection]:
    connection = Connection(address, "me")
    yield connection
    connection.close()


def opened(daemon: Daemon, connection: Connection) -> Connection:
    hello = daemon.hear(Hello)
    assert isinstance(hello, Hello)
    assert (hello.version, hello.name) == (PROTOCOL_VERSION, "me")
    daemon.welcome()
    connection.wait_until_open(5.0)
    return connection


class View:
    """A view whose events can be waited for."""

    def __init__(self, connection: Connection) -> None:
        self._news = threading.Event()
        self.inbox: Inbox = connection.open_view(self._news.set)

    def next(self, timeout: float = 10.0) -> list[object]:
        assert self._news.wait(timeout)
        self._news.clear()
        return list(self.inbox.take())


def test_it_says_hello_and_knows_what_the_welcome_told(daemon: Daemon, connection: Connection) -> None:
    opened(daemon, connection)
    assert connection.datasets == ("a", "b")
    assert connection.problem == ""


def test_the_last_working_set_is_said_and_sequences_rise(daemon: Daemon, connection: Connection) -> None:
    view = View(opened(daemon, connection))
    connection.want(view.inbox, [Wanted(KEY)])
    first = daemon.hear(Want)
    connection.close_view(view.inbox)
    last = daemon.hear(Want)
    assert isinstance(first, Want)
    assert isinstance(last, Want)
    assert [entry.key for entry in first.entries] == [KEY]
    assert last.entries == ()
    assert last.view == first.view
    assert last.sequence > first.sequence


def test_after_a_large_want_the_next_waits_and_the_last_is_said(daemon: Daemon, connection: Connection) -> None:
    """8,000 chunks keep a daemon busy for milliseconds: it must not be told as many again at once."""
    inbox = opened(daemon, connection).open_view(lambda: None)
    began = time.monotonic()
    connection.want(inbox, [Wanted(ChunkKey(0, 0, (row, 0))) for row in range(8000)])
    daemon.hear(Want)
    connection.want(inbox, [Wanted(KEY)] * 2)
    connection.want(inbox, [Wanted(KEY)])
    heard = daemon.hear(Want)
    assert isinstance(heard, Want)
    while len(heard.entries) != 1:  # this machine may have stood still between the two
        heard = daemon.hear(Want)
        assert isinstance(heard, Want)
    assert time.monotonic() - began > 0.07


def test_a_second_welcome_of_the_same_greeting_changes_nothing(daemon: Daemon, connection: Connection) -> None:
    """The daemon was slow, so hello was said twice. Starting over would wait for what was announced already."""
    view = View(connection)
    daemon.hear(Hello)
    daemon.hear(Hello)
    daemon.welcome()
    connection.wait_until_open(5.0)
    assert [type(event) for event in view.next()] == [Reopened]
    daemon.welcome()
    daemon.say(Farewell("the end"))
    assert [type(event) for event in view.next()] == [Lost]


def test_it_starts_over_with_a_daemon_that_forgot_it(daemon: Daemon, connection: Connection) -> None:
    view = View(connection)
    opened(daemon, connection)
    view.next()
    daemon.say(Refused("no-session", "who are you?"))
    daemon.hear(Hello)
    daemon.welcome()
    assert [type(event) for event in view.next()] == [Reopened]


def test_a_farewell_is_a_loss_with_its_reason_and_hello_is_said_again(daemon: Daemon, connection: Connection) -> None:
    view = View(connection)
    opened(daemon, connection)
    view.next()
    daemon.say(Farewell("SIGTERM"))
    (lost,) = view.next()
    assert lost == Lost("the daemon has ended (SIGTERM)")
    assert connection.state is ConnectionState.LOST
    daemon.hear(Hello)
    daemon.welcome("two")
    assert [type(event) for event in view.next()] == [Reopened]
    assert connection.state is ConnectionState.OPEN


def test_nothing_is_wanted_of_a_new_daemon_before_it_has_opened_the_dataset(
    daemon: Daemon, connection: Connection
) -> None:
    view = View(connection)
    opened(daemon, connection)
    view.next()
    dataset = Dataset(0, "a", (Axis("y"), Axis("x")), "<u2", (Level((9, 9), (9, 9), (1.0, 1.0), (0.0, 0.0)),))
    asking = threading.Thread(target=lambda: connection.describe("a"))
    asking.start()
    question = daemon.hear(Describe)
    assert isinstance(question, Describe)
    daemon.say(Described(dataset, question.about))
    asking.join(5.0)
    daemon.say(Farewell())
    view.next()
    daemon.hear(Hello)
    daemon.welcome("two")
    connection.wait_until_open(5.0)
    connection.want(view.inbox, [Wanted(KEY)])
    question = daemon.hear(Describe)
    assert isinstance(question, Describe)

    def ask_status() -> None:
        with pytest.raises(ConnectionFailed, match="not now"):
            connection.status()

    asking = threading.Thread(target=ask_status)
    asking.start()
    ask = daemon.heard_until(AskStatus)  # said after the Want would have been
    assert not any(isinstance(message, Want) for message in ask)
    daemon.say(Refused("malformed", "not now", ask[-1].about))  # type: ignore[union-attr]
    asking.join(5.0)
    daemon.say(Described(dataset, question.about))
    (reopened,) = view.next()
    assert isinstance(reopened, Reopened)
    assert reopened.datasets == {"a": dataset}
    want = daemon.hear(Want)
    assert isinstance(want, Want)
    assert want.entries[0].key == KEY


def test_silence_is_a_loss(daemon: Daemon, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octree_protocol.limits.HEARTBEAT_TIMEOUT", 0.3)
    view = View(connection)
    opened(daemon, connection)
    view.next()
    (lost,) = view.next()
    assert isinstance(lost, Lost)
    assert "silent" in lost.reason


def test_another_version_is_final(daemon: Daemon, connection: Connection) -> None:
    daemon.hear(Hello)
    daemon.say(Refused("version", "upgrade the client"))
    with pytest.raises(ConnectionFailed, match="upgrade the client"):
        connection.wait_until_open(5.0)
    assert connection.state is ConnectionState.REFUSED


def test_questions_are_answered_with_the_daemons_reason_or_not_at_all(daemon: Daemon, connection: Connection) -> None:
    opened(daemon, connection)
    failures: list[str] = []

    def ask() -> None:
        try:
            connection.describe("a")
        except Exception as error:
            failures.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    question = daemon.hear(Describe)
    assert isinstance(question, Describe)
    daemon.say(Refused("unreadable", "it is full of bees", question.about))
    asking.join(5.0)
    assert failures == ["it is full of bees"]
    with pytest.raises(ConnectionFailed, match="no answer within"):
        connection.status(timeout=0.05)
    daemon.hear(AskStatus)


def test_it_says_goodbye(daemon: Daemon, address: str) -> None:
    connection = Connection(address, "me")
    opened(daemon, connection)
    connection.close()
    daemon.hear(Bye)
    assert connection.state is ConnectionState.CLOSED
    connection.close()


def test_who_is_woken_while_he_wakes_can_be_woken_again(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wakes the thread while it reads the wake-ups before: his is read with them, and must not be the last."""
    wire = Wire(address)
    read = wire_module.os.read

    def read_late(descriptor: int, most: int) -> bytes:
        wire.wake()
        return read(descriptor, most)

    wire.wake()
    with monkeypatch.context() as patched:
        patched.setattr(wire_module.os, "read", read_late)
        assert wire.wait(5.0).woken
    wire.wake()
    assert wire.wait(0.0).woken
    wire.close_wake()
    wire.close()
