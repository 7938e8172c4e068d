"""What the local network says of daemons, by zeroconf. Never trusted: it finds addresses, and a key to ask about."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from octree_client.transport.trust import KnownServers, NotTrusted, place_of
from octree_protocol.addresses import SERVICE_TYPE, runtime_folder
from octree_protocol.curve_keys import KeyTextError, check_public_key, fingerprint, key_folder

#: How long the network is listened to. Seconds.
PATIENCE = 2.0

#: Answers that are listened to: anybody may give any number of them.
_MOST = 256


class FoundDaemon(NamedTuple):
    """A daemon that somebody says is there. `key` is "" where it says that it asks for none."""

    name: str
    addresses: tuple[str, ...]
    key: str


def find_daemons(seconds: float = PATIENCE, interfaces: Sequence[str] | None = None) -> list[FoundDaemon]:
    """Listen to the network for a while.

    Parameters
    ----------
    interfaces
        IP addresses of the interfaces to listen on; all if left out.

    Returns
    -------
    list
        In the order of their names. Empty also where the network cannot be listened to.
    """
    from zeroconf import ServiceBrowser, ServiceListener, Zeroconf

    names: dict[str, None] = {}

    class Listener(ServiceListener):
        def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:  # noqa: ARG002
            if len(names) < _MOST:
                names[name] = None

        def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            self.add_service(zc, type_, name)

        def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:  # noqa: ARG002
            names.pop(name, None)

    try:
        network = Zeroconf() if interfaces is None else Zeroconf(interfaces=list(interfaces))
    except OSError:
        return []
    try:
        ServiceBrowser(network, SERVICE_TYPE, Listener())
        threading.Event().wait(seconds)
        found = [_read(network.get_service_info(SERVICE_TYPE, name, 500)) for name in list(names)]
    finally:
        network.close()
    return sorted(daemon for daemon in found if daemon is not None)


def _read(info: Any) -> FoundDaemon | None:
    """What an answer says, if it is one of ours."""
    if info is None or not info.port:
        return None

    def text(key: bytes) -> str:
        raw = info.properties.get(key) or b""
        return "".join(c for c in raw.decode("utf-8", "replace")[:64] if c.isprintable())

    addresses = tuple(
        f"tcp://{f'[{host}]' if ':' in host else host}:{info.port}" for host in info.parsed_addresses()[:8]
    )
    key = text(b"key")
    try:
        key = check_public_key(key) if key else ""
    except KeyTextError:
        return None
    return FoundDaemon(text(b"name"), addresses, key) if addresses else None


def key_announced_for(place: str, found: Sequence[FoundDaemon]) -> str | None:
    """The key that a daemon at ``host:port`` announces; None if there is none, or if there are several."""
    host, _, port = place.rpartition(":")
    try:
        hosts = {str(entry[4][0]) for entry in socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)}
    except OSError:
        hosts = {host}
    wanted = {f"tcp://{f'[{h}]' if ':' in h else h}:{port}" for h in hosts}
    keys = {daemon.key for daemon in found if daemon.key and wanted & set(daemon.addresses)}
    return keys.pop() if len(keys) == 1 else None


def local_sockets() -> list[str]:
    """Addresses of this user's daemons on this machine, running or not any more."""
    folder = Path(runtime_folder())
    try:
        return [f"ipc://{path}" for path in sorted(folder.glob("*.sock"))]
    except OSError:
        return []


def answers(address: str) -> bool:
    """Whether somebody listens at an ``ipc://`` address of this machine, which is known at once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address.removeprefix("ipc://"))
        except OSError:
            return False
    return True


def describe_found(found: Sequence[FoundDaemon], folder: str | os.PathLike[str] | None = None) -> list[str]:
    """Lines for people: who is there, where, and whether its key is known."""
    known = KnownServers(folder if folder is not None else key_folder())
    lines = []
    for daemon in found:
        for address in daemon.addresses:
            if not daemon.key:
                trust = "asks for no key"
            else:
                try:
                    before = known.key_of(place_of(address))
                except NotTrusted as error:
                    before = str(error)
                if before is None:
                    trust = f"not known yet; says that its key is {daemon.key} ({fingerprint(daemon.key)})"
                elif before == daemon.key:
                    trust = "known"
                else:
                    trust = f"HAS ANOTHER KEY THAN IS KNOWN: {fingerprint(daemon.key)}"
            lines.append(f"{daemon.name or 'unnamed'}  {address}  {trust}")
    return lines
