"""What is wrong with a configuration although each of its keys is right: keys against each other and the machine.

Looks at folders, files and the daemon's key, and changes nothing. What is wrong with a key by itself says
`mistakes`.
"""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Any

from octree_loader.transport.keys import SERVER_FILE, KeyUnusable, read_secret_key
from octree_protocol.addresses import AddressError, parse_address
from octree_protocol.curve_keys import key_folder


def look_across(raw: dict[str, Any]) -> list[str]:
    """Mistakes that no key has by itself. Looks at raw values, so that other mistakes hide none of these."""
    mistakes = []
    serve = raw.get("serve")
    binds = serve.get("bind") if isinstance(serve, dict) else None
    if isinstance(serve, dict) and isinstance(binds, (list, tuple)):
        for position, url in enumerate(binds):
            try:
                address = parse_address(url, binding=True)
            except AddressError:
                continue
            if url in binds[:position]:
                mistakes.append(f"serve.bind.{position}: {url!r} stands there twice")
            if address.scheme == "ipc":
                mistakes += [] if serve.get("insecure") is True else _open_folder(position, address.path)
            elif not address.loopback and serve.get("insecure") is not True:
                missing = _missing_key(serve)
                if missing:
                    mistakes.append(
                        f"serve.bind.{position}: {url!r} can be reached from other machines and needs keys: {missing}; "
                        "or bind ipc:// and loopback addresses only, or set serve.insecure to true"
                    )
            elif serve.get("keys_on_loopback") is True and (missing := _missing_key(serve)):
                mistakes.append(f"serve.bind.{position}: {url!r} needs keys (serve.keys_on_loopback): {missing}")
    health = _dig(raw, "serve", "health")
    if isinstance(serve, dict) and health and serve.get("health_exposed") is not True:
        try:
            reachable = not parse_address(f"tcp://{health}", binding=True).loopback
        except AddressError:
            reachable = False
        if reachable:
            mistakes.append(
                f"serve.health: {health!r} can be reached from other machines; allowed is a loopback address such as "
                "127.0.0.1:9777, or set serve.health_exposed to true"
            )
    for section, key in (("loader_defaults", "log_path"), ("octree", "log_path")):
        path = _dig(raw, section, key)
        if path and not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            mistakes.append(f"{section}.{key}: {path!r} lies in a folder that does not exist; make it, or give another")
        elif path and os.path.isdir(path):
            mistakes.append(f"{section}.{key}: {path!r} is a folder; allowed is a file, which is made if need be")
    root = _dig(raw, "serve", "root")
    if root and not os.path.isdir(root):
        mistakes.append(f"serve.root: {root!r} is not a folder that exists")
    mistakes += _look_at_cluster(raw)
    directory = _dig(raw, "memory", "directory")
    if directory and not os.path.isdir(directory):
        mistakes.append(f"memory.directory: {directory!r} is not a folder that exists")
    return mistakes


def _missing_key(serve: dict[str, Any]) -> str:
    """Why the daemon's key cannot be had; "" if it can."""
    folder = serve.get("keys", key_folder())
    if not isinstance(folder, str):
        return ""  # a mistake of its own
    try:
        read_secret_key(os.path.join(folder, SERVER_FILE))
    except KeyUnusable as error:
        return str(error)
    return ""


def _open_folder(position: int, path: str) -> list[str]:
    """A socket is protected by the folder that it lies in, or one above: one that only we can enter."""
    folder = os.path.dirname(path)
    try:
        found = os.stat(folder)
        above = [folder, *map(str, PurePath(os.path.realpath(folder)).parents)]
        closed = any(status.st_uid == os.geteuid() and not status.st_mode & 0o011 for status in map(os.stat, above))
    except OSError as error:
        return [f"serve.bind.{position}: the folder {folder!r} cannot be used: {error.strerror}; make it (mode 0700)"]
    if found.st_uid != os.geteuid():
        return [f"serve.bind.{position}: the folder {folder!r} belongs to somebody else, who could listen in our place"]
    if not closed:
        return [
            f"serve.bind.{position}: the folder {folder!r} is open to others (mode {found.st_mode & 0o7777:04o}), and "
            "so are all above it; chmod 0700 it, or choose another"
        ]
    return []


def _look_at_cluster(raw: dict[str, Any]) -> list[str]:
    """Mistakes about the cluster of dask: whoever reaches one of its ports can run anything there, and then here."""
    scheduler = _dig(raw, "dask", "scheduler") or ""
    scheme, _, place = scheduler.partition("://")
    if scheme not in ("tcp", "tls"):
        return []
    try:
        loopback = parse_address(f"tcp://{place}").loopback
    except AddressError:
        return []
    mistakes = []
    if scheme == "tcp" and not loopback:
        mistakes.append(
            f"dask.scheduler: {scheduler!r} leads to another machine without TLS, where whoever listens can run "
            "anything on either side; allowed is tls://host:port, with dask.ca, dask.cert and dask.key"
        )
    for key in ("ca", "cert", "key"):
        path = _dig(raw, "dask", key)
        if path is None and scheme == "tls":
            mistakes.append(f"dask.{key}: is missing; {scheduler} needs it: the file (PEM) that dask was given, too")
        elif path is not None and not os.access(path, os.R_OK):
            mistakes.append(f"dask.{key}: {path!r} cannot be read")
    return mistakes


def _dig(raw: dict[str, Any], section: str, key: str) -> str | None:
    values = raw.get(section)
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, str) and "\0" not in value else None
