"""Daemons that announce themselves on the network, and clients that listen, and believe nothing."""

from __future__ import annotations

import io
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from octree_client import cli
from octree_client.transport.discovery import FoundDaemon, describe_found, find_daemons, key_announced_for
from octree_client.transport.trust import CurveKeys, remember
from octree_loader.transport.announcement import Announcement, reachable_at

HERE = ["127.0.0.1"]


@pytest.fixture(scope="module")
def _network() -> None:
    """Multicast on this machine alone; not every container lets us."""
    group = socket.inet_aton("224.0.0.251") + socket.inet_aton(HERE[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        except OSError as error:
            pytest.skip(f"no multicast on loopback: {error}")


@pytest.fixture
def announced() -> Iterator[tuple[str, str]]:
    """A name that nobody else has, and the key that is announced with it."""
    name, key = f"test-{secrets.token_hex(4)}", zmq.curve_keypair()[0].decode()
    announcement = Announcement(name, ["ipc:///x/d.sock", "tcp://127.0.0.1:5570"], key, HERE)
    yield name, key
    announcement.close()


@pytest.mark.usefixtures("_network")
def test_who_announces_itself_is_found_and_not_believed(announced: tuple[str, str], tmp_path: Path) -> None:
    name, key = announced
    (found,) = [daemon for daemon in find_daemons(2.5, HERE) if daemon.name == name]
    assert found == FoundDaemon(name, ("tcp://127.0.0.1:5570",), key)
    assert key_announced_for("127.0.0.1:5570", [found]) == key
    assert key_announced_for("127.0.0.1:5571", [found]) is None
    (line,) = describe_found([found], tmp_path)
    assert "not known yet" in line
    remember("tcp://127.0.0.1:5570", CurveKeys(key, "", ""), tmp_path)
    assert describe_found([found], tmp_path)[0].endswith("known")
    other = found._replace(key=zmq.curve_keypair()[0].decode())
    assert "HAS ANOTHER KEY" in describe_found([other], tmp_path)[0]
    # Two that say different things of one place are worth nothing.
    assert key_announced_for("127.0.0.1:5570", [found, other]) is None


def test_only_addresses_that_others_can_reach_are_told() -> None:
    assert reachable_at("127.0.0.1") == []
    assert reachable_at("192.0.2.7") == ["192.0.2.7"]
    assert not [address for address in reachable_at("*") if address.startswith("127.")]


def test_without_somebody_to_ask_no_key_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    assert cli._ask_about_key("lab:5570") is None


def test_list_says_who_is_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "octree-serve").mkdir()
    (tmp_path / "octree-serve" / "default.sock").touch()
    found = [FoundDaemon("lab", ("tcp://192.0.2.7:5570",), "")]
    monkeypatch.setattr("octree_client.transport.discovery.find_daemons", lambda: found)
    assert cli.main(["--list"]) == 0
    said = capsys.readouterr().out
    assert f"ipc://{tmp_path}/octree-serve/default.sock" in said
    assert "lab  tcp://192.0.2.7:5570  asks for no key" in said
