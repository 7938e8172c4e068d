"""The daemon's keys on disk, and the command that makes them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_loader.rate_limit import RateLimit
from octree_loader.transport.keys import AllowedClients, KeyUnusable, main, read_secret_key
from octree_protocol.curve_keys import Key, format_key, parse_key


def test_the_command_makes_keys_that_only_the_owner_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "keys"
    assert main(["--folder", str(folder), "--client", "alice", "--client", "bob"]) == 0
    said = capsys.readouterr().out
    for name in ("server.key", "alice.key", "bob.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert read_secret_key(folder / name).secret not in said
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    server = read_secret_key(folder / "server.key")
    assert server.public in said
    assert not parse_key((folder / "server.pub").read_text()).secret
    allowed = AllowedClients(folder / "clients")
    assert allowed.name_of(read_secret_key(folder / "alice.key").public) == "alice"
    assert len(allowed) == 2


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    main(["--folder", str(tmp_path), "--client", "alice"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    main(["--folder", str(tmp_path), "--client", "alice", "--client", "bob"])
    (tmp_path / "alice.key").unlink()  # carried away
    main(["--folder", str(tmp_path), "--client", "alice"])
    assert not (tmp_path / "alice.key").exists()
    assert all(path.read_bytes() == text for path, text in before.items() if path.name != "alice.key")


def test_a_client_makes_a_pair_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--folder", str(tmp_path), "--mine"]) == 0
    assert read_secret_key(tmp_path / "client.key").public in capsys.readouterr().out
    assert not (tmp_path / "server.key").exists()


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (None, 0, "octree-serve keys"),
        ("x", 0o600, "no file of a key"),
        (format_key(Key("s", "a" * 40, "b" * 40)), 0o640, "chmod 600"),
        (format_key(Key("s", "a" * 40)), 0o600, "public key only"),
    ],
)
def test_a_secret_key_that_is_none_any_more_is_not_used(
    tmp_path: Path, text: str | None, mode: int, reason: str
) -> None:
    path = tmp_path / "server.key"
    if text is not None:
        path.write_text(text)
        os.chmod(path, mode)
    with pytest.raises(KeyUnusable, match=reason) as caught:
        read_secret_key(path)
    assert "b" * 40 not in str(caught.value)


def test_clients_come_and_go_with_their_files(tmp_path: Path) -> None:
    alice, bob, listed = "a" * 40, "b" * 40, "c" * 40
    folder = tmp_path / "clients"
    allowed = AllowedClients(folder, [listed])
    assert len(allowed) == 1
    folder.mkdir()
    (folder / "alice.pub").write_text(format_key(Key("whoever", alice)))
    assert allowed.refresh()
    assert not allowed.refresh()
    assert allowed.name_of(alice) == "alice"  # the owner's name for it, not its own
    (folder / "alice.pub").write_text(format_key(Key("x", bob)))
    (folder / "broken.pub").write_text("garbage")
    (folder / "readme.txt").write_text("not a key")
    assert allowed.refresh()
    assert allowed.name_of(alice) is None
    assert allowed.name_of(bob) == "alice"
    (mistake,) = allowed.mistakes
    assert "broken.pub" in mistake
    (folder / "alice.pub").unlink()
    assert allowed.refresh()
    assert allowed.name_of(bob) is None
    assert allowed.name_of(listed) is not None


@given(st.lists(st.floats(0.0, 2.0), max_size=200), st.integers(1, 50), st.integers(1, 50))
def test_a_rate_limit_is_never_exceeded(steps: list[float], rate: int, most: int) -> None:
    now, taken = 0.0, 0
    limit = RateLimit(rate, most, now)
    for step in steps:
        now += step
        taken += limit.take(now)
        assert taken <= most + rate * now + 1e-6
    assert RateLimit(rate, most, 0.0).take(0.0)


def test_a_rate_limit_comes_back() -> None:
    limit = RateLimit(10, 2, 0.0)
    assert [limit.take(0.0) for _ in range(3)] == [True, True, False]
    assert limit.take(0.1)
    assert not limit.take(0.1)
