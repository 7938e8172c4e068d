"""Which message may follow which. Pure (no I/O): the transitions are data, and both sides run the same table.

A session is NEW until the daemon has welcomed the client, OPEN until one of the two ends it, then CLOSED.
"""

from __future__ import annotations

from enum import Enum

from octree_protocol import PROTOCOL_VERSION
from octree_protocol.errors import LocalProtocolError, RemoteProtocolError
from octree_protocol.messages import (
    Ack,
    Announce,
    AskStatus,
    Bye,
    ClientMessage,
    DaemonMessage,
    Describe,
    Described,
    Farewell,
    Hello,
    Inline,
    Part,
    Ping,
    Pong,
    Refused,
    Status,
    Want,
    Welcome,
)


class SessionState(Enum):
    """Where a session stands."""

    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"


_NEW, _OPEN, _CLOSED = SessionState.NEW, SessionState.OPEN, SessionState.CLOSED

#: (state, message) -> state. What is not here is not allowed. A second Hello starts the session over: it comes from a
#: client that believes that the daemon is another one.
TRANSITIONS: dict[tuple[SessionState, type], SessionState] = {
    (_NEW, Hello): _NEW,
    (_NEW, Welcome): _OPEN,
    (_NEW, Refused): _NEW,
    (_NEW, Farewell): _CLOSED,
    (_OPEN, Hello): _NEW,
    (_OPEN, Welcome): _OPEN,
    (_OPEN, Describe): _OPEN,
    (_OPEN, Described): _OPEN,
    (_OPEN, Want): _OPEN,
    (_OPEN, Announce): _OPEN,
    (_OPEN, Part): _OPEN,
    (_OPEN, Inline): _OPEN,
    (_OPEN, Ack): _OPEN,
    (_OPEN, Ping): _OPEN,
    (_OPEN, Pong): _OPEN,
    (_OPEN, AskStatus): _OPEN,
    (_OPEN, Status): _OPEN,
    (_OPEN, Refused): _OPEN,
    (_OPEN, Bye): _CLOSED,
    (_OPEN, Farewell): _CLOSED,
}


class Session:
    """One side's view of a session: told of every message sent and received, it refuses what may not be said now."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = SessionState.NEW

    def sent(self, message: ClientMessage | DaemonMessage) -> None:
        """We are about to say `message`. Raises `LocalProtocolError` if that may not be said now."""
        after = TRANSITIONS.get((self.state, type(message)))
        if after is None:
            raise LocalProtocolError(
                f"{type(message).__name__} may not be said in a session that is {self.state.value}"
            )
        self.state = after

    def received(self, message: ClientMessage | DaemonMessage) -> None:
        """The peer said `message`. Raises `RemoteProtocolError` if that may not be said now."""
        after = TRANSITIONS.get((self.state, type(message)))
        if after is None:
            raise RemoteProtocolError(
                f"{type(message).__name__} may not be said in a session that is {self.state.value}", "no-session"
            )
        self.state = after


def refuse_version(theirs: tuple[int, int], ours: tuple[int, int] = PROTOCOL_VERSION) -> str | None:
    """Why the two cannot talk, or None if they can: the major versions must be the same."""
    if theirs[0] == ours[0]:
        return None
    older = "the client" if theirs[0] < ours[0] else "the daemon"
    return (
        f"the client speaks protocol {theirs[0]}.{theirs[1]}, the daemon {ours[0]}.{ours[1]}: "
        f"upgrade {older} to the same release of octree-serve"
    )
