"""Whatever bytes come: a message or `RemoteProtocolError`, at a cost that is bounded."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.protocol.test_messages import CASES, frame_of

from octree_protocol import codec, limits
from octree_protocol.errors import LocalProtocolError, RemoteProtocolError
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Announce, Message, Ping, Refused, Want, Wanted

DECODERS = [codec.decode_from_client, codec.decode_from_daemon]
FRAMES = [frame_of(version, name) for version, name, _, _ in CASES]
CODES = {"malformed", "unknown-message", "limit"}


def _attempt(frame: bytes) -> None:
    """Decode as both sides do; anything but a message or the one error fails the test."""
    for decode in DECODERS:
        try:
            assert isinstance(decode(frame), Message)
        except RemoteProtocolError as caught:
            error = caught
        else:
            continue
        assert error.code in CODES
        assert 0 < len(str(error)) < limits.TEXT_CHARACTERS


@settings(deadline=None, max_examples=2000)
@given(st.binary(max_size=400))
def test_any_bytes_become_a_message_or_the_one_error(frame: bytes) -> None:
    _attempt(frame)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A golden frame with a few bytes changed, cut out, put in or swapped with another frame's."""
    frame = bytearray(draw(st.sampled_from(FRAMES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(frame)))
        match draw(st.integers(0, 4)):
            case 0:
                frame[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del frame[at : at + draw(st.integers(1, 8))]
            case 2:
                frame[at:at] = draw(st.binary(min_size=1, max_size=8))
            case 3:
                del frame[at:]
            case _:
                frame[at:] = draw(st.sampled_from(FRAMES))[at:]
    return bytes(frame)


@settings(deadline=None, max_examples=2000)
@given(_mutated())
def test_mutations_of_golden_frames_become_a_message_or_the_one_error(frame: bytes) -> None:
    _attempt(frame)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(CASES), st.data())
def test_fields_of_any_type_become_a_message_or_the_one_error(case: tuple[str, str, Message, Any], data: Any) -> None:
    tree = msgpack.unpackb(frame_of(case[0], case[1]), strict_map_key=False)
    for name in data.draw(st.sets(st.sampled_from(sorted(tree)), max_size=2)):
        tree[name] = data.draw(_values)
    _attempt(msgpack.packb(tree))


@pytest.mark.soak
@pytest.mark.timeout(0)
@settings(deadline=None, max_examples=1_000_000, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=400) | _mutated())
def test_a_million_frames_become_messages_or_the_one_error(frame: bytes) -> None:
    _attempt(frame)


def _array(n: int) -> bytes:
    return b"\xdd" + n.to_bytes(4, "big")


def _text(n: int) -> bytes:
    return b"\xdb" + n.to_bytes(4, "big") + b"a" * n


def _frame(message: str, /, **fields: bytes) -> bytes:
    """A frame whose fields are raw MessagePack."""
    body = b"".join(msgpack.packb(key) + value for key, value in fields.items())
    return bytes([0x81 + len(fields)]) + msgpack.packb("type") + msgpack.packb(message) + body


def _want(entries: bytes) -> bytes:
    return _frame("want", view=b"\0", sequence=b"\0", entries=entries)


MILLION = 1_000_000
ZEROS = _array(MILLION) + b"\0" * MILLION
MANY_FIELDS = b"\xdf" + (200_000).to_bytes(4, "big") + b"\xa2zz\0" * 199_999
HOSTILE = {
    "nested arrays": b"\x91" * 65536,
    "nested maps": b"\x81\xa1a" * 65536,
    "nested arrays in an unknown field": _frame("ping", x=b"\x91" * (limits.FRAME_BYTES - 64)),
    "nested maps in an unknown field": _frame("ping", x=b"\x81\xa1a" * 300_000),
    "more entries than allowed": _want(_array(170_000) + b"\x91\x93\0\0\x90" * 170_000),
    "four thousand million entries, says the header": _want(_array((1 << 32) - 1)),
    "four thousand million fields, says the header": b"\xdf\xff\xff\xff\xff" + b"\xa1a\0" * 1000,
    "an index of a million axes": _want(_array(1) + b"\x91\x93\0\0" + ZEROS),
    "a version of a million numbers": _frame("hello", version=ZEROS),
    "a million numbers in an unknown field": _frame("ping", x=ZEROS),
    "a long text in an unknown field": _frame("ping", x=_text(MILLION)),
    "a text of 4 GiB, says the header": _frame("hello", version=b"\x92\1\0", name=b"\xdb\xff\xff\xff\xff"),
    "200,000 unknown fields before the name": MANY_FIELDS + _frame("ping")[1:],
    "announced chunks beyond the limit": _frame("announce", missing=_array(250_000) + b"\x93\0\0\x90" * 250_000),
    "a dataset of 99,999 levels": _frame("described", dataset=b"\x81\xa6levels" + _array(99_999) + b"\x80" * 99_999),
    "an extension of 4 GiB, says the header": b"\xc9\xff\xff\xff\xff\x01",
}


