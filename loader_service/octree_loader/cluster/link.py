"""The daemon's side of a cluster: a backend of the pools whose workers are those of the cluster.

Talks to the bridge over a socket pair, starts it again when it dies, and says how the cluster stands. Does not know
dask.
"""

from __future__ import annotations

import logging
import os
import secrets
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import msgspec

from octree_loader.backends import PoolEvents
from octree_loader.cluster.bridge import run_bridge
from octree_loader.cluster.claims import Claims
from octree_loader.cluster.orders import (
    ClusterLoad,
    ClusterLoads,
    ClusterNews,
    ClusterSettings,
    EndWorker,
    ForgetLoads,
    FromBridge,
    Outcomes,
    WorkerCame,
    WorkerLeaves,
    decode_from_bridge,
    encode,
)
from octree_loader.loop import Loop
from octree_loader.memory import Segment
from octree_loader.orders import PACKET_BYTES, OpenDataset, order_of
from octree_loader.scheduling.actions import Load
from octree_loader.spawning import Spawner, end
from octree_protocol.slots import read_generation

log = logging.getLogger("octree.cluster")

#: Loads in one packet.
_LOADS_IN_PACKET = 64

#: How long the daemon waits for the bridge when it ends, seconds: it has to end a cluster of our own.
_FAREWELL_SECONDS = 3.0

#: How often a slot is looked at that a worker writes into though the bridge is dead. Seconds.
_WRITER_SECONDS = 0.02

#: How long the bridge may take to let go of a worker that hangs. Seconds.
_END_SECONDS = 5.0

#: A bridge that dies within so many seconds of its start has something wrong with it; the next one is the last.
_SHORT_LIFE, _SHORT_LIVES_MOST = 5.0, 5


class _There:
    """A worker of the cluster; `bound` says which worker of each pool it is."""

    __slots__ = ("bound", "direct", "name", "number", "threads")

    def __init__(self, came: WorkerCame) -> None:
        self.number = came.worker
        self.name = came.name
        self.threads = came.threads
        self.direct = came.direct
        self.bound: dict[int, int] = {}


