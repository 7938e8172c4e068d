"""Keys of daemons and clients, as text: what a key may look like, files that hold one, fingerprints. Pure (no I/O).

The keys are CurveZMQ's (https://rfc.zeromq.org/spec/26/): Curve25519, 32 bytes, written in Z85, 40 characters
(https://rfc.zeromq.org/spec/32/). A file of a key is text::

    # octree-serve: secret key of alice. Keep it to yourself (chmod 600).
    name alice
    public-key Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID
    secret-key D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs

One that may be given to others has no ``secret-key``.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from octree_protocol.errors import OctreeError

#: Name of the folder of keys below ``$XDG_CONFIG_HOME``.
FOLDER_NAME = "octree-serve"

#: A file of a key is never longer.
FILE_BYTES = 4096

_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class KeyTextError(OctreeError, ValueError):
    """A key, or a file of one, that cannot be one. The text never has the key in it."""


class Key(NamedTuple):
    """One key: `secret` is "" where it is not ours to know."""

    name: str
    public: str
    secret: str = ""


def check_public_key(text: str) -> str:
    """A public key, unchanged. Raises `KeyTextError`."""
    if not isinstance(text, str) or not _KEY.fullmatch(text):
        raise KeyTextError("it is no public key: one has 40 characters, as `octree-serve keys` prints them")
    return text


def check_key_name(text: str) -> str:
    """The name of a client, unchanged. Raises `KeyTextError` if it would not do as the name of a file."""
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        raise KeyTextError(
            f"{text!r} cannot be a client's name: it takes 1 to 64 letters, digits, '.', '_', '@' or '-', "
            "of which the first is a letter or a digit"
        )
    return text


def fingerprint(public: str) -> str:
    """What people compare: SHA-256 of a public key in base64, as ssh shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public.encode()).digest()).decode().rstrip("=")


def format_key(key: Key) -> str:
    """The text of a key's file."""
    if key.secret:
        head = f"# octree-serve: secret key of {key.name}. Keep it to yourself (chmod 600)."
        secret = f"secret-key {key.secret}\n"
    else:
        head, secret = f"# octree-serve: public key of {key.name}. It may be given to anybody.", ""
    return f"{head}\nname {key.name}\npublic-key {key.public}\n{secret}"


def parse_key(text: str) -> Key:
    """The key in a file's text. Raises `KeyTextError`."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        word, _, value = line.strip().partition(" ")
        if word in ("", "#") or word.startswith("#"):
            continue
        if word not in ("name", "public-key", "secret-key") or word in found:
            raise KeyTextError("it is no file of a key: it has lines 'name', 'public-key' and 'secret-key', each once")
        found[word] = value.strip()
    if not _KEY.fullmatch(found.get("public-key", "")):
        raise KeyTextError("it has no line 'public-key' with 40 characters")
    if "secret-key" in found and not _KEY.fullmatch(found["secret-key"]):
        raise KeyTextError("its line 'secret-key' has not the 40 characters of a key")
    return Key(check_key_name(found.get("name", "unnamed")), found["public-key"], found.get("secret-key", ""))


def key_folder(environ: Mapping[str, str] = os.environ) -> str:
    """Where a user's keys lie: ``$XDG_CONFIG_HOME/octree-serve``, else ``~/.config/octree-serve``.

    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    base = environ.get("XDG_CONFIG_HOME", "")
    if not base.startswith("/"):
        base = os.path.join(os.path.expanduser("~"), ".config")
    return f"{base.rstrip('/')}/{FOLDER_NAME}"
