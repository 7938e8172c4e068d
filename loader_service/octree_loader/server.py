"""The daemon's side of the wire: clients, their sessions, and the one loop that everything happens in.

Reads messages and outcomes, tells the scheduler, and does what it decides. Knows no formats and no voxels.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq

from octree_loader.actions import BACKGROUND, Actions
from octree_loader.builder import Builder
from octree_loader.catalog import Catalog, voxel_bytes
from octree_loader.health import LoadLog, describe_status
from octree_loader.level_cache import LevelCache
from octree_loader.loop import Loop
from octree_loader.memory import Segment
from octree_loader.orders import Outcome
from octree_loader.planning import DatasetPlan
from octree_loader.pools import Pools
from octree_loader.scheduler import Scheduler
from octree_loader.sources.locations import is_remote
from octree_protocol import PROTOCOL_VERSION, codec, limits
from octree_protocol.errors import LocalProtocolError, OctreeError, RemoteProtocolError
from octree_protocol.messages import (
    Announce,
    AskStatus,
    Bye,
    ClientMessage,
    DaemonMessage,
    Describe,
    Described,
    Farewell,
    Hello,
    Ping,
    Pong,
    Refused,
    ViewerSettings,
    Want,
    Welcome,
)
from octree_protocol.session import Session, refuse_version
from octree_protocol.slots import BEGUN, read_progress, write_generation

log = logging.getLogger("octree.server")

#: Clients are looked over for silence this often. Seconds.
_ROUNDS = 0.5

#: While so many loads are under way, clients are told of them together, at most so often. Each message wakes the client
#: and costs as much as a load; nobody sees a chunk a millisecond later. Loads, seconds.
_BUSY_LOADS = 32
_ANNOUNCE_PAUSE = 0.001

#: Nothing is made in the background until clients have wanted nothing for so long: who has just opened a dataset is
#: about to look at it, and needs the processors to draw. Seconds.
_QUIET = 0.4

#: Entries in one announcement: the longest (8 axes) stay well below the limit of a frame.
_ANNOUNCED_AT_ONCE = 4096

#: A failure with its reason takes the room of so many.
_ANNOUNCED_PER_FAILURE = 16


class AddressInUse(OctreeError):
    """Somebody else listens where we were told to."""

    exit_code = 69


@dataclass(slots=True)
class Client:
    """What the daemon knows of one peer."""

    identity: bytes
    heard: float
    session: Session = field(default_factory=Session)
    name: str = ""
    pid: int = 0
    announced: int = 0
    complaints: int = 0


class Server:
    """Serves clients until it is told to stop.

    Parameters
    ----------
    addresses
        URLs to bind.
    scheduler, catalog, segment, loop
        The parts of the daemon.
    backends
        Of the pools, see `Pools`.
    settings
        What every viewer is told.
    """

    def __init__(
        self,
        addresses: tuple[str, ...],
        scheduler: Scheduler,
        catalog: Catalog,
        segment: Segment,
        loop: Loop,
        backends: tuple[str, ...],
        settings: ViewerSettings,
        load_log: LoadLog,
    ) -> None:
        self.scheduler = scheduler
        self.catalog = catalog
        self.segment = segment
        self.settings = settings
        self.instance = secrets.token_hex(8)
        self.began = time.monotonic()
        self.clients: dict[bytes, Client] = {}
        self._loop = loop
        self._load_log = load_log
        self._pools = Pools(backends, segment, loop, self)
        self._stopping = ""
        self._dirty = False
        self._next_round = 0.0
        self.builder = Builder(scheduler.cores)
        self._wants_built = 0
        self._demanded = 0.0
        self._announced_at = 0.0
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
                # With the port that the system chose, if it was left to it.
                bound.append(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))
            except zmq.ZMQError as error:
                self._context.destroy(linger=0)
                raise AddressInUse(f"cannot listen on {address}: {error}; choose another one with --bind") from None
        self.addresses = tuple(bound)
        loop.selector.register(self._socket, selectors.EVENT_READ, lambda: None)

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self, on_ready: Callable[[], None] = lambda: None) -> str:
        """Serve until `stop`; returns why it ended."""
        self._pools.warm_up()
        # Chunks come and go in the thousands, and none of them is a cycle: what lives already need not be looked at
        # again, and what is new less often than after every 700 objects.
        gc.freeze()
        gc.set_threshold(20_000, 50, 50)
        on_ready()
        more = False
        while not self._stopping:
            # The descriptor of a ZeroMQ socket only tells of *changes*: look at the socket itself before waiting.
            received = self._receive()
            looking = self._build()
            self._settle()
            more = self._pools.run_own()
            if more or received or looking or self._dirty:
                self._loop.wait(0)
            else:
                self._loop.wait(self._patience())
            now = time.monotonic()
            if now >= self._next_round:
                self._next_round = now + _ROUNDS
                self._look_over(now)
        return self._stopping

    def stop(self, reason: str) -> None:
        """End `run` after this round."""
        self._stopping = self._stopping or reason

    def close(self) -> None:
        """Say farewell, end the workers, give everything back."""
        for client in list(self.clients.values()):
            self._send(client, Farewell(self._stopping))
        self._loop.selector.unregister(self._socket)
        self._socket.close()
        self._context.term()
        self._pools.close()

    def _patience(self) -> float:
        now = time.monotonic()
        until = self._next_round if self.clients or self.builder.busy else now + 60.0
        wake = self.scheduler.next_wakeup()
        if wake is not None:
            until = min(until, wake)
        if self.scheduler.has_news():
            until = min(until, self._announced_at + _ANNOUNCE_PAUSE)
        return max(0.0, until - now)

    def _settle(self) -> None:
        """Do what the scheduler decides, until nothing new comes of it."""
        self._dirty = True
        while self._dirty:
            self._dirty = False
            now = time.monotonic()
            announce = now >= self._announced_at + _ANNOUNCE_PAUSE or self.scheduler.loading() < _BUSY_LOADS
            if announce:
                self._announced_at = now
            self._do(self.scheduler.decide(now, announce))

    def _build(self) -> bool:
        """While nobody waits, make the levels that datasets lack. Returns whether to come again at once."""
        if not (self.builder.hungry and self.builder.busy):
            return False
        now = time.monotonic()
        if self.scheduler.awaited():
            self._demanded = now
        if now - self._demanded < _QUIET:
            return False
        self._wants_built += 1
        self.scheduler.want(BACKGROUND, 0, self._wants_built, self.builder.wants(), time.monotonic())
        return self.builder.looking

    def _do(self, actions: Actions) -> None:
        memory = self.segment.view
        for slot, generation in actions.generations:
            write_generation(memory, slot, generation)
        for stop in actions.stop:
            self._pools.stop(stop.pool, stop.worker, stop.reason)
        for start in actions.start:
            self._pools.start(start.pool, start.worker)
        if actions.loads:
            self._pools.load(actions.loads)
        for identity, announce in actions.announce.items():
            if identity is BACKGROUND:
                self.builder.heard(announce)
                continue
            client = self.clients.get(identity)  # type: ignore[call-overload]
            if client is not None:
                self._announce(client, announce)

    # --- what the pools tell -----------------------------------------------------------------------------------------

    def worker_started(self, pool: int, worker: int) -> None:
        """See `pools.PoolEvents`."""
        self._dirty = True
        self.scheduler.worker_started(pool, worker)

    def worker_died(self, pool: int, worker: int, reason: str) -> None:
        """See `pools.PoolEvents`."""
        self._dirty = True
        memory = self.segment.view
        over = [
            load.task
            for load in self.scheduler.loads_at(pool, worker)
            if read_progress(memory, load.parts[0].slot) == BEGUN
        ]
        self.scheduler.worker_died(pool, worker, reason, time.monotonic(), over)

    def outcome(self, outcome: Outcome) -> None:
        """See `pools.PoolEvents`."""
        self._dirty = True
        if self._load_log.enabled:
            self._load_log.write(self.scheduler.load_of(outcome.task), outcome)
        if outcome.unfinished:
            self.scheduler.unfinished(outcome.task, time.monotonic())
        elif outcome.error:
            log.warning("a load failed: %s", outcome.error)
            self.scheduler.failed(outcome.task, outcome.error, outcome.transient, time.monotonic())
        else:
            self.scheduler.loaded(
                outcome.task,
                outcome.present,
                outcome.wall_ns * 1e-9,
                outcome.cpu_ns * 1e-9,
                outcome.blocked_ns * 1e-9,
                outcome.filled_ns,
                time.monotonic(),
            )

    # --- what clients say --------------------------------------------------------------------------------------------

    def _receive(self) -> bool:
        """Take in what clients said, not endlessly; returns whether there was anything."""
        for count in range(256):
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
            client = Client(identity, now)
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
            self._send(client, Refused(error.code, str(error)[: limits.TEXT_CHARACTERS]))
            return
        self._obey(client, message)

    def _obey(self, client: Client, message: ClientMessage) -> None:
        if isinstance(message, Want):
            if self.scheduler.views_over(client.identity, message.view, limits.VIEWS_PER_CLIENT):
                reason = f"a client has at most {limits.VIEWS_PER_CLIENT} views: end one with an empty Want"
                self._send(client, Refused("limit", reason))
                return
            self.scheduler.want(client.identity, message.view, message.sequence, message.entries, client.heard)
        elif isinstance(message, Ping):
            self._send(client, Pong(message.number))
        elif isinstance(message, Describe):
            self._describe(client, message)
        elif isinstance(message, Hello):
            self._greet(client, message)
        elif isinstance(message, AskStatus):
            self._send(client, describe_status(self, self._pools, message.about))
        elif isinstance(message, Bye):
            self._drop(client, "it said goodbye")

    def _greet(self, client: Client, hello: Hello) -> None:
        refusal = refuse_version(hello.version)
        if refusal is not None:
            log.warning("client %s is refused: %s", hello.name, refusal)
            self._send(client, Refused("version", refusal))
            return
        self.scheduler.drop_client(client.identity)
        client.name, client.pid = hello.name, hello.pid
        self.clients[client.identity] = client
        names = self.catalog.names()
        welcome = Welcome(PROTOCOL_VERSION, self.instance, names, self.settings, self.segment.address())
        if self._send(client, welcome):
            log.info("client %s (pid %d) is here", client.name, client.pid)
            if progress := self.builder.all_progress():
                self._send(client, Announce(progress=progress))

    def _describe(self, client: Client, message: Describe) -> None:
        def answer(plan: DatasetPlan | None, reason: str) -> None:
            if plan is None:
                code = "unreadable" if message.dataset in self.catalog.entries else "no-dataset"
                self._send(client, Refused(code, reason[: limits.TEXT_CHARACTERS], message.about))
                return
            if plan.dataset.id not in self.scheduler.datasets:
                self.scheduler.add_dataset(plan, voxel_bytes(plan))
                spec = self.catalog.entries[plan.dataset.name].spec
                self._pools.add_dataset(plan, spec)
                # What is far away is read when somebody looks at it: nobody asked us to fetch all of it.
                wanted = not self.settings.force_synchronous and not is_remote(spec.location)
                if plan.making is not None and plan.making.cache and wanted:
                    cache = LevelCache(plan.making.cache, plan.dataset, plan.making.kept(len(plan.levels)))
                    self.builder.add(plan.dataset, plan.making, cache.has)
                    self._demanded = time.monotonic()
            self._send(client, Described(plan.dataset, message.about))

        self.catalog.open(message.dataset, answer)

    # --- what clients are told ---------------------------------------------------------------------------------------

    def _announce(self, client: Client, announce: Announce) -> None:
        client.announced += len(announce.ready)
        longest = max(len(announce.ready), len(announce.missing), _ANNOUNCED_PER_FAILURE * len(announce.failed))
        if longest <= _ANNOUNCED_AT_ONCE:
            self._send(client, announce)
            return
        for first in range(0, longest, _ANNOUNCED_AT_ONCE):
            part = slice(first, first + _ANNOUNCED_AT_ONCE)
            few = slice(first // _ANNOUNCED_PER_FAILURE, (first + _ANNOUNCED_AT_ONCE) // _ANNOUNCED_PER_FAILURE)
            self._send(client, Announce(announce.ready[part], announce.missing[part], announce.failed[few]))
        self._send(client, Announce(load_times=announce.load_times))

    def _send(self, client: Client, message: DaemonMessage) -> bool:
        try:
            client.session.sent(message)
            self._socket.send_multipart([client.identity, codec.encode(message)], zmq.NOBLOCK)
        except zmq.Again:
            self._drop(client, "it does not read what it is sent")
            return False
        except zmq.ZMQError as error:
            self._drop(client, f"it cannot be reached: {error}")
            return False
        except LocalProtocolError as error:
            log.debug("not said to %s: %s", client.name, error)
            return False
        return True

    def _drop(self, client: Client, reason: str) -> None:
        if self.clients.pop(client.identity, None) is not None:
            log.info("client %s (pid %d) is gone: %s", client.name, client.pid, reason)
            self.scheduler.drop_client(client.identity)
            self._dirty = True

    def _look_over(self, now: float) -> None:
        """Drop the clients that have been silent for too long; what they had pinned is free. Tell them of progress."""
        if news := self.builder.news():
            for told in news:
                if told.done == told.total:
                    self.scheduler.levels_built(told.dataset)
            for client in list(self.clients.values()):
                self._send(client, Announce(progress=news))
        for client in list(self.clients.values()):
            if now - client.heard > limits.HEARTBEAT_TIMEOUT:
                self._drop(client, f"nothing heard for {now - client.heard:.1f} s")

    @property
    def pid(self) -> int:
        """Of this process."""
        return os.getpid()
