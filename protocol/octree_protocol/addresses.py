"""Where a daemon is found: addresses, and the one that needs no configuration. Pure (no I/O).

Both sides work the default address out for themselves and must come to the same one. Knows no sockets and looks at no
file: that the folder is there and is ours is the daemon's business (`octree_loader.instance`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import NamedTuple

from octree_protocol.errors import OctreeError

#: Name of a daemon that was given none.
DEFAULT_NAME = "default"

#: Name of the folder of sockets and locks below ``$XDG_RUNTIME_DIR``.
FOLDER_NAME = "octree-serve"

#: Under what daemons announce themselves, if they do (RFC 6763).
SERVICE_TYPE = "_octree-serve._tcp.local."

#: Longest path of a Unix socket: ``sockaddr_un.sun_path`` of Linux less its final NUL (unix(7)).
SOCKET_PATH_BYTES = 107

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_ALLOWED = "allowed are ipc:///path/to/socket and tcp://host:port"


class AddressError(OctreeError, ValueError):
    """An address, or the name of a daemon, that cannot be one."""


class Address(NamedTuple):
    """An address that is well-formed.

    `url` is what ZeroMQ takes. An ``ipc`` address has a `path`, a ``tcp`` one `host` and `port` (0: any that is free).
    `loopback`: it cannot be reached from another machine.
    """

    url: str
    scheme: str
    path: str
    host: str
    port: int
    loopback: bool


def parse_address(url: str, *, binding: bool = False) -> Address:
    """The parts of an address.

    Parameters
    ----------
    url
        ``ipc:///path/to/socket`` or ``tcp://host:port``; an IPv6 host stands in brackets.
    binding
        Whether it is to be bound: then the port may be 0 or ``*`` (any that is free), the host ``*`` (all interfaces).

    Raises
    ------
    AddressError
        Naming what was given and what is allowed.
    """
    if not isinstance(url, str):
        raise AddressError(f"{url!r} is not an address: {_ALLOWED}")
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in url):
        raise AddressError(f"{url!r} is not an address: it has control characters in it")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("ipc", "tcp"):
        raise AddressError(f"{url!r} is not an address: {_ALLOWED}")
    return _parse_ipc(url, rest) if scheme == "ipc" else _parse_tcp(url, rest, binding)


def _parse_ipc(url: str, path: str) -> Address:
    if not path or path.endswith("/"):
        raise AddressError(f"{url!r} names no socket: {_ALLOWED}")
    if path[0] in "@*":
        # Abstract sockets have no permissions: any user of the machine could connect.
        raise AddressError(f"{url!r} is not protected by a folder's permissions: {_ALLOWED}")
    try:
        length = len(os.fsencode(path))
    except UnicodeEncodeError:
        raise AddressError(f"{url!r} is not an address: its path is no text") from None
    if length > SOCKET_PATH_BYTES:
        raise AddressError(
            f"{url!r} is too long by {length - SOCKET_PATH_BYTES} bytes: "
            f"the path of a socket has at most {SOCKET_PATH_BYTES}"
        )
    return Address(url, "ipc", path, "", 0, True)


def _parse_tcp(url: str, rest: str, binding: bool) -> Address:
    host, separator, port_text = rest.rpartition(":")
    if not separator or not host:
        raise AddressError(f"{url!r} needs a host and a port: {_ALLOWED}")
    if port_text == "*":
        port_text = "0"
    if not (port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and int(port_text) <= 65535):
        raise AddressError(f"{url!r} has no valid port: {port_text!r} is not a number from 1 to 65535")
    port = int(port_text)
    if port == 0 and not binding:
        raise AddressError(f"{url!r} has no port that one could connect to: it takes a number from 1 to 65535")
    if host == "*":
        if not binding:
            raise AddressError(f"{url!r} names no host that one could connect to")
        return Address(url, "tcp", "", host, port, False)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if bare == "localhost":
        return Address(url, "tcp", "", bare, port, True)
    try:
        loopback = ip_address(bare).is_loopback
    except ValueError:
        # What a name resolves to is not ours to know, so it may be anywhere.
        if bare != host or not _HOST_NAME.fullmatch(bare):
            raise AddressError(f"{url!r} has no valid host: {host!r}") from None
        loopback = False
    else:
        if ":" in bare and bare == host:
            raise AddressError(f"{url!r} has no valid host: an IPv6 address stands in brackets, [{bare}]")
    return Address(url, "tcp", "", bare, port, loopback)


def ipc_path(url: str) -> str:
    """The path of the socket of an ``ipc://`` address. Raises `AddressError` if it is none."""
    address = parse_address(url, binding=True)
    if address.scheme != "ipc":
        raise AddressError(f"{url!r} is not the address of a socket of this machine: ipc:///path/to/socket")
    return address.path


def check_name(name: str) -> str:
    """The name of a daemon, unchanged. Raises `AddressError` if it would not do as the name of a file."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise AddressError(
            f"{name!r} cannot be a daemon's name: it takes 1 to 64 letters, digits, '.', '_' or '-', "
            "of which the first is a letter or a digit"
        )
    return name


def runtime_folder(environ: Mapping[str, str] = os.environ, uid: int | None = None) -> str:
    """The folder where the daemons of a user have their sockets and locks.

    ``$XDG_RUNTIME_DIR/octree-serve``, else ``/tmp/octree-serve-<uid>``. As its specification asks, an
    ``XDG_RUNTIME_DIR`` that is no absolute path is ignored
    (https://specifications.freedesktop.org/basedir-spec/latest/).
    """
    base = environ.get("XDG_RUNTIME_DIR", "")
    if base.startswith("/"):
        return f"{base.rstrip('/')}/{FOLDER_NAME}"
    return f"/tmp/{FOLDER_NAME}-{os.getuid() if uid is None else uid}"


def default_address(name: str = DEFAULT_NAME, environ: Mapping[str, str] = os.environ, uid: int | None = None) -> str:
    """The ``ipc://`` address of the daemon `name` of this user, if it was told no other.

    Raises
    ------
    AddressError
        If the name will not do, or the path is too long for a socket.
    """
    return parse_address(f"ipc://{runtime_folder(environ, uid)}/{check_name(name)}.sock").url
