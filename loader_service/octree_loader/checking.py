"""Whether a configuration would serve: its addresses, its memory, and every dataset, opened and read a little.

Serves nothing, and changes nothing. What it found is a `Report`; how that looks on a terminal knows `check`.
"""

from __future__ import annotations

import glob
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import psutil

from octree_loader.catalog import plan_spec
from octree_loader.config.models import Config
from octree_loader.free_memory import NoSharedMemory, free_bytes, shared_directory
from octree_loader.instance import AlreadyRunning, InstanceLock, default_address
from octree_loader.memory import Segment
from octree_loader.monitoring.http_listener import HealthUnavailable, bind
from octree_loader.planning import DatasetPlan
from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec
from octree_loader.sources.locations import shown_location
from octree_protocol.addresses import parse_address
from octree_protocol.errors import OctreeError

#: What the check of a configuration with this trouble ends with, after sysexits.h; of several the first here.
EXIT_MEMORY, EXIT_ADDRESS, EXIT_DATASET = 73, 69, 66

#: Datasets that are looked at together.
_TOGETHER = 8

#: What reads level 0, by the last part of its module's name, in the words of those who made the file.
_FORMATS = {
    "array_like": "array",
    "chunk_files": "Zarr",
    "hdf5_array": "HDF5",
    "joined": "planes",
    "npy_file": "npy",
    "pictures": "picture",
    "remote_chunks": "Zarr",
    "shards": "Zarr, sharded",
    "tensor": "Zarr",
    "tensor_formats": "N5 or precomputed",
    "tiff_pages": "TIFF",
    "zarr_array": "Zarr",
}


@dataclass(frozen=True, slots=True)
class ReadReport:
    """One chunk that was read. `stored`: the store has it, it need not be filled up."""

    level: int
    index: tuple[int, ...]
    milliseconds: float
    stored: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """One dataset. `nbytes` is what level 0 takes in memory; `levels_stored` of `levels` need not be made."""

    name: str
    source: str
    error: str = ""
    format: str = ""
    axes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: str = ""
    kind: str = ""
    nbytes: int = 0
    levels: int = 0
    levels_stored: int = 0
    open_milliseconds: float = 0.0
    reads: tuple[ReadReport, ...] = ()

    @property
    def good(self) -> bool:
        """Whether it opened and could be read."""
        return not self.error and not any(read.error for read in self.reads)


