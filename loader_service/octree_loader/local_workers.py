"""Workers on this machine: starts processes or threads, hands them loads, hears what came of them, sees them die.

One socket pair a worker; the queue stays in the daemon, where it can be forgotten. Decides nothing (`scheduler`).
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Literal

from octree_loader.backends import PoolEvents
from octree_loader.loop import Loop
from octree_loader.memory import Segment
from octree_loader.orders import (
    PACKET_BYTES,
    OpenDataset,
    decode_outcomes,
    encode_loads,
    encode_order,
)
from octree_loader.scheduling.actions import Load
from octree_loader.spawning import Spawner, end
from octree_loader.worker import Loader, run_process, serve

log = logging.getLogger("octree.pools")

#: Loads in one packet to a worker.
_LOADS_IN_PACKET = 64

#: How long the daemon waits for the processes of its pools when it ends. Seconds.
_FAREWELL_SECONDS = 2.0


@dataclass(slots=True)
class _Worker:
    pool: int
    number: int
    channel: socket.socket
    process: BaseProcess | None
    opened: set[int] = field(default_factory=set)


class LocalWorkers:
    """A `Backend` of processes or threads.

    Parameters
    ----------
    kind
        Which of them.
    segment
        The arena's memory.
    loop
        The daemon's, which watches the workers' sockets.
    events
        Who is told.
    spawner
        Starts the processes.
    """

    def __init__(
        self,
        kind: Literal["processes", "threads"],
        segment: Segment,
        loop: Loop,
        events: PoolEvents,
        spawner: Spawner,
    ) -> None:
        self.name = kind
        self._segment = segment
        self._loop = loop
        self._selector = loop.selector
        self._events = events
        self._workers: dict[tuple[int, int], _Worker] = {}
        self._datasets: dict[int, OpenDataset] = {}
        self._spawner = spawner

    def add_dataset(self, order: OpenDataset) -> None:
        """See `Backend`."""
        self._datasets[order.dataset.id] = order

    # --- workers -----------------------------------------------------------------------------------------------------

    def start(self, pool: int, worker: int) -> None:
        """See `Backend`. Processes are started by a thread: the first waits for the fork server to have imported what
        workers need."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for side in (ours, theirs):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * PACKET_BYTES)
        ours.setblocking(False)
        known = _Worker(pool, worker, ours, None)
        self._workers[pool, worker] = known
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(known))
        name = f"octree-worker-{pool}-{worker}"
        if self.name == "processes":
            self._spawner.start(
                run_process,
                (theirs, self._segment.path),
                name,
                lambda process, reason: self._started(known, theirs, process, reason),
            )
            return
        run = (theirs, Loader(self._segment.view))
        threading.Thread(target=_run_thread, args=run, name=name, daemon=True).start()
        self._events.worker_started(pool, worker)

    def _started(self, worker: _Worker, theirs: socket.socket, process: BaseProcess | None, reason: str) -> None:
        theirs.close()
        if process is None:
            self._bury(worker, reason)
            return
        worker.process = process
        if (worker.pool, worker.number) in self._workers:
            self._events.worker_started(worker.pool, worker.number)
        else:  # buried before it was born: nobody waits for it any more
            end(process, _FAREWELL_SECONDS)

    def warm_up(self) -> None:
        """See `Backend`: start the fork server, so that the first worker does not have to wait for it."""
        if self.name == "processes":
            self._spawner.warm_up()

    def stop(self, pool: int, worker: int, reason: str) -> None:
        """See `Backend`. A thread that hangs cannot be killed: it is only spoken of."""
        known = self._workers.get((pool, worker))
        if known is None:
            return
        if not reason:  # it has nothing under way, and ends when its channel does
            self._bury(known, "not needed any more")
            return
        if known.process is None:
            log.warning("a load hangs in a pool of threads, where nothing can end it (%s)", reason)
            return
        log.warning("worker %d of pool %d is killed: %s", worker, pool, reason)
        if known.process.pid is not None:
            os.kill(known.process.pid, signal.SIGKILL)
        self._bury(known, reason)

    def _bury(self, worker: _Worker, reason: str = "") -> None:
        """Take a dead worker out of the books; only when it is certainly gone may its slots be used again."""
        if self._workers.pop((worker.pool, worker.number), None) is None:
            return
        self._selector.unregister(worker.channel)
        worker.channel.close()
        if worker.process is not None:
            code = end(worker.process, _FAREWELL_SECONDS)
            if not reason:
                reason = signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"
        log.warning("worker %d of pool %d died (%s)", worker.number, worker.pool, reason or "its thread ended")
        self._events.worker_died(worker.pool, worker.number, reason or "its thread ended")

    def pids(self) -> tuple[int, ...]:
        """See `Backend`."""
        return tuple(w.process.pid for w in self._workers.values() if w.process is not None and w.process.pid)

    # --- loads -------------------------------------------------------------------------------------------------------

    def load(self, loads: list[Load]) -> None:
        """See `Backend`: in packets as large as they come."""
        batches: dict[tuple[int, int], list[Load]] = {}
        for load in loads:
            place = load.pool, load.worker
            if place in batches:
                batches[place].append(load)
            else:
                batches[place] = [load]
        for place, batch in batches.items():
            worker = self._workers.get(place)
            if worker is None:
                continue  # it died meanwhile, and that has been told
            try:
                for dataset in {load.dataset for load in batch} - worker.opened:
                    worker.channel.send(encode_order(self._datasets[dataset]))
                    worker.opened.add(dataset)
                for first in range(0, len(batch), _LOADS_IN_PACKET):
                    worker.channel.send(encode_loads(batch[first : first + _LOADS_IN_PACKET]))
            except BlockingIOError:
                # It has not read for hundreds of loads: it hangs in a way that no timeout has seen yet.
                self.stop(*place, reason="it does not take orders any more")
            except OSError:
                self._bury(worker)

    def forget(self, loads: list[Load]) -> None:
        """See `Backend`: what lies ready is done sooner than taken back."""

    def _hear(self, worker: _Worker) -> None:
        while True:
            try:
                packet = worker.channel.recv(PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._bury(worker)
                return
            self._events.outcomes(decode_outcomes(packet))

    def close(self) -> None:
        """See `Backend`: by closing their channels, then by force."""
        workers = list(self._workers.values())
        self._workers.clear()
        for worker in workers:
            self._selector.unregister(worker.channel)
            worker.channel.close()
        self._spawner.close()
        until = time.monotonic() + _FAREWELL_SECONDS
        for worker in workers:
            if worker.process is not None:
                end(worker.process, max(0.0, until - time.monotonic()))


def _run_thread(channel: socket.socket, loader: Loader) -> None:
    try:
        serve(channel, loader)
    except OSError:
        pass  # the daemon has closed the channel
    finally:
        channel.close()
