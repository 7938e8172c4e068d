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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from octree_loader.memory import Segment
from octree_loader.orders import (
    PACKET_BYTES,
    LoadOrder,
    LoadOrders,
    OpenDataset,
    Outcome,
    decode_order,
    encode_outcomes,
)
from octree_loader.profile import WAITING_DEPTH
from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec
from octree_protocol.geometry import Dataset
from octree_protocol.slots import SLOT_HEADER_BYTES

#: Outcomes are told at the latest so long after the first of a batch. Telling each by itself would wake the daemon
#: for every one, and cost more than a load.
_TELL_AFTER_NS = 200_000

#: A reason is cut to so many characters; it travels to every client that wants the chunk.
_REASON_CHARACTERS = 1000

#: Workers give way to the daemon and to the viewer, which must answer within milliseconds.
_NICE = 5


class Loader:
    """Opens datasets and carries out loads. Safe to use from several threads."""

    def __init__(self, memory: memoryview | mmap.mmap) -> None:
        self._memory = memory
        self._sources: dict[int, tuple[Source, Dataset, np.dtype[Any]]] = {}
        self._specs: dict[int, OpenDataset] = {}
        self._opening = threading.Lock()

    def add(self, order: OpenDataset) -> None:
        """Remember how a dataset is opened; the first load opens it."""
        self._specs[order.dataset.id] = order

    def load(self, order: LoadOrder) -> Outcome:
        """Carry out one load. Never raises: what goes wrong is the outcome."""
        began, cpu = time.perf_counter_ns(), time.thread_time_ns()
        error, transient = "", False
        present: list[bool] = []
        try:
            known = self._sources.get(order.dataset)
            if known is None:
                known = self._open(order.dataset)
                # Opening is not loading: it happens once, and would make a fast dataset look slow for a while.
                began, cpu = time.perf_counter_ns(), time.thread_time_ns()
            source, dataset, dtype = known
            level = dataset.levels[order.level]
            pieces = []
            for index, slot in zip(order.indices, order.slots, strict=True):
                box = level.chunk_extent(index)
                shape = tuple([high - low for low, high in box])
                # np.ndarray rather than frombuffer: a third of the time, and this mapping outlives every load.
                out: np.ndarray[Any, Any] = np.ndarray(shape, dtype, self._memory, slot + SLOT_HEADER_BYTES)
                pieces.append(Piece(box, out))
            present = source.read(order.level, pieces)
        except SourceError as caught:
            error, transient = str(caught), caught.transient
        except Exception as caught:  # a source is other people's code; whatever it does, it costs this load only
            error = f"{type(caught).__name__}: {caught}"
        done = time.perf_counter_ns()
        return Outcome(
            order.task,
            tuple(present),
            done - began,
            time.thread_time_ns() - cpu,
            time.monotonic_ns(),
            error[:_REASON_CHARACTERS],
            transient,
        )

    def _open(self, dataset: int) -> tuple[Source, Dataset, np.dtype[Any]]:
        with self._opening:
            known = self._sources.get(dataset)
            if known is None:
                order = self._specs[dataset]
                source = open_source(SourceSpec(order.dataset.name, order.location, json.loads(order.options)))
                if source.dtype.newbyteorder("=") != np.dtype(order.dataset.dtype).newbyteorder("="):
                    raise SourceError(f"{order.location} has changed its dtype to {source.dtype}; restart the daemon")
                known = self._sources[dataset] = (source, order.dataset, np.dtype(order.dataset.dtype))
            return known


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
            outcome = loader.load(load)
            if not outcomes:
                oldest = outcome.filled_ns
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
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    segment = Segment.attach(arena_path, writable=True)
    try:
        serve(channel, Loader(segment.view))
    except OSError:
        pass  # the daemon is gone
    # Without waiting for reads that hang: nobody is interested any more.
    os._exit(0)


__all__ = ["LoadOrders", "Loader", "run_process", "serve"]
