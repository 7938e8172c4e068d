"""Reads boxes of a level into numpy arrays, through the daemon's chunks: for scripts, which may wait.

A read is a view like any other: it wants some chunks at a time, copies each out of its slot when it is announced, and
wants the next ones instead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_client.transport.connection import Connection
from octree_client.transport.inbox import Lost, Reopened
from octree_protocol.errors import OctreeError
from octree_protocol.geometry import Dataset, Level
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Announce, Ready, Wanted

#: Chunks that one read holds in the arena at a time: enough to keep all workers busy, little enough to leave the
#: arena to the viewers.
_CHUNKS_AT_ONCE = 64


#: When nothing has come for so long, what was copied is let go. Seconds.
_NUDGE = 0.1


class ChunkUnreadable(OctreeError):
    """The daemon could not read a chunk; the text has its reason."""


class ReadStopped(OctreeError):
    """A read was given up by whoever asked for it."""


class LevelArray:
    """One level of a dataset, with numpy's slicing. Reading waits for the data; nothing is kept.

    Attributes
    ----------
    shape, dtype, ndim
        As of a numpy array.
    scale, translation
        World units a voxel, and the world coordinate of the centre of voxel 0; one entry an axis.
    chunk_shape
        In voxels; boxes that keep to it are read fastest.
    """

    def __init__(self, connection: Connection, dataset: Dataset, level: int) -> None:
        self._connection = connection
        self._dataset = dataset
        self._number = level
        self._level = dataset.levels[level]
        self.shape = self._level.shape
        self.dtype = np.dtype(dataset.dtype)
        self.ndim = len(self.shape)
        self.scale = self._level.scale
        self.translation = self._level.translation
        self.chunk_shape = self._level.chunk_shape

    def __repr__(self) -> str:
        return f"<level {self._number} of {self._dataset.name}: {self.shape} {self.dtype}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a level is never in memory as a whole: copy=False cannot be had")
        return np.asarray(self[...], dtype=dtype)

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        """Integers, slices with steps (also negative ones), and ``...``, as in numpy.

        Raises
        ------
        IndexError
            For anything else, and for integers beyond the shape.
        ChunkUnreadable
            If a chunk of it cannot be read.
        """
        box, within = _normalise(selection, self.shape)
        data = read_box(self._connection, self._dataset, self._number, box)
        result: NDArray[Any] = data[within]
        return result

    def read_with_holes(
        self, box: Sequence[tuple[int, int]], stopped: threading.Event | None = None
    ) -> tuple[NDArray[Any], dict[tuple[int, ...], str]]:
        """A box, and by index the chunks of it that cannot be read, with the reasons: the fill value stands for them.

        Each of them is asked for a second time before it is given up. Once `stopped` is set, the read ends.

        Raises
        ------
        ReadStopped
            If it was.
        ChunkUnreadable
            If nothing comes any more.
        """
        first: dict[tuple[int, ...], str] = {}
        unreadable: dict[tuple[int, ...], str] = {}
        data = read_box(self._connection, self._dataset, self._number, box, unreadable=first, stopped=stopped)
        for index in first:
            part = [
                (max(low, a), min(high, b))
                for (low, high), (a, b) in zip(self._level.chunk_extent(index), box, strict=True)
            ]
            again = read_box(
                self._connection, self._dataset, self._number, part, unreadable=unreadable, stopped=stopped
            )
            data[tuple(slice(low - a, high - a) for (low, high), (a, _) in zip(part, box, strict=True))] = again
        return data, unreadable

    def chunk_extent(self, index: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """First and one-past-last voxel of a chunk along each axis."""
        return self._level.chunk_extent(index)


def _normalise(selection: Any, shape: tuple[int, ...]) -> tuple[tuple[tuple[int, int], ...], tuple[int | slice, ...]]:
    """The smallest box that holds a selection, and the selection within the box."""
    parts = list(selection) if isinstance(selection, tuple) else [selection]
    dots = [n for n, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    missing = len(shape) - (len(parts) - len(dots))
    if missing < 0:
        raise IndexError(f"too many indices: the level has {len(shape)} axes, {len(parts)} were given")
    at = dots[0] if dots else len(parts)
    parts[at : at + len(dots)] = [slice(None)] * missing
    box: list[tuple[int, int]] = []
    within: list[int | slice] = []
    for axis, (part, size) in enumerate(zip(parts, shape, strict=True)):
        if isinstance(part, slice):
            steps = range(*part.indices(size))
            if not steps:
                box.append((0, 0))
                within.append(slice(0, 0))
                continue
            low, high = min(steps[0], steps[-1]), max(steps[0], steps[-1]) + 1
            box.append((low, high))
            # From the end, a slice to the beginning has no number for its stop.
            within.append(slice(None, None, steps.step) if steps.step > 0 else slice(high - low - 1, None, steps.step))
        elif isinstance(part, (int, np.integer)) and not isinstance(part, (bool, np.bool_)):
            index = int(part) + (size if part < 0 else 0)
            if not 0 <= index < size:
                raise IndexError(f"index {part} is out of bounds for axis {axis} with size {size}")
            box.append((index, index + 1))
            within.append(0)
        else:
            raise IndexError(f"a level takes integers, slices and '...', not {type(part).__name__}")
    return tuple(box), tuple(within)


def read_box(
    connection: Connection,
    dataset: Dataset,
    level_number: int,
    box: Sequence[tuple[int, int]],
    patience: float = 60.0,
    unreadable: dict[tuple[int, ...], str] | None = None,
    stopped: threading.Event | None = None,
) -> NDArray[Any]:
    """A box of a level as an array of its own.

    Parameters
    ----------
    box
        First and one-past-last voxel along each axis, within the level's shape.
    patience
        Seconds without any chunk arriving after which the read is given up.
    unreadable
        Takes the chunks that the daemon could not read, with its reasons: they hold the fill value then. Without it,
        the first of them ends the read.
    stopped
        Once set, the read is given up within a tenth of a second.

    Raises
    ------
    ReadStopped
        If it was.
    ChunkUnreadable
        With the daemon's reason; or because nothing came any more.
    """
    level = dataset.levels[level_number]
    out = np.full([high - low for low, high in box], dataset.fill_value, dtype=np.dtype(dataset.dtype))
    if out.size == 0:
        return out
    reader = _Reader(connection, dataset, level_number, level, box, out, unreadable, stopped)
    try:
        reader.run(patience)
    finally:
        connection.close_view(reader.inbox)
    return out


class _Reader:
    """One read under way."""

    def __init__(
        self,
        connection: Connection,
        dataset: Dataset,
        number: int,
        level: Level,
        box: Sequence[tuple[int, int]],
        out: NDArray[Any],
        unreadable: dict[tuple[int, ...], str] | None,
        stopped: threading.Event | None,
    ) -> None:
        self._connection = connection
        self._unreadable = unreadable
        self._stopped = stopped
        self._dataset = dataset
        self._level_number = number
        self._level = level
        self._box = box
        self._out = out
        self._todo = level.chunks_between([float(low) for low, _ in box], [float(high) for _, high in box])
        self._wanted: dict[tuple[int, ...], None] = {}
        self._copied = False
        self._something = threading.Event()
        self.inbox = connection.open_view(self._something.set)

    def run(self, patience: float) -> None:
        self._refill()
        since = time.monotonic()
        while self._wanted:
            looks = self._copied or self._stopped is not None
            came = self._something.wait(min(_NUDGE, patience) if looks else patience)
            if self._stopped is not None and self._stopped.is_set():
                raise ReadStopped(f"{self._dataset.name}: the read was given up")
            if not came:
                if self._copied:
                    self._want()  # without what has been copied: there may be no room for more beside it
                elif time.monotonic() - since >= patience:
                    why = self._connection.problem or f"no chunk has come for {patience:g} s"
                    raise ChunkUnreadable(f"{self._dataset.name}, level {self._level_number}: {why}")
                continue
            since = time.monotonic()
            self._something.clear()
            for event in self.inbox.take():
                if isinstance(event, Announce):
                    self._hear(event)
                elif isinstance(event, Reopened):
                    self._start_over(event)
                elif isinstance(event, Lost):
                    continue  # the connection looks for another daemon; patience is the limit
            if len(self._wanted) <= _CHUNKS_AT_ONCE // 2:
                self._refill()

    def _refill(self) -> None:
        """Want the next chunks instead of those that have been copied."""
        for index in self._todo:
            self._wanted[index] = None
            if len(self._wanted) >= _CHUNKS_AT_ONCE:
                break
        self._want()

    def _want(self) -> None:
        dataset, level = self._dataset.id, self._level_number
        entries = [Wanted(ChunkKey(dataset, level, index), priority=n) for n, index in enumerate(self._wanted)]
        self._copied = False
        self._connection.want(self.inbox, entries)

    def _start_over(self, event: Reopened) -> None:
        known = event.datasets.get(self._dataset.name)
        if known is None or known.levels != self._dataset.levels or known.dtype != self._dataset.dtype:
            raise ChunkUnreadable(f"{self._dataset.name} is not what it was before the daemon was started again")
        self._dataset = known
        self._want()

    def _hear(self, announce: Announce) -> None:
        for failure in announce.failed:
            if self._is_ours(failure.key):
                if self._unreadable is not None:
                    self._unreadable[failure.key.index] = failure.reason
                    del self._wanted[failure.key.index]
                    continue
                raise ChunkUnreadable(
                    f"{self._dataset.name}, level {failure.key.level}, chunk {failure.key.index}: {failure.reason}"
                )
        for key in announce.missing:
            if self._is_ours(key):  # `out` is made of the fill value already
                del self._wanted[key.index]
        for ready in announce.ready:
            if self._is_ours(ready.key) and self._copy(ready):
                del self._wanted[ready.key.index]
                self._copied = True

    def _is_ours(self, key: ChunkKey) -> bool:
        return key.dataset == self._dataset.id and key.level == self._level_number and key.index in self._wanted

    def _copy(self, ready: Ready) -> bool:
        """Copy the part of a chunk that lies in the box; False if the slot was given away meanwhile."""
        arena = self._connection.arena
        if arena is None:
            return False
        chunk = arena.array(ready)
        source, target = [], []
        for (low, high), (first, last) in zip(self._level.chunk_extent(ready.key.index), self._box, strict=True):
            a, b = max(low, first), min(high, last)
            source.append(slice(a - low, b - low))
            target.append(slice(a - first, b - first))
        self._out[tuple(target)] = chunk[tuple(source)]
        return arena.is_current(ready)
