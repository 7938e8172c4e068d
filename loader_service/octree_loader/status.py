"""``octree-serve status``: asks a running daemon what it is doing, and shows it as a table or as JSON."""

from __future__ import annotations

import argparse
import os
import time

import msgspec
import zmq
from rich.console import Console
from rich.table import Table

from octree_protocol import PROTOCOL_VERSION, codec, limits
from octree_protocol.errors import OctreeError
from octree_protocol.messages import AskStatus, Bye, ClientMessage, DaemonMessage, Hello, Refused, Status, Welcome


def main(arguments: list[str]) -> int:
    """The command; returns its exit status."""
    from octree_loader.instance import default_address

    parser = argparse.ArgumentParser(
        prog="octree-serve status",
        description="Show what a running daemon is doing: pools, queues, arena, clients, rates.",
    )
    parser.add_argument("--connect", metavar="URL", help="of the daemon; this user's default one if left out")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    options = parser.parse_args(arguments)
    status = ask_status(options.connect or default_address("default"))
    if options.json:
        print(to_json(status))
    else:
        console = Console()
        # Into a file or a pipe, lines may be as long as they are.
        show(status, console if console.is_terminal else Console(width=200))
    return 0


class NoDaemon(OctreeError):
    """Nobody answers at that address."""

    exit_code = 69


def ask_status(address: str, timeout: float = 3.0) -> Status:
    """What the daemon at `address` is doing. Raises `NoDaemon` if nobody answers within `timeout` seconds."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        socket.setsockopt(zmq.LINGER, 200)
        socket.setsockopt(zmq.MAXMSGSIZE, limits.FRAME_BYTES)
        socket.connect(address)
        _say(socket, Hello(PROTOCOL_VERSION, "octree-serve status", os.getpid()))
        until = time.monotonic() + timeout
        _expect(socket, Welcome, address, until)
        _say(socket, AskStatus())
        status = _expect(socket, Status, address, until)
        assert isinstance(status, Status)
        _say(socket, Bye())
        return status
    finally:
        socket.close()
        context.term()


def _say(socket: zmq.Socket[bytes], message: ClientMessage) -> None:
    socket.send(codec.encode(message))


def _expect(socket: zmq.Socket[bytes], kind: type, address: str, until: float) -> DaemonMessage:
    while socket.poll(max(0, int((until - time.monotonic()) * 1e3))):
        message = codec.decode_from_daemon(socket.recv())
        if isinstance(message, kind):
            return message
        if isinstance(message, Refused):
            raise OctreeError(f"the daemon at {address} refuses: {message.reason}")
    raise NoDaemon(f"no daemon answers at {address}; start one with octree-serve, or name another with --connect")


def to_json(status: Status) -> str:
    """The status as JSON, with the same names as in the protocol."""
    return msgspec.json.format(msgspec.json.encode(status), indent=2).decode()


def show(status: Status, console: Console) -> None:
    """Print the status as tables."""
    arena = status.arena
    console.print(
        f"[bold]octree-serve {status.version}[/]  pid {status.pid}, up {status.uptime_seconds:,.0f} s, "
        f"listening on {', '.join(status.addresses)}"
    )
    share = 100 / max(arena.nbytes, 1)
    console.print(
        f"arena {_size(arena.nbytes)}: wanted {_size(arena.wanted)} ({arena.wanted * share:.0f} %), "
        f"recent {_size(arena.recent)}, free {_size(arena.free)}, {arena.evictions:,} evictions; "
        f"requests: {status.requests_started:,} begun, {status.requests_forgotten:,} forgotten before they began"
    )
    if status.cluster is not None:
        cluster = status.cluster
        console.print(
            f"dask cluster {cluster.state}: {cluster.workers:,} workers with {cluster.threads:,} threads, of which "
            f"{cluster.direct:,} write into the arena"
            + ("; loading with processes of our own meanwhile" if cluster.fallback else "")
            + (f"; {cluster.problem}" if cluster.problem else "")
        )
    pools = _table(
        "pools", "relative level", "backend", "workers", "delayed", "queued", "loading", "loaded", "failed", "deaths"
    )
    for pool in status.pools:
        pools.add_row(
            f"{pool.relative_level:+d} ..",
            pool.backend,
            f"{pool.workers} of {pool.workers_most}",
            *(f"{n:,}" for n in (pool.delayed, pool.queued, pool.loading, pool.loaded, pool.failed, pool.deaths)),
        )
    console.print(pools)
    datasets = _table(
        "datasets", "name", "state", "load", "chunks", "bytes", "missing", "failed", "chunks/s", "bytes/s", "source"
    )
    for d in status.datasets:
        datasets.add_row(
            d.name,
            d.state,
            f"{d.load_ms:.2f} ms" if d.chunks else "-",
            f"{d.chunks:,}",
            _size(d.nbytes),
            f"{d.missing:,}",
            f"{d.failed:,}",
            f"{d.chunks_per_second:,.0f}",
            _size(d.bytes_per_second),
            d.source,
        )
    console.print(datasets)
    clients = _table("clients", "name", "pid", "views", "wanted", "announced", "silent for")
    for client in status.clients:
        clients.add_row(
            client.name,
            str(client.pid),
            str(client.views),
            f"{client.wanted:,}",
            f"{client.announced:,}",
            f"{client.silent_seconds:.1f} s",
        )
    console.print(clients)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        left = number == 0 or column in ("backend", "state", "source")
        table.add_column(column, justify="left" if left else "right", overflow="fold", header_style="dim")
    return table


def _size(nbytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if nbytes < 1024 or unit == "GiB":
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    raise AssertionError
