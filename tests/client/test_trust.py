"""Which daemons are trusted: as ssh does it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zmq

from octree_client.transport.trust import KnownServers, NotTrusted, keys_for, place_of, remember
from octree_protocol.curve_keys import Key, fingerprint, format_key

REMOTE = "tcp://LabServer:5570"


def pair() -> tuple[str, str]:
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


SERVER, OTHER = pair()[0], pair()[0]
MINE = pair()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "client.key"
    path.write_text(format_key(Key("me", *MINE)))
    path.chmod(0o600)
    return tmp_path


def test_a_daemon_on_this_machine_is_asked_for_nothing(tmp_path: Path) -> None:
    assert keys_for("ipc:///x/d.sock", folder=tmp_path) is None
    assert keys_for("tcp://127.0.0.1:5", folder=tmp_path) is None
    assert keys_for("tcp://[::1]:5", folder=tmp_path) is None


def test_a_daemon_that_nobody_knows_is_refused_with_the_cure(folder: Path) -> None:
    with pytest.raises(NotTrusted, match="--server-key"):
        keys_for(REMOTE, folder=folder)
    assert keys_for(REMOTE, folder=folder, insecure=True) is None
    assert not (folder / "known_servers").exists()


def test_a_key_is_given_once_and_known_from_then_on(folder: Path) -> None:
    keys = keys_for(REMOTE, SERVER, folder=folder)
    assert keys == (SERVER, *MINE)
    assert not (folder / "known_servers").exists()  # it has not proved anything yet
    remember(REMOTE, keys, folder)
    assert (folder / "known_servers").stat().st_mode & 0o777 == 0o600
    assert keys_for("tcp://labserver:5570", folder=folder) == keys
    assert keys_for(REMOTE, SERVER, folder=folder) == keys
    remember(REMOTE, keys, folder)
    assert (folder / "known_servers").read_text().count(SERVER) == 1
    with pytest.raises(NotTrusted):
        keys_for("tcp://labserver:5571", folder=folder)  # another port is another daemon


def test_a_key_that_has_changed_is_refused_loudly(folder: Path) -> None:
    remember(REMOTE, keys_for(REMOTE, SERVER, folder=folder), folder)
    with pytest.raises(NotTrusted, match="HAS CHANGED") as caught:
        keys_for(REMOTE, OTHER, folder=folder)
    assert fingerprint(SERVER) in str(caught.value)
    assert fingerprint(OTHER) in str(caught.value)
    # Not even a consent changes what is known.
    keys = keys_for(REMOTE, folder=folder, learn=lambda _: OTHER)
    assert keys is not None
    assert keys.server == SERVER


def test_what_the_network_tells_needs_somebodys_consent(folder: Path) -> None:
    asked: list[str] = []

    def agree(place: str) -> str:
        asked.append(place)
        return SERVER

    keys = keys_for(REMOTE, folder=folder, learn=agree)
    assert keys is not None
    assert keys.server == SERVER
    assert asked == ["labserver:5570"]


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        (None, 0, "octree-serve keys --mine"),
        (format_key(Key("me", *MINE)), 0o644, "chmod 600"),
        (format_key(Key("me", MINE[0])), 0o600, "public key only"),
        ("nonsense", 0o600, "no file of a key"),
    ],
)
def test_without_a_key_of_ones_own_the_cure_is_said(tmp_path: Path, text: str | None, mode: int, reason: str) -> None:
    if text is not None:
        (tmp_path / "client.key").write_text(text)
        os.chmod(tmp_path / "client.key", mode)
    with pytest.raises(NotTrusted, match=reason) as caught:
        keys_for(REMOTE, SERVER, folder=tmp_path)
    assert MINE[1] not in str(caught.value)


def test_a_line_without_a_key_is_not_passed_over(folder: Path) -> None:
    (folder / "known_servers").write_text("labserver:5570 something\n")
    with pytest.raises(NotTrusted, match="has no key"):
        keys_for(REMOTE, SERVER, folder=folder)
    with pytest.raises(NotTrusted, match="--server-key"):
        keys_for("tcp://elsewhere:1", folder=folder)
    assert KnownServers(folder).key_of("elsewhere:1") is None


def test_places_are_written_one_way() -> None:
    assert place_of("tcp://LAB:5") == place_of("tcp://lab:5") == "lab:5"
    assert place_of("tcp://[fe80::1]:5") == "[fe80::1]:5"
