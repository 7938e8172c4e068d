"""How much memory a library may take to decode one thing: a backstop for decoders that nobody else bounds.

A few bytes may decode to gigabytes. What is decoded by hand is compared with the size of a chunk before that; here the
kernel keeps the process from growing while a library decodes. Knows nothing of formats.
"""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from octree_loader.sources.base import SourceError

#: What a decoder may take beside four times its result: its own tables, and what other threads do meanwhile.
SLACK_BYTES = 128 << 20

_changing = threading.Lock()
_held = 0
_before = resource.RLIM_INFINITY
_limit = 0


@contextmanager
def memory_allowance(nbytes: int, what: str) -> Iterator[None]:
    """Let this process grow by what it takes to decode `nbytes`, and no further, while the context lasts.

    Python's decoders get a `MemoryError`, which becomes a `SourceError` that names `what`. One in C++ may end the
    process: then the chunk fails for that, and the machine has its memory all the same.
    """
    _take(4 * nbytes + SLACK_BYTES)
    try:
        yield
    except MemoryError as error:
        raise SourceError(
            f"{what} decodes to far more than the {nbytes} bytes that it can be: it is damaged"
        ) from error
    finally:
        _give_back()


def _take(nbytes: int) -> None:
    global _held, _before, _limit
    with _changing:
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if not _held:
            _before, _limit = soft, 0
        _held += 1
        _limit = max(_limit, _data_bytes() + nbytes)
        most = min((bound for bound in (_before, hard) if bound != resource.RLIM_INFINITY), default=_limit)
        resource.setrlimit(resource.RLIMIT_DATA, (min(_limit, most), hard))


def _give_back() -> None:
    global _held
    with _changing:
        _held -= 1
        if not _held:
            resource.setrlimit(resource.RLIMIT_DATA, (_before, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _data_bytes() -> int:
    """What counts for the limit: private memory that can be written to (proc(5), statm)."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[5]) * os.sysconf("SC_PAGESIZE")
