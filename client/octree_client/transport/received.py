"""Chunks that came over the wire, in a cache of this process: what `SharedArena` is to a viewer beside its daemon.

Bounded: what nobody wants goes first, the longest unused of it. Filled by the connection's thread, read by any other.
Knows nothing of sockets.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_client.transport.shared import DTYPE_KINDS
from octree_protocol import limits
from octree_protocol.errors import RemoteProtocolError
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Ready

#: What we can decode, the best first.
CODECS = ("zstd", "lz4")


def decode(encoding: str, data: memoryview, nbytes: int) -> Any:
    """The bytes of a chunk, `nbytes` of them.

    Raises
    ------
    RemoteProtocolError
        If `data` is not that.
    """
    if encoding == "":
        made: Any = data
    elif encoding in CODECS:
        import imagecodecs

        decoder: Any = imagecodecs.lz4_decode if encoding == "lz4" else imagecodecs.zstd_decode
        try:
            made = decoder(data, out=nbytes)
        except (RuntimeError, ValueError) as error:
            raise RemoteProtocolError(f"bytes of a chunk are no {encoding}: {error}") from None
    else:
        raise RemoteProtocolError(f"bytes of a chunk are encoded as {encoding!r}; known are {', '.join(CODECS)}")
    if len(made) != nbytes:
        raise RemoteProtocolError(f"a chunk came as {len(made)} bytes, and is to have {nbytes}")
    return made


class ReceivedChunks:
    """The cache. `array` and `is_current` as of `SharedArena`.

    Parameters
    ----------
    nbytes
        Budget.
    pinned
        Whether a chunk is wanted, and so is not thrown out.
    """

    def __init__(self, nbytes: int, pinned: Callable[[ChunkKey], bool]) -> None:
        self.nbytes = nbytes
        self._pinned = pinned
        self._lock = threading.Lock()
        self._chunks: OrderedDict[ChunkKey, tuple[Ready, NDArray[Any]]] = OrderedDict()
        self._used = 0
        self._partial: tuple[ChunkKey, bytearray] | None = None

    # --- what comes --------------------------------------------------------------------------------------------------

    def add_part(self, key: ChunkKey, offset: int, data: memoryview) -> None:
        """Part of a chunk's encoded bytes. Raises `RemoteProtocolError` if it does not follow what came before."""
        if offset == 0:
            self._partial = (key, bytearray())
        if self._partial is None or self._partial[0] != key or len(self._partial[1]) != offset:
            self._partial = None
            raise RemoteProtocolError(f"a part of chunk {key} at byte {offset} does not follow what came before")
        if offset + len(data) > 2 * limits.CHUNK_BYTES:
            self._partial = None
            raise RemoteProtocolError(f"chunk {key} has more than {2 * limits.CHUNK_BYTES} bytes")
        self._partial[1].extend(data)

    def add(self, ready: Ready, encoding: str, data: memoryview) -> None:
        """A chunk, whole with this.

        Raises
        ------
        RemoteProtocolError
            If the bytes are not what was announced.
        """
        partial, self._partial = self._partial, None
        if partial is not None and partial[0] == ready.key:
            partial[1].extend(data)
            data = memoryview(partial[1])
        try:
            dtype = np.dtype(ready.dtype)
        except (TypeError, ValueError, SyntaxError):
            raise RemoteProtocolError(f"{ready.dtype!r} is no dtype") from None
        nbytes = math.prod(ready.shape) * dtype.itemsize
        if dtype.kind not in DTYPE_KINDS or min(ready.shape, default=1) < 1 or nbytes > 2 * limits.CHUNK_BYTES:
            raise RemoteProtocolError(f"a chunk of shape {ready.shape} and dtype {ready.dtype} cannot be")
        array = np.frombuffer(decode(encoding, data, nbytes), dtype)
        if not array.flags.aligned:
            array = array.copy()
        array = array.reshape(ready.shape)
        array.flags.writeable = False
        with self._lock:
            before = self._chunks.pop(ready.key, None)
            if before is not None:
                self._used -= before[1].nbytes
            self._chunks[ready.key] = (ready, array)
            self._used += array.nbytes
            if self._used > self.nbytes:
                self._evict()

    def _evict(self) -> None:
        """Throw out what nobody wants, the longest unused first, until it fits."""
        for _ in range(len(self._chunks)):
            key = next(iter(self._chunks))
            if self._pinned(key):
                self._chunks.move_to_end(key)  # it is in use now
                continue
            _, array = self._chunks.pop(key)
            self._used -= array.nbytes
            if self._used <= self.nbytes:
                return

    # --- what is there -----------------------------------------------------------------------------------------------

    def held(self) -> Collection[ChunkKey]:
        """Which chunks are there, as it changes; for the thread that fills it."""
        return self._chunks.keys()

    def used(self) -> int:
        """Bytes that they take."""
        return self._used

    def announcements(self, keys: Sequence[ChunkKey]) -> tuple[Ready, ...]:
        """What was announced of chunks that are there; they count as used now."""
        with self._lock:
            found = []
            for key in keys:
                known = self._chunks.get(key)
                if known is not None:
                    self._chunks.move_to_end(key)
                    found.append(known[0])
            return tuple(found)

    def array(self, ready: Ready) -> NDArray[Any]:
        """The voxels of a chunk, read-only. They stay as they are for as long as the array lives.

        Raises
        ------
        RemoteProtocolError
            If it is not there any more; `is_current` tells beforehand.
        """
        with self._lock:
            known = self._chunks.get(ready.key)
        if known is None:
            raise RemoteProtocolError(f"chunk {ready.key} is not in the cache any more")
        return known[1]

    def is_current(self, ready: Ready) -> bool:
        """Whether a chunk is there as it was announced."""
        with self._lock:
            known = self._chunks.get(ready.key)
        return known is not None and known[0].generation == ready.generation

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._chunks.clear()
            self._used = 0
            self._partial = None
