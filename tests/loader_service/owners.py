"""Processes that own a segment, for tests that kill them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OWNER = """
import sys
from octree_loader.memory import Segment
segment = Segment.create(sys.argv[1], 1 << 20, "lab")
print(segment.path, flush=True)
sys.stdin.read()
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
