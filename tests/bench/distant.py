"""A distant store to measure against: a web server in a process of its own, which answers after 50 ms."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LATENCY_MS = 50


@dataclass(frozen=True, slots=True)
class Distant:
    """A running server; `url` is that of its folder."""

    url: str
    _asks: IO[str]
    _tells: IO[str]

    def seen(self) -> tuple[int, int]:
        """Requests since the last call, and the most that were under way at once."""
        self._asks.write("\n")
        self._asks.flush()
        requests, most = self._tells.readline().split()
        return int(requests), int(most)


@contextlib.contextmanager
def serve_from_afar(folder: Path) -> Iterator[Distant]:
    """Serve a folder; every answer comes `LATENCY_MS` late. Files are kept in the server's memory once asked for."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.http_server", str(folder), "--latency-ms", str(LATENCY_MS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield Distant(f"http://127.0.0.1:{int(server.stdout.readline())}", server.stdin, server.stdout)
    finally:
        server.stdin.close()
        server.wait(10)
        server.stdout.close()
