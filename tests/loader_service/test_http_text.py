"""The little HTTP of the health endpoint: what is a request, and what never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_loader.monitoring.http_text import REQUEST_BYTES, BadRequest, Request, answer, is_local_host, read_request


def test_a_request_is_read_whole_or_not_yet() -> None:
    whole = b"GET /metrics?format=x HTTP/1.1\r\nAccept: */*\r\nHost: localhost:9777\r\n\r\n"
    assert read_request(whole) == Request("/metrics", "localhost:9777", True)
    for length in range(len(whole) - 1):
        assert read_request(whole[:length]) is None
    assert read_request(b"HEAD /livez HTTP/1.0\r\n\r\n") == Request("/livez", "", False)


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"POST /livez HTTP/1.1\r\n\r\n", 405),
        (b"DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/2\r\n\r\n", 400),
        (b"GET /li vez HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        (b"GET /" + b"x" * REQUEST_BYTES, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_with_its_status(received: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as refused:
        read_request(received)
    assert refused.value.status == status
    assert answer(status, "text/plain", b"no").startswith(f"HTTP/1.1 {status} ".encode())


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"GET /" + tail + b"\r\n\r\n"))
def test_any_bytes_are_a_request_or_not_yet_one_or_refused(received: bytes) -> None:
    status, found = 200, None
    try:
        found = read_request(received)
    except BadRequest as error:
        status = error.status
    assert status in (200, 400, 405, 431)
    assert found is None or found.path.startswith("/")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("", True),
        ("localhost", True),
        ("LOCALHOST:9777", True),
        ("127.0.0.1:9777", True),
        ("127.8.8.8", True),
        ("[::1]:9777", True),
        ("evil.example:9777", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.7:9777", False),
        ("[::1", False),
        ("localhost:1:2", False),
    ],
)
def test_only_names_of_this_machine_are_local(host: str, local: bool) -> None:
    assert is_local_host(host) is local


def test_an_answer_says_its_length_and_that_it_is_the_last() -> None:
    whole = answer(200, "text/plain", b"ok\n")
    head, _, body = whole.partition(b"\r\n\r\n")
    assert body == b"ok\n"
    assert b"Content-Length: 3" in head.split(b"\r\n")
    assert b"Connection: close" in head.split(b"\r\n")
    assert answer(200, "text/plain", b"ok\n", body=False) == head + b"\r\n\r\n"
    assert b"Allow: GET, HEAD" in answer(405, "text/plain", b"")
