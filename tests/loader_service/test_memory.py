"""The segment: really there, private, and alive as long as its owner."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from octree_loader.dead_segments import remove_dead_segments
from octree_loader.free_memory import SHARED_MEMORY
from octree_loader.memory import BadSegment, Segment
from octree_protocol.messages import ArenaAddress
from octree_protocol.slots import MAGIC, SEGMENT_HEADER_BYTES, TOKEN_BYTES, TOKEN_OFFSET

MIB = 1 << 20

WORKER = """
import sys
from octree_loader.memory import Segment
segment = Segment.attach(sys.argv[1], writable=True, token=bytes.fromhex(sys.argv[2]))
segment.view[8192:8197] = b"chunk"
if sys.argv[3] == "close":
    segment.close()
"""


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
