"""The daemon's keys on disk: its own pair, and the public keys of the clients that it lets in.

In the folder of keys lie ``server.key`` (secret), ``server.pub``, and ``clients/NAME.pub``, one for each client. A
client is let in for as long as its file is there. Knows no sockets.
"""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from octree_protocol.curve_keys import (
    FILE_BYTES,
    Key,
    KeyTextError,
    check_key_name,
    fingerprint,
    format_key,
    key_folder,
    parse_key,
)
from octree_protocol.errors import OctreeError

SERVER_FILE = "server.key"
CLIENT_FILE = "client.key"
CLIENTS_FOLDER = "clients"

#: Files of clients that are looked at.
_CLIENTS_MOST = 10_000


class KeyUnusable(OctreeError):
    """A key is not there, cannot be read, or is no secret any more."""

    #: EX_CONFIG of sysexits.h.
    exit_code = 78


def read_secret_key(path: str | os.PathLike[str]) -> Key:
    """A pair of ours.

    Raises
    ------
    KeyUnusable
        If there is none, or others may read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyUnusable(f"there is no key at {path} ({error.strerror}): make one with `octree-serve keys`") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KeyUnusable(f"{path} is no file")
        if found.st_mode & 0o077:
            raise KeyUnusable(
                f"{path} can be read by others (mode {stat.S_IMODE(found.st_mode):04o}): chmod 600 it, and if "
                "somebody may have, move it away and make another one"
            )
        text = os.read(descriptor, FILE_BYTES).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    try:
        key = parse_key(text)
    except KeyTextError as error:
        raise KeyUnusable(f"{path}: {error}") from None
    if not key.secret:
        raise KeyUnusable(f"{path} has a public key only: the secret one belongs there")
    return key


class AllowedClients:
    """Who is let in: public keys, and the names that they have for people.

    Parameters
    ----------
    folder
        With one file ``NAME.pub`` for each client; it need not exist.
    listed
        More public keys.
    """

    def __init__(self, folder: str | os.PathLike[str], listed: Sequence[str] = ()) -> None:
        self.folder = Path(folder)
        self.mistakes: tuple[str, ...] = ()
        self._listed = {public: f"key {fingerprint(public)}" for public in listed}
        self._names: dict[str, str] = dict(self._listed)
        self._seen: object = None
        self.refresh()

    def refresh(self) -> bool:
        """Look whether files have come, gone or changed, and read them anew if so; returns whether they had."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        names, mistakes = dict(self._listed), []
        for path, _, _, _ in seen:
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    key = parse_key(file.read(FILE_BYTES))
            except (OSError, KeyTextError) as error:
                mistakes.append(f"{path}: {error}")
                continue
            names[key.public] = Path(path).stem
        self._names, self.mistakes = names, tuple(mistakes)
        return True

    def _look(self) -> list[tuple[str, int, int, int]]:
        try:
            with os.scandir(self.folder) as entries:
                paths = sorted(entry.path for entry in entries if entry.name.endswith(".pub"))[:_CLIENTS_MOST]
        except OSError:
            return []
        found = []
        for path in paths:
            try:
                status = os.stat(path)
            except OSError:
                continue
            found.append((path, status.st_mtime_ns, status.st_size, status.st_ino))
        return found

    def name_of(self, public: str) -> str | None:
        """The name of a client that is let in; None if it is not."""
        return self._names.get(public)

    def __len__(self) -> int:
        return len(self._names)


# --- the command -----------------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """``octree-serve keys``: make keys, and say what they are. What is there already is never written over."""
    options = _parser().parse_args(arguments)
    folder = Path(options.folder) if options.folder is not None else Path(key_folder())
    _make_folder(folder)
    if options.mine:
        key = _pair(folder / CLIENT_FILE, folder / "client.pub", _own_name())
        print(f"your key: {folder / CLIENT_FILE}")
        print(f"  give {folder / 'client.pub'} to the daemon's owner, who puts it into {CLIENTS_FOLDER}/{key.name}.pub")
        print(f"  public key  {key.public}")
        return 0
    server = _pair(folder / SERVER_FILE, folder / "server.pub", "server")
    _make_folder(folder / CLIENTS_FOLDER)
    print(f"the daemon's key: {folder / SERVER_FILE}")
    print(f"  public key  {server.public}")
    print(f"  fingerprint {fingerprint(server.public)}")
    for name in options.client:
        public = folder / CLIENTS_FOLDER / f"{check_key_name(name)}.pub"
        if public.exists() and not (folder / f"{name}.key").exists():
            print(f"{name}: is let in already, by {public}")
            continue
        _pair(folder / f"{name}.key", public, name)
        print(f"{name}: is let in, by {public}; its secret is {folder / f'{name}.key'}:")
        print(f"  carry it to {name}'s machine as ~/.config/octree-serve/{CLIENT_FILE}, then remove it here")
    allowed = AllowedClients(folder / CLIENTS_FOLDER)
    print(f"clients that are let in: {len(allowed)}; remove a file of {folder / CLIENTS_FOLDER} to revoke its key")
    print(f"clients connect with: octree-view --connect tcp://HOST:PORT --server-key '{server.public}'")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="octree-serve keys",
        description="Make the daemon's key pair, if there is none, and pairs for clients. Prints public keys only.",
    )
    parser.add_argument(
        "--client", action="append", default=[], metavar="NAME", help="make a pair for a client, and let it in"
    )
    parser.add_argument("--mine", action="store_true", help="make your own pair, as a client of somebody's daemon")
    parser.add_argument(
        "--folder", metavar="FOLDER", help="of the keys (serve.keys); ~/.config/octree-serve by default"
    )
    return parser


def _own_name() -> str:
    import getpass

    try:
        return check_key_name(getpass.getuser())
    except (KeyTextError, OSError, KeyError):
        return "client"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyUnusable(f"cannot make the folder {folder}: {error.strerror}") from None


def _pair(secret: Path, public: Path, name: str) -> Key:
    """The pair in two files, made if there is none."""
    if secret.exists():
        key = read_secret_key(secret)
    else:
        import zmq

        made = zmq.curve_keypair()
        key = Key(name, made[0].decode(), made[1].decode())
        _write(secret, format_key(key))
    if not public.exists():
        _write(public, format_key(Key(key.name, key.public)))
    return key


def _write(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise KeyUnusable(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
