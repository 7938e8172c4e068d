"""Puts a daemon together from a configuration, and takes it apart again."""

from __future__ import annotations

import logging
import os
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from octree_loader.catalog import Catalog
from octree_loader.config.models import Config
from octree_loader.config.resolved import resolve_cluster, resolve_pools
from octree_loader.dead_segments import remove_dead_segments
from octree_loader.describing import look_apart, look_here
from octree_loader.fork_server import fork_context
from octree_loader.free_memory import arena_bytes, shared_directory
from octree_loader.instance import InstanceLock, default_address
from octree_loader.level_cache import CacheRoot
from octree_loader.load_log import LoadLog
from octree_loader.loop import Loop
from octree_loader.memory import Segment
from octree_loader.monitoring.notify import Notifier
from octree_loader.scheduling.actions import PoolSpec
from octree_loader.scheduling.arena import Arena
from octree_loader.scheduling.scheduler import Scheduler
from octree_loader.server import Server
from octree_loader.sources.base import SourceSpec
from octree_loader.sources.foreseen import foreseen_imports
from octree_loader.transport.announcement import Announcement
from octree_loader.transport.keys import CLIENTS_FOLDER, SERVER_FILE, AllowedClients, read_secret_key
from octree_loader.transport.peers import Door, Guard
from octree_protocol.addresses import parse_address
from octree_protocol.messages import ViewerSettings

if TYPE_CHECKING:
    from octree_loader.monitoring.attendant import Attendant

log = logging.getLogger("octree.daemon")

#: Files that a process may have open, where the machine allows so many: a client is some descriptors, and a source of
#: many files holds many. What a shell gives, often 1024, is for programs that call select().
_OPEN_FILES = 65536


def run(
    config: Config, *, lifeline: int | None = None, on_ready: Callable[[Server, str], None] = lambda _, __: None
) -> str:
    """Serve until SIGTERM, SIGINT, or the end of the lifeline; returns why it ended.

    Parameters
    ----------
    config
        Of a daemon.
    lifeline
        A descriptor; the daemon ends when the other end is closed. So no daemon outlives the viewer that started it,
        however that viewer ended.
    on_ready
        Called when clients can connect, with the URL of the health endpoint ("" if there is none).

    Raises
    ------
    OctreeError
        `AlreadyRunning`, `NoSharedMemory`, `AddressInUse`, `HealthUnavailable`, each with its cure.
    """
    _allow_open_files()
    addresses = tuple(config.serve.bind) or (default_address(config.serve.name),)
    doors, guard = _doors(config, addresses)
    locks: list[InstanceLock] = []
    segment: Segment | None = None
    loop = Loop()
    load_log: LoadLog | None = None
    cache = CacheRoot(config.memory.cache_directory, config.memory.cache_bytes)
    server: Server | None = None
    announcement: Announcement | None = None
    attendant: Attendant | None = None
    reason = ""
    try:
        for address in addresses:
            if address.startswith("ipc://"):
                locks.append(InstanceLock(address))
                locks[-1].acquire()
        attendant = _make_attendant(config)
        directory = shared_directory(config.memory.directory)
        for dead in remove_dead_segments(directory):
            log.warning("removed %s, left behind by a daemon that died", dead)
        log_path = config.loader_defaults.log_path
        load_log = LoadLog(Path(log_path) if log_path else None)
        nbytes = arena_bytes(config.memory.arena_bytes, directory)
        segment = Segment.create(directory, nbytes, config.serve.name)
        if attendant is not None:
            attendant.reached("arena")
        pools = resolve_pools(config)
        scheduler = Scheduler(
            Arena(segment.nbytes),
            [
                PoolSpec(
                    pool.relative_level,
                    pool.num_workers,
                    pool.delay_queue_ms * 1e-3,
                    pool.auto_sync_ms,
                    pool.backend == "synchronous",
                )
                for pool in pools
            ],
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            load_timeout=config.loader_defaults.load_timeout_ms * 1e-3,
        )
        specs = tuple(SourceSpec(name, d.source, d.options) for name, d in config.datasets.items())
        look = look_here
        if any(pool.backend in ("processes", "dask") for pool in pools):
            fork_context(module for spec in specs for module in foreseen_imports(spec.location))
            look = look_apart
        server = Server(
            doors,
            scheduler,
            Catalog(specs, config.octree.tile_size, loop.call, cache, config.serve.root, look),
            segment,
            loop,
            tuple(pool.backend for pool in pools),
            ViewerSettings(
                tile_size=config.octree.tile_size,
                octree_enabled=config.octree.enabled,
                force_synchronous=config.loader_defaults.force_synchronous,
                auto_sync_ms=config.loader_defaults.auto_sync_ms,
                octree_log_path=str(config.octree.log_path) if config.octree.log_path else None,
            ),
            load_log,
            guard,
            config.serve.compression,
            cluster=resolve_cluster(config),
        )
        _obey_signals(loop, server)
        if lifeline is not None:
            _watch_lifeline(lifeline, loop, server)
        url = ""
        if attendant is not None:
            url = attendant.url
            _be_attended(attendant, loop, server, tuple(config.datasets))
        if config.serve.announce:
            announcement = Announcement(config.serve.name, server.addresses, guard.key.public if guard else "")
        ready = server
        cache.trim_later()
        reason = server.run(lambda: on_ready(ready, url))
        return reason
    finally:
        if announcement is not None:
            announcement.close()
        if attendant is not None:
            attendant.close(reason)
        if server is not None:
            server.close()
            for address in server.addresses:
                if address.startswith("ipc://"):  # ZeroMQ leaves it; while we hold its lock it is nobody else's
                    Path(address.removeprefix("ipc://")).unlink(missing_ok=True)
        if segment is not None:
            segment.close()
            segment.unlink()
        if load_log is not None:
            load_log.close()
        cache.close()
        loop.close()
        for lock in locks:
            lock.release()


