"""Locations on other machines: what a URL names, and how it may be told to people. Pure (no I/O).

Knows nothing of how anything there is read.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import NamedTuple

from octree_loader.sources.base import SourceError

_REMOTE = re.compile(r"(?:https?|s3|gs)://", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ANY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,221}", re.ASCII)


class RemoteLocation(NamedTuple):
    """A folder of a store.

    `host` is the bucket of ``s3://`` and ``gs://``; `path` has no slash at either end. `url` is what a client of HTTP
    takes, its query included; `login` is ``user:password`` if the URL has them; `shown` is what may stand in errors and
    logs.
    """

    scheme: str
    host: str
    path: str
    url: str
    shown: str
    login: str = ""


def is_remote(location: str) -> bool:
    """Whether `location` names something on another machine that can be read."""
    return _REMOTE.match(location) is not None


def shown_location(location: str) -> str:
    """`location` without what may be secret in a URL: user, password, and the values of a query."""
    if not _SCHEME.match(location):
        return location
    scheme, _, rest = location.partition("://")
    rest, query, _ = rest.partition("?")
    rest = rest.partition("#")[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{'?...' if query else ''}"


def shown_text(text: str) -> str:
    """A text of somebody else's with every URL in it as `shown_location` gives it."""
    return _ANY.sub(lambda found: shown_location(found[0]), text)


def parse_remote(location: str) -> RemoteLocation:
    """Take a URL apart.

    Raises
    ------
    SourceError
        If it names no folder of a store.
    """
    shown = shown_location(location)
    if any(ord(c) < 33 and c != " " for c in location) or len(location) > 4096:
        raise SourceError(f"{shown[:200]!r} is no URL: it has control characters, or more than 4096 characters")
    try:
        parts = urllib.parse.urlsplit(location)
        port = parts.port  # raises for what is no number
    except ValueError as error:
        raise SourceError(f"{shown} is no URL: {error}") from None
    scheme = parts.scheme.lower()
    path = parts.path.strip("/")
    if ".." in urllib.parse.unquote(path).split("/"):
        raise SourceError(f"{shown} has '..' in its path: write where it leads")
    if scheme in ("http", "https"):
        if not parts.hostname:
            raise SourceError(f"{shown} names no machine: a URL is {scheme}://machine/path")
        login, _, host = parts.netloc.rpartition("@")
        quoted = "/" + urllib.parse.quote(path, "/%~:@!$&'()*+,;=")
        url = urllib.parse.urlunsplit((scheme, host, quoted, parts.query, ""))
        return RemoteLocation(scheme, parts.hostname, path, url, shown.rstrip("/"), urllib.parse.unquote(login))
    if parts.query or parts.fragment or "@" in parts.netloc or port is not None:
        raise SourceError(f"{shown} is no {scheme}://bucket/path: credentials come from the environment")
    if not _BUCKET.fullmatch(parts.netloc):
        raise SourceError(f"{shown} has {parts.netloc!r} for a bucket: give {scheme}://bucket/path")
    return RemoteLocation(scheme, parts.netloc, path, "", shown.rstrip("/"))