def _cost(decode: Callable[[bytes], Any], frame: bytes) -> tuple[float, int]:
    """Seconds (the best of five: the machine may be busy) and bytes at the peak."""
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        _outcome(decode, frame)
        seconds.append(time.perf_counter() - began)
    tracemalloc.start()
    try:
        _outcome(decode, frame)
        return min(seconds), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _outcome(decode: Callable[[bytes], Any], frame: bytes) -> None:
    try:
        decode(frame)
    except RemoteProtocolError:
        pass


@pytest.mark.parametrize("decode", DECODERS, ids=["client", "daemon"])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_frame_costs_10_ms_and_1_MiB_at_most(what: str, decode: Any) -> None:
    assert len(HOSTILE[what]) <= limits.FRAME_BYTES
    seconds, peak = _cost(decode, HOSTILE[what])
    assert seconds <= 10e-3
    assert peak <= 1 << 20


@pytest.mark.parametrize("field", ["type", "name"])
def test_a_text_that_is_a_whole_frame_costs_little_more_than_itself(field: str) -> None:
    """It is copied before it is refused, and the text of the error quotes a message's name."""
    text = _text(MILLION)
    frame = b"\x81\xa4type" + text if field == "type" else _frame("hello", version=b"\x92\1\0", name=text)
    seconds, peak = _cost(codec.decode_from_client, frame)
    assert seconds <= 10e-3
    assert peak <= 2.5 * len(frame)
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode_from_client(frame)
    assert len(str(caught.value)) <= limits.REASON_CHARACTERS + 4
    # What is answered can be said.
    codec.decode_from_daemon(codec.encode(Refused(caught.value.code, str(caught.value))))


def test_a_frame_over_the_limit_is_not_even_looked_at() -> None:
    with pytest.raises(RemoteProtocolError, match="over the limit") as caught:
        codec.decode_from_client(b"\x80" * (limits.FRAME_BYTES + 1))
    assert caught.value.code == "limit"


def test_a_message_over_the_limit_is_not_said() -> None:
    entry = Wanted(ChunkKey(1 << 40, 1 << 40, (1 << 40,) * limits.AXES), 0, priority=1 << 20)
    with pytest.raises(LocalProtocolError, match="over the limit"):
        codec.encode(Want(0, 0, (entry,) * 20_000))


def test_the_largest_working_set_and_announcement_fit_a_frame() -> None:
    """Five axes, and numbers as large as they get in an image of 2**32 chunks."""
    key = ChunkKey(limits.DATASETS, limits.LEVELS, (1 << 16,) * 5)
    want = Want(1, 1, (Wanted(key, 3, priority=1 << 20),) * limits.WANTS_PER_VIEW)
    assert codec.decode_from_client(codec.encode(want)) == want
    assert codec.decode_from_daemon(codec.encode(Announce(missing=(key,) * limits.WANTS_PER_VIEW)))


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "sing"}, "unknown-message"),
        ({"type": "pong"}, "unknown-message"),  # known, but not from a client
        ({"type": 3}, "malformed"),
        ({"type": None}, "malformed"),
        ({}, "malformed"),
        ([], "malformed"),
        ({"type": "ping", "number": -1}, "malformed"),
        ({"type": "ping", "number": 1 << 63}, "malformed"),
        ({"type": "hello", "version": [1]}, "malformed"),
        ({"type": "hello", "version": [1, 0], "name": "Invalid value - at `$.type`" * 99}, "malformed"),
        ({"type": "want", "view": 0, "sequence": 0, "entries": [[[0, 0, [0] * 9]]]}, "malformed"),
        ({"type": "want", "view": 0, "sequence": 0, "entries": [[[0, 0, [0]], 0, 7]]}, "malformed"),
        ({"type": "want", "view": 0, "sequence": 0, "entries": [[[0, 0, [0]], 65]]}, "malformed"),
        ({"type": "want", "view": 1 << 31, "sequence": 0}, "malformed"),
    ],
)
def test_what_is_wrong_has_a_code(frame: Any, code: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode_from_client(msgpack.packb(frame))
    assert caught.value.code == code


def test_frames_are_decoded_where_they_lie() -> None:
    assert codec.decode_from_client(memoryview(codec.encode(Ping(3)))) == Ping(3)
