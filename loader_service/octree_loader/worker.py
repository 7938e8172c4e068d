"""One worker: takes loads, reads, and writes into the slots that it was given. Knows nothing of who wants what.

The same loop runs in a process of its own, in a thread of the daemon, and (without the loop) in the daemon's own
thread when the configuration says ``force_synchronous``.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from octree_loader.giving_way import give_way
from octree_loader.memory import Segment
from octree_loader.orders import (
    PACKET_BYTES,
    LoadOrder,
    OpenDataset,
    Outcome,
    decode_order,
    encode_outcomes,
)
from octree_loader.scheduling.profile import WAITING_DEPTH
from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, ReadChunk, Source, SourceError, SourceSpec
from octree_loader.sources.derived import Unfinished, derive_source
from octree_loader.sources.locations import shown_location
from octree_protocol.geometry import Dataset
from octree_protocol.slots import BEGUN, DONE, SLOT_HEADER_BYTES, write_progress

#: Outcomes are told at the latest so long after the first of a batch. Telling each by itself would wake the daemon
#: for every one, and cost more than a load.
_TELL_AFTER_NS = 2_000_000

#: Datasets that a worker keeps open: some hold a descriptor and a mapping for each of their files, and a process has a
#: thousand descriptors. Opening one anew takes milliseconds.
_OPEN_MOST = 64

#: A reason is cut to so many characters; it travels to every client that wants the chunk.
_REASON_CHARACTERS = 1000

#: Workers give way to the daemon and to the viewer, which must answer within milliseconds.
WORKERS_NICE = 5


class _Stopwatch:
    """Tells for loads of one thread how long they took, computed, and were blocked; in nanoseconds.

    What a thread neither computes nor waits for a processor, it waits for its store. Linux counts both; asking costs as
    much as a tenth of a fast load, so only after a slow one: of the others all counts as computed. Threads that load
    side by side wait for each other's Python too, at most for what each of them computes: that is taken off.
    """

    #: From here on a load is slow.
    _SLOW_NS = 5_000_000

    def __init__(self) -> None:
        self._was_slow = False
        self._began = self._cpu = self._queued = 0
        try:
            self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._schedstat = -1

    def start(self) -> None:
        """Begin, or begin anew."""
        if self._was_slow:
            self._queued = self._waited_for_processor()
            self._cpu = time.thread_time_ns()
        self._began = time.monotonic_ns()

    def stop(self, now: int, together: int) -> tuple[int, int, int]:
        """(wall, cpu, blocked) at `now`, with so many loads side by side in this process."""
        wall = now - self._began
        was_slow, self._was_slow = self._was_slow, wall > self._SLOW_NS
        if not was_slow:
            return wall, wall, 0
        cpu = time.thread_time_ns() - self._cpu
        queued = self._waited_for_processor() - self._queued
        return wall, cpu, max(0, wall - cpu - queued - (together - 1) * cpu)

    def _waited_for_processor(self) -> int:
        if self._schedstat < 0:
            return 0
        return int(os.pread(self._schedstat, 96, 0).split()[1])

    def __del__(self) -> None:
        if self._schedstat >= 0:
            os.close(self._schedstat)


class _Stopwatches(threading.local):
    """Each thread's own."""

    def __init__(self) -> None:
        self.mine = _Stopwatch()


class _OpenLevel:
    """One level of an opened dataset: where the voxels of its chunks go, and how they come there."""

    __slots__ = ("_dtype", "_last", "_level", "_number", "_read_chunk", "_shape", "_source")

    def __init__(self, source: Source, dataset: Dataset, number: int) -> None:
        self._source = source
        self._number = number
        self._level = level = dataset.levels[number]
        self._dtype = np.dtype(dataset.dtype)
        self._shape = level.chunk_shape
        self._last = tuple([n - 1 for n in level.grid()])
        reader_of = getattr(source, "chunk_reader", None)
        self._read_chunk: ReadChunk | None = None if reader_of is None else reader_of(number, level.chunk_shape)

    def load(
        self, indices: Sequence[tuple[int, ...]], slots: Sequence[int], memory: memoryview | mmap.mmap
    ) -> tuple[bool, ...]:
        """Fill the slots in `memory` with the chunks at these indices; see `base.Source.read`."""
        if len(indices) == 1 and self._read_chunk is not None and self._is_whole(indices[0]):
            return (self._read_chunk(indices[0], self._slot(self._shape, slots[0], memory)),)
        pieces = []
        for index, slot in zip(indices, slots, strict=True):
            box = self._level.chunk_extent(index)
            pieces.append(Piece(box, self._slot(tuple([high - low for low, high in box]), slot, memory)))
        return tuple(self._source.read(self._number, pieces))

    def _slot(self, shape: tuple[int, ...], slot: int, memory: memoryview | mmap.mmap) -> np.ndarray[Any, Any]:
        # np.ndarray rather than frombuffer: a third of the time, and this mapping outlives every load.
        return np.ndarray(shape, self._dtype, memory, slot + SLOT_HEADER_BYTES)

    def _is_whole(self, index: tuple[int, ...]) -> bool:
        """Whether the image's edge cuts nothing off a chunk; it is not asked of those beside the edge."""
        for i, last in zip(index, self._last, strict=True):  # noqa: SIM110 - a generator costs three times as much
            if i >= last:
                return False
        return True


