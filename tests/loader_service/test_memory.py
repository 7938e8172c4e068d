"""The segment: really there, private, alive as long as its owner, and nothing left behind but what a kill leaves."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from octree_loader import memory
from octree_loader.memory import (
    DEFAULT_ARENA_BYTES,
    SHARED_MEMORY,
    BadSegment,
    NoSharedMemory,
    Segment,
    arena_bytes,
    free_bytes,
    remove_dead_segments,
    shared_directory,
)
from octree_loader.scheduling.arena import SMALLEST_ARENA_BYTES
from octree_protocol.messages import ArenaAddress
from octree_protocol.slots import MAGIC, SEGMENT_HEADER_BYTES, TOKEN_BYTES, TOKEN_OFFSET

MIB = 1 << 20

OWNER = """
import sys
from octree_loader.memory import Segment
segment = Segment.create(sys.argv[1], 1 << 20, "lab")
print(segment.path, flush=True)
sys.stdin.read()
"""

WORKER = """
import sys
from octree_loader.memory import Segment
segment = Segment.attach(sys.argv[1], writable=True, token=bytes.fromhex(sys.argv[2]))
segment.view[8192:8197] = b"chunk"
if sys.argv[3] == "close":
    segment.close()
"""


def start_owner(directory: Path, code: str = OWNER) -> tuple[subprocess.Popen[bytes], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().decode().strip())


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


def descriptors() -> list[str]:
    # The one of the listing itself is gone by the time that it is looked at.
    return sorted(
        os.readlink(f"/proc/self/fd/{name}")
        for name in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{name}")
    )


def test_a_segment_is_allocated_private_and_known_by_its_header(tmp_path: Path) -> None:
    with Segment.create(str(tmp_path), MIB, "lab") as segment:
        found = os.stat(segment.path)
        assert found.st_mode & 0o777 == 0o600
        assert found.st_size == segment.nbytes == len(segment.view) == MIB
        assert found.st_blocks * 512 >= MIB, "not allocated: a write may end in SIGBUS"
        assert bytes(segment.view[: len(MAGIC)]) == MAGIC
        assert segment.view[TOKEN_OFFSET : TOKEN_OFFSET + TOKEN_BYTES] == segment.token
        assert not any(segment.view[SEGMENT_HEADER_BYTES:])
        assert segment.address() == ArenaAddress(segment.path, MIB, segment.token.hex())
        assert "lab" in segment.path


def test_populating_changes_nothing_that_is_written_meanwhile(tmp_path: Path) -> None:
    with Segment.create(str(tmp_path), 32 * MIB) as segment:
        written = np.frombuffer(segment.view, np.uint64)
        written[:] = np.arange(len(written))
        assert segment.wait_until_populated(30)
        assert np.array_equal(written, np.arange(len(written)))


def test_a_name_that_is_no_file_name_does_no_harm(tmp_path: Path) -> None:
    with Segment.create(tmp_path, MIB, "../" + "é" * 100) as segment:
        assert os.path.dirname(segment.path) == str(tmp_path)
        segment._lock.close()  # type: ignore[union-attr]
        segment.view[24] ^= 1
        assert remove_dead_segments(tmp_path) == [segment.path]


def test_two_segments_have_different_tokens(tmp_path: Path) -> None:
    with Segment.create(str(tmp_path), MIB) as one, Segment.create(str(tmp_path), MIB) as other:
        assert one.token != other.token
        assert one.path != other.path


def test_nothing_is_left_after_the_end(tmp_path: Path) -> None:
    before = descriptors()
    with Segment.create(str(tmp_path), MIB) as segment:
        Segment.attach(segment.path, writable=True).close()
    assert os.listdir(tmp_path) == []
    assert descriptors() == before
    segment.close()
    segment.unlink()


def test_arrays_outlive_the_segment(tmp_path: Path) -> None:
    with Segment.create(str(tmp_path), MIB) as segment:
        segment.view[4096:4100] = b"abcd"
        array = np.frombuffer(segment.view, np.uint8, 4, 4096)
    assert bytes(array) == b"abcd"


@pytest.mark.parametrize("goodbye", ["close", "just exit"])
def test_a_worker_that_attaches_and_ends_leaves_the_segment_alone(tmp_path: Path, goodbye: str) -> None:
    with Segment.create(str(tmp_path), MIB) as segment:
        subprocess.run(
            [sys.executable, "-c", WORKER, segment.path, segment.token.hex(), goodbye], check=True, timeout=30
        )
        assert bytes(segment.view[8192:8197]) == b"chunk"
        assert os.path.exists(segment.path)
        assert remove_dead_segments(str(tmp_path)) == []


def test_attached_read_only_it_cannot_be_written(tmp_path: Path) -> None:
    with Segment.create(str(tmp_path), MIB) as owner, Segment.attach(owner.path, token=owner.token) as segment:
        assert not segment.owned
        with pytest.raises(TypeError, match="read-only"):
            segment.view[4096] = 1
        owner.view[4096] = 7
        assert segment.view[4096] == 7


def test_leaving_an_attached_segment_does_not_unlink_it(tmp_path: Path) -> None:
    with Segment.create(str(tmp_path), MIB) as owner:
        with Segment.attach(owner.path, writable=True):
            pass
        assert os.path.exists(owner.path)


def test_what_is_not_the_segment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSegment, match="its daemon is gone"):
        Segment.attach(str(tmp_path / "gone"))
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BadSegment, match="not a segment of this release"):
        Segment.attach(str(tmp_path / "text"))
    with Segment.create(str(tmp_path), MIB) as segment, pytest.raises(BadSegment, match="another daemon"):
        Segment.attach(segment.path, token=bytes(32))


# --- too little memory -----------------------------------------------------------------------------------------------


def test_an_absurd_size_is_refused_with_the_cure() -> None:
    before = os.listdir(SHARED_MEMORY)
    with pytest.raises(NoSharedMemory) as caught:
        Segment.create(SHARED_MEMORY, 1 << 50)
    text = str(caught.value)
    for part in ("1.049e+06 GiB asked for", "free in /dev/shm", "memory.arena_bytes", "remount,size=", "--shm-size"):
        assert part in text
    assert caught.value.exit_code == 73
    assert isinstance(caught.value, MemoryError)
    assert os.listdir(SHARED_MEMORY) == before


def test_enospc_of_the_file_system_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures said that there was room; what counts is whether the pages can be had."""
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1 << 63)
    before = os.listdir(SHARED_MEMORY)
    with pytest.raises(NoSharedMemory, match="No space left on device"):
        Segment.create(SHARED_MEMORY, 1 << 50)
    with pytest.raises(NoSharedMemory, match="asked for"):
        Segment.create(SHARED_MEMORY, (1 << 63) - 1)
    assert os.listdir(SHARED_MEMORY) == before


