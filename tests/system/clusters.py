"""Clusters of dask for tests: real schedulers and workers, started as anybody would start them, killed and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.system.daemons import ROOT, environment

#: Has a worker believe that it runs on another machine than the daemon, or that octree-serve is not installed, or old.
FAR_AWAY = str(ROOT / "tests" / "system" / "far_away.py")
OLD_RELEASE = str(ROOT / "tests" / "system" / "old_release.py")
NOTHING_INSTALLED = str(ROOT / "tests" / "system" / "nothing_installed.py")


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class DaskCluster:
    """A scheduler and workers, each a process; nothing runs until it is started.

    Parameters
    ----------
    folder
        For what they write and say.
    keys
        Files of "ca", "cert" and "key": everything is encrypted.
    """

    def __init__(self, folder: Path, keys: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.address = f"{'tls' if keys else 'tcp'}://127.0.0.1:{free_port()}"
        self._tls = [f"--tls-{option}={keys[k]}" for k, option in _OPTIONS.items()] if keys else []
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self._said = (folder / "dask.txt").open("ab")

    def words(self) -> str:
        """What all of them said."""
        return (self.folder / "dask.txt").read_text(errors="replace")

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        env = {**environment(), "DASK_TEMPORARY_DIRECTORY": str(self.folder)}
        env |= {"DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]", "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": "[]"}
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "dask", *arguments, *self._tls],
            cwd=self.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,
        )

    def start_scheduler(self) -> None:
        """At the same address each time."""
        port = self.address.rpartition(":")[2]
        scheme = self.address.partition(":")[0]
        self.scheduler = self._start(
            "scheduler",
            "--host",
            f"{scheme}://127.0.0.1",
            "--port",
            port,
            "--no-dashboard",
            "--dashboard-address",
            ":0",
        )

    def start_worker(self, threads: int = 1, preload: str = "") -> subprocess.Popen[bytes]:
        """`preload`: a file that it runs first."""
        arguments = ["--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--memory-limit", "0"]
        arguments += ["--local-directory", str(self.folder)]
        arguments += ["--preload", preload] if preload else []
        worker = self._start("worker", self.address, *arguments)
        self.workers.append(worker)
        return worker

    def kill(self, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
        """Have one of them die."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait()
        if process in self.workers:
            self.workers.remove(process)

    def replace_ended(self) -> None:
        """Workers end when their scheduler does; start as many others."""
        ended, self.workers = self.workers, []
        for worker in ended:
            worker.wait(20.0)
            self.start_worker()

    def kill_scheduler(self) -> None:
        """Its workers see what they make of it."""
        assert self.scheduler is not None
        self.kill(self.scheduler)
        self.scheduler = None

    def end(self) -> None:
        """Make an end of all of them."""
        for process in [*self.workers, *([self.scheduler] if self.scheduler else [])]:
            self.kill(process)
        self._said.close()

    def __enter__(self) -> DaskCluster:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


_OPTIONS = {"ca": "ca-file", "cert": "cert", "key": "key"}
