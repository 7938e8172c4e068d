"""The little HTTP/1.1 that probes and scrapes speak: a request read, an answer written. Pure (no I/O).

One request a connection, no body, no keep-alive: what cannot be asked for cannot be abused. Knows no sockets, and
nothing of what it answers (https://www.rfc-editor.org/rfc/rfc9112).
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NamedTuple

#: A request is at most this long: one of Prometheus' takes 300 bytes, a browser's with its cookies 2 KiB.
REQUEST_BYTES = 8192

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]")
_HOST = re.compile(rb"host:[ \t]*([!-~]*)[ \t]*", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:]*)(?::\d{1,5})?")

_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Request(NamedTuple):
    """What is asked for: `path` without what stands behind a question mark; `body` False for HEAD."""

    path: str
    host: str
    body: bool


class BadRequest(Exception):
    """Not a request that is answered. `status` is that of the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def read_request(received: bytes) -> Request | None:
    """The request in what has been received so far; None if its end is still to come.

    Raises
    ------
    BadRequest
        If no more bytes can make a request of it.
    """
    head, end, _ = received.partition(b"\r\n\r\n")
    if not end:
        if len(received) > REQUEST_BYTES:
            raise BadRequest(431, f"a request has at most {REQUEST_BYTES} bytes")
        return None
    if len(head) > REQUEST_BYTES:
        raise BadRequest(431, f"a request has at most {REQUEST_BYTES} bytes")
    first, *headers = head.split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise BadRequest(400, "not a request of HTTP/1.1")
    if line[1] not in (b"GET", b"HEAD"):
        raise BadRequest(405, "only GET and HEAD")
    hosts = [found[1] for found in map(_HOST.fullmatch, headers) if found]
    if len(hosts) > 1:
        raise BadRequest(400, "more than one Host")
    path = line[2].partition(b"?")[0].decode("ascii")
    return Request(path, hosts[0].decode("ascii") if hosts else "", line[1] == b"GET")


def is_local_host(host: str) -> bool:
    """Whether a ``Host`` header names this machine by its loopback address, or is absent.

    A web page cannot read what another origin answers, but it can give its own name our address (DNS rebinding): then
    the browser asks us under that name.
    """
    if not host:
        return True
    found = _HOST_AND_PORT.fullmatch(host)
    if found is None:
        return False
    name = found[1].strip("[]")
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def answer(status: int, content_type: str, content: bytes, body: bool = True) -> bytes:
    """A whole answer; without `body`, only what stands before it."""
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(content)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if status == 405:
        lines.append("Allow: GET, HEAD")
    head = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
    return head + content if body else head
