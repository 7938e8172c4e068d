"""Addresses: what is one, what can be reached from elsewhere, and the default that both sides come to."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_protocol.addresses import (
    SOCKET_PATH_BYTES,
    AddressError,
    check_name,
    default_address,
    ipc_path,
    parse_address,
    runtime_folder,
)


@pytest.mark.parametrize(
    ("url", "host", "port", "loopback"),
    [
        ("tcp://127.0.0.1:5555", "127.0.0.1", 5555, True),
        ("tcp://127.9.9.9:1", "127.9.9.9", 1, True),
        ("tcp://localhost:65535", "localhost", 65535, True),
        ("tcp://[::1]:5555", "::1", 5555, True),
        ("tcp://192.168.0.7:5555", "192.168.0.7", 5555, False),
        ("tcp://0.0.0.0:5555", "0.0.0.0", 5555, False),
        ("tcp://[::]:5555", "::", 5555, False),
        ("tcp://localhost.example.org:5555", "localhost.example.org", 5555, False),
    ],
)
def test_tcp_addresses(url: str, host: str, port: int, loopback: bool) -> None:
    address = parse_address(url)
    assert (address.scheme, address.url, address.path) == ("tcp", url, "")
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


def test_ipc_addresses_are_local() -> None:
    address = parse_address("ipc:///run/user/7/octree-serve/default.sock")
    assert (address.scheme, address.path) == ("ipc", "/run/user/7/octree-serve/default.sock")
    assert address.loopback
    assert ipc_path(address.url) == address.path
    with pytest.raises(AddressError, match="not the address of a socket"):
        ipc_path("tcp://127.0.0.1:5555")


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://*:5555"])
def test_wildcards_can_be_bound_but_not_connected_to(url: str) -> None:
    assert parse_address(url, binding=True).loopback == ("127" in url)
    with pytest.raises(AddressError):
        parse_address(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "allowed are"),
        ("default", "allowed are"),
        ("http://127.0.0.1:80", "allowed are"),
        ("inproc://x", "allowed are"),
        ("ipc://", "names no socket"),
        ("ipc:///run/", "names no socket"),
        ("ipc://@abstract", "not protected"),
        ("ipc://*", "not protected"),
        ("ipc:///a\x00b", "control characters"),
        ("ipc:///a\ud800b", "is no text"),
        ("tcp://127.0.0.1", "a host and a port"),
        ("tcp://:5555", "a host and a port"),
        ("tcp://127.0.0.1:70000", "no valid port"),
        ("tcp://127.0.0.1:-1", "no valid port"),
        ("tcp://127.0.0.1:٣", "no valid port"),
        ("tcp://::1:5555", "in brackets"),
        ("tcp://[example.org]:5555", "no valid host"),
        ("tcp://a b:5555", "no valid host"),
        ("tcp://user@host:5555", "no valid host"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason) as caught:
        parse_address(url, binding=True)
    assert repr(url) in str(caught.value)


def test_a_socket_path_that_the_system_would_cut_is_refused() -> None:
    longest = "/" + "x" * (SOCKET_PATH_BYTES - 1)
    assert parse_address(f"ipc://{longest}").path == longest
    with pytest.raises(AddressError, match="too long by 1 bytes"):
        parse_address(f"ipc://{longest}x")
    with pytest.raises(AddressError, match="too long by 1 bytes"):
        parse_address(f"ipc://{longest[:-1]}é")


@settings(deadline=None, max_examples=300)
@given(st.text(), st.sampled_from(["", "ipc://", "tcp://", "tcp://[", "tcp://127.0.0.1:"]), st.booleans())
def test_any_text_is_an_address_or_an_address_error(text: str, prefix: str, binding: bool) -> None:
    try:
        address = parse_address(prefix + text, binding=binding)
    except AddressError:
        return
    assert address.url == prefix + text
    assert (address.scheme == "ipc") == bool(address.path)


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "x" * 65, "é", "a\n"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(AddressError, match="cannot be a daemon's name"):
        check_name(name)


def test_the_default_address_lies_in_the_users_runtime_folder() -> None:
    assert default_address(environ={"XDG_RUNTIME_DIR": "/run/user/7/"}, uid=7) == (
        "ipc:///run/user/7/octree-serve/default.sock"
    )
    assert default_address("lab", {}, 7) == "ipc:///tmp/octree-serve-7/lab.sock"
    assert runtime_folder({"XDG_RUNTIME_DIR": "relative"}, 7) == "/tmp/octree-serve-7"


def test_a_runtime_folder_too_deep_for_a_socket_says_so() -> None:
    with pytest.raises(AddressError, match="too long"):
        default_address("lab", {"XDG_RUNTIME_DIR": "/" + "deep/" * 30}, 7)
