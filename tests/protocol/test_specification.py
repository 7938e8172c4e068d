"""SPEC.md names what there is: every message, every field, every code, every limit that it quotes."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from octree_protocol import PROTOCOL_VERSION, limits, slots
from octree_protocol.keys import Tier
from octree_protocol.messages import ClientMessage, DaemonMessage, Refused
from octree_protocol.session import TRANSITIONS, SessionState

SPECIFICATION = (Path(__file__).resolve().parents[2] / "protocol" / "SPEC.md").read_text()
MESSAGES = [*typing.get_args(ClientMessage), *typing.get_args(DaemonMessage)]


def _structs(kind: Any) -> list[type[msgspec.Struct]]:
    """The structs in the type of a field."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [found for argument in typing.get_args(kind) for found in _structs(argument)]


def _all_structs() -> list[type[msgspec.Struct]]:
    found: list[type[msgspec.Struct]] = []
    todo = list(MESSAGES)
    while todo:
        struct = todo.pop(0)
        if struct not in found:
            found.append(struct)
            todo += [inner for field in msgspec.structs.fields(struct) for inner in _structs(field.type)]
    return found


def _section(struct: type[msgspec.Struct]) -> str:
    """What stands between the struct's name, at the start of a line, and that of the next one."""
    tag = struct.__struct_config__.tag
    begin = rf"^\*\*`{tag}`\*\*" if tag else rf"^\*{struct.__name__}\*, an? (?:array|map)"
    found = re.search(rf"{begin}(.*?)(?=^\*\*`|^\*[A-Z]\w+\*, an? |^## |\Z)", SPECIFICATION, re.MULTILINE | re.DOTALL)
    assert found, f"SPEC.md has no paragraph that begins with {tag or struct.__name__}"
    return found[1]


@pytest.mark.parametrize("struct", _all_structs(), ids=lambda struct: struct.__name__)
def test_every_field_is_named_where_its_message_is(struct: type[msgspec.Struct]) -> None:
    section = _section(struct)
    named = re.findall(r"`(\w+)`", section)
    assert [field.name for field in msgspec.structs.fields(struct) if field.name not in named] == []


@pytest.mark.parametrize(
    "struct", [s for s in _all_structs() if s.__struct_config__.array_like], ids=lambda struct: struct.__name__
)
def test_elements_of_arrays_stand_at_their_place(struct: type[msgspec.Struct]) -> None:
    section = _section(struct)
    for number, field in enumerate(msgspec.structs.fields(struct)):
        assert re.search(rf"(^\| {number} \| |\b{number} )`{field.name}`", section, re.MULTILINE), field.name


@pytest.mark.parametrize("struct", MESSAGES, ids=lambda struct: struct.__name__)
def test_tables_name_no_field_that_is_not_there(struct: type[msgspec.Struct]) -> None:
    table = re.findall(r"^\| `(\w+)` \|", _section(struct), re.MULTILINE)
    assert table == [field.name for field in msgspec.structs.fields(struct)]


def test_the_table_of_sessions_is_the_code() -> None:
    for state in SessionState:
        row = re.search(rf"^\| {state.name} \| (.*) \| (.*) \|$", SPECIFICATION, re.MULTILINE)
        assert row
        for union, cell in ((ClientMessage, row[1]), (DaemonMessage, row[2])):
            allowed = {kind.__struct_config__.tag for kind in typing.get_args(union) if (state, kind) in TRANSITIONS}
            assert set(re.findall(r"`([\w-]+)`", cell)) == allowed


def test_every_code_is_explained() -> None:
    assert Refused.__doc__
    codes = re.findall(r"``([a-z-]+)``", Refused.__doc__)
    assert len(codes) == 7
    table = SPECIFICATION.split("## 8. Errors")[1].split("## 9.")[0]
    assert re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE) == [
        "malformed", "unknown-message", "limit", "version", "no-session", "no-dataset", "unreadable"
    ]  # fmt: skip
    assert set(codes) == set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE))


def test_numbers_are_those_of_the_code() -> None:
    assert f"version {PROTOCOL_VERSION[0]}.{PROTOCOL_VERSION[1]}" in SPECIFICATION.splitlines()[0]
    for number in (
        limits.FRAME_BYTES, limits.WANTS_PER_VIEW, limits.ANNOUNCED, limits.DATASETS, limits.TEXT_CHARACTERS,
        limits.SEND_QUEUE_MESSAGES, limits.PART_BYTES, limits.UNDER_WAY_BYTES, limits.ACKNOWLEDGE_BYTES,
        limits.WANTS_PER_CLIENT, limits.VIEWS_PER_CLIENT, limits.MESSAGES_PER_SECOND, limits.MESSAGES_AT_ONCE,
    ):  # fmt: skip
        assert f"{number:,}" in SPECIFICATION
    assert f"silent for {limits.HEARTBEAT_TIMEOUT} s" in SPECIFICATION
    assert f"at most {limits.AXES} |" in SPECIFICATION
    assert f"-{limits.LEVELS} to {limits.LEVELS}" in SPECIFICATION
    assert ", ".join(f"{tier.value} {tier.name.lower()}" for tier in Tier) in SPECIFICATION


def test_the_layout_of_the_arena_is_that_of_the_code() -> None:
    assert f"| 0 | 8 bytes | `{slots.MAGIC.decode()}`" in SPECIFICATION
    assert f"| {slots.TOKEN_OFFSET} | {slots.TOKEN_BYTES} bytes | the token" in SPECIFICATION
    assert f"| {slots.SEGMENT_HEADER_BYTES} | | slots |" in SPECIFICATION
    assert f"| {slots.SLOT_HEADER_BYTES} | | the voxels" in SPECIFICATION
