"""The client's end of the wire: one thread that owns the socket, for all views of a process.

The thread says hello, keeps the heart beating (`timetable` has the times), notices that the daemon is gone, and starts
over when another one answers. Views hand it their working sets (`wants`), and find what came of them in their inboxes;
neither ever waits for the other. Knows nothing of cameras or textures.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum

import zmq

from octree_client import turnstile
from octree_client.transport.chunk_memory import ChunkMemory
from octree_client.transport.exchange import Exchange
from octree_client.transport.inbox import Event, Inbox, Lost, Reopened
from octree_client.transport.known import KnownDatasets
from octree_client.transport.questions import Answer, Questions
from octree_client.transport.received import CODECS, ReceivedChunks
from octree_client.transport.shared import SharedArena
from octree_client.transport.timetable import Timetable
from octree_client.transport.wants import Wants
from octree_client.transport.wire import CurveKeys, Wire, WireEvent
from octree_protocol import PROTOCOL_VERSION, limits
from octree_protocol.errors import OctreeError
from octree_protocol.geometry import Dataset
from octree_protocol.messages import (
    Announce,
    AskStatus,
    Bye,
    ClientMessage,
    Describe,
    Described,
    Farewell,
    Hello,
    Inline,
    Ping,
    Refused,
    Status,
    ViewerSettings,
    Want,
    Wanted,
    Welcome,
)

log = logging.getLogger("octree.connection")

#: Chunks that came over the wire are kept up to so many bytes, unless told otherwise.
CACHE_BYTES = 512 << 20


class ConnectionState(Enum):
    """Where a connection stands, as a person should read it."""

    CONNECTING = "connecting"
    OPEN = "connected"
    LOST = "lost"
    REFUSED = "refused"
    CLOSED = "closed"


class ConnectionFailed(OctreeError):
    """There is no daemon to talk to, or it will not talk to us."""


class DatasetUnavailable(OctreeError):
    """The daemon has no such dataset, or cannot open it."""


class Connection:
    """A connection to a daemon that outlives the daemon.

    Parameters
    ----------
    address
        ``ipc://...`` or ``tcp://...``.
    name
        Who we are, for the daemon's log and status.
    on_lost
        Called in the connection's thread again and again while the daemon is gone (an embedded one is started anew
        there).
    keys
        For a daemon that asks for keys; None speaks in the clear.
    cache_bytes
        What the chunks may take that come over the wire, if the daemon's arena cannot be mapped.
    share_memory
        False has them come over the wire even if it can.
    """

    def __init__(
        self,
        address: str,
        name: str = "octree-client",
        on_lost: Callable[[], None] = lambda: None,
        *,
        keys: CurveKeys | None = None,
        cache_bytes: int = CACHE_BYTES,
        share_memory: bool = True,
    ) -> None:
        self.address = address
        self.name = name
        self.state = ConnectionState.CONNECTING
        self.problem = ""
        self.settings = ViewerSettings()
        self.datasets: tuple[str, ...] = ()
        #: Chunks made and chunks in all of the levels that a dataset lacks, by its number.
        self.progress: dict[int, tuple[int, int]] = {}
        #: What is wrong with the daemon as a whole, in its own words; "" if nothing is.
        self.notice = ""
        self._on_lost = on_lost
        self._numbers = itertools.count(1)
        self._views = itertools.count(1)
        self._lock = threading.Lock()
        self._inboxes: dict[int, Inbox] = {}
        self._wants = Wants()
        self._known = KnownDatasets()
        self._questions = Questions()
        self._changed = threading.Condition(self._lock)
        self._memory = ChunkMemory(address, cache_bytes, share_memory, self._dataset_of)
        self._times = Timetable(address.startswith("tcp://"), time.monotonic())
        self._wire = Wire(address, keys)
        self._exchange = Exchange(
            self._wire, address, self._memory.take_in, lambda: self._times.heard(time.monotonic())
        )
        self._wake = self._wire.wake
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="octree-connection", daemon=True)
        self._thread.start()

    @property
    def arena(self) -> SharedArena | ReceivedChunks | None:
        """Where views find the bytes of chunks; None before a daemon has answered, and after `close`."""
        return self._memory.arena

    # --- for views: never blocks -------------------------------------------------------------------------------------

    def open_view(self, wake: Callable[[], None]) -> Inbox:
        """A new view; see `Inbox` for `wake`."""
        with self._lock:
            inbox = Inbox(next(self._views), wake)
            self._inboxes[inbox.number] = inbox
            self._wants.open(inbox.number)
        return inbox

    def want(self, inbox: Inbox, entries: Sequence[Wanted]) -> None:
        """The whole working set of a view from now on. The last one said before the thread comes round is sent."""
        with self._lock:
            self._wants.want(inbox.number, entries)
        self._wake()

    def close_view(self, inbox: Inbox) -> None:
        """Forget everything that a view wants, and the view."""
        with self._lock:
            self._inboxes.pop(inbox.number, None)
            self._wants.close(inbox.number)
        self._wake()

    # --- for scripts: waits ------------------------------------------------------------------------------------------

    def wait_until_open(self, timeout: float) -> None:
        """Wait for a daemon to answer. Raises `ConnectionFailed` after `timeout` seconds at the latest."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.state in (ConnectionState.OPEN, ConnectionState.REFUSED, ConnectionState.CLOSED), timeout
            )
            if self.state is not ConnectionState.OPEN:
                why = self.problem or f"no daemon answers within {timeout:g} s; start one with octree-serve"
                raise ConnectionFailed(f"{self.address}: {why}")

    def describe(self, name: str, timeout: float = 30.0) -> Dataset:
        """What a dataset is. Raises `DatasetUnavailable` with the daemon's reason."""
        number = next(self._numbers)
        answer = self._ask(number, Describe(name, number), timeout)
        if isinstance(answer, Described):
            with self._lock:
                self._known.learn(answer.dataset, name)
            return answer.dataset
        raise DatasetUnavailable(answer.reason if isinstance(answer, Refused) else f"{name}: an unexpected answer")

    def status(self, timeout: float = 5.0) -> Status:
        """What the daemon is doing."""
        number = next(self._numbers)
        answer = self._ask(number, AskStatus(number), timeout)
        if isinstance(answer, Status):
            return answer
        raise ConnectionFailed(answer.reason if isinstance(answer, Refused) else "an unexpected answer")

    def _ask(self, number: int, message: ClientMessage, timeout: float) -> Answer:
        self._questions.put(number, message)
        self._wake()
        answer = self._questions.wait(number, timeout)
        if answer is None:
            raise ConnectionFailed(f"{self.address}: {self.problem or f'no answer within {timeout:g} s'}")
        return answer

    def close(self) -> None:
        """Say goodbye and end the thread. Harmless when done twice."""
        if self._closing:
            return
        self._closing = True
        self._wake()
        self._thread.join(5.0)
        self._memory.close()
        self._wire.close_wake()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wire = self._wire
        try:
            wire.connect()
            while not self._closing:
                now = time.monotonic()
                with self._lock:
                    until = self._wants.next_due(now)
                until = min(until, self._times.next_due(self.state is ConnectionState.OPEN))
                heard = wire.wait(until - now)
                turnstile.pass_through()
                for event in heard.events:
                    self._watch(event)
                if heard.readable:
                    self._hear()
                self._speak()
            self._exchange.say(Bye())
        except zmq.ZMQError as error:
            self._set(ConnectionState.REFUSED, f"cannot connect: {error}")
        finally:
            self._set(ConnectionState.CLOSED, self.problem)
            wire.close()

    def _watch(self, event: WireEvent) -> None:
        if event is WireEvent.CONNECTED:
            self._times.connected()
            self._greet()
        elif event is WireEvent.DISCONNECTED:
            self._lose("the daemon is gone")
        elif event is WireEvent.REJECTED:
            self._set(ConnectionState.REFUSED, "the daemon does not know our key: its owner must allow it")
        elif self.state is ConnectionState.CONNECTING:
            self.problem = "somebody is there, but no handshake comes about: it asks for keys, or has another key"

    def _greet(self) -> None:
        self._exchange.start_over()
        self._exchange.say(Hello(PROTOCOL_VERSION, self.name, os.getpid()))
        self._times.greeted(time.monotonic())

    def _speak(self) -> None:
        """Send what is waiting to be sent, and keep the heart beating."""
        now = time.monotonic()
        if self.state is ConnectionState.OPEN and self._times.silent(now):
            self._lose(f"the daemon has been silent for {limits.HEARTBEAT_TIMEOUT:g} s")
            if not self._times.give_up(now):
                self._greet()
                return
        if self.state is ConnectionState.OPEN:
            self._say_wants(now)
            for number, question in self._questions.unsaid():
                if self._exchange.say(question):
                    self._questions.said(number)
        if self._times.connection_due(now):
            self._times.connecting(now)
            self._exchange.start_over()
            self._wire.connect()
        if self._times.beat_due(now):
            if self.state is ConnectionState.OPEN:
                self._exchange.say(Ping(next(self._numbers)))
                self._exchange.acknowledge()
                self._times.beaten(now)
            else:
                if self.state is ConnectionState.LOST:
                    self._on_lost()
                self._greet()

    def _say_wants(self, now: float) -> None:
        """Say the working sets that are to be said now."""
        if not self._known.complete:
            return  # the daemon does not know yet what is wanted of it
        with self._lock:
            wants = self._wants.take(now)
        for view, entries in wants.items():
            self._want(view, entries)
        if wants:
            for view, entries in self._memory.short():
                if view not in wants:
                    self._want(view, entries)

    def _want(self, view: int, entries: Sequence[Wanted]) -> None:
        """Say what a view wants, or as much of it as must come over the wire and has room here."""
        told, local = self._memory.want(view, entries)
        inbox = self._inboxes.get(view)
        if local and inbox is not None:
            inbox.put(Announce(local))
        with self._lock:
            sequence = self._wants.begin(view)
        sent = self._exchange.say(Want(view, sequence, told))
        with self._lock:
            self._wants.end(view, entries, sent)

    def _hear(self) -> None:
        for message in self._exchange.hear():
            if isinstance(message, Announce):
                for told in message.progress:
                    self.progress[told.dataset] = (told.done, told.total)
                if message.notice is not None:
                    self.notice = message.notice
                self._tell(message)
            elif isinstance(message, Described):
                self._described(message)
            elif isinstance(message, Status):
                self._questions.answer(message.about, message)
            elif isinstance(message, Welcome):
                self._welcome(message)
            elif isinstance(message, Refused):
                self._refused(message)
            elif isinstance(message, Farewell):
                self._lose(f"the daemon has ended ({message.reason})" if message.reason else "the daemon has ended")
        if self._memory.travels:
            self._exchange.acknowledge()

    def _welcome(self, message: Welcome) -> None:
        self.settings = message.settings
        self.datasets = message.datasets
        self.progress = {}
        self.notice = ""
        try:
            self._memory.find(message, can_send=self._exchange.acknowledges)
        except OctreeError as error:
            self._set(ConnectionState.REFUSED, f"its shared memory cannot be used: {error}")
            return
        if self._memory.travels:
            self._exchange.say(Inline(CODECS))
        # Datasets that were known before may have other numbers now; views start over when all are known again.
        with self._lock:
            questions = self._known.ask_again(self._numbers)
        for question in questions:
            self._exchange.say(question)
        self._set(ConnectionState.OPEN, "")
        if self._known.complete:
            self._reopen()

    def _dataset_of(self, number: int) -> Dataset | None:
        with self._lock:
            return self._known.numbered(number)

    def _described(self, message: Described) -> None:
        with self._lock:
            again = self._known.described(message)
        if not again:
            self._questions.answer(message.about, message)
        elif self._known.complete:
            self._reopen()

    def _unanswered(self, message: Refused) -> None:
        with self._lock:
            name = self._known.refused(message.about)
        if name is None:
            self._questions.answer(message.about, message)
            return
        log.warning("%s: %s", name, message.reason)
        if self._known.complete:
            self._reopen()

    def _reopen(self) -> None:
        self._tell(Reopened(self._known.all()))

    def _tell(self, event: Event) -> None:
        """All views."""
        for inbox in tuple(self._inboxes.values()):
            inbox.put(event)

    def _refused(self, message: Refused) -> None:
        if message.code == "version":
            self._set(ConnectionState.REFUSED, message.reason)
        elif message.code == "no-session":
            self._greet()
        elif message.about:
            self._unanswered(message)
        elif message.code == "limit":
            with self._lock:
                self._wants.refused(time.monotonic())
        else:
            log.warning("the daemon refuses: %s", message.reason)

    def _lose(self, reason: str) -> None:
        if self.state is not ConnectionState.OPEN:
            return
        self._set(ConnectionState.LOST, reason)
        self._times.lost(time.monotonic())
        log.warning("%s: %s", self.address, reason)
        self._tell(Lost(reason))

    def _set(self, state: ConnectionState, problem: str) -> None:
        with self._changed:
            self.state, self.problem = state, problem
            self._changed.notify_all()
