"""The limits fit each other, and each says why it is what it is."""

from __future__ import annotations

import ast
from pathlib import Path

from octree_protocol import limits


def _assigned() -> dict[str, int]:
    tree = ast.parse(Path(limits.__file__).read_text())
    return {target.id: node.lineno for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}


def test_every_limit_has_its_reason_above_it() -> None:
    lines = Path(limits.__file__).read_text().splitlines()
    for name, number in _assigned().items():
        assert lines[number - 2].startswith("#:"), f"{name} has no reason"


def test_every_limit_is_a_positive_number() -> None:
    assert _assigned()
    assert all(getattr(limits, name) > 0 for name in _assigned())


def test_a_peer_that_speaks_as_often_as_it_must_is_not_taken_for_dead() -> None:
    """Even when one message is lost and the next one late."""
    assert limits.HEARTBEAT_TIMEOUT > 3 * limits.HEARTBEAT_INTERVAL
    assert limits.HEARTBEAT_TIMEOUT < 4.0  # a viewer says so within 4 s


def test_a_refusal_fits_into_what_is_said_of_it() -> None:
    assert limits.REASON_CHARACTERS < limits.TEXT_CHARACTERS
    assert limits.TEXT_CHARACTERS * 4 < limits.FRAME_BYTES  # four bytes a character at most


def test_float64_tells_neighbouring_voxels_apart() -> None:
    assert float(limits.EXTENT_VOXELS) - 0.5 != float(limits.EXTENT_VOXELS)
    assert 1 << (limits.LEVELS - 1) >= limits.EXTENT_VOXELS
