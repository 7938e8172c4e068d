"""Daemons for clients on other machines, as tests start them: with keys, at TCP addresses of this machine."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.system.daemons import Daemon, merged

from octree_client.session import Session
from octree_client.transport.connection import Connection
from octree_client.transport.wire import CurveKeys
from octree_loader.transport import keys as loader_keys
from octree_protocol.curve_keys import parse_key


class Lab(NamedTuple):
    """A daemon at a socket and at a TCP address, and the folder of its keys."""

    daemon: Daemon
    tcp: str
    keys: Path

    def server_key(self) -> str:
        return parse_key((self.keys / "server.pub").read_text()).public

    def keys_of(self, name: str) -> CurveKeys:
        key = parse_key((self.keys / f"{name}.key").read_text())
        return CurveKeys(self.server_key(), key.public, key.secret)


def start_lab(
    start: Callable[..., Daemon], folder: Path, config: dict[str, Any], *, guarded: bool, name: str = "d"
) -> Lab:
    """Start one; ``guarded``: its TCP address asks for keys, and lets alice and bob in."""
    keys = folder / f"{name}-keys"
    with contextlib.redirect_stdout(io.StringIO()):
        assert loader_keys.main(["--folder", str(keys), "--client", "alice", "--client", "bob"]) == 0
    socket = f"ipc://{folder}/{name}/d.sock"
    serve = {"bind": [socket, "tcp://127.0.0.1:*"], "keys": str(keys), "keys_on_loopback": guarded}
    daemon = start(merged(config, {"serve": serve}), address=[socket, "tcp://127.0.0.1:*"], name=name)
    return Lab(daemon, daemon.status().addresses[1], keys)


def inline_session(address: str, keys: CurveKeys | None = None, **options: Any) -> Session:
    """A session whose chunks travel, though it is on the daemon's machine."""
    connection = Connection(address, keys=keys, share_memory=False, **options)
    try:
        connection.wait_until_open(10)
    except BaseException:
        connection.close()
        raise
    return Session(connection)
