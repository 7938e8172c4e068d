"""Sends the bytes of chunks to clients that cannot map the arena.

What is sent next says `delivery`, how much at a time `link`, and how it is compressed `compression`; here it is done,
turn by turn, so that a client with much to receive holds up nobody else. A thread compresses. Bytes that are not
compressed go from their slot into ZeroMQ's message with one copy, while the chunk is wanted and its slot pinned.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from octree_loader.transport.compression import Compression, Encoded, encode
from octree_loader.transport.delivery import Delivery
from octree_loader.transport.peers import Client
from octree_protocol.messages import Announce, DaemonMessage, Part, Ready, Want
from octree_protocol.slots import SLOT_HEADER_BYTES

#: Bytes that are sent before the daemon looks at anything else: half a millisecond.
_SENT_AT_ONCE = 1 << 20

#: Chunks of one client that are being compressed.
_ENCODED_AHEAD = 2

#: Sends a message and its further frames; returns whether it could.
Send = Callable[[Client, DaemonMessage, Sequence[bytes | memoryview]], bool]


class _Item:
    """A chunk on its way: `data` from `offset` on is still to be sent."""

    __slots__ = ("data", "encoding", "offset", "ready")

    def __init__(self, ready: Ready, encoding: str, data: bytes | memoryview) -> None:
        self.ready = ready
        self.encoding = encoding
        self.data = data
        self.offset = 0


class Stream:
    """One client's chunks: those that wait, those that are being compressed, and the one that is half sent."""

    __slots__ = ("client", "codecs", "delivery", "encoded", "encoding", "unsent")

    def __init__(self, client: Client, codecs: tuple[str, ...]) -> None:
        self.client = client
        self.codecs = codecs
        self.delivery = Delivery()
        self.encoded: deque[_Item] = deque()
        self.encoding = 0
        self.unsent: _Item | None = None


