"""The client's end of the wire: one thread that owns the socket, for all views of a process.

The thread says hello, keeps the heart beating, notices that the daemon is gone, and starts over when another one
answers. Views hand it their working sets, latest wins, and find what came of them in their inboxes; neither ever waits
for the other. Knows nothing of cameras or textures.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum

import zmq

from octree_client.transport.inbox import Inbox, Lost, Reopened
from octree_client.transport.inlining import InlineChunks
from octree_client.transport.received import CODECS, ReceivedChunks
from octree_client.transport.shared import ArenaUnavailable, SharedArena
from octree_client.transport.wire import CurveKeys, Wire, WireEvent
from octree_protocol import PROTOCOL_VERSION, codec, limits
from octree_protocol.errors import LocalProtocolError, OctreeError, ProtocolError, RemoteProtocolError
from octree_protocol.geometry import Dataset
from octree_protocol.messages import (
    Ack,
    Announce,
    AskStatus,
    Bye,
    ClientMessage,
    Describe,
    Described,
    Farewell,
    Hello,
    Inline,
    Part,
    Ping,
    Refused,
    Status,
    ViewerSettings,
    Want,
    Wanted,
    Welcome,
)
from octree_protocol.session import Session, SessionState

log = logging.getLogger("octree.connection")

#: Hello is said again so often until somebody answers. Seconds.
_HELLO_AGAIN = 0.5

#: A connection over a network that has failed is made anew so often: one that was cut wakes up much later than the link
#: is back (TCP waits twice as long after each attempt). Seconds.
_CONNECT_AGAIN = 1.0

#: Wants are said again so long after the daemon has had too many of them. Seconds.
_WANT_AGAIN = 1.0

#: After a Want of more chunks than so many, the next one waits for so long for each of the others, and the last of
#: those said meanwhile is sent. A daemon takes most of a microsecond for each; who says a thousand of them a thousand
#: times a second would keep it from everything else. Seconds.
_WANTED_AT_ONCE = 100
_WANTED_SECONDS = 10e-6

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


class _Pending:
    """A question that a thread waits for the answer to."""

    __slots__ = ("answer", "done", "message")

    def __init__(self, message: ClientMessage) -> None:
        self.message = message
        self.answer: Described | Status | Refused | None = None
        self.done = threading.Event()


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
        self.arena: SharedArena | ReceivedChunks | None = None
        #: Chunks made and chunks in all of the levels that a dataset lacks, by its number.
        self.progress: dict[int, tuple[int, int]] = {}
        #: What is wrong with the daemon as a whole, in its own words; "" if nothing is.
        self.notice = ""
        self._on_lost = on_lost
        self._numbers = itertools.count(1)
        self._views = itertools.count(1)
        self._lock = threading.Lock()
        self._inboxes: dict[int, Inbox] = {}
        self._wants: dict[int, Sequence[Wanted]] = {}
        self._want_at = 0.0
        self._said: dict[int, Sequence[Wanted]] = {}
        self._sequences: dict[int, int] = {}
        self._questions: dict[int, _Pending] = {}
        self._known: dict[str, Dataset] = {}
        self._redescribing: dict[int, str] = {}
        self._instance = ""
        self._changed = threading.Condition(self._lock)
        self._share_memory = share_memory
        self._cache_bytes = cache_bytes
        self._inline: InlineChunks | None = None
        self._acknowledges = False
        self._counted = self._acknowledged = 0
        self._again_at = math.inf
        self._over_network = address.startswith("tcp://")
        self._wire = Wire(address, keys)
        self._wake = self._wire.wake
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="octree-connection", daemon=True)
        self._thread.start()

    # --- for views: never blocks -------------------------------------------------------------------------------------

    def open_view(self, wake: Callable[[], None]) -> Inbox:
        """A new view; see `Inbox` for `wake`."""
        with self._lock:
            inbox = Inbox(next(self._views), wake)
            self._inboxes[inbox.number] = inbox
        return inbox

    def want(self, inbox: Inbox, entries: Sequence[Wanted]) -> None:
        """The whole working set of a view from now on. The last one said before the thread comes round is sent."""
        with self._lock:
            self._wants[inbox.number] = entries
        self._wake()

    def close_view(self, inbox: Inbox) -> None:
        """Forget everything that a view wants, and the view."""
        with self._lock:
            self._inboxes.pop(inbox.number, None)
            self._wants[inbox.number] = ()
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
                self._known[name] = answer.dataset
            return answer.dataset
        raise DatasetUnavailable(answer.reason if isinstance(answer, Refused) else f"{name}: an unexpected answer")

    def status(self, timeout: float = 5.0) -> Status:
        """What the daemon is doing."""
        number = next(self._numbers)
        answer = self._ask(number, AskStatus(number), timeout)
        if isinstance(answer, Status):
            return answer
        raise ConnectionFailed(answer.reason if isinstance(answer, Refused) else "an unexpected answer")

    def _ask(self, number: int, message: ClientMessage, timeout: float) -> Described | Status | Refused:
        pending = _Pending(message)
        with self._lock:
            self._questions[number] = pending
        self._wake()
        try:
            if not pending.done.wait(timeout) or pending.answer is None:
                raise ConnectionFailed(f"{self.address}: {self.problem or f'no answer within {timeout:g} s'}")
            return pending.answer
        finally:
            with self._lock:
                self._questions.pop(number, None)

    def close(self) -> None:
        """Say goodbye and end the thread. Harmless when done twice."""
        if self._closing:
            return
        self._closing = True
        self._wake()
        self._thread.join(5.0)
        self.arena = None  # unmapped now, or when the last array over it goes
        self._wire.close_wake()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wire = self._wire
        self._session = Session()
        self._heard = time.monotonic()
        self._next_ping = 0.0
        self._connect_at = math.inf
        try:
            wire.connect()
            while not self._closing:
                until = min(self._next_ping, self._connect_at, self._again_at)
                now = time.monotonic()
                if self._wants and self._want_at > now:
                    until = min(until, self._want_at)
                if self.state is ConnectionState.OPEN:
                    until = min(until, self._heard + limits.HEARTBEAT_TIMEOUT)
                heard = wire.wait(until - now)
                for event in heard.events:
                    self._watch(event)
                if heard.readable:
                    self._hear()
                self._speak()
            self._say(Bye())
        except zmq.ZMQError as error:
            self._set(ConnectionState.REFUSED, f"cannot connect: {error}")
        finally:
            self._set(ConnectionState.CLOSED, self.problem)
            wire.close()

    def _watch(self, event: WireEvent) -> None:
        if event is WireEvent.CONNECTED:
            self._connect_at = math.inf
            self._greet()
        elif event is WireEvent.DISCONNECTED:
            self._lose("the daemon is gone")
        elif event is WireEvent.REJECTED:
            self._set(ConnectionState.REFUSED, "the daemon does not know our key: its owner must allow it")
        elif self.state is ConnectionState.CONNECTING:
            self.problem = "somebody is there, but no handshake comes about: it asks for keys, or has another key"

    def _greet(self) -> None:
        self._session = Session()
        self._say(Hello(PROTOCOL_VERSION, self.name, os.getpid()))
        self._next_ping = time.monotonic() + _HELLO_AGAIN

    def _speak(self) -> None:
        """Send what is waiting to be sent, and keep the heart beating."""
        now = time.monotonic()
        if self.state is ConnectionState.OPEN:
            if now - self._heard > limits.HEARTBEAT_TIMEOUT:
                self._lose(f"the daemon has been silent for {limits.HEARTBEAT_TIMEOUT:g} s")
                if self._over_network:
                    self._connect_at = now
                else:
                    self._greet()
                    return
            if now >= self._again_at:
                self._say_again()
            with self._lock:
                wants: dict[int, Sequence[Wanted]] = {}
                # Until then the daemon does not know what is wanted of it, or is busy with what we said last.
                if not self._redescribing and now >= self._want_at:
                    wants, self._wants = self._wants, wants
                questions = [p for p in self._questions.values() if not p.done.is_set()]
            for view, entries in wants.items():
                self._want(view, entries)
            if wants:
                said = sum(map(len, wants.values()))
                self._want_at = now + max(0, said - _WANTED_AT_ONCE) * _WANTED_SECONDS
            if wants and self._inline is not None:
                for view, entries in self._inline.short():
                    if view not in wants:
                        self._want(view, entries)
            for pending in questions:
                if pending.message is not None and self._say(pending.message):
                    pending.message = None  # type: ignore[assignment]
        if now >= self._connect_at:
            self._connect_at = now + _CONNECT_AGAIN
            self._session = Session()
            self._wire.connect()
        if now >= self._next_ping:
            if self.state is ConnectionState.OPEN:
                self._say(Ping(next(self._numbers)))
                self._acknowledge()
                self._next_ping = now + limits.HEARTBEAT_INTERVAL
            else:
                if self.state is ConnectionState.LOST:
                    self._on_lost()
                self._greet()

    def _want(self, view: int, entries: Sequence[Wanted]) -> None:
        """Say what a view wants, or as much of it as must come over the wire and has room here."""
        told = tuple(entries)
        if self._inline is not None:
            told, local = self._inline.want(view, entries)
            inbox = self._inboxes.get(view)
            if local and inbox is not None:
                inbox.put(Announce(local))
        sequence = self._sequences[view] = self._sequences.get(view, 0) + 1
        if not self._say(Want(view, sequence, told)):
            with self._lock:  # it goes out with the next beat, unless a newer one has come
                self._wants.setdefault(view, entries)
        elif not entries and view not in self._inboxes:
            self._sequences.pop(view, None)  # numbers of views are never used again
            self._said.pop(view, None)
            return
        self._said[view] = entries

    def _say_again(self) -> None:
        """All wants, after the daemon would not hear some of them."""
        self._again_at = math.inf
        with self._lock:
            for view in self._inboxes:
                if view in self._said:
                    self._wants.setdefault(view, self._said[view])

    def _say(self, message: ClientMessage) -> bool:
        try:
            self._session.sent(message)
            return self._wire.send(codec.encode(message))
        except LocalProtocolError as error:
            log.debug("not said: %s", error)
            return False

    def _acknowledge(self) -> None:
        """Say how much has come, if that is news."""
        if self._acknowledges and self._counted != self._acknowledged and self._say(Ack(self._counted)):
            self._acknowledged = self._counted

    def _hear(self) -> None:
        while (received := self._wire.receive()) is not None:
            frame, further = received
            self._heard = time.monotonic()
            self._counted += len(frame) + sum(map(len, further))
            try:
                message = codec.decode_from_daemon(frame)
                if isinstance(message, Welcome):
                    self._counted = self._acknowledged = 0
                    if self._session.state is SessionState.OPEN:
                        # It answers an earlier Hello than the last: the daemon had heard both before anything that we
                        # said since, so nothing has changed, and starting over would wait for chunks already announced.
                        continue
                self._session.received(message)
                if further or isinstance(message, Part):
                    if self._inline is None:
                        raise RemoteProtocolError("bytes of chunks come that nobody asked for")
                    message = self._inline.take_in(message, further)
            except ProtocolError as error:
                log.warning("the daemon at %s: %s", self.address, error)
                continue
            if isinstance(message, Announce):
                for told in message.progress:
                    self.progress[told.dataset] = (told.done, told.total)
                if message.notice is not None:
                    self.notice = message.notice
                for inbox in tuple(self._inboxes.values()):
                    inbox.put(message)
            elif isinstance(message, Described):
                self._described(message)
            elif isinstance(message, Status):
                self._answer(message.about, message)
            elif isinstance(message, Welcome):
                self._welcome(message)
            elif isinstance(message, Refused):
                self._refused(message)
            elif isinstance(message, Farewell):
                self._lose(f"the daemon has ended ({message.reason})" if message.reason else "the daemon has ended")
            if self._counted - self._acknowledged >= limits.ACKNOWLEDGE_BYTES:
                self._acknowledge()
        if self._inline is not None:
            self._acknowledge()

    def _welcome(self, message: Welcome) -> None:
        same = message.instance == self._instance
        self.settings = message.settings
        self.datasets = message.datasets
        self._instance = message.instance
        self._acknowledges = message.version >= (1, 1)
        self.progress = {}
        self.notice = ""
        try:
            self._find_arena(message, same)
        except OctreeError as error:
            self._set(ConnectionState.REFUSED, f"its shared memory cannot be used: {error}")
            return
        # Datasets that were known before may have other numbers now; views start over when all are known again.
        self._redescribing = {}
        for name in self._known:
            number = next(self._numbers)
            self._redescribing[number] = name
            self._say(Describe(name, number))
        self._set(ConnectionState.OPEN, "")
        if not self._redescribing:
            self._reopen()

    def _find_arena(self, message: Welcome, same: bool) -> None:
        """Map the daemon's arena, or have chunks come over the wire. `same`: it is the daemon of before."""
        if self._inline is None or not same:
            self._inline = None
            try:
                if message.arena is not None and self._share_memory:
                    self.arena = SharedArena(message.arena.path, message.arena.nbytes, message.arena.token)
                    return
            except ArenaUnavailable as error:
                if not self._acknowledges:
                    raise
                log.info("%s: %s; chunks come over the wire", self.address, error)
            if not self._acknowledges:
                return
            self._inline = InlineChunks(self._cache_bytes, self._dataset_of)
        self._inline.start_over()
        self.arena = self._inline.cache
        self._say(Inline(CODECS))

    def _dataset_of(self, number: int) -> Dataset | None:
        with self._lock:
            return next((dataset for dataset in self._known.values() if dataset.id == number), None)

    def _described(self, message: Described) -> None:
        name = self._redescribing.pop(message.about, None)
        if name is None:
            self._answer(message.about, message)
            return
        self._known[name] = message.dataset
        if not self._redescribing:
            self._reopen()

    def _reopen(self) -> None:
        event = Reopened(dict(self._known))
        for inbox in tuple(self._inboxes.values()):
            inbox.put(event)

    def _refused(self, message: Refused) -> None:
        if message.code == "version":
            self._set(ConnectionState.REFUSED, message.reason)
        elif message.code == "no-session":
            self._greet()
        elif message.about in self._redescribing:
            name = self._redescribing.pop(message.about)
            self._known.pop(name, None)
            log.warning("%s: %s", name, message.reason)
            if not self._redescribing:
                self._reopen()
        elif message.about:
            self._answer(message.about, message)
        elif message.code == "limit":
            self._again_at = time.monotonic() + _WANT_AGAIN
        else:
            log.warning("the daemon refuses: %s", message.reason)

    def _answer(self, about: int, message: Described | Status | Refused) -> None:
        with self._lock:
            pending = self._questions.get(about)
        if pending is not None:
            pending.answer = message
            pending.done.set()

    def _lose(self, reason: str) -> None:
        if self.state is not ConnectionState.OPEN:
            return
        self._set(ConnectionState.LOST, reason)
        if self._over_network:
            self._connect_at = time.monotonic() + _CONNECT_AGAIN
        log.warning("%s: %s", self.address, reason)
        for inbox in tuple(self._inboxes.values()):
            inbox.put(Lost(reason))

    def _set(self, state: ConnectionState, problem: str) -> None:
        with self._changed:
            self.state, self.problem = state, problem
            self._changed.notify_all()
