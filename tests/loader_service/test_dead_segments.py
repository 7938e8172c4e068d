"""The janitor: what a killed daemon left goes, and nothing else ever does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.loader_service.owners import OWNER, end, start_owner

from octree_loader.dead_segments import remove_dead_segments
from octree_loader.memory import Segment
from octree_protocol.slots import TOKEN_BYTES, TOKEN_OFFSET

MIB = 1 << 20


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
        "import os, signal\npid = os.fork()\nprint(pid, flush=True)\nsignal.pause()",
    )
    owner, path = start_owner(tmp_path, code)
    assert owner.stdout is not None
    # Both say so when they run: the child has let go of what it inherited by then, the owner has said who it is.
    child = max(int(owner.stdout.readline()), int(owner.stdout.readline()))
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