def _allow_open_files() -> None:
    """Raise this process's limit of open files as far as it may; those that it starts inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wished = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wished:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wished, hard))
    except (OSError, ValueError) as error:  # macOS has a second limit, which nobody tells
        log.info("at most %d files can be open: %s", soft, error)


def _doors(config: Config, addresses: tuple[str, ...]) -> tuple[tuple[Door, ...], Guard | None]:
    """Where to listen, and who is let in where keys are asked for."""
    serve = config.serve
    doors = []
    for url in addresses:
        address = parse_address(url, binding=True)
        exposed = address.scheme == "tcp" and not address.loopback
        if exposed and serve.insecure:
            log.warning("serve.insecure: whoever reaches %s can read every dataset; nobody is asked for a key", url)
        guarded = (exposed and not serve.insecure) or (address.scheme == "tcp" and serve.keys_on_loopback)
        doors.append(Door(url, guarded))
    if not any(door.guarded for door in doors):
        return tuple(doors), None
    allowed = AllowedClients(Path(serve.keys) / CLIENTS_FOLDER, serve.clients)
    if not len(allowed):
        log.warning("nobody is let in yet: make a key with `octree-serve keys --client NAME --folder %s`", serve.keys)
    return tuple(doors), Guard(read_secret_key(Path(serve.keys) / SERVER_FILE), allowed)


def _make_attendant(config: Config) -> Attendant | None:
    """Who answers probes and tells systemd, if there is anybody to tell."""
    notifier = Notifier.from_environment()
    if config.serve.health is None and notifier is None:
        return None
    from octree_loader.monitoring.attendant import Attendant

    listen = None
    if config.serve.health is not None:
        address = parse_address(f"tcp://{config.serve.health}", binding=True)
        listen = (address.host, address.port, address.loopback)
        if not address.loopback:
            log.warning("serve.health_exposed: %s tells every machine that reaches it how we are", config.serve.health)
    attendant = Attendant(listen, notifier)
    attendant.start()
    return attendant


def _be_attended(attendant: Attendant, loop: Loop, server: Server, datasets: tuple[str, ...]) -> None:
    attendant.reached("sockets")
    loop.call(lambda: server.catalog.open_ahead(datasets))
    attendant.attend(loop.call, lambda: server.health.observe(datasets), server.catalog.open_ahead)


def _obey_signals(loop: Loop, server: Server) -> None:
    def stop(number: int, frame: object) -> None:  # noqa: ARG001
        name = signal.Signals(number).name
        loop.call(lambda: server.stop(name))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _watch_lifeline(lifeline: int, loop: Loop, server: Server) -> None:
    def wait() -> None:
        try:
            while os.read(lifeline, 4096):
                pass
        except OSError:
            pass
        loop.call(lambda: server.stop("the viewer that started it has ended"))

    threading.Thread(target=wait, name="octree-lifeline", daemon=True).start()
