"""Tells the local network that we are here, by zeroconf (mDNS, RFC 6762 and 6763). Only when asked to.

What is told: the daemon's name, its TCP addresses, its public key. Nobody need believe it: who connects compares the
key with what it knows. Failing to tell is no failure of the daemon's.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import psutil

from octree_protocol import PROTOCOL_VERSION
from octree_protocol.addresses import SERVICE_TYPE, parse_address

if TYPE_CHECKING:
    from zeroconf import Zeroconf

log = logging.getLogger("octree.announcement")


def reachable_at(host: str) -> list[str]:
    """The IP addresses of this machine that a bound host stands for, but for those that only it can reach."""
    if host in ("*", "0.0.0.0", "::"):
        own = [one.address.partition("%")[0] for found in psutil.net_if_addrs().values() for one in found]
    else:
        try:
            own = [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
        except OSError:
            own = []
    addresses = []
    for text in own:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue  # of hardware
        if not (address.is_loopback or address.is_link_local):
            addresses.append(str(address))
    return list(dict.fromkeys(addresses))


class Announcement:
    """One daemon, announced from now until `close`.

    Parameters
    ----------
    name
        Of the daemon.
    addresses
        Where it listens; only TCP addresses that other machines can reach are told.
    public_key
        Of the daemon; "" where no keys are asked for.
    interfaces
        IP addresses of the interfaces to speak on, and told as they are, for tests; all of them if left out.
    """

    def __init__(
        self, name: str, addresses: Sequence[str], public_key: str, interfaces: Sequence[str] | None = None
    ) -> None:
        self._name = name
        self._key = public_key
        self._interfaces = interfaces
        self._places: list[tuple[list[str], int]] = []
        for url in addresses:
            address = parse_address(url)
            if address.scheme == "tcp":
                hosts = list(interfaces) if interfaces is not None else reachable_at(address.host)
                if hosts:
                    self._places.append((hosts, address.port))
        self._zeroconf: Zeroconf | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="octree-announcement", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        from zeroconf import ServiceInfo, Zeroconf

        if not self._places:
            log.warning("serve.announce: there is no address to announce that other machines can reach")
            return
        host = socket.gethostname().partition(".")[0]
        try:
            self._zeroconf = Zeroconf() if self._interfaces is None else Zeroconf(interfaces=list(self._interfaces))
            for hosts, port in self._places:
                info = ServiceInfo(
                    SERVICE_TYPE,
                    f"{self._name} on {host}.{SERVICE_TYPE}",
                    port=port,
                    server=f"{host}.local.",
                    parsed_addresses=hosts,
                    properties={
                        "name": self._name,
                        "key": self._key,
                        "protocol": ".".join(map(str, PROTOCOL_VERSION)),
                    },
                )
                self._zeroconf.register_service(info, allow_name_change=True)
                log.info("announced as %r at %s, port %d", info.name, ", ".join(hosts), port)
        except Exception as error:  # a network that does not let us is no reason not to serve
            log.warning("serve.announce: the network cannot be told: %s: %s", type(error).__name__, error)

    def close(self) -> None:
        """Take it back."""
        self._thread.join(5.0)
        if self._zeroconf is not None:
            self._zeroconf.close()