@dataclass(frozen=True, slots=True)
class AddressReport:
    """One address. `state` is "free", "ours" (an octree-serve has it: it is in use, as it should be) or "taken"."""

    address: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """The arena's room. `returned` is what a running daemon of this name gives back when it ends."""

    directory: str
    asked: int
    free: int
    returned: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found."""

    memory: MemoryReport
    addresses: tuple[AddressReport, ...]
    datasets: tuple[DatasetReport, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        """0 if the configuration would serve."""
        if self.memory.error:
            return EXIT_MEMORY
        if any(address.state == "taken" for address in self.addresses):
            return EXIT_ADDRESS
        return 0 if all(dataset.good for dataset in self.datasets) else EXIT_DATASET


def check_config(config: Config, patience: float = 60.0) -> Report:
    """Look over a configuration; a dataset may take so many seconds."""
    addresses = tuple(_check_addresses(config))
    return Report(_check_memory(config, addresses), addresses, tuple(_check_datasets(config, patience)))


# --- addresses -------------------------------------------------------------------------------------------------------


def _check_addresses(config: Config) -> Iterator[AddressReport]:
    addresses = config.serve.bind
    try:
        addresses = addresses or (default_address(config.serve.name),)
    except OctreeError as error:
        yield AddressReport(f"(of the daemon {config.serve.name!r})", "taken", str(error))
    for address in addresses:
        yield _check_ipc(address) if address.startswith("ipc://") else _check_tcp(address)
    if config.serve.health is not None:
        yield _check_tcp(f"tcp://{config.serve.health}")


def _check_ipc(address: str) -> AddressReport:
    try:
        with InstanceLock(address):
            return AddressReport(address, "free")
    except AlreadyRunning as error:
        return AddressReport(address, "ours", f"process {error.pid} serves there")
    except OctreeError as error:
        return AddressReport(address, "taken", str(error))


def _check_tcp(url: str) -> AddressReport:
    address = parse_address(url, binding=True)
    try:
        found = socket.getaddrinfo(address.host if address.host != "*" else None, address.port, type=socket.SOCK_STREAM)
        bind(str(found[0][4][0]) if address.host != "*" else "*", address.port).close()
    except OSError as error:
        return AddressReport(url, "taken", f"{address.host} is no address of this machine: {error.strerror or error}")
    except HealthUnavailable as error:
        process = _listener(address.port)
        if process is not None and "octree" in " ".join(process.cmdline()):
            return AddressReport(url, "ours", f"process {process.pid} serves there")
        who = f"process {process.pid} ({process.name()})" if process is not None else ""
        reason = str(error.__context__.strerror if isinstance(error.__context__, OSError) else error)
        return AddressReport(url, "taken", f"{reason}{f', by {who}' if who else ''}; choose another port")
    return AddressReport(url, "free")


def _listener(port: int) -> psutil.Process | None:
    """Who listens on a port of TCP, if we may know."""
    try:
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid:
                return psutil.Process(found.pid)
    except psutil.Error:
        pass
    return None


# --- memory ----------------------------------------------------------------------------------------------------------


def _check_memory(config: Config, addresses: tuple[AddressReport, ...]) -> MemoryReport:
    directory, asked = shared_directory(config.memory.directory), config.memory.arena_bytes
    free = free_bytes(directory)
    returned = 0
    if any(address.state == "ours" for address in addresses):
        pattern = os.path.join(glob.escape(directory), f"octree-serve-{config.serve.name}-*.arena")
        returned = sum(os.stat(path).st_blocks * 512 for path in glob.glob(pattern))
    error = ""
    try:
        if asked > free + returned:
            with Segment.create(directory, asked):  # says so, in its own words
                pass
        # Whether one may make files there that are mapped is best found out by making one.
        with Segment.create(directory, 1 << 16, "check"):
            pass
    except NoSharedMemory as failed:
        error = str(failed)
    return MemoryReport(directory, asked, free, returned, error)


# --- datasets --------------------------------------------------------------------------------------------------------


def _check_datasets(config: Config, patience: float) -> Iterator[DatasetReport]:
    specs = iter(SourceSpec(name, d.source, d.options) for name, d in config.datasets.items())
    while batch := list(islice(specs, _TOGETHER)):
        found: dict[str, DatasetReport] = {}
        # Daemon threads: a store that hangs must not keep the command from ending.
        threads = [
            threading.Thread(target=_check_into, args=(found, spec, config.octree.tile_size), daemon=True)
            for spec in batch
        ]
        until = time.monotonic() + patience
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        for spec in batch:
            late = f"no answer within {patience:g} s: is its server there, its disk mounted?"
            yield found.get(spec.name) or DatasetReport(spec.name, shown_location(spec.location), late)


def _check_into(found: dict[str, DatasetReport], spec: SourceSpec, tile_size: int) -> None:
    found[spec.name] = check_dataset(spec, tile_size)


def check_dataset(spec: SourceSpec, tile_size: int) -> DatasetReport:
    """Open a dataset, and read a chunk from the middle of its coarsest stored level and of level 0. Never raises."""
    where = shown_location(spec.location)
    try:
        began = time.perf_counter()
        plan = plan_spec(0, spec, tile_size)
        took = (time.perf_counter() - began) * 1e3
        source = open_source(spec)
    except OctreeError as error:
        return DatasetReport(spec.name, where, str(error).removeprefix(f"dataset {spec.name!r}: "))
    except Exception as error:  # other people's code
        return DatasetReport(spec.name, where, f"{type(error).__name__}: {error}")
    described = plan.dataset
    stored = plan.making.stored if plan.making is not None else len(plan.levels)
    dtype = np.dtype(described.dtype)
    shape = described.levels[0].shape
    return DatasetReport(
        spec.name,
        where,
        format=_format(source),
        axes=tuple(axis.name for axis in described.axes),
        shape=shape,
        dtype=dtype.name,
        kind=described.kind,
        nbytes=prod(shape) * dtype.itemsize,
        levels=len(plan.levels),
        levels_stored=stored,
        open_milliseconds=took,
        reads=tuple(_read(source, plan, level) for level in sorted({stored - 1, 0}, reverse=True)),
    )


def _read(source: Source, plan: DatasetPlan, level: int) -> ReadReport:
    cut = plan.dataset.levels[level]
    index = tuple(count // 2 for count in cut.grid())
    box = cut.chunk_extent(index)
    out: np.ndarray[Any, Any] = np.empty([high - low for low, high in box], plan.dataset.dtype)
    began = time.perf_counter()
    stored, error = [False], ""
    try:
        stored = source.read(level, [Piece(box, out)])
    except SourceError as failed:
        error = str(failed)
    except Exception as failed:  # other people's code
        error = f"{type(failed).__name__}: {failed}"
    return ReadReport(level, index, (time.perf_counter() - began) * 1e3, stored[0], error)


def _format(source: Source) -> str:
    """In a word. Looks at what reads level 0, inside of what only delays it or turns its axes."""
    inner: Any = source
    while hasattr(inner, "_source"):
        inner = inner._source
    reader = inner.arrays[0] if hasattr(inner, "arrays") else inner
    while type(reader).__name__ == "TurnedArray":
        reader = reader._array
    reader = getattr(reader, "_fetch", reader)  # of a `DirectArray`, which reads what several formats have in common
    module = reader.__module__ if callable(reader) else type(reader).__module__
    return _FORMATS.get(module.rpartition(".")[2], type(reader).__name__)
