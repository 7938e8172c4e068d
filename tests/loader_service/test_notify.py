"""What systemd hears, through a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from octree_loader.monitoring.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5.0)
        listening.bind(str(tmp_path / "notify"))
        yield listening


def test_assignments_are_lines_of_one_datagram(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname())
    notifier.say(READY="1", STATUS="serving\n  two datasets")
    assert manager.recv(4096) == b"READY=1\nSTATUS=serving two datasets"
    notifier.close()


def test_an_abstract_socket_is_found() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5.0)
        listening.bind(f"\0octree-test-{os.getpid()}")
        notifier = Notifier(f"@octree-test-{os.getpid()}")
        notifier.say(STOPPING="1")
        assert listening.recv(4096) == b"STOPPING=1"
        notifier.close()


def test_a_manager_that_is_gone_or_does_not_read_stops_nobody(manager: socket.socket, tmp_path: Path) -> None:
    gone = Notifier(str(tmp_path / "nobody"))
    gone.say(READY="1")
    gone.close()
    deaf = Notifier(manager.getsockname())
    for _ in range(5000):  # many times what the kernel keeps for a socket
        deaf.say(STATUS="x" * 1000)
    deaf.close()


def test_the_environment_names_the_manager_and_is_cleared() -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    notifier = Notifier.from_environment(environ)
    assert notifier is not None
    assert notifier.watchdog == 3.0
    assert environ == {"HOME": "/"}
    notifier.close()

    elsewhere = Notifier.from_environment({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"})
    assert elsewhere is not None
    assert elsewhere.watchdog == 0.0  # it is not us who are watched
    elsewhere.close()
    assert Notifier.from_environment({}) is None
    assert Notifier.from_environment({"NOTIFY_SOCKET": "relative"}) is None
