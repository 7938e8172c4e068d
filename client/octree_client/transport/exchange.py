"""The messages that go over the wire, both ways: put into frames, checked against the session, counted.

Used by the connection's thread alone. Knows nothing of what follows from a message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from octree_client.transport.wire import Wire
from octree_protocol import codec, limits
from octree_protocol.errors import LocalProtocolError, ProtocolError
from octree_protocol.messages import Ack, ClientMessage, DaemonMessage, Welcome
from octree_protocol.session import Session, SessionState

log = logging.getLogger("octree.connection")

#: Keeps the bytes that followed a message; raises `RemoteProtocolError` if they are not what it says.
TakeIn = Callable[[DaemonMessage, Sequence[memoryview]], DaemonMessage]


class Exchange:
    """What is said to a daemon and heard from it.

    Parameters
    ----------
    wire
        Whose frames they are.
    address
        Of the daemon, for the log.
    take_in
        Given each message, with what followed it.
    on_frame
        Called whenever something has come, be it right or wrong.

    Attributes
    ----------
    acknowledges
        Whether the daemon is told how much has come: then it can send chunks.
    received
        Bytes that have come in this session.
    """

    def __init__(self, wire: Wire, address: str, take_in: TakeIn, on_frame: Callable[[], None]) -> None:
        self.acknowledges = False
        self.received = 0
        self._wire = wire
        self._address = address
        self._take_in = take_in
        self._on_frame = on_frame
        self._session = Session()
        self._acknowledged = 0

    def start_over(self) -> None:
        """What was said before counts no more: a Hello is to follow."""
        self._session = Session()

    def say(self, message: ClientMessage) -> bool:
        """Say something; returns whether it could be sent."""
        try:
            self._session.sent(message)
            return self._wire.send(codec.encode(message))
        except LocalProtocolError as error:
            log.debug("not said: %s", error)
            return False

    def acknowledge(self) -> None:
        """Say how much has come, if that is news."""
        if self.acknowledges and self.received != self._acknowledged and self.say(Ack(self.received)):
            self._acknowledged = self.received

    def hear(self) -> Iterator[DaemonMessage]:
        """What has come, one by one; what makes no sense is logged and passed over."""
        while (received := self._wire.receive()) is not None:
            frame, further = received
            self._on_frame()
            self.received += len(frame) + sum(map(len, further))
            try:
                message = codec.decode_from_daemon(frame)
                if isinstance(message, Welcome):
                    self.received = self._acknowledged = 0
                    if self._session.state is SessionState.OPEN:
                        # It answers an earlier Hello than the last: the daemon had heard both before anything that we
                        # said since, so nothing has changed, and starting over would wait for chunks already announced.
                        continue
                    self.acknowledges = message.version >= (1, 1)
                self._session.received(message)
                message = self._take_in(message, further)
            except ProtocolError as error:
                log.warning("the daemon at %s: %s", self._address, error)
                continue
            yield message
            if self.received - self._acknowledged >= limits.ACKNOWLEDGE_BYTES:
                self.acknowledge()
