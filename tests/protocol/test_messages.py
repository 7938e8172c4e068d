"""Golden frames: what was ever said in a released protocol is understood for ever, and may be extended."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from tests.protocol.golden import values_1_0, values_1_1

from octree_protocol import codec
from octree_protocol.messages import ClientMessage, DaemonMessage, Message

GOLDEN = Path(__file__).parent / "golden"
CASES = [
    (version, name, value, decode)
    for version, values in (("1.0", values_1_0), ("1.1", values_1_1))
    for decode, messages in (
        (codec.decode_from_client, values.FROM_CLIENT),
        (codec.decode_from_daemon, values.FROM_DAEMON),
    )
    for name, value in messages.items()  # type: ignore[attr-defined]
]


def frame_of(version: str, name: str) -> bytes:
    return bytes.fromhex((GOLDEN / version / f"{name}.hex").read_text())


@pytest.mark.parametrize(("version", "name", "value", "decode"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_golden_frame_decodes(version: str, name: str, value: Message, decode: Any) -> None:
    assert decode(frame_of(version, name)) == value
    assert decode(codec.encode(value)) == value


def test_there_is_a_golden_frame_for_every_message() -> None:
    types = {*typing.get_args(ClientMessage), *typing.get_args(DaemonMessage)}
    assert {type(value) for _, _, value, _ in CASES} == types
    files = {(path.parent.name, path.stem) for path in GOLDEN.glob("*/*.hex")}
    assert files == {(version, name) for version, name, _, _ in CASES}


def _unset(value: Any, path: str) -> list[str]:
    """Paths of the fields of nested structs that have their default."""
    if isinstance(value, tuple):
        return [found for n, entry in enumerate(value) for found in _unset(entry, f"{path}[{n}]")]
    if not isinstance(value, msgspec.Struct):
        return []
    found = []
    for field in msgspec.structs.fields(value):
        entry = getattr(value, field.name)
        if field.default is not msgspec.NODEFAULT and entry == field.default and type(value).__name__ in FULL:
            found.append(f"{path}.{field.name}")
        found += _unset(entry, f"{path}.{field.name}")
    return found


#: Structs that stand in the golden frames at least once with no field at its default.
FULL = {type(value).__name__ for _, _, value, _ in CASES} | {"ViewerSettings", "PoolStatus", "DatasetStatus"}


#: The last version of each frame that has every field: fields that came later stand in a later one.
LATEST = {case[1]: case for case in CASES if not case[1].endswith("-least")}


@pytest.mark.parametrize("case", LATEST.values(), ids=lambda c: c[1])
def test_golden_frames_leave_no_field_at_its_default(case: tuple[str, str, Message, Any]) -> None:
    """A field that is left out of the frame would not be tested by it."""
    assert _unset(case[2], type(case[2]).__name__) == []


@pytest.mark.parametrize(("version", "name", "value", "decode"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_fields_of_a_newer_peer_are_ignored(version: str, name: str, value: Message, decode: Any) -> None:
    """At the end of maps and of arrays, at every depth."""
    tree = msgpack.unpackb(frame_of(version, name), strict_map_key=False)
    assert decode(msgpack.packb(_with_more_fields(tree))) == value


def _with_more_fields(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {"newer": [1, {"x": None}], **{key: _with_more_fields(entry) for key, entry in tree.items()}, "z": 2.5}
    if isinstance(tree, list):
        # Only arrays that stand for structs may grow: those that begin with a chunk's key.
        grown = [_with_more_fields(entry) for entry in tree]
        is_struct = len(tree) > 1 and isinstance(tree[0], list) and len(tree[0]) == 3 and not isinstance(tree[1], list)
        return [*grown, "newer"] if is_struct else grown
    return tree


def test_messages_do_not_change() -> None:
    message = values_1_0.FROM_CLIENT["want"]
    with pytest.raises(AttributeError):
        message.view = 3  # type: ignore[union-attr, misc]


@pytest.mark.parametrize("union", [ClientMessage, DaemonMessage], ids=["client", "daemon"])
def test_every_message_is_known_by_one_name(union: Any) -> None:
    tags = [kind.__struct_config__.tag for kind in typing.get_args(union)]
    assert len(set(tags)) == len(tags)
    assert all(kind.__struct_config__.tag_field == "type" for kind in typing.get_args(union))
