"""Claims on loads: nobody takes a slot while another process writes into it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from octree_loader.cluster.claims import Claims
from octree_loader.memory import Segment
from octree_protocol.slots import BEGUN, DONE, FORGOTTEN, NOT_BEGUN, read_progress, write_generation, write_progress

SLOT = 4096

#: Another process: takes the load at SLOT, generation 5, says whether it could, and ends when told to.
_OTHER = """if True:
    import sys
    from octree_loader.cluster.claims import Claims
    from octree_loader.memory import Segment
    from octree_protocol.slots import BEGUN, write_progress
    segment = Segment.attach(sys.argv[1], writable=True)
    taken = Claims(sys.argv[1], segment.view).take_to_load(4096, 5)
    if taken:
        write_progress(segment.view, 4096, BEGUN)
    print(taken, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[Segment]:
    with Segment.create(tmp_path, 8 << 20) as segment:
        write_generation(segment.view, SLOT, 5)
        yield segment
        segment.unlink()


@pytest.fixture
def claims(segment: Segment) -> Iterator[Claims]:
    claims = Claims(segment.path, segment.view)
    yield claims
    claims.close()


def other(segment: Segment) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _OTHER, segment.path]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_another_process_writes_is_not_taken_back_until_it_dies(segment: Segment, claims: Claims) -> None:
    with other(segment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert claims.take_back(SLOT) is None
        assert not claims.forget(SLOT)
        assert not claims.take_to_load(SLOT, 5)
        assert read_progress(segment.view, SLOT) == BEGUN
        process.kill()
        process.wait()
    assert claims.take_back(SLOT) == BEGUN  # so it died over it
    assert read_progress(segment.view, SLOT) == FORGOTTEN


def test_what_is_taken_back_is_never_begun(segment: Segment, claims: Claims) -> None:
    assert claims.take_back(SLOT) == NOT_BEGUN
    with other(segment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "False\n"
        process.kill()


def test_a_load_of_an_older_generation_is_never_begun(segment: Segment, claims: Claims) -> None:
    write_generation(segment.view, SLOT, 6)
    assert not claims.take_to_load(SLOT, 5)
    assert claims.take_to_load(SLOT, 6)


def test_only_what_has_not_begun_is_forgotten(segment: Segment, claims: Claims) -> None:
    write_progress(segment.view, SLOT, DONE)
    assert not claims.forget(SLOT)
    assert read_progress(segment.view, SLOT) == DONE
    write_generation(segment.view, SLOT, 7)
    assert claims.forget(SLOT)
    assert read_progress(segment.view, SLOT) == FORGOTTEN


def test_two_threads_of_a_process_do_not_share_a_claim(claims: Claims) -> None:
    assert claims.take(SLOT)
    assert not claims.take(SLOT)
    assert claims.take(SLOT + 64)
    claims.give_back(SLOT)
    assert claims.take(SLOT)
