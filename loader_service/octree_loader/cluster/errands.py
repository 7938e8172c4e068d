"""The loads that are under way in a cluster: which task of dask has them, and who may still write into their slots.

Loads of one worker travel in batches, each a task of dask that only this worker takes. A load is taken back by a claim
on its slots (`claims`) where the worker writes into the arena; where it sends bytes, by not looking at them any more.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from msgspec.structs import replace

from octree_loader.cluster import at_worker
from octree_loader.cluster.batches import TASKS_AHEAD, LoadTimes, next_batch
from octree_loader.cluster.claims import Claims
from octree_loader.cluster.orders import Batch, ClusterLoad, Greeted, decode_outcomes, encode
from octree_loader.liveness import Identity, is_gone
from octree_loader.memory import Segment
from octree_loader.orders import OpenDataset, Outcome
from octree_protocol.slots import BEGUN, SLOT_HEADER_BYTES

#: A reason is cut to so many characters.
REASON_CHARACTERS = 1000


class Task:
    """A batch of loads; `left` are those that have not been taken back meanwhile."""

    __slots__ = ("left", "loads", "runner")

    def __init__(self, loads: list[ClusterLoad]) -> None:
        self.loads = loads
        self.left = {load.order.task for load in loads}
        self.runner: asyncio.Task[None] | None = None


class Member:
    """A worker of the cluster that takes loads. `direct`: it writes into the arena.

    `loads` are all that it has under way, with the tasks that they are in (None: still here, in `queue`); `tasks` stand
    in the order of their begin.
    """

    def __init__(self, number: int, address: str, threads: int, direct: bool, process: Greeted) -> None:
        self.number = number
        self.address = address
        self.threads = threads
        self.direct = direct
        self.process = process
        self.tasks: dict[Task, None] = {}
        self.queue: dict[int, ClusterLoad] = {}
        self.loads: dict[int, tuple[ClusterLoad, Task | None]] = {}
        self.lost = False

    def kill(self, namespace: str) -> None:
        """Kill its process, if that is one of this machine that we can see."""
        identity = Identity(self.process.pid, self.process.started, self.process.boot)
        if self.process.pid_namespace == namespace and not is_gone(identity):
            with contextlib.suppress(OSError):
                os.kill(self.process.pid, signal.SIGKILL)


class Errands:
    """The loads under way.

    Parameters
    ----------
    segment
        The arena's memory, writable.
    house
        What the cluster's workers know the daemon by.
    tell
        Takes the outcomes of loads.
    suspect
        Called when dask has lost a task: a worker, or all of the cluster, may be gone.
    """

    def __init__(
        self, segment: Segment, house: str, tell: Callable[[list[Outcome]], None], suspect: Callable[[], None]
    ) -> None:
        self.datasets: dict[int, OpenDataset] = {}
        self._segment = segment
        self._claims = Claims(segment.path, segment.view)
        self._house = house
        self._tell = tell
        self._suspect = suspect
        self._times = LoadTimes()
        self._numbers = itertools.count()
        self._members: dict[int, Member] = {}
        #: Tasks that dask has lost though their workers seem to be there.
        self._orphans: list[tuple[Member, Task]] = []

    def hand_out(self, client: Any, member: Member, loads: list[ClusterLoad]) -> None:
        """Give loads to a worker; those for which it has no room yet wait here."""
        for load in loads:
            number = load.order.task
            member.queue[number] = load
            member.loads[number] = load, None
            self._members[number] = member
        self._submit(client, member)

    def _submit(self, client: Any, member: Member) -> None:
        def bytes_back(load: ClusterLoad) -> int:
            return 0 if member.direct else sum(self._sizes(load))

        while member.queue and len(member.tasks) < member.threads + TASKS_AHEAD:
            count = next_batch(member.queue.values(), self._times, bytes_back)
            batch = list(itertools.islice(member.queue.values(), count))
            task = Task(batch)
            member.tasks[task] = None
            for load in batch:
                del member.queue[load.order.task]
                member.loads[load.order.task] = load, task
            datasets = {load.order.dataset: self.datasets[load.order.dataset] for load in batch}
            future = client.submit(
                at_worker.load_batch,
                encode(Batch(self._house, member.direct, tuple(datasets.values()), tuple(batch))),
                workers=[member.address],
                allow_other_workers=False,
                pure=False,
                priority=-min(load.rank for load in batch),
                key=f"octree-load-{self._house}-{next(self._numbers)}",
            )
            task.runner = asyncio.create_task(self._carry(client, member, task, future))

    def _sizes(self, load: ClusterLoad) -> list[int]:
        return at_worker.part_bytes(self.datasets[load.order.dataset].dataset, load)

    async def _carry(self, client: Any, member: Member, task: Task, future: Any) -> None:
        """Wait for a task of dask, and pass on what came of it."""
        try:
            said, voxels = await future
            outcomes = list(decode_outcomes(said))
            if voxels is not None:
                outcomes = self._fill(task, outcomes, np.asarray(voxels))
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            if member.lost:
                return
            if task.left:
                self._orphans.append((member, task))
                self._suspect()
                return
            outcomes = []
        except Exception as error:  # of dask, or of what the worker has installed
            reason = f"the dask worker {member.address} failed: {text_of(error)}"[:REASON_CHARACTERS]
            outcomes = [Outcome(number, (), 0, 0, 0, 0, reason, True) for number in task.left]
        finally:
            future.release()
            member.tasks.pop(task, None)
        if member.lost:
            return
        told = [outcome for outcome in outcomes if outcome.task in task.left]
        for outcome in told:
            order = member.loads[outcome.task][0].order
            if outcome.wall_ns:
                self._times.observe(order.dataset, order.level, outcome.wall_ns * 1e-9)
        self._drop(list(task.left))
        self._tell(told)
        self._submit(client, member)

    def _fill(self, task: Task, outcomes: list[Outcome], voxels: np.ndarray[Any, Any]) -> list[Outcome]:
        """Put the bytes of chunks into their slots, but for those whose slots are not theirs any more."""
        at = 0
        for load, outcome in zip(task.loads, outcomes, strict=True):
            if outcome.error or outcome.unfinished:
                continue
            for slot, size, present in zip(load.order.slots, self._sizes(load), outcome.present, strict=True):
                if not present:
                    continue
                if outcome.task in task.left:
                    begin = slot + SLOT_HEADER_BYTES
                    self._segment.view[begin : begin + size] = voxels[at : at + size].data
                at += size
        if at != voxels.nbytes:
            raise ValueError(f"it sent {voxels.nbytes} bytes where {at} were asked for")
        now = time.monotonic_ns()
        return [replace(outcome, filled_ns=now) for outcome in outcomes]

    def _drop(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            member = self._members.pop(number)
            _, task = member.loads.pop(number)
            if task is None:
                del member.queue[number]
            else:
                task.left.discard(number)

    # --- taking back -------------------------------------------------------------------------------------------------

    def forget(self, numbers: tuple[int, ...]) -> None:
        """Take back what has not begun; a task of which nothing is left is cancelled."""
        gone = []
        for number in numbers:
            member = self._members.get(number)
            if member is None or member.lost:
                continue
            load, task = member.loads[number]
            if task is not None and member.direct and not self._claims.forget(load.order.slots[0]):
                continue
            self._drop([number])
            gone.append(at_worker.forgotten(number))
            if task is not None and not task.left and task.runner is not None:
                task.runner.cancel()
        self._tell(gone)

    def adopt_orphans(self) -> None:
        """Give the loads of tasks that dask has lost back to the daemon, where nobody carries them out."""
        orphans, self._orphans = self._orphans, []
        for member, task in orphans:
            if member.lost:
                continue
            back = [n for n in task.left if not member.direct or self._take_back(member, n) is not None]
            self._drop(back)
            self._tell([at_worker.forgotten(number) for number in back])
            if task.left:
                self._orphans.append((member, task))

    def _take_back(self, member: Member, number: int) -> int | None:
        return self._claims.take_back(member.loads[number][0].order.slots[0])

    def lose(self, member: Member, blame: bool) -> set[int]:
        """A worker is lost, dead or not. `blame`: so are no others.

        Returns
        -------
        The loads that it was carrying out, where that cannot be seen in their slots: those of its first tasks.
        """
        member.lost = True
        heads = list(itertools.islice(member.tasks, member.threads))
        for task in member.tasks:
            if task.runner is not None:
                task.runner.cancel()
        return {number for task in heads for number in task.left} if blame and not member.direct else set()

    def bury(self, member: Member, over: set[int]) -> bool:
        """Take the loads of a lost worker back, but for those that somebody is writing; returns whether that is all.

        Loads that it died over come to `over`; the others are told to be forgotten.
        """
        for number in list(member.loads):
            if member.direct:
                progress = self._take_back(member, number)
                if progress is None:
                    continue
                if progress == BEGUN:
                    over.add(number)
            self._drop([number])
            if number not in over:
                self._tell([at_worker.forgotten(number)])
        return not member.loads


def text_of(error: BaseException) -> str:
    """What is wrong, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".rstrip(": ").split())
