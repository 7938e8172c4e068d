"""Where processes of ours come from: a server that has imported what they need, and forks itself.

So one starts in milliseconds, and it is a clean process without threads or sockets of the daemon: forking the daemon
itself would copy both. Knows nothing of what they do.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

#: What is imported, in order; at first what every worker needs.
_named = dict.fromkeys(
    ("octree_loader.worker", "octree_loader.sources.direct", "numcodecs.blosc", "numcodecs.zstd"),
)


def fork_context(further: Iterable[str] = ()) -> ForkServerContext:
    """The context whose processes are forked from the server, which starts with the first.

    Parameters
    ----------
    further
        Modules that processes will need, too; only what is named before the server runs is imported by it.
    """
    context = multiprocessing.get_context("forkserver")
    _named.update(dict.fromkeys(further))
    context.set_forkserver_preload(list(_named))
    return context


def start_fork_server() -> None:
    """Start the server now, so that the first process does not have to wait for it."""
    fork_context()
    forkserver.ensure_running()
