"""Chunks whose bytes travel, for a connection: what is asked for, what comes, and the cache between.

Puts `asking` and `received` together. Used by the connection's thread alone, but for `cache`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from octree_client.transport.asking import Asking
from octree_client.transport.received import ReceivedChunks
from octree_protocol import limits
from octree_protocol.errors import RemoteProtocolError
from octree_protocol.geometry import Dataset
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Announce, DaemonMessage, Failure, Part, Ready, Wanted


class InlineChunks:
    """What a connection has of chunks whose bytes travel.

    Parameters
    ----------
    cache_bytes
        Budget of the cache.
    dataset_of
        The dataset that has a number, if it is known.

    Attributes
    ----------
    cache
        What the views see, instead of a `SharedArena`.
    """

    def __init__(self, cache_bytes: int, dataset_of: Callable[[int], Dataset | None]) -> None:
        self._asking = Asking(cache_bytes, self._size_of)
        self._dataset_of = dataset_of
        self._sizes: dict[tuple[int, int], int] = {}
        self.cache = ReceivedChunks(cache_bytes, self._asking.pinned)

    def start_over(self) -> None:
        """A session begins: views will say anew what they want. What is in the cache stays."""
        self._asking.start_over()
        self._sizes.clear()

    def want(self, view: int, entries: Sequence[Wanted]) -> tuple[tuple[Wanted, ...], tuple[Ready, ...]]:
        """What to ask of the daemon for a view, and what of the cache to tell the view of."""
        asked = self._asking.want(view, entries, self.cache.held())
        return asked.remote, self.cache.announcements(asked.local)

    def short(self) -> list[tuple[int, Sequence[Wanted]]]:
        """Views that want more than there was room for: to be tried again."""
        return self._asking.short()

    def take_in(self, message: DaemonMessage, further: Sequence[memoryview]) -> DaemonMessage:
        """Put the bytes that followed a message into the cache; returns it as if they had lain there.

        Raises
        ------
        RemoteProtocolError
            If they are not what the message says. A chunk whose bytes are not what was announced has failed.
        """
        if isinstance(message, Part):
            if len(further) != 1:
                raise RemoteProtocolError(f"{len(further)} frames follow a part; it has one")
            self.cache.add_part(message.key, message.offset, further[0])
            return message
        if not isinstance(message, Announce) or not len(message.ready) == len(message.encodings) == len(further):
            raise RemoteProtocolError(f"{len(further)} frames follow a message that announces others")
        good: list[Ready] = []
        failed = list(message.failed)
        for ready, encoding, data in zip(message.ready, message.encodings, further, strict=True):
            try:
                self.cache.add(ready, encoding, data)
            except RemoteProtocolError as error:
                failed.append(Failure(ready.key, str(error)))
                continue
            self._asking.arrived(ready.key)
            good.append(ready)
        return Announce(tuple(good), message.missing, tuple(failed), message.load_times, message.progress)

    def _size_of(self, key: ChunkKey) -> int:
        """Bytes of a chunk that the edge does not cut; the most there can be, of one that nobody knows."""
        size = self._sizes.get((key.dataset, key.level))
        if size is None:
            dataset = self._dataset_of(key.dataset)
            if dataset is None or not 0 <= key.level < len(dataset.levels):
                return limits.CHUNK_BYTES
            size = math.prod(dataset.levels[key.level].chunk_shape) * np.dtype(dataset.dtype).itemsize
            self._sizes[key.dataset, key.level] = size
        return size