class InlineSender:
    """All clients whose chunks travel.

    Parameters
    ----------
    memory
        The arena.
    call
        Has a function called in the daemon's own thread.
    send
        See `Send`.
    compression
        ``auto`` or what is always done, see `Compression`.
    """

    def __init__(
        self, memory: memoryview, call: Callable[[Callable[[], None]], None], send: Send, compression: str = "auto"
    ) -> None:
        self.compression = Compression(compression)
        self._memory = memory
        self._call = call
        self._send = send
        self._streams: dict[bytes, Stream] = {}
        self._turns: dict[bytes, Stream] = {}
        self._itemsizes: dict[str, int] = {}
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """End the thread."""
        self._streams.clear()
        self._turns.clear()
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()

    # --- events ------------------------------------------------------------------------------------------------------

    def begin(self, client: Client, codecs: tuple[str, ...]) -> None:
        """From now on the bytes of this client's chunks travel."""
        self._streams[client.identity] = Stream(client, codecs)

    def forget(self, client: Client) -> None:
        """The client is gone, or starts over."""
        self._streams.pop(client.identity, None)
        self._turns.pop(client.identity, None)

    def want(self, client: Client, want: Want) -> None:
        """A view of a client wants something else: what waits for it is sorted anew, or forgotten."""
        stream = self._streams.get(client.identity)
        if stream is None:
            return
        delivery = stream.delivery
        delivery.want(want.view, want.entries)
        # Its slot may be given away from now on.
        if stream.unsent is not None and not delivery.wants(stream.unsent.ready.key):
            stream.unsent = None
        if stream.encoded:
            stream.encoded = deque(item for item in stream.encoded if delivery.wants(item.ready.key))

    def announce(self, client: Client, announce: Announce) -> Announce | None:
        """Take over what is ready for an inline client; returns what is left to be said at once, None if nothing is."""
        stream = self._streams.get(client.identity)
        if stream is None:
            return announce
        if announce.ready:
            for ready in announce.ready:
                stream.delivery.add(ready)
            self._turns[client.identity] = stream
        if announce.missing or announce.failed or announce.load_times or announce.progress:
            return Announce((), announce.missing, announce.failed, announce.load_times, announce.progress)
        return None

    def acknowledged(self, client: Client) -> None:
        """There is room again on the way to a client."""
        stream = self._streams.get(client.identity)
        if stream is not None and (stream.delivery or stream.unsent is not None or stream.encoded):
            self._turns[client.identity] = stream

    # --- sending -----------------------------------------------------------------------------------------------------

    def pump(self) -> bool:
        """Send what the links have room for, but not endlessly; returns whether there is more."""
        left = _SENT_AT_ONCE
        turns = self._turns
        while turns and left > 0:
            identity = next(iter(turns))
            stream = turns.pop(identity)
            sent = self._take_turn(stream)
            if sent:
                left -= sent
                if identity in self._streams:  # it may have been dropped meanwhile
                    turns[identity] = stream
        return bool(turns)

    def _take_turn(self, stream: Stream) -> int:
        """Send one message to a client, if there is room on its way; returns the bytes of chunks in it."""
        link = stream.client.link
        if link.under_way >= link.window():
            return 0
        ready: list[Ready] = []
        encodings: list[str] = []
        frames: list[bytes | memoryview] = []
        total, most = 0, link.message()
        while total < most:
            item = stream.unsent or self._next(stream)
            stream.unsent = None
            if item is None:
                break
            left = len(item.data) - item.offset
            if left > most - total:
                stream.unsent = item
                if ready:
                    break
                frame = item.data[item.offset : item.offset + most]
                part = Part(item.ready.key, item.offset)
                item.offset += len(frame)
                return len(frame) if self._send(stream.client, part, (frame,)) else 0
            ready.append(item.ready)
            encodings.append(item.encoding)
            frames.append(item.data[item.offset :] if item.offset else item.data)
            total += left
        if not ready:
            return 0
        if not self._send(stream.client, Announce(tuple(ready), encodings=tuple(encodings)), frames):
            return 0
        stream.client.announced += len(ready)
        return max(total, 1)

    def _next(self, stream: Stream) -> _Item | None:
        """The next chunk whose bytes can be sent; those that pay to be compressed are handed to the thread."""
        if stream.encoded:
            return stream.encoded.popleft()
        while stream.encoding < _ENCODED_AHEAD:
            ready = stream.delivery.take()
            if ready is None:
                return None
            data = self._bytes_of(ready)
            codec = self.compression.choose(ready.key.dataset, stream.codecs, stream.client.link.rate)
            if not codec:
                return _Item(ready, "", data)
            self._encode(stream, ready, bytes(data), codec)
        return None

    def _bytes_of(self, ready: Ready) -> memoryview:
        itemsize = self._itemsizes.get(ready.dtype)
        if itemsize is None:
            itemsize = self._itemsizes[ready.dtype] = np.dtype(ready.dtype).itemsize
        begin = ready.slot + SLOT_HEADER_BYTES
        return self._memory[begin : begin + math.prod(ready.shape) * itemsize]

    # --- compressing -------------------------------------------------------------------------------------------------

    def _encode(self, stream: Stream, ready: Ready, data: bytes, codec: str) -> None:
        stream.encoding += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="octree-compress", daemon=True)
            self._thread.start()

        def job() -> None:
            encoded = encode(data, codec, time.thread_time)
            self._call(lambda: self._encoded(stream, ready, len(data), codec, encoded))

        self._jobs.put(job)

    def _encoded(self, stream: Stream, ready: Ready, nbytes: int, codec: str, encoded: Encoded) -> None:
        stream.encoding -= 1
        self.compression.observe(ready.key.dataset, codec, nbytes, encoded)
        if self._streams.get(stream.client.identity) is not stream:
            return
        if stream.delivery.wants(ready.key):
            stream.encoded.append(_Item(ready, encoded.encoding, encoded.data))
        self._turns[stream.client.identity] = stream

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