class Loader:
    """Opens datasets and carries out loads. Safe to use from several threads."""

    def __init__(self, memory: memoryview | mmap.mmap) -> None:
        self._memory = memory
        self._levels: dict[tuple[int, int], _OpenLevel] = {}
        self._sources: dict[int, Source] = {}
        self._specs: dict[int, OpenDataset] = {}
        self._opening = threading.Lock()
        self._stopwatches = _Stopwatches()
        self._running: dict[int, None] = {}

    def add(self, order: OpenDataset) -> None:
        """Remember how a dataset is opened; the first load opens it."""
        self._specs[order.dataset.id] = order

    def makes(self, order: LoadOrder) -> bool:
        """Whether a load makes a chunk that is not stored."""
        making = self._specs[order.dataset].making if order.dataset in self._specs else None
        return making is not None and order.level >= making.stored

    def load(self, order: LoadOrder, into: memoryview | None = None) -> Outcome:
        """Carry out one load, into the arena or other memory. Never raises: what goes wrong is the outcome."""
        task, slots = order.task, order.slots
        watch, running = self._stopwatches.mine, self._running
        memory = self._memory if into is None else into
        running[task] = None
        write_progress(memory, slots[0], BEGUN)
        watch.start()
        present: tuple[bool, ...] = ()
        error, transient, unfinished = "", False, False
        try:
            level = self._levels.get((order.dataset, order.level))
            if level is None:
                level = self._open(order.dataset, order.level)
                # Opening is not loading: it happens once, and would make a fast dataset look slow for a while.
                watch.start()
            present = level.load(order.indices, slots, memory)
        except Unfinished:
            unfinished = True
        except SourceError as caught:
            error, transient = str(caught), caught.transient
        except Exception as caught:  # a source is other people's code; whatever it does, it costs this load only
            error = f"{type(caught).__name__}: {caught}"
        write_progress(memory, slots[0], DONE)
        now = time.monotonic_ns()
        wall, cpu, blocked = watch.stop(now, len(running))
        del running[task]
        if error:
            error = error[:_REASON_CHARACTERS]
        return Outcome(task, present, wall, cpu, blocked, now, error, transient, unfinished)

    def _open(self, dataset: int, level: int) -> _OpenLevel:
        with self._opening:
            order = self._specs[dataset]
            source = self._sources.get(dataset)
            if source is None:
                source = open_source(SourceSpec(order.dataset.name, order.location, json.loads(order.options)))
                if source.dtype.newbyteorder("=") != np.dtype(order.dataset.dtype).newbyteorder("="):
                    where = shown_location(order.location)
                    raise SourceError(f"{where} has changed its dtype to {source.dtype}; restart the daemon")
                source = self._sources[dataset] = derive_source(source, order.dataset, order.making)
                self._let_go_of_oldest()
            opened = self._levels[dataset, level] = _OpenLevel(source, order.dataset, level)
            return opened

    def _let_go_of_oldest(self) -> None:
        """Sources hold descriptors and mappings. What is being read of one that goes is still read to its end."""
        while len(self._sources) > _OPEN_MOST:
            oldest = next(iter(self._sources))
            del self._sources[oldest]
            for key in [key for key in self._levels if key[0] == oldest]:
                del self._levels[key]


def serve(channel: socket.socket, loader: Loader) -> None:
    """Take orders from `channel` until it is closed."""
    outcomes: list[Outcome] = []
    telling = threading.Lock()
    threads: ThreadPoolExecutor | None = None

    def tell(batch: list[Outcome]) -> None:
        # An error text of every load of a large batch would not fit into one packet.
        for first in range(0, len(batch), 64):
            channel.send(encode_outcomes(batch[first : first + 64]))

    def load_and_tell(order: LoadOrder) -> None:
        outcome = loader.load(order)
        with telling, contextlib.suppress(OSError):  # the daemon is gone; so are we, soon
            tell([outcome])

    oldest = 0
    while True:
        try:
            packet = channel.recv(PACKET_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            if outcomes:
                with telling:
                    tell(outcomes)
                outcomes = []
            packet = channel.recv(PACKET_BYTES)
        if not packet:
            break
        order = decode_order(packet)
        if isinstance(order, OpenDataset):
            loader.add(order)
            continue
        for load in order.loads:
            if load.concurrent:
                if threads is None:
                    threads = ThreadPoolExecutor(WAITING_DEPTH, thread_name_prefix="octree-read")
                threads.submit(load_and_tell, load)
                continue
            if outcomes and loader.makes(load):  # that may take long: what is done already does not wait for it
                with telling:
                    tell(outcomes)
                outcomes = []
            outcome = loader.load(load)
            if not outcomes:
                oldest = outcome.filled_ns - outcome.wall_ns  # a slow one does not wait for the next
            outcomes.append(outcome)
            if outcome.filled_ns - oldest > _TELL_AFTER_NS:
                with telling:
                    tell(outcomes)
                outcomes = []
    if threads is not None:
        threads.shutdown(wait=False, cancel_futures=True)


def run_process(channel: socket.socket, arena_path: str) -> None:
    """Entry point of a worker process. Ends when the daemon closes `channel`, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon ends us in good order
    give_way(WORKERS_NICE)
    segment = Segment.attach(arena_path, writable=True)
    try:
        serve(channel, Loader(segment.view))
    except OSError:
        pass  # the daemon is gone
    # Without waiting for reads that hang: nobody is interested any more.
    os._exit(0)
