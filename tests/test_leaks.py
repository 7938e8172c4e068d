"""The leak guard sees what a test leaves behind, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest
from tests.leaks import Ledger, holdings


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no other session of tests ran beside this one: what lies about is ours."""
    monkeypatch.delenv("OCTREE_TESTS_BESIDE", raising=False)


def test_a_clean_test_is_clean(tmp_path: Path) -> None:
    ledger = Ledger()
    with (tmp_path / "file").open("w"):
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert ledger.left_behind("test") == []


@pytest.mark.usefixtures("alone")
def test_a_segment_is_seen(cleanup: ExitStack) -> None:
    ledger = Ledger()
    segment = SharedMemory("octree-serve-test-leak", create=True, size=4096)
    cleanup.callback(segment.unlink)
    cleanup.callback(segment.close)
    assert "shared memory /dev/shm/octree-serve-test-leak" in ledger.left_behind("test")


@pytest.mark.usefixtures("alone")
def test_a_segment_whose_daemon_is_dead_is_seen(cleanup: ExitStack) -> None:
    ledger = Ledger()
    segment = SharedMemory(f"octree-serve-ours-{2**22 + 1}-0123456789abcdef.arena", create=True, size=4096)
    cleanup.callback(segment.unlink)
    segment.close()
    assert ledger.left_behind("test") == [f"shared memory /dev/shm/{segment.name}"]


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", ["elsewhere-test-leak", "octree-serve-theirs-1-0123456789abcdef.arena"])
def test_a_segment_of_somebody_else_is_none_of_ours(cleanup: ExitStack, name: str) -> None:
    """Process 1 runs, and we did not start it."""
    ledger = Ledger()
    segment = SharedMemory(name, create=True, size=4096)
    cleanup.callback(segment.unlink)
    segment.close()
    assert ledger.left_behind("test") == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_child_is_seen_by_its_command(cleanup: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.leaks._GRACE", 0.05)
    ledger = Ledger()
    child = subprocess.Popen([sys.executable, "-c", "input('octopus')"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    cleanup.callback(child.communicate)
    assert any(f"process {child.pid}" in line and "octopus" in line for line in ledger.left_behind("test"))


def test_a_thread_is_seen_by_its_name(cleanup: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.leaks._GRACE", 0.05)
    ledger, done = Ledger(), threading.Event()
    thread = threading.Thread(target=done.wait, name="octopus")
    thread.start()
    cleanup.callback(thread.join)
    cleanup.callback(done.set)
    assert ledger.left_behind("test") == ["thread 'octopus'"]


def test_a_thread_that_is_about_to_end_is_waited_for() -> None:
    ledger, done = Ledger(), threading.Event()
    threading.Thread(target=done.wait, name="octopus").start()
    threading.Timer(0.05, done.set).start()
    assert ledger.left_behind("test") == []


def test_a_file_is_seen_by_its_path(cleanup: ExitStack, tmp_path: Path) -> None:
    ledger = Ledger()
    file = cleanup.enter_context((tmp_path / "octopus").open("w"))
    assert ledger.left_behind("test") == [f"file {tmp_path}/octopus (descriptor {file.fileno()})"]


def test_sockets_are_allowed_now_and_then_but_not_in_every_test(cleanup: ExitStack) -> None:
    import socket

    ledger, complaints = Ledger(), []
    for n in range(60):
        ledger.before = holdings()
        cleanup.enter_context(socket.socket())
        complaints.append(ledger.left_behind(f"case {n}"))
    assert not any(complaints[:48])
    assert all(complaints[48:])
    assert "case 0 1; case 1 1" in complaints[48][0]


@pytest.fixture(scope="module")
def open_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with (tmp_path_factory.mktemp("module") / "file").open("w") as file:
        yield file.fileno()


def test_a_fixture_of_the_module_may_be_set_up_within_a_test(request: pytest.FixtureRequest) -> None:
    """The guard around this very test is what must not complain."""
    assert request.getfixturevalue("open_file")


def test_the_guard_is_cheap() -> None:
    best = min(_seconds_of_a_look() for _ in range(5))
    assert best < 0.02  # 0.1 ms to 2 ms; a bound that a busy machine keeps


def _seconds_of_a_look() -> float:
    began = time.perf_counter()
    holdings()
    return time.perf_counter() - began
