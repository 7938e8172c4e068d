"""Daemons of tests: started as anybody would start them, asked, and ended. And a client that speaks by hand."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
import zmq

from octree_loader.status import NoDaemon, ask_status
from octree_protocol import PROTOCOL_VERSION, codec
from octree_protocol.geometry import Dataset
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import (
    Ack,
    Announce,
    Bye,
    ClientMessage,
    DaemonMessage,
    Describe,
    Described,
    Hello,
    Ping,
    Status,
    Want,
    Wanted,
    Welcome,
)

ROOT = Path(__file__).resolve().parents[2]

MessageT = TypeVar("MessageT")

_NEVER = threading.Event()


def wait_for(condition: Callable[[], Any], timeout: float, what: str = "") -> Any:
    """Ask `condition` until it says something true; fail after `timeout` seconds. Returns what it said."""
    until = time.monotonic() + timeout
    while True:
        if found := condition():
            return found
        assert time.monotonic() < until, f"not within {timeout:g} s: {what or condition}"
        _NEVER.wait(0.01)


def merged(*sections: Mapping[str, Any]) -> dict[str, Any]:
    """Configurations laid over each other, section by section."""
    result: dict[str, Any] = {}
    for mapping in sections:
        for key, value in mapping.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result


def environment() -> dict[str, str]:
    """Of a daemon that can import the tests' factories."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def octree_serve(*arguments: str, cwd: Path, timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "octree_loader.cli", *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Daemon:
    """One ``octree-serve`` process.

    Parameters
    ----------
    folder
        For its configuration, socket and what it says.
    config
        What stands in ``octree.json``.
    address
        Where it listens, and is asked first; a socket in `folder` if left out.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], address: str | Sequence[str] | None = None) -> None:
        self.folder = folder
        addresses = [address] if isinstance(address, str) else list(address or [f"ipc://{folder}/d.sock"])
        self.address = addresses[0]
        file = folder / "octree.json"
        file.write_text(json.dumps(config))
        self._said = (folder / "stderr.txt").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "octree_loader.cli", "-v", "--config", str(file)]
            + [word for one in addresses for word in ("--bind", one)],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,
        )
        self._family: list[psutil.Process] = []
        try:
            self.greeting = self._read_until(self.address.encode(), 20.0).decode()
        except BaseException:
            self.end()
            raise

    def _read_until(self, text: bytes, timeout: float) -> bytes:
        assert self._process.stdout is not None
        got, until = b"", time.monotonic() + timeout
        descriptor = self._process.stdout.fileno()
        while text not in got:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
            more = os.read(descriptor, 4096) if ready else b""
            assert more, f"the daemon did not start within {timeout:g} s: {self.words()}"
            got += more
        return got

    @property
    def pid(self) -> int:
        return self._process.pid

    def words(self) -> str:
        """What it said on its standard error."""
        return (self.folder / "stderr.txt").read_text(errors="replace")

    def status(self) -> Status:
        try:
            return ask_status(self.address, timeout=10.0)
        except NoDaemon as error:
            ended = self._process.poll()
            raise AssertionError(f"{error}; it ended with {ended} and said: {self.words()[-3000:]}") from None

    def descendants(self) -> list[psutil.Process]:
        """Every process below the daemon: the fork server, the workers."""
        self._family = psutil.Process(self.pid).children(recursive=True)
        return self._family

    def workers(self) -> set[int]:
        """The processes that read: those that the fork server made."""
        found = set()
        for process in self.descendants():
            with contextlib.suppress(psutil.Error):
                if any("forkserver" in word for word in process.cmdline()) and process.ppid() != self.pid:
                    found.add(process.pid)
        return found

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Its exit status."""
        return self._process.wait(timeout)

    def rest(self) -> str:
        """What it still had to say on its standard output; after `wait`."""
        assert self._process.stdout is not None
        return self._process.stdout.read().decode()

    def end(self) -> None:
        """Make an end of it, however it stands."""
        if self._process.poll() is None:
            with contextlib.suppress(psutil.Error):
                self.descendants()
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for process in self._family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._said.close()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


class Peer:
    """A client that says what it is told, and remembers everything that it hears. Beats its heart while it listens.

    `room` is for how many messages there is room on its side until it reads them.
    """

    def __init__(self, address: str, hello: bool = True, name: str = "peer", room: int = 1000) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 200)
        self.socket.setsockopt(zmq.RCVHWM, room)
        self.socket.connect(address)
        self.heard: list[DaemonMessage] = []
        self.ready: dict[ChunkKey, Any] = {}
        self.missing: set[ChunkKey] = set()
        self.failed: dict[ChunkKey, str] = {}
        self._sequence = 0
        self._beat = 0.0
        self._received = 0
        self.welcome: Welcome | None = None
        if hello:
            self.say(Hello(PROTOCOL_VERSION, name, os.getpid()))
            self.welcome = self.hear(Welcome)

    def say(self, message: ClientMessage) -> None:
        self.socket.send(codec.encode(message))

    def say_bytes(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def listen(self, until: float) -> bool:
        """Take in one message, if one comes in time."""
        now = time.monotonic()
        if self.welcome is not None and now > self._beat:
            self._beat = now + 1.0
            self.say(Ping())
            self.say(Ack(self._received))
        if not self.socket.poll(max(0, int((min(until, now + 0.5) - now) * 1e3))):
            return False
        frames = self.socket.recv_multipart()
        message = codec.decode_from_daemon(frames[0])
        self._received = 0 if isinstance(message, Welcome) else self._received + sum(map(len, frames))
        self.heard.append(message)
        if isinstance(message, Announce):
            for ready in message.ready:
                self.ready[ready.key] = ready
            self.missing.update(message.missing)
            self.failed.update({failure.key: failure.reason for failure in message.failed})
        return True

    def hear(self, kind: type[MessageT], timeout: float = 10.0) -> MessageT:
        """The next message of a kind."""
        first = len(self.heard)
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            self.listen(until)
            for message in self.heard[first:]:
                if isinstance(message, kind):
                    return message
            first = len(self.heard)
        raise AssertionError(f"no {kind.__name__} within {timeout:g} s, but {self.heard[-5:]}")

    def until(self, condition: Callable[[], Any], timeout: float = 10.0) -> None:
        """Listen until `condition`."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, (
                f"not within {timeout:g} s; ready {len(self.ready)}, missing {self.missing}, failed {self.failed}"
            )
            self.listen(end)

    def describe(self, name: str) -> Dataset:
        self.say(Describe(name, 1))
        return self.hear(Described).dataset

    def want(self, keys: Iterable[ChunkKey | Wanted], view: int = 1) -> None:
        """The whole working set of a view from now on; keys come in the order of their importance."""
        self._sequence += 1
        entries = tuple(
            key if isinstance(key, Wanted) else Wanted(key, priority=place) for place, key in enumerate(keys)
        )
        self.say(Want(view, self._sequence, entries))

    def settled(self, keys: Sequence[ChunkKey]) -> bool:
        """Whether it is known what became of each of them."""
        return all(key in self.ready or key in self.missing or key in self.failed for key in keys)

    def close(self) -> None:
        if self.welcome is not None:
            with contextlib.suppress(zmq.Again):
                self.socket.send(codec.encode(Bye()), zmq.NOBLOCK)
        self.socket.close()
        self._context.term()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
