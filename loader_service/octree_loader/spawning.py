"""Starts processes of the daemon, and sees them to their end. Knows nothing of what they do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from octree_loader.fork_server import fork_context, start_fork_server
from octree_loader.loop import Loop

log = logging.getLogger("octree.pools")


class Spawner:
    """Starts processes by the fork server, without waiting for them.

    Parameters
    ----------
    loop
        The daemon's, where whoever asked is told.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._starting: set[threading.Thread] = set()

    def warm_up(self) -> None:
        """Start the fork server now, so that the first process does not have to wait for it."""
        start_fork_server()

    def start(
        self,
        target: Callable[..., None],
        arguments: tuple[Any, ...],
        name: str,
        told: Callable[[BaseProcess | None, str], None],
    ) -> None:
        """Start a process; in a thread, since the first waits for the fork server to have imported what it should.

        Parameters
        ----------
        target, arguments
            What it runs.
        told
            Called in the loop with the process, or with None and the reason why there is none.
        """
        process = fork_context().Process(target=target, args=arguments, name=name, daemon=True)

        def start() -> None:
            reason = ""
            try:
                process.start()
            except (OSError, EOFError) as error:  # EOFError: the fork server died over it; the next start has a new one
                reason = f"a process cannot be started: {error}"
                log.error("%s", reason)
            self._loop.call(lambda: started(reason))

        def started(reason: str) -> None:
            self._starting.discard(thread)
            thread.join()
            told(None if reason else process, reason)

        thread = threading.Thread(target=start, name="octree-start")
        self._starting.add(thread)
        thread.start()

    def close(self) -> None:
        """Wait for starts that are under way; the processes end by themselves, when their channels do."""
        for thread in list(self._starting):
            thread.join()


def end(process: BaseProcess, patience: float) -> int | None:
    """Wait for a process to end, kill it after `patience` seconds; returns its exit code."""
    process.join(patience)
    if process.is_alive():
        process.kill()
        process.join()
    code = process.exitcode
    process.close()
    return code
