"""The arena as a viewer sees it: read-only, without a copy, and of the right daemon."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from octree_client.transport.shared import ArenaUnavailable, SharedArena
from octree_protocol.errors import RemoteProtocolError
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Ready
from octree_protocol.slots import MAGIC, SEGMENT_HEADER_BYTES, SLOT_HEADER_BYTES, TOKEN_OFFSET, write_generation

NBYTES = 64 * 1024
TOKEN = bytes(range(32))
SLOT = SEGMENT_HEADER_BYTES
KEY = ChunkKey(1, 0, (0, 0))
VOXELS = np.arange(32 * 48, dtype="<u2").reshape(32, 48)
READY = Ready(KEY, SLOT, 3, "<u2", (32, 48))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[mmap.mmap]:
    """What a daemon would have written, by the layout of `octree_protocol.slots` alone."""
    path = tmp_path / "arena"
    path.write_bytes(bytes(NBYTES))
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), NBYTES) as memory:
        memory[: len(MAGIC)] = MAGIC
        memory[TOKEN_OFFSET : TOKEN_OFFSET + 32] = TOKEN
        with memoryview(memory) as view:
            write_generation(view, SLOT, 3)
        memory[SLOT + SLOT_HEADER_BYTES : SLOT + SLOT_HEADER_BYTES + VOXELS.nbytes] = VOXELS.tobytes()
        yield memory


@pytest.fixture
def arena(daemon: mmap.mmap, tmp_path: Path) -> Iterator[SharedArena]:
    assert len(daemon) == NBYTES
    with SharedArena(str(tmp_path / "arena"), NBYTES, TOKEN.hex()) as arena:
        yield arena


def test_a_chunk_is_seen_without_a_copy(arena: SharedArena, daemon: mmap.mmap) -> None:
    array = arena.array(READY)
    np.testing.assert_array_equal(array, VOXELS)
    assert array.dtype == "<u2"
    assert array.flags.c_contiguous
    daemon[SLOT + SLOT_HEADER_BYTES] = 99
    assert array[0, 0] == 99


def test_an_array_cannot_be_written(arena: SharedArena) -> None:
    array = arena.array(READY)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        array.flags.writeable = True


def test_a_write_past_python_kills_the_writer_and_changes_nothing(arena: SharedArena, tmp_path: Path) -> None:
    code = f"""
import ctypes
from octree_client.transport.shared import SharedArena
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Ready
arena = SharedArena({str(tmp_path / "arena")!r}, {NBYTES}, {TOKEN.hex()!r})
array = arena.array(Ready(ChunkKey(1, 0, (0, 0)), {SLOT}, 3, "<u2", (32, 48)))
ctypes.memset(array.ctypes.data, 255, 2)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=30, capture_output=True)
    assert done.returncode == -signal.SIGSEGV, done.stderr
    assert arena.array(READY)[0, 0] == VOXELS[0, 0]


def test_the_generation_tells_an_old_answer(arena: SharedArena, daemon: mmap.mmap) -> None:
    assert arena.generation(SLOT) == 3
    assert arena.is_current(READY)
    with memoryview(daemon) as view:
        write_generation(view, SLOT, 4)
    assert not arena.is_current(READY)


def test_it_stays_readable_when_the_file_is_gone(arena: SharedArena, tmp_path: Path) -> None:
    (tmp_path / "arena").unlink()
    np.testing.assert_array_equal(arena.array(READY), VOXELS)


@pytest.mark.usefixtures("daemon")
def test_an_array_outlives_the_arena(tmp_path: Path) -> None:
    arena = SharedArena(str(tmp_path / "arena"), NBYTES, TOKEN.hex())
    array = arena.array(READY)
    arena.close()
    arena.close()
    del arena
    np.testing.assert_array_equal(array, VOXELS)


