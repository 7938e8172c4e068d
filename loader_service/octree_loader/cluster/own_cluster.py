"""A cluster of our own: one scheduler and some workers on this machine, kept running as children of the bridge.

They listen on the loopback interface only, with keys that are made for them and never written to a file: whoever
reaches a scheduler of dask can have it run anything. They end with the process that started them, however it ends.

The children run this module: ``python -m octree_loader.cluster.own_cluster``, told what to be on standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
from typing import Any

from octree_loader.instance import runtime_folder

#: Seconds that a child has to say that it is there; it imports half of Python first.
_START_SECONDS = 60.0

#: A child that ends is replaced after so many seconds: doubled each time that it had not lived for long, up to a most.
_AGAIN, _AGAIN_MOST, _LONG = 0.1, 5.0, 10.0

#: As the workers of our own pools.
_NICE = 5

# prctl(2)
_PR_SET_PDEATHSIG = 1


class OwnCluster:
    """Keeps a scheduler and its workers running.

    Parameters
    ----------
    workers, threads
        How many workers, and threads of each.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self._workers = workers
        self._threads = threads
        self._keys: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # They import half of Python first, and so do we.
        self._keeper = asyncio.create_task(self._keep())

    async def address(self) -> tuple[str, Any]:
        """Where the scheduler is, and the `distributed.Security` with which one connects; waits until it is there."""
        if not self._keys.done():
            from distributed import Security

            made = Security.temporary()
            keys = {"ca": made.tls_ca_file, "cert": made.tls_client_cert, "key": made.tls_client_key}
            self._keys.set_result(keys)
        return await asyncio.shield(self._address), _security(await self._keys)

    async def _keep(self) -> None:
        pause = _AGAIN
        while True:
            began = asyncio.get_running_loop().time()
            workers = [asyncio.create_task(self._keep_worker(number)) for number in range(self._workers)]
            try:
                async with _Child({"be": "scheduler"}) as scheduler:
                    await scheduler.tell(await asyncio.shield(self._keys))
                    self._address.set_result(await scheduler.said())
                    await scheduler.ended()
            except (TimeoutError, OSError, EOFError):
                pass  # it is tried again
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
                if self._address.done():
                    self._address = asyncio.get_running_loop().create_future()
            pause = await _rest(began, pause)

    async def _keep_worker(self, number: int) -> None:
        pause = _AGAIN
        while True:
            began = asyncio.get_running_loop().time()
            with contextlib.suppress(OSError, EOFError):
                async with _Child({"be": "worker", "name": f"own-{number}", "threads": self._threads}) as worker:
                    keys = await asyncio.shield(self._keys)
                    await worker.tell({**keys, "scheduler": await asyncio.shield(self._address)})
                    await worker.ended()
            pause = await _rest(began, pause)

    async def close(self) -> None:
        """End all of it."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)


async def _rest(began: float, pause: float) -> float:
    """Wait before a child is started again; returns how long."""
    lived = asyncio.get_running_loop().time() - began
    pause = _AGAIN if lived > _LONG else min(_AGAIN_MOST, 2 * pause)
    await asyncio.sleep(pause)
    return pause


class _Child:
    """A child process that is told what to be, in two lines of JSON, and killed at the end."""

    def __init__(self, what: dict[str, Any]) -> None:
        self._what = {**what, "path": sys.path, "parent": os.getpid()}
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> _Child:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "octree_loader.cluster.own_cluster", stdin=pipe, stdout=pipe
        )
        await self.tell(self._what)
        return self

    async def tell(self, what: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()

    async def said(self) -> str:
        """The first line that it says. Raises `EOFError` if it ends instead, `TimeoutError` if it does neither."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _START_SECONDS)
        if not line:
            raise EOFError("it has ended")
        return line.decode().strip()

    async def ended(self) -> None:
        assert self._process is not None
        await self._process.wait()

    async def __aexit__(self, *error: object) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def _security(keys: dict[str, str]) -> Any:
    from distributed import Security

    roles = ("scheduler", "worker", "client")
    pairs = {f"tls_{role}_{part}": keys[part] for role in roles for part in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=keys["ca"], **pairs)


def quiet() -> None:
    """Import distributed, and have it say nothing: what is to be said, the daemon says."""
    import distributed  # noqa: F401 - it sets its loggers up when it is imported

    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("distributed", "tornado", "bokeh")):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


# --- the children ----------------------------------------------------------------------------------------------------


def main() -> None:
    """Be what standard input says, until killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    what = json.loads(sys.stdin.readline())
    if os.getppid() != what["parent"]:  # it was gone before we asked to go with it
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:] = what["path"]
    quiet()
    os.nice(_NICE if what["be"] == "worker" else 0)
    keys = sys.stdin.readline()
    if keys:
        asyncio.run(_be({**what, **json.loads(keys)}))


async def _be(what: dict[str, Any]) -> None:
    import dask
    from distributed import Scheduler, Worker

    dask.config.set(
        {
            "distributed.worker.profile.enabled": False,
            "distributed.admin.system-monitor.gil.enabled": False,
            "distributed.worker.http.routes": [],
            "distributed.scheduler.http.routes": [],
        }
    )
    everybody = {"protocol": "tls", "host": "127.0.0.1", "security": _security(what), "dashboard": False}
    if what["be"] == "scheduler":
        async with Scheduler(port=0, dashboard_address="127.0.0.1:0", **everybody) as scheduler:
            print(scheduler.address, flush=True)
            await scheduler.finished()
        return
    # What a killed worker leaves in its folder, dask removes when the next one starts.
    async with Worker(
        what["scheduler"],
        nthreads=what["threads"],
        name=what["name"],
        memory_limit=0,
        local_directory=os.path.join(runtime_folder(), "dask"),
        **everybody,
    ) as worker:
        await worker.finished()


if __name__ == "__main__":
    main()
