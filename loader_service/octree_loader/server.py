"""The one loop that everything in the daemon happens in.

Takes what clients say (`peers`) and what became of loads (`pools`), tells the scheduler, and does what it decides.
Knows no sockets, no formats and no voxels.
"""

from __future__ import annotations

import gc
import logging
import secrets
import time
from collections.abc import Callable, Collection, Sequence

from octree_loader.builder import Builder
from octree_loader.catalog import Catalog, voxel_bytes
from octree_loader.cluster.orders import Cluster
from octree_loader.health import Health
from octree_loader.level_cache import LevelCache
from octree_loader.load_log import LoadLog
from octree_loader.loop import Loop
from octree_loader.memory import Segment
from octree_loader.orders import Outcome
from octree_loader.planning import DatasetPlan
from octree_loader.pools import Pools
from octree_loader.scheduling.actions import BACKGROUND, Actions, Load
from octree_loader.scheduling.placement import Offer
from octree_loader.scheduling.scheduler import Scheduler
from octree_loader.transport.inline import InlineSender
from octree_loader.transport.peers import Client, Door, Guard, Peers
from octree_loader.untold import Untold
from octree_protocol import PROTOCOL_VERSION, limits
from octree_protocol.messages import (
    Ack,
    Announce,
    AskStatus,
    Bye,
    ClientMessage,
    Describe,
    Described,
    Hello,
    Inline,
    Ping,
    Pong,
    Refused,
    ViewerSettings,
    Want,
    Welcome,
)
from octree_protocol.session import refuse_version
from octree_protocol.slots import BEGUN, read_progress, write_generations

log = logging.getLogger("octree.server")

#: Clients are looked over for silence this often. Seconds.
_ROUNDS = 0.5

#: While all workers have work for so long, the loop comes round at most so often, and takes together what has happened
#: meanwhile. Each round and each message to a client costs as much as a load; no worker runs out of work by that, and
#: nobody sees a chunk a millisecond later. Seconds.
_WORK_AHEAD = 0.003
_BEAT = 0.0015

#: Nothing is made in the background until clients have wanted nothing for so long: who has just opened a dataset is
#: about to look at it, and needs the processors to draw. Seconds.
_QUIET = 0.4