@pytest.mark.usefixtures("daemon")
def test_closing_leaves_no_descriptor_and_no_mapping(tmp_path: Path) -> None:
    def traces() -> tuple[int, int]:
        maps = Path("/proc/self/maps").read_text().count(str(tmp_path))
        return len(os.listdir("/proc/self/fd")), maps

    before = traces()
    arena = SharedArena(str(tmp_path / "arena"), NBYTES, TOKEN.hex())
    array = arena.array(READY)
    assert traces() != before
    arena.close()
    del array, arena
    assert traces() == before


@pytest.mark.parametrize(
    "ready",
    [
        Ready(KEY, 0, 1, "<u2", (4,)),
        Ready(KEY, SEGMENT_HEADER_BYTES - 64, 1, "<u2", (4,)),
        Ready(KEY, NBYTES - 64, 1, "|u1", (1,)),
        Ready(KEY, 1 << 62, 1, "|u1", (1,)),
        Ready(KEY, SLOT, 1, "<u2", (NBYTES, NBYTES)),
        Ready(KEY, SLOT, 1, "<u2", (1 << 62,) * 8),
        Ready(KEY, SLOT, 1, "<u2", (0, 4)),
        Ready(KEY, SLOT, 1, "<u2", (-2, -2)),
        Ready(KEY, SLOT, 1, "O", (1,)),
        Ready(KEY, SLOT, 1, "U4", (1,)),
        Ready(KEY, SLOT, 1, "(2,)f8", (1,)),
        Ready(KEY, SLOT, 1, "f8,O", (1,)),
        Ready(KEY, SLOT, 1, "nonsense", (1,)),
        Ready(KEY, SLOT, 1, "", (1,)),
    ],
)
def test_an_announcement_that_cannot_be_true_is_refused(arena: SharedArena, ready: Ready) -> None:
    with pytest.raises(RemoteProtocolError):
        arena.array(ready)


@pytest.mark.parametrize("slot", [-1, 0, NBYTES, NBYTES - 1, 1 << 63])
def test_the_generation_of_no_slot_is_refused(arena: SharedArena, slot: int) -> None:
    with pytest.raises(RemoteProtocolError, match="is no slot"):
        arena.generation(slot)


def test_a_single_voxel_and_the_last_byte_are_seen(arena: SharedArena) -> None:
    assert arena.array(Ready(KEY, SLOT, 3, "<u2", ())).shape == ()
    last = NBYTES - SLOT_HEADER_BYTES - 16
    assert arena.array(Ready(KEY, last, 3, "|u1", (16,))).shape == (16,)


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("make", "nbytes", "token", "reason"),
    [
        ("nothing", NBYTES, TOKEN, "No such file"),
        ("pipe", NBYTES, TOKEN, "no ordinary file"),
        ("link", NBYTES, TOKEN, "cannot open"),
        ("short", NBYTES, TOKEN, "has 5 bytes, not 65536"),
        ("zeros", NBYTES, TOKEN, "not an arena of this release"),
        ("arena", 100, TOKEN, "not 100"),
        ("arena", NBYTES, bytes(32), "arena of another daemon"),
        ("nul", NBYTES, TOKEN, "embedded null byte"),
    ],
)
def test_what_is_not_the_daemons_arena_is_refused(
    tmp_path: Path, make: str, nbytes: int, token: bytes, reason: str
) -> None:
    path = tmp_path / make
    if make == "pipe":
        os.mkfifo(path)
    elif make == "link":
        path.symlink_to(tmp_path / "arena")
    elif make == "short":
        path.write_text("hello")
    elif make == "zeros":
        path.write_bytes(bytes(NBYTES))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ArenaUnavailable, match=reason):
        SharedArena(f"{path}\0" if make == "nul" else str(path), nbytes, token.hex())
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_of_the_daemons_house_or_of_the_screen_is_imported() -> None:
    code = (
        "import sys, octree_client.transport.shared\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('octree_loader', 'vispy', 'qtpy', 'PyQt5')]\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