def shrink(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    found = types.SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_blocks=free // 4096 + 1)
    monkeypatch.setattr(os, "statvfs", lambda _: found)


def test_a_containers_64_mib_give_an_arena_of_half_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, 64 * MIB)
    assert arena_bytes(None, SHARED_MEMORY) == 32 * MIB
    with pytest.raises(NoSharedMemory, match="65 MiB asked for, 64 MiB free"):
        Segment.create(SHARED_MEMORY, 65 * MIB)


def test_a_full_file_system_is_refused_at_the_default_size_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, 2 * SMALLEST_ARENA_BYTES - 8192)
    with pytest.raises(NoSharedMemory, match="half of it would be too small"):
        arena_bytes(None, SHARED_MEMORY)
    shrink(monkeypatch, 0)
    with pytest.raises(NoSharedMemory, match="0 bytes free"):
        arena_bytes(None, SHARED_MEMORY)


def test_the_default_size_is_bounded_and_a_configured_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1 << 40)
    assert arena_bytes(None, SHARED_MEMORY) == DEFAULT_ARENA_BYTES
    assert arena_bytes(5 << 30, SHARED_MEMORY) == 5 << 30


def test_memory_that_the_machine_or_the_container_lacks_does_not_count_as_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shrink(monkeypatch, 1 << 40)
    monkeypatch.setattr(memory, "_memory_available", lambda: 300)
    monkeypatch.setattr(memory, "_container_room", lambda: 200)
    assert free_bytes(SHARED_MEMORY) == 200


@pytest.mark.parametrize(
    ("files", "room"),
    [
        ({"memory.max": "1000", "memory.current": "900", "memory.stat": "anon 1\ninactive_file 500\n"}, 600),
        ({"memory.max": "max", "memory.current": "900", "memory.stat": "inactive_file 500"}, 1 << 62),
        (
            {
                "memory/memory.limit_in_bytes": "1000",
                "memory/memory.usage_in_bytes": "1200",
                "memory/memory.stat": "total_inactive_file 100",
            },
            0,
        ),
        ({}, 1 << 62),
    ],
)
def test_the_containers_limit_is_read(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], room: int) -> None:
    def read(path: str) -> str:
        name = path.removeprefix("/sys/fs/cgroup/")
        if name not in files:
            raise FileNotFoundError(path)
        return files[name]

    monkeypatch.setattr(memory, "_read", read)
    assert memory._container_room() == room


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSharedMemory, match="is there such a folder"):
        Segment.create(str(tmp_path / "nowhere"), MIB)