class Server:
    """Serves clients until it is told to stop.

    Parameters
    ----------
    doors
        Where to listen.
    scheduler, catalog, segment, loop
        The parts of the daemon.
    backends
        Of the pools, see `Pools`.
    settings
        What every viewer is told.
    guard
        For doors where keys are asked for.
    compression
        Of chunks that travel, see `Compression`.
    cluster
        Of the pools that load with one.
    """

    def __init__(
        self,
        doors: tuple[Door, ...],
        scheduler: Scheduler,
        catalog: Catalog,
        segment: Segment,
        loop: Loop,
        backends: tuple[str, ...],
        settings: ViewerSettings,
        load_log: LoadLog,
        guard: Guard | None = None,
        compression: str = "auto",
        cluster: Cluster | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.catalog = catalog
        self.segment = segment
        self.settings = settings
        self._loop = loop
        self._load_log = load_log
        self._notice = ""
        self._pools = Pools(backends, segment, loop, self, cluster)
        self._stopping = ""
        self._dirty = False
        self._next_round = 0.0
        self.builder = Builder(scheduler.cores)
        self._wants_built = 0
        self._demanded = 0.0
        self._untold = Untold()
        self.peers = Peers(doors, guard, loop, self._obey, self._forget)
        self.health = Health(secrets.token_hex(8), scheduler, catalog, self.builder, self._pools, self.peers)
        self.inline = InlineSender(segment.view, loop.call, self.peers.send, compression)

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self, on_ready: Callable[[], None] = lambda: None) -> str:
        """Serve until `stop`; returns why it ended."""
        self._pools.warm_up()
        # Chunks come and go in the thousands, and none of them is a cycle: what lives already need not be looked at
        # again, and what is new less often than after every 700 objects.
        gc.freeze()
        gc.set_threshold(20_000, 50, 50)
        on_ready()
        while not self._stopping:
            began = time.monotonic()
            self.peers.receive()
            looking = self._build()
            self._settle()
            more = self._pools.run_own()
            self._tell(time.monotonic())
            sending = self.inline.pump()
            if not sending and self.scheduler.work_ahead() >= _WORK_AHEAD:
                time.sleep(max(0.0, began + _BEAT - time.monotonic()))
            at_once = more or sending or looking or self._dirty or self.peers.pending()
            self._loop.wait(0 if at_once else self._patience())
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
        self.inline.close()
        self.peers.close(self._stopping)
        self._pools.close()

    def _patience(self) -> float:
        now = time.monotonic()
        until = self._next_round if self.peers.clients or self.builder.busy else now + 60.0
        wake = self.scheduler.next_wakeup(now)
        if wake is not None:
            until = min(until, wake)
        return max(0.0, min(until, self._untold.due(len(self.peers.clients))) - now)

    def _settle(self) -> None:
        """Do what the scheduler decides, until nothing new comes of it."""
        self._dirty = True
        while self._dirty:
            self._dirty = False
            self._do(self.scheduler.decide(time.monotonic()))

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
        write_generations(memory, actions.generations)
        for stop in actions.stop:
            self._pools.stop(stop.pool, stop.worker, stop.reason)
        for start in actions.start:
            self._pools.start(start.pool, start.worker)
        if actions.loads:
            self._pools.load(actions.loads)
        if actions.forget:
            self._pools.forget(actions.forget)
        for identity, announce in actions.announce.items():
            if identity is BACKGROUND:
                self.builder.heard(announce)
                continue
            client = self.peers.clients.get(identity)  # type: ignore[call-overload]
            if client is not None and (rest := self.inline.announce(client, announce)) is not None:
                self._untold.add(client.identity, rest)
        self._tell(time.monotonic())

    def _tell(self, now: float) -> None:
        """Tell clients what became of their chunks, unless that can wait a little."""
        if not self._untold:
            return
        busy = self.scheduler.work_ahead() >= _WORK_AHEAD
        for identity, announce in self._untold.take(now, len(self.peers.clients), busy).items():
            client = self.peers.clients.get(identity)
            if client is not None:
                self.peers.announce(client, announce)

    # --- what the pools tell -----------------------------------------------------------------------------------------

    def worker_started(self, pool: int, worker: int, threads: int = 1) -> None:
        """See `backends.PoolEvents`."""
        self._dirty = True
        self.scheduler.worker_started(pool, worker, threads)

    def worker_leaves(self, pool: int, worker: int) -> None:
        """See `backends.PoolEvents`."""
        self._dirty = True
        self.scheduler.worker_leaves(pool, worker)

    def worker_left(self, pool: int, worker: int) -> None:
        """See `backends.PoolEvents`."""
        self._dirty = True
        self.scheduler.worker_left(pool, worker, time.monotonic())

    def pool_offered(self, pool: int, workers: int, threads: int) -> None:
        """See `backends.PoolEvents`."""
        self._dirty = True
        self.scheduler.pool_offered(pool, Offer(workers, threads))

    def pool_withdrawn(self, pool: int) -> None:
        """See `backends.PoolEvents`."""
        self._dirty = True
        self.scheduler.pool_offered(pool, None)

    def cluster_changed(self) -> None:
        """See `backends.PoolEvents`: clients are told what is wrong."""
        cluster = self._pools.cluster_status()
        notice = cluster.problem if cluster is not None and cluster.state != "connecting" else ""
        if notice and cluster is not None and cluster.fallback:
            notice += "; loading with processes of its own meanwhile"
        if notice != self._notice:
            self._notice = notice
            for client in list(self.peers.clients.values()):
                self.peers.send(client, Announce(notice=notice[: limits.TEXT_CHARACTERS]))

    def worker_died(self, pool: int, worker: int, reason: str, over: Collection[int] | None = None) -> None:
        """See `backends.PoolEvents`."""
        self._dirty = True
        memory = self.segment.view
        if over is None:
            over = [
                load.task
                for load in self.scheduler.loads_at(pool, worker)
                if read_progress(memory, load.slots[0]) == BEGUN
            ]
        self.scheduler.worker_died(pool, worker, reason, time.monotonic(), over)

    def loads_at(self, pool: int, worker: int) -> list[Load]:
        """See `backends.PoolEvents`."""
        return self.scheduler.loads_at(pool, worker)

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """See `backends.PoolEvents`."""
        self._dirty = True
        for outcome in outcomes:
            if outcome.error:
                log.warning("a load failed: %s", outcome.error)
            if self._load_log.enabled and not outcome.forgotten:
                self._load_log.write(self.scheduler.load_of(outcome.task), outcome)
        self.scheduler.ended(outcomes, time.monotonic())

    # --- what clients say --------------------------------------------------------------------------------------------

    def _obey(self, client: Client, message: ClientMessage) -> None:
        if isinstance(message, Want):
            if self.scheduler.views_over(client.identity, message.view, limits.VIEWS_PER_CLIENT):
                reason = f"a client has at most {limits.VIEWS_PER_CLIENT} views: end one with an empty Want"
                self.peers.send(client, Refused("limit", reason))
                return
            if self.scheduler.wants_over(client.identity, message.view, len(message.entries), limits.WANTS_PER_CLIENT):
                reason = f"all views of a client want at most {limits.WANTS_PER_CLIENT} chunks together"
                self.peers.send(client, Refused("limit", reason))
                return
            self.scheduler.want(client.identity, message.view, message.sequence, message.entries, client.heard)
            self.inline.want(client, message)
        elif isinstance(message, Ack):
            client.link.acknowledge(message.received, client.heard)
            self.inline.acknowledged(client)
        elif isinstance(message, Ping):
            self.peers.send(client, Pong(message.number))
        elif isinstance(message, Describe):
            self._describe(client, message)
        elif isinstance(message, Hello):
            self._greet(client, message)
        elif isinstance(message, Inline):
            self.inline.begin(client, message.codecs)
        elif isinstance(message, AskStatus):
            self.peers.send(client, self.health.status(message.about))
        elif isinstance(message, Bye):
            self.peers.drop(client, "it said goodbye")

    def _greet(self, client: Client, hello: Hello) -> None:
        refusal = refuse_version(hello.version)
        if refusal is not None:
            log.warning("client %s is refused: %s", hello.name, refusal)
            self.peers.send(client, Refused("version", refusal))
            return
        self._forget(client)
        client.name, client.pid = hello.name, hello.pid
        names = self.catalog.names()
        welcome = Welcome(PROTOCOL_VERSION, self.health.instance, names, self.settings, self.segment.address())
        if self.peers.welcome(client, welcome, acknowledges=hello.version >= (1, 1)):
            log.info("client %s (pid %d) is here", client.name, client.pid)
            if progress := self.builder.all_progress():
                self.peers.send(client, Announce(progress=progress))
            if self._notice:
                self.peers.send(client, Announce(notice=self._notice))

    def _describe(self, client: Client, message: Describe) -> None:
        def answer(plan: DatasetPlan | None, reason: str) -> None:
            if plan is None:
                code = "unreadable" if message.dataset in self.catalog.entries else "no-dataset"
                self.peers.send(client, Refused(code, reason[: limits.TEXT_CHARACTERS], message.about))
                return
            if plan.dataset.id not in self.scheduler.datasets:
                self.scheduler.add_dataset(plan, voxel_bytes(plan))
                spec = self.catalog.entries[plan.dataset.name].spec
                self._pools.add_dataset(plan, spec)
                making = plan.making
                if making is not None and making.cache and making.background and not self.settings.force_synchronous:
                    cache = LevelCache(making.cache, plan.dataset, making.kept(len(plan.levels)))
                    self.builder.add(plan.dataset, making, cache.has)
                    self._demanded = time.monotonic()
            self.peers.send(client, Described(plan.dataset, message.about))

        self.catalog.open(message.dataset, answer)

    def _forget(self, client: Client) -> None:
        """A client is gone, or starts over."""
        self.scheduler.drop_client(client.identity)
        self.inline.forget(client)
        self._untold.forget(client.identity)
        self._dirty = True

    def _look_over(self, now: float) -> None:
        """Tell clients of progress; what those had pinned that have fallen silent is free."""
        if news := self.builder.news():
            for told in news:
                if told.done == told.total:
                    self.scheduler.levels_built(told.dataset)
            for client in list(self.peers.clients.values()):
                self.peers.send(client, Announce(progress=news))
        self.peers.look_over(now)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens."""
        return self.peers.addresses
