"""What is remembered: it comes back, and a spoilt file harms nobody."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.remembered import RECENT_MOST, Remembered, read_remembered, with_recent, write_remembered
from octree_client.remembered_file import recall, remember, remembered_path

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_ignored(content: bytes) -> None:
    assert isinstance(read_remembered(content), Remembered)


@given(st.dictionaries(st.sampled_from(sorted(Remembered.__struct_fields__)), json_values, max_size=8))
def test_whatever_an_entry_says_the_rest_is_kept(entries: dict[str, object]) -> None:
    entries["minimap"] = False
    found = read_remembered(json.dumps(entries).encode())
    assert found.minimap is False
    assert read_remembered(write_remembered(found)) == found


def test_one_bad_entry_costs_itself_alone() -> None:
    found = read_remembered(b'{"theme": "purple", "scale_bar": false, "size": [5, 5], "fps": 24, "later": 1}')
    assert found == msgspec.structs.replace(Remembered(), scale_bar=False, fps=24.0)


def test_what_was_open_comes_first_and_once() -> None:
    remembered = Remembered()
    for number in range(20):
        remembered = with_recent(remembered, f"/data/{number % 15}")
    assert remembered.recent[0] == "/data/4"
    assert len(remembered.recent) == len(set(remembered.recent)) == RECENT_MOST


def test_the_file_is_written_whole_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "viewer.json"
    chosen = Remembered(theme="light", size=(1000, 700), recent=("/a",))
    assert recall(path) == Remembered()
    assert remember(chosen, path)
    assert recall(path) == chosen
    assert [each.name for each in path.parent.iterdir()] == ["viewer.json"]
    path.write_bytes(b"\x00" * 100)
    assert recall(path) == Remembered()
    path.write_bytes(b" " * ((1 << 20) + 1) + b'{"minimap": false}')
    assert recall(path) == Remembered()


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert not remember(Remembered(), tmp_path / "file" / "viewer.json")
    assert "cannot be written" in caplog.text
    assert recall(tmp_path / "file" / "viewer.json") == Remembered()


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert remembered_path() == tmp_path / "octree-serve" / "viewer.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert remembered_path() == Path.home() / ".config" / "octree-serve" / "viewer.json"
