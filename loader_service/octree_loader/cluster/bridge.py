"""The process that talks to the cluster: loads go out as tasks of dask, what comes of them goes back to the daemon.

A process of its own, so that neither dask's threads nor what it unpickles are the daemon's, and so that whatever hangs
or dies in it costs the daemon no more than a worker. Decides nothing but what follows at once from a loss: whose loads
were begun, and when nobody writes into their slots any more.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import os
import secrets
import signal
import socket
import time
import warnings
from importlib import metadata
from typing import Any

import msgspec

from octree_loader.cluster import at_worker
from octree_loader.cluster.errands import REASON_CHARACTERS, Errands, Member, text_of
from octree_loader.cluster.orders import (
    ClusterLoad,
    ClusterLoads,
    ClusterNews,
    ClusterSettings,
    EndWorker,
    ForgetLoads,
    Greeting,
    Outcomes,
    WorkerCame,
    WorkerLeaves,
    WorkerWent,
    decode_for_bridge,
    decode_greeted,
    encode,
)
from octree_loader.cluster.own_cluster import OwnCluster, quiet
from octree_loader.memory import Segment
from octree_loader.orders import PACKET_BYTES, OpenDataset, Outcome

#: The cluster's workers are counted this often if nothing tells of a change; whether it is still there is looked at
#: more often, and a lost load is looked at again. Seconds.
_COUNT, _LOOK, _LOST = 5.0, 0.25, 0.02

#: How long a scheduler may take to answer, and the pause before it is asked again. Seconds.
_CONNECT, _AGAIN = 5.0, 0.5

#: Outcomes in one packet: an error text of every load of a large batch would not fit.
_OUTCOMES_IN_PACKET = 64

#: Of a task that a worker has to see before all others.
_FIRST = 1 << 50


class Bridge:
    """See the module.

    Parameters
    ----------
    channel
        To the daemon; at its end this process ends.
    segment
        The arena's memory, writable.
    settings
        Which cluster.
    house
        What the cluster's workers know the daemon by.
    """

    def __init__(self, channel: socket.socket, segment: Segment, settings: ClusterSettings, house: str) -> None:
        self._channel = channel
        self._segment = segment
        self._settings = settings
        self._house = house
        self._namespace = os.readlink("/proc/self/ns/pid")
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._errands = Errands(segment, house, self._tell, self._changed.set)
        self._client: Any = None
        self._own: OwnCluster | None = None
        self._members: dict[int, Member] = {}
        #: By address and identity in the cluster: known, or being greeted; None if it is of no use.
        self._met: dict[tuple[str, str], asyncio.Task[None] | Member | None] = {}
        #: Lost ones whose loads have not all been taken back: why, and what they died over.
        self._lost: dict[Member, tuple[str, set[int]]] = {}
        self._numbers = itertools.count()
        self._state = ""
        self._problem = ""
        self._without_since = time.monotonic()

    # --- the daemon --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the daemon closes the channel."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.fileno(), self._hear)
        tasks = [asyncio.create_task(self._stay_connected()), asyncio.create_task(self._look_around())]
        await self._over.wait()
        for task in tasks:
            task.cancel()
        if self._own is not None:
            await self._own.close()

    def _say(self, message: msgspec.Struct) -> None:
        try:
            self._channel.send(encode(message))
        except OSError:  # the daemon is gone
            self._over.set()

    def _tell(self, outcomes: list[Outcome]) -> None:
        for first in range(0, len(outcomes), _OUTCOMES_IN_PACKET):
            self._say(Outcomes(tuple(outcomes[first : first + _OUTCOMES_IN_PACKET])))

    def _hear(self) -> None:
        while True:
            try:
                packet = self._channel.recv(PACKET_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._over.set()
                asyncio.get_running_loop().remove_reader(self._channel.fileno())
                return
            message = decode_for_bridge(packet)
            if isinstance(message, ClusterLoads):
                self._hand_out(message.loads)
            elif isinstance(message, ForgetLoads):
                self._errands.forget(message.tasks)
            elif isinstance(message, OpenDataset):
                self._errands.datasets[message.dataset.id] = message
            elif isinstance(message, EndWorker):
                self._end(message.worker, message.reason)

    def _news(self, state: str, problem: str = "") -> None:
        if (state, problem) != (self._state, self._problem):
            self._state, self._problem = state, problem
            self._say(ClusterNews(state, problem[:REASON_CHARACTERS]))

    # --- the connection ----------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        self._news("connecting")
        while True:
            try:
                client = await self._connect()
            except Exception as error:  # whatever dask raises, it is a cluster that cannot be reached
                self._without(f"{self._where()} does not answer: {text_of(error)}")
                await asyncio.sleep(_AGAIN)
                continue
            self._client = client
            problem = f"the connection to {self._where()} is lost"
            try:
                await self._stay(client)
            except Exception as error:
                problem = f"{problem}: {text_of(error)}"
            self._client = None
            for member in list(self._members.values()):
                self._lose(member, problem)
            for met in self._met.values():
                if isinstance(met, asyncio.Task):
                    met.cancel()
            self._met.clear()
            self._without(problem)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client._close(fast=True), _CONNECT)

    def _where(self) -> str:
        return f"the dask scheduler {self._settings.scheduler}" if self._settings.scheduler else "our own dask cluster"

    async def _connect(self) -> Any:
        if self._own is None and not self._settings.scheduler:
            self._own = OwnCluster(self._settings.workers, self._settings.threads)
            await asyncio.sleep(0.01)  # its processes start while we import
        quiet()
        from distributed import Client, Security

        settings = self._settings
        if settings.scheduler:
            address, security = settings.scheduler, None
            if settings.ca:
                security = Security(
                    require_encryption=True,
                    tls_ca_file=settings.ca,
                    tls_client_cert=settings.cert,
                    tls_client_key=settings.key,
                )
        else:
            assert self._own is not None
            address, security = await self._own.address()
        client = Client(
            address, asynchronous=True, security=security, set_as_default=False, timeout=_CONNECT, name="octree-serve"
        )
        try:
            return await client
        except BaseException:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client._close(fast=True), _CONNECT)
            raise

    async def _stay(self, client: Any) -> None:
        """While the connection lasts, know the cluster's workers."""
        self._changed.set()

        def heard(event: Any) -> None:
            if isinstance(event[1], dict) and event[1].get("action") in ("add-worker", "remove-worker"):
                self._changed.set()

        client.subscribe_topic("all", heard)
        counted = 0.0
        while client.status == "running":
            now = time.monotonic()
            if self._changed.is_set() or now - counted > _COUNT:
                self._changed.clear()
                counted = now
                self._know((await asyncio.wait_for(client.scheduler.identity(), _CONNECT))["workers"])
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _LOOK)

    async def _look_around(self) -> None:
        """Notice that there has been no worker for too long, and loads of lost workers that have ended."""
        while True:
            await asyncio.sleep(_LOST if self._lost else _LOOK)
            for member in list(self._lost):
                self._bury(member)
            self._errands.adopt_orphans()
            without = 0.0 if self._members else time.monotonic() - self._without_since
            if without > self._settings.patience and self._state != "away":
                what = "does not answer" if self._client is None else "has no workers"
                self._news("away", self._problem or f"{self._where()} {what}")

    def _without(self, problem: str) -> None:
        """There is nobody to load just now."""
        self._news("away" if self._state == "away" else "connecting", problem)

    # --- workers -----------------------------------------------------------------------------------------------------

    def _know(self, workers: dict[str, Any]) -> None:
        """These are the workers of the cluster now."""
        there = {(address, str(info["id"])): info for address, info in workers.items()}
        for key in [key for key in self._met if key not in there]:
            met = self._met.pop(key)
            if isinstance(met, asyncio.Task):
                met.cancel()
            elif met is not None:
                self._lose(met, f"the dask worker {met.address} is gone")
        for key, info in there.items():
            if key not in self._met:
                self._met[key] = asyncio.create_task(self._greet(key, int(info["nthreads"])))
        if not there:
            self._without(f"{self._where()} has no workers")

    async def _greet(self, key: tuple[str, str], threads: int) -> None:
        """Ask a worker who it is, and whether it can map the arena."""
        address = key[0]
        try:
            # Not with a function of ours: a worker that cannot import what it is sent ends.
            there = await self._ask(address, metadata.version, "octree-serve")
            mine = metadata.version("octree-serve")
            if there != mine:
                self._useless(key, f"octree-serve {there} is installed there, {mine} here; install the same")
                return
            found = decode_greeted(
                await self._ask(address, at_worker.greet, encode(Greeting(self._house, self._segment.path)))
            )
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            self._changed.set()
            return
        except metadata.PackageNotFoundError:
            self._useless(key, f"octree-serve is not installed there; install {metadata.version('octree-serve')}")
            return
        except Exception as error:
            self._useless(key, text_of(error))
            return
        direct = secrets.compare_digest(found.token, self._segment.token.hex())
        member = Member(next(self._numbers), address, max(1, threads), direct, found)
        self._met[key] = self._members[member.number] = member
        self._say(WorkerCame(member.number, address, member.threads, direct))
        self._news("open")

    async def _ask(self, address: str, function: Any, *arguments: Any) -> Any:
        return await self._client.submit(
            function,
            *arguments,
            workers=[address],
            allow_other_workers=False,
            pure=False,
            priority=_FIRST,
            key=f"octree-greet-{self._house}-{next(self._numbers)}",
        )

    def _useless(self, key: tuple[str, str], reason: str) -> None:
        self._met[key] = None
        problem = f"the dask worker {key[0]} cannot load chunks: {reason}"
        if self._members:
            self._news("open", problem)
        else:
            self._without(problem)

    def _lose(self, member: Member, reason: str) -> None:
        """A worker is lost to us; it may be dead, or writing still."""
        if self._members.pop(member.number, None) is None:
            return
        if not self._members:
            self._without_since = time.monotonic()
            self._without(reason)
        self._say(WorkerLeaves(member.number))
        self._lost[member] = reason, self._errands.lose(member, blame=self._client is not None)
        self._bury(member)

    def _bury(self, member: Member) -> None:
        reason, over = self._lost[member]
        if self._errands.bury(member, over):
            del self._lost[member]
            self._say(WorkerWent(member.number, reason, tuple(sorted(over))))

    def _end(self, number: int, reason: str) -> None:
        """A worker hangs. On this machine it is killed; elsewhere it is let go of."""
        member = self._members.get(number)
        if member is not None:
            member.kill(self._namespace)
            self._lose(member, f"the dask worker {member.address} gave {reason}")
            # Greeted anew, it answers as soon as it has a thread to spare.
            for key in [key for key, met in self._met.items() if met is member]:
                del self._met[key]
            self._changed.set()

    def _hand_out(self, loads: tuple[ClusterLoad, ...]) -> None:
        by_member: dict[int, list[ClusterLoad]] = {}
        for load in loads:
            by_member.setdefault(load.worker, []).append(load)
        for number, theirs in by_member.items():
            member = self._members.get(number)
            if member is None or self._client is None:  # lost, while these were on their way
                self._tell([at_worker.forgotten(load.order.task) for load in theirs])
            else:
                self._errands.hand_out(self._client, member, theirs)


def run_bridge(channel: socket.socket, arena_path: str, settings: ClusterSettings, house: str) -> None:
    """Entry point of the process. Ends when the daemon closes `channel`, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon ends us in good order
    warnings.simplefilter("ignore")
    segment = Segment.attach(arena_path, writable=True)

    async def run() -> None:
        await Bridge(channel, segment, settings, house).run()

    with contextlib.suppress(Exception):
        asyncio.run(run())
    os._exit(0)
