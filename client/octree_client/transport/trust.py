"""Which daemons are trusted, and as whom we come: keys on disk, as ssh keeps them.

``known_servers`` has one line for each daemon, its host and port and its public key; ``client.key`` is our own pair. A
key is remembered when the daemon has proved at the first connection that it has the secret of it. What the network
announces of itself is never trusted: it only saves typing.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from octree_client.transport.wire import CurveKeys
from octree_protocol.addresses import parse_address
from octree_protocol.curve_keys import (
    FILE_BYTES,
    KeyTextError,
    check_public_key,
    fingerprint,
    key_folder,
    parse_key,
)
from octree_protocol.errors import OctreeError

_HEADER = "# Public keys of daemons, by host and port: who else answers there is refused.\n"


class NotTrusted(OctreeError):
    """A daemon whose key is not known, or not the one that is known; or we have no key ourselves."""

    #: EX_NOPERM of sysexits.h.
    exit_code = 77


class KnownServers:
    """The file ``known_servers``.

    Parameters
    ----------
    folder
        Of the keys.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / "known_servers"

    def key_of(self, place: str) -> str | None:
        """The key of the daemon at ``host:port``; None if it is not known."""
        for line in self._lines():
            known, _, key = line.partition(" ")
            if known == place:
                try:
                    return check_public_key(key.strip())
                except KeyTextError as error:
                    raise NotTrusted(f"{self.path}: the line of {place} has no key: {error}") from None
        return None

    def remember(self, place: str, key: str) -> None:
        """From now on the daemon at ``host:port`` has this key."""
        if self.key_of(place) is not None:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = not self.path.exists()
        with open(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "a") as file:
            file.write(f"{_HEADER if new else ''}{place} {key}\n")

    def _lines(self) -> list[str]:
        try:
            return [line.strip() for line in self.path.read_text(errors="replace").splitlines() if line[:2] != "# "]
        except OSError:
            return []


def place_of(address: str) -> str:
    """``host:port`` of a tcp address, as it stands in ``known_servers``."""
    parsed = parse_address(address)
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host.lower()
    return f"{host}:{parsed.port}"


def own_key(folder: str | os.PathLike[str]) -> tuple[str, str]:
    """Our public and our secret key.

    Raises
    ------
    NotTrusted
        If there is none, or others may read it.
    """
    path = Path(folder) / "client.key"
    cure = (
        "make one with `octree-serve keys --mine` and have the daemon's owner let it in, or put the file there that "
        "they have made for you"
    )
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(FILE_BYTES)
    except OSError as error:
        raise NotTrusted(f"the daemon asks for a key, and there is none at {path} ({error.strerror}): {cure}") from None
    if mode & 0o077:
        raise NotTrusted(f"{path} can be read by others (mode {stat.S_IMODE(mode):04o}): chmod 600 it")
    try:
        key = parse_key(text)
    except KeyTextError as error:
        raise NotTrusted(f"{path}: {error}") from None
    if not key.secret:
        raise NotTrusted(f"{path} has a public key only: {cure}")
    return key.public, key.secret


def keys_for(
    address: str,
    server_key: str | None = None,
    *,
    insecure: bool = False,
    folder: str | os.PathLike[str] | None = None,
    learn: Callable[[str], str | None] = lambda _: None,
) -> CurveKeys | None:
    """What to connect to a daemon with; None speaks in the clear.

    Parameters
    ----------
    server_key
        The daemon's public key, from its owner; None takes the known one.
    insecure
        Speak in the clear with a daemon on another machine whose key is not known.
    folder
        Of keys; the user's own if left out.
    learn
        Asked for the key of a ``host:port`` that nobody knows, with somebody's consent; None if it has none.

    Raises
    ------
    NotTrusted
        If the key is not known, another one than is known, or we have none.
    AddressError
        If the address is none.
    """
    parsed = parse_address(address)
    if parsed.scheme == "ipc":
        return None
    folder = folder if folder is not None else key_folder()
    place, known = place_of(address), KnownServers(folder)
    before = known.key_of(place)
    if server_key is not None:
        try:
            check_public_key(server_key)
        except KeyTextError as error:
            raise NotTrusted(f"the key of {place}: {error}") from None
        if before is not None and before != server_key:
            raise NotTrusted(
                f"THE KEY OF {place} HAS CHANGED. Known is {fingerprint(before)}, given is {fingerprint(server_key)}: "
                "somebody may be listening in its place. If its owner says that it has a new one, remove its line "
                f"from {known.path}"
            )
    key = server_key or before
    if key is None:
        if parsed.loopback or insecure:
            return None
        key = learn(place)
    if key is None:
        raise NotTrusted(
            f"the key of the daemon at {place} is not known: ask its owner, who sees it with `octree-serve keys`, and "
            "give it once as --server-key KEY"
        )
    return CurveKeys(key, *own_key(folder))


def remember(address: str, keys: CurveKeys | None, folder: str | os.PathLike[str] | None = None) -> None:
    """The daemon at an address has proved that it has the key that we connected with."""
    if keys is not None:
        with contextlib.suppress(OSError):  # it is asked for again, then
            KnownServers(folder if folder is not None else key_folder()).remember(place_of(address), keys.server)
