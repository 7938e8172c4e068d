"""Messages to bytes and back. Pure (no I/O).

Whatever bytes come, they become a message or a `RemoteProtocolError`, and never anything else: a typed decoder builds
no value that the messages do not have, so that a hostile frame costs no more than its own length.
"""

from __future__ import annotations

from typing import Any

import msgspec

from octree_protocol import limits
from octree_protocol.errors import LocalProtocolError, RemoteProtocolError
from octree_protocol.messages import ClientMessage, DaemonMessage

_encoder = msgspec.msgpack.Encoder()
_client_decoder: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
_daemon_decoder: msgspec.msgpack.Decoder[DaemonMessage] = msgspec.msgpack.Decoder(DaemonMessage)


def encode(message: ClientMessage | DaemonMessage) -> bytes:
    """The frame of a message.

    Raises
    ------
    LocalProtocolError
        If the frame would be longer than `limits.FRAME_BYTES`; the peer would refuse it.
    """
    frame = _encoder.encode(message)
    if len(frame) > limits.FRAME_BYTES:
        raise LocalProtocolError(
            f"a {type(message).__name__} of {len(frame)} bytes is over the limit of {limits.FRAME_BYTES} bytes a frame"
        )
    return frame


def decode_from_client(frame: bytes | memoryview) -> ClientMessage:
    """What a client said. Raises `RemoteProtocolError` for anything that is no message of a client."""
    return _decode(_client_decoder, frame)  # type: ignore[no-any-return]


def decode_from_daemon(frame: bytes | memoryview) -> DaemonMessage:
    """What the daemon said. Raises `RemoteProtocolError` for anything that is no message of a daemon."""
    return _decode(_daemon_decoder, frame)  # type: ignore[no-any-return]


def _decode(decoder: msgspec.msgpack.Decoder[Any], frame: bytes | memoryview) -> Any:
    if len(frame) > limits.FRAME_BYTES:
        raise RemoteProtocolError(f"a frame of {len(frame)} bytes is over the limit of {limits.FRAME_BYTES}", "limit")
    try:
        return decoder.decode(frame)
    except msgspec.ValidationError as error:
        # msgspec names the field of the tag in its text; a message that we do not know is no crime of the peer's.
        # The frame chose that text in part, and may have chosen a megabyte of it.
        reason = str(error)
        unknown = reason.startswith("Invalid value") and reason.endswith("`$.type`")
        if len(reason) > limits.REASON_CHARACTERS:
            reason = f"{reason[: limits.REASON_CHARACTERS]} ..."
        raise RemoteProtocolError(reason, "unknown-message" if unknown else "malformed") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError, ValueError) as error:
        raise RemoteProtocolError(f"not a frame of this protocol: {error}") from None
