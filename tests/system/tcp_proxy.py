"""A network between two sockets of this machine: it can be slow, far, lossy, cut, and listened to."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import Any


class TcpProxy:
    """Listens at a port of its own and passes on what comes.

    Parameters
    ----------
    target
        ``tcp://host:port`` of the other end.
    rate
        Bytes a second each way, of all connections together; None for no limit.
    delay
        Seconds each way.
    loss
        Share of the packets that are lost: each holds up what follows for a round trip, as TCP does.

    Attributes
    ----------
    heard
        All bytes that went through, if `listening` is set.
    """

    PACKET = 1448

    def __init__(
        self, target: str, rate: float | None = None, delay: float = 0.0, loss: float = 0.0, seed: int = 1
    ) -> None:
        self._host, _, port = target.removeprefix("tcp://").rpartition(":")
        self._port = int(port)
        self.rate = rate
        self.delay = delay
        self.loss = loss
        self.listening = False
        self.heard = bytearray()
        self.connections = 0
        self._random = random.Random(seed)
        self._free = {"up": 0.0, "down": 0.0}
        self._cut = False
        self._generation = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tcp-proxy")
        self._thread.start()
        assert self._ready.wait(10)

    def cut(self) -> None:
        """From now on nothing gets through, and nobody is told. What is connected now never wakes up again."""
        self._cut = True
        self._generation += 1

    def mend(self) -> None:
        """New connections get through again."""
        self._cut = False

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 16)
        self.address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        generation = self._generation
        others: Any = None
        try:
            if self._cut:
                await asyncio.sleep(3600)
            others = await asyncio.open_connection(self._host, self._port, limit=1 << 16)
            pumps = (
                self._pump("up", reader, others[1], generation),
                self._pump("down", others[0], writer, generation),
            )
            async with asyncio.TaskGroup() as group:
                for pump in pumps:
                    group.create_task(pump)
        except (asyncio.CancelledError, ExceptionGroup, OSError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, *(others[1:] if others else ())):
                end.transport.abort()

    async def _pump(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, generation: int
    ) -> None:
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1024)

        async def deliver() -> None:
            while True:
                due, data = await on_the_way.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if generation != self._generation:
                    await asyncio.sleep(3600)
                if not data:
                    raise ConnectionResetError
                writer.write(data)
                await writer.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            while True:
                try:
                    data = await reader.read(8192 if self.rate else 65536)
                except OSError:
                    data = b""
                if self.listening:
                    self.heard += data
                if self.rate:
                    now = time.monotonic()
                    self._free[way] = max(self._free[way], now) + len(data) / self.rate
                    await asyncio.sleep(max(0.0, self._free[way] - now))
                packets = -(-len(data) // self.PACKET)
                if self.loss and any(self._random.random() < self.loss for _ in range(packets)):
                    await asyncio.sleep(2 * self.delay)
                await on_the_way.put((time.monotonic() + self.delay, data))
                if not data:
                    return
