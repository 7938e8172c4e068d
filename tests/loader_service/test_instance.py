"""Where a daemon lives: one of a name, in a folder that is closed to others, free at once when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from octree_loader import instance
from octree_loader.instance import AlreadyRunning, InstanceLock, UnsafeFolder, default_address, runtime_folder
from octree_loader.liveness import HeldLock, Identity, is_gone, own_identity, start_of
from octree_protocol import addresses
from octree_protocol.addresses import AddressError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base = tmp_path / "run"
    base.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    return base / "octree-serve"


HOLDER = """
import sys
from octree_loader.instance import InstanceLock
lock = InstanceLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def start_holder(place: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


def test_the_folder_is_made_and_closed_to_others(home: Path) -> None:
    assert runtime_folder() == str(home)
    assert home.stat().st_mode & 0o777 == 0o700
    assert runtime_folder() == str(home)


def test_a_folder_that_is_open_to_others_is_closed(home: Path) -> None:
    home.mkdir()
    home.chmod(0o755)
    runtime_folder()
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_does_not_let_itself_be_closed_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    home.chmod(0o755)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(UnsafeFolder, match="open to others") as caught:
        runtime_folder()
    assert f"chmod 0700 {home}" in str(caught.value)


def test_the_folder_of_somebody_else_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(0o700)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(UnsafeFolder, match=f"belongs to user {mine}, not to you"):
        runtime_folder()


def test_a_link_in_the_folders_place_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    home.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeFolder, match="is a link"):
        runtime_folder()


def test_a_runtime_dir_that_is_not_there_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere/at/all")
    with pytest.raises(UnsafeFolder, match="unset XDG_RUNTIME_DIR"):
        runtime_folder()


def test_daemon_and_viewer_come_to_the_same_address() -> None:
    assert default_address("lab") == addresses.default_address("lab")


def test_a_second_daemon_of_a_name_is_told_who_the_first_is(home: Path) -> None:
    holder = start_holder("lab")
    try:
        with pytest.raises(AlreadyRunning, match=f"process {holder.pid} is the daemon 'lab' already") as caught:
            InstanceLock("lab").acquire()
        assert (caught.value.pid, caught.value.exit_code) == (holder.pid, 75)
        with InstanceLock("another"):
            pass
    finally:
        end(holder)
    assert (home / "lab.lock").exists()


def test_the_name_is_free_at_once_after_kill_9() -> None:
    holder = start_holder("lab")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait(10)
    with InstanceLock("lab") as lock:
        assert Path(lock.path).read_text() == f"{os.getpid()}\n"
    end(holder)


def test_a_forked_child_does_not_keep_the_name_of_its_dead_parent() -> None:
    code = HOLDER.replace(
        "sys.stdin.read()",
        "import os, signal\npid = os.fork()\nif pid: print(pid, flush=True)\nsignal.pause()",
    )
    parent = subprocess.Popen([sys.executable, "-c", code, "lab"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"held\n"
    child = int(parent.stdout.readline())
    try:
        with pytest.raises(AlreadyRunning):
            InstanceLock("lab").acquire()
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(10)
        os.kill(child, 0)
        lock = InstanceLock("lab")
        lock.acquire()
        lock.release()
    finally:
        os.kill(child, signal.SIGKILL)
        end(parent)


def test_release_leaves_nothing(home: Path) -> None:
    lock = InstanceLock("lab")
    lock.acquire()
    lock.acquire()
    assert os.listdir(home) == ["lab.lock"]
    lock.release()
    lock.release()
    assert os.listdir(home) == []


def test_release_does_not_remove_the_lock_of_a_successor(home: Path) -> None:
    lock = InstanceLock("lab")
    lock.acquire()
    (home / "lab.lock").unlink()
    with InstanceLock("lab"):
        lock.release()
        assert os.listdir(home) == ["lab.lock"]


def test_a_lock_that_was_removed_while_we_opened_it_is_not_taken_for_ours(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = InstanceLock("lab")
    first.acquire()
    taken: list[int] = []

    class Late(HeldLock):
        def __init__(self, descriptor: int) -> None:
            if not taken:
                first.release()
            taken.append(descriptor)
            super().__init__(descriptor)

    monkeypatch.setattr(instance, "HeldLock", Late)
    with InstanceLock("lab") as second:
        assert len(taken) == 2
        assert os.path.samestat(os.fstat(taken[1]), (home / "lab.lock").stat())
        assert second.path == str(home / "lab.lock")


def test_an_explicit_address_has_its_lock_beside_the_socket(tmp_path: Path) -> None:
    with InstanceLock(f"ipc://{tmp_path}/here.sock") as lock:
        assert lock.path == f"{tmp_path}/here.lock"
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
            InstanceLock(f"{tmp_path}/here.sock").acquire()


def test_a_name_and_its_default_address_share_one_lock() -> None:
    with InstanceLock("lab"), pytest.raises(AlreadyRunning):
        InstanceLock(addresses.default_address("lab")).acquire()


@pytest.mark.parametrize("place", ["../up", "", "tcp://127.0.0.1:5555", "http://x"])
def test_what_is_no_place_is_refused(place: str) -> None:
    with pytest.raises(AddressError):
        InstanceLock(place)


def test_a_lock_in_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFolder, match="No such file or directory"):
        InstanceLock(f"ipc://{tmp_path}/not/here.sock").acquire()


def test_a_process_is_known_by_more_than_its_number() -> None:
    me = own_identity()
    assert not is_gone(me)
    assert is_gone(me._replace(started=me.started + 1))
    assert is_gone(me._replace(boot="another"))
    assert is_gone(Identity(2**22 + 1, 1, me.boot))


def test_a_zombie_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert start_of(process.pid) is None
    process.wait()