class ClusterLink:
    """A `Backend` whose workers are those of a dask cluster.

    Parameters
    ----------
    settings
        Which cluster.
    segment, loop, events
        As for other backends.
    spawner
        Starts the bridge.
    changed
        Told whenever anything of the attributes is another.

    Attributes
    ----------
    state
        ``connecting``, ``open``, or ``away``: there has been no worker for too long.
    problem
        What is wrong, if anything is.
    workers, threads, direct
        Workers of the cluster that take loads; how many loads they carry out side by side; how many of them write into
        the arena themselves.
    """

    name = "dask"

    def __init__(
        self,
        settings: ClusterSettings,
        segment: Segment,
        loop: Loop,
        events: PoolEvents,
        spawner: Spawner,
        changed: Callable[[], None],
    ) -> None:
        self.state = "connecting"
        self.problem = ""
        self._settings = settings
        self._segment = segment
        self._loop = loop
        self._selector = loop.selector
        self._events = events
        self._spawner = spawner
        self._changed = changed
        self._house = secrets.token_hex(8)
        self._datasets: dict[int, OpenDataset] = {}
        self._channel: socket.socket | None = None
        self._process: BaseProcess | None = None
        self._began = 0.0
        self._short_lives = 0
        self._there: dict[int, _There] = {}
        self._leaving: dict[int, _There] = {}
        self._bound: dict[tuple[int, int], _There] = {}
        self._pending: list[tuple[int, int]] = []

    @property
    def workers(self) -> int:
        """See the class."""
        return len(self._there)

    @property
    def threads(self) -> int:
        """See the class."""
        return sum(there.threads for there in self._there.values())

    @property
    def direct(self) -> int:
        """See the class."""
        return sum(1 for there in self._there.values() if there.direct)

    # --- the bridge --------------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """See `Backend`: connect."""
        if self._channel is None:
            self._build()

    def _build(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for side in (ours, theirs):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * PACKET_BYTES)
        ours.setblocking(False)
        self._channel, self._began = ours, time.monotonic()
        self._selector.register(ours, selectors.EVENT_READ, self._hear)

        def built(process: BaseProcess | None, reason: str) -> None:
            theirs.close()
            if self._channel is not ours:  # closed meanwhile
                if process is not None:
                    end(process, _FAREWELL_SECONDS)
                return
            self._process = process
            if process is None:
                self._collapse(reason)

        arguments = (theirs, self._segment.path, self._settings, self._house)
        self._spawner.start(run_bridge, arguments, "octree-bridge", built)
        for dataset in self._datasets.values():
            self._say(dataset)

    def _collapse(self, reason: str = "") -> None:
        """The bridge is gone: its workers are lost, as far as we are concerned, and another is built."""
        channel, process = self._channel, self._process
        if channel is None:
            return
        self._channel = self._process = None
        self._selector.unregister(channel)
        channel.close()
        if process is not None:
            code = end(process, _FAREWELL_SECONDS)
            if not reason:
                reason = signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"
        self._stand("away", f"the process that talks to the cluster died ({reason})")
        short = time.monotonic() - self._began < _SHORT_LIFE
        self._short_lives = self._short_lives + 1 if short else 0
        bound = list(self._bound)
        self._there, self._leaving, self._bound = {}, {}, {}
        for pool, worker in bound:
            self._events.worker_leaves(pool, worker)
        slots = [load.slots[0] for place in bound for load in self._events.loads_at(*place)]
        threading.Thread(target=self._wait_for_writers, args=(slots, bound), name="octree-claims", daemon=True).start()
        self._changed()
        if self._short_lives <= _SHORT_LIVES_MOST:
            self._build()
        else:
            log.error("the cluster is given up until the daemon is started again: %s", self.problem)

    def _wait_for_writers(self, slots: list[int], bound: list[tuple[int, int]]) -> None:
        """Take back what a dead bridge had handed out; the cluster's workers may be writing still."""
        claims = Claims(self._segment.path, self._segment.view)
        for slot in slots:
            while claims.take_back(slot) is None:
                time.sleep(_WRITER_SECONDS)
        claims.close()

        def gone() -> None:
            for place in bound:
                self._events.worker_left(*place)

        self._loop.call(gone)

    def _say(self, message: msgspec.Struct) -> None:
        if self._channel is None:
            return
        try:
            self._channel.send(encode(message))
        except BlockingIOError:  # it has not read for hundreds of loads
            self._kill()
        except OSError:
            pass  # it is dead, and that will be heard

    def _kill(self) -> None:
        if self._process is not None and self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGKILL)

    def _hear(self) -> None:
        while self._channel is not None:
            try:
                packet = self._channel.recv(PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._collapse()
                return
            self._take_in(decode_from_bridge(packet))

    def _take_in(self, message: FromBridge) -> None:
        if isinstance(message, Outcomes):
            self._events.outcomes(message.outcomes)
        elif isinstance(message, WorkerCame):
            self._there[message.worker] = _There(message)
            where = "it writes into the arena" if message.direct else "it sends bytes"
            log.info("dask worker %s is here, with %d threads; %s", message.name, message.threads, where)
            self._changed()
            pending, self._pending = self._pending, []
            for place in pending:
                self.start(*place)
        elif isinstance(message, WorkerLeaves):
            there = self._leaving[message.worker] = self._there.pop(message.worker)
            for pool, worker in there.bound.items():
                self._events.worker_leaves(pool, worker)
            self._changed()
        elif isinstance(message, ClusterNews):
            self._stand(message.state, message.problem)
        else:
            there = self._leaving.pop(message.worker)
            log.warning("%s", message.reason)
            for pool, worker in there.bound.items():
                del self._bound[pool, worker]
                if message.over:
                    self._events.worker_died(pool, worker, message.reason, message.over)
                else:
                    self._events.worker_left(pool, worker)

    def _stand(self, state: str, problem: str) -> None:
        if (state, problem) == (self.state, self.problem):
            return
        if problem and problem != self.problem:
            log.log(logging.INFO if state == "connecting" else logging.WARNING, "%s", problem)
        elif problem and state == "away":
            log.warning("%s", problem)
        if state == "open" and self.state != "open":
            log.info("the cluster is there")
        self.state, self.problem = state, problem
        self._changed()

    # --- workers -----------------------------------------------------------------------------------------------------

    def start(self, pool: int, worker: int) -> None:
        """See `Backend`: a worker of the cluster becomes this worker of the pool."""
        free = [there for there in self._there.values() if pool not in there.bound]
        there = max(free, key=lambda one: one.threads, default=None)
        if there is None:
            self._pending.append((pool, worker))  # it went, and the next one is coming
            return
        there.bound[pool] = worker
        self._bound[pool, worker] = there
        self._events.worker_started(pool, worker, there.threads)

    def stop(self, pool: int, worker: int, reason: str) -> None:
        """See `Backend`. Without a reason, it is only not this pool's any more."""
        there = self._bound.get((pool, worker))
        if there is None:
            return
        if reason:
            log.warning("dask worker %s is ended: %s", there.name, reason)
            self._say(EndWorker(there.number, reason))

            def look() -> None:
                if self._there.get(there.number) is there:  # the bridge hangs as well
                    self._kill()

            timer = threading.Timer(_END_SECONDS, self._loop.call, (look,))
            timer.daemon = True
            timer.start()
            return
        del self._bound[pool, worker], there.bound[pool]

    # --- loads -------------------------------------------------------------------------------------------------------

    def add_dataset(self, order: OpenDataset) -> None:
        """See `Backend`."""
        self._datasets[order.dataset.id] = order
        self._say(order)

    def load(self, loads: list[Load]) -> None:
        """See `Backend`: in packets as large as they come; the bridge makes batches of them."""
        memory = self._segment.view
        orders = []
        for load in loads:
            there = self._bound.get((load.pool, load.worker))
            if there is not None:  # else it is gone, and that has been told
                generation = read_generation(memory, load.slots[0])
                orders.append(ClusterLoad(there.number, load.rank, generation, order_of(load)))
        for first in range(0, len(orders), _LOADS_IN_PACKET):
            self._say(ClusterLoads(tuple(orders[first : first + _LOADS_IN_PACKET])))

    def forget(self, loads: list[Load]) -> None:
        """See `Backend`."""
        numbers = [load.task for load in loads]
        for first in range(0, len(numbers), 1024):
            self._say(ForgetLoads(tuple(numbers[first : first + 1024])))

    def pids(self) -> tuple[int, ...]:
        """See `Backend`: the bridge; the cluster's processes are not ours."""
        return (self._process.pid,) if self._process is not None and self._process.pid else ()

    def close(self) -> None:
        """See `Backend`: the bridge ends a cluster of our own before it ends itself."""
        channel, process = self._channel, self._process
        self._channel = self._process = None
        if channel is not None:
            self._selector.unregister(channel)
            channel.close()
        if process is not None:
            end(process, _FAREWELL_SECONDS)