def test_the_folder_is_the_configured_one_else_dev_shm() -> None:
    assert shared_directory("/somewhere") == "/somewhere"
    assert shared_directory() == SHARED_MEMORY


# --- the janitor -----------------------------------------------------------------------------------------------------


def test_what_a_killed_daemon_left_is_removed(tmp_path: Path) -> None:
    owner, path = start_owner(tmp_path)
    assert remove_dead_segments(str(tmp_path)) == []
    owner.send_signal(signal.SIGKILL)
    owner.wait(10)
    assert path.exists()
    assert remove_dead_segments(str(tmp_path)) == [str(path)]
    assert os.listdir(tmp_path) == []
    end(owner)


def test_the_segment_of_a_living_daemon_is_never_removed(tmp_path: Path) -> None:
    owner, path = start_owner(tmp_path)
    try:
        # Not even if everything else says that its owner is dead.
        with open(path, "r+b") as file:
            file.seek(16)
            file.write(b"\xff\xff\x7f\0")
        assert remove_dead_segments(str(tmp_path)) == []
        owner.send_signal(signal.SIGSTOP)
        assert remove_dead_segments(str(tmp_path)) == []
        assert path.exists()
    finally:
        end(owner)


def test_a_daemon_that_lost_its_lock_but_lives_keeps_its_segment(tmp_path: Path) -> None:
    with Segment.create(str(tmp_path), MIB) as segment:
        assert segment._lock is not None
        segment._lock.close()
        assert remove_dead_segments(str(tmp_path)) == []
        segment.unlink()


def test_a_worker_that_outlives_its_daemon_does_not_keep_the_segment_alive(tmp_path: Path) -> None:
    code = OWNER.replace(
        "sys.stdin.read()",
        "import os, signal\npid = os.fork()\nif pid: print(pid, flush=True)\nsignal.pause()",
    )
    owner, path = start_owner(tmp_path, code)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    try:
        assert remove_dead_segments(str(tmp_path)) == []
        owner.kill()
        owner.wait(10)
        os.kill(child, 0)
        assert remove_dead_segments(str(tmp_path)) == [str(path)]
    finally:
        os.kill(child, signal.SIGKILL)
        end(owner)


@pytest.mark.parametrize("change", ["another start", "another boot"])
def test_a_process_number_that_was_given_away_again_does_not_protect(tmp_path: Path, change: str) -> None:
    segment = Segment.create(str(tmp_path), MIB)
    if change == "another start":
        segment.view[24] ^= 1
    else:
        segment.view[TOKEN_OFFSET + TOKEN_BYTES] ^= 1
    assert remove_dead_segments(str(tmp_path)) == []
    segment.close()
    assert remove_dead_segments(str(tmp_path)) == [segment.path]


def test_a_segment_whose_owner_died_before_its_header_is_removed(tmp_path: Path) -> None:
    mine = tmp_path / f"octree-serve-lab-{os.getpid()}-{'0' * 16}.arena"
    dead = tmp_path / f"octree-serve-lab-{2**22 + 1}-{'0' * 16}.arena"
    for path in (mine, dead):
        path.touch(0o600)
    assert remove_dead_segments(str(tmp_path)) == [str(dead)]
    assert mine.exists()


def test_what_is_not_ours_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"octree-serve-lab-{2**22 + 1}-{'0' * 16}.arena"
    (tmp_path / "psm_1234").touch()
    (tmp_path / "octree-serve-notes.txt").touch()
    (tmp_path / name.replace("lab", "folder")).mkdir()
    (tmp_path / name.replace("lab", "link")).symlink_to(tmp_path / "psm_1234")
    os.mkfifo(tmp_path / name.replace("lab", "pipe"))
    everything = sorted(os.listdir(tmp_path))
    assert remove_dead_segments(str(tmp_path)) == []
    (tmp_path / name).touch()
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert remove_dead_segments(str(tmp_path)) == []
    assert sorted(os.listdir(tmp_path)) == sorted([*everything, name])


def test_a_folder_that_is_not_there_has_no_dead_segments(tmp_path: Path) -> None:
    assert remove_dead_segments(str(tmp_path / "nowhere")) == []


def test_every_page_is_mapped_before_it_is_touched() -> None:
    with Segment.create(SHARED_MEMORY, 16 * MIB) as segment:
        assert segment.wait_until_populated(30)
        address = ctypes.addressof(ctypes.c_char.from_buffer(segment._mapping))
        with open("/proc/self/smaps", encoding="ascii") as file:
            lines = iter(file)
            start = next(line for line in lines if line.startswith(f"{address:x}-"))
            assert segment.path in start
            resident = next(line for line in lines if line.startswith("Rss:"))
        assert int(resident.split()[1]) == 16 * 1024
