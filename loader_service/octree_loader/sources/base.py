"""What every source is: something with axes and levels that fills buffers. Knows nothing of slots, pools or clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from octree_protocol.errors import OctreeError
from octree_protocol.geometry import Axis, Channel


class SourceError(OctreeError):
    """A dataset does not open, or a chunk of it cannot be read. The text names the file, the reason and the cure.

    `transient` says that the same read may succeed a little later (a timeout, a busy server).
    """

    def __init__(self, reason: str, *, transient: bool = False) -> None:
        super().__init__(reason)
        self.transient = transient


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """How a dataset is opened, as it stands in the configuration. Travels to the workers as JSON.

    `location` is a path, a URL, or ``module:factory``; `options` go to the source that opens it.
    """

    name: str
    location: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredLevel:
    """One level as it is stored. Tuples have one entry an axis.

    `storage_chunk` is the smallest piece that the store can read by itself (the inner chunk of a shard); the
    whole shape where it is not chunked. `shard` is the piece that the store keeps in one file, if that is larger.
    `random_access` says that any box costs no more than its own bytes (memory, a mapped file): then nothing is gained
    by reading what lies in one storage chunk together. `gathers` says that storage chunks of one shard are better read
    together: a distant store asks the same time for one as for many.
    """

    shape: tuple[int, ...]
    storage_chunk: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    shard: tuple[int, ...] | None = None
    random_access: bool = False
    gathers: bool = False


#: Reads the chunk of an index into an array of exactly its bytes; returns whether anything of it is stored. Raises
#: `SourceError`.
ReadChunk = Callable[[tuple[int, ...], NDArray[Any]], bool]

#: First and one-past-last voxel along each axis.
Box = tuple[tuple[int, int], ...]


class Piece(NamedTuple):
    """A box of a level, and the C-contiguous array of exactly that shape, in the dataset's dtype, that takes it."""

    box: Box
    out: NDArray[Any]


class Describable(Protocol):
    """What there is to know of a dataset without reading any of it. Levels stand finest first."""

    @property
    def axes(self) -> tuple[Axis, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def rgb(self) -> bool: ...
    @property
    def fill_value(self) -> float: ...
    @property
    def levels(self) -> tuple[StoredLevel, ...]: ...


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """A `Describable` that is only data: what planning works from, and what may be kept without the source.

    `identity` is another text once what is far away, or lies in several files, has changed; "" where that cannot be
    told. `warning` is for people: why they may not see what they expect.
    """

    axes: tuple[Axis, ...]
    dtype: np.dtype[Any]
    levels: tuple[StoredLevel, ...]
    rgb: bool = False
    fill_value: float = 0.0
    kind: str = "intensity"
    channels: tuple[Channel, ...] = ()
    identity: str = ""
    warning: str = ""


def describe(source: Describable) -> SourceDescription:
    """What there is to know of `source`, without the source."""
    return SourceDescription(
        source.axes,
        source.dtype,
        source.levels,
        source.rgb,
        source.fill_value,
        getattr(source, "kind", "intensity"),
        getattr(source, "channels", ()),
        getattr(source, "identity", ""),
        getattr(source, "warning", ""),
    )


class Source(Describable, Protocol):
    """An opened dataset. `read` may be called from several threads at once."""

    def read(self, level: int, pieces: Sequence[Piece]) -> list[bool]:
        """Fill the pieces, reading each storage chunk at most once.

        Returns
        -------
        list of bool
            For each piece whether anything of it is stored. Where it is not, `out` may hold anything.

        Raises
        ------
        SourceError
            If a piece cannot be read.
        """
        ...


class LevelArray(Protocol):
    """One array that fills boxes; `read` as in `Source.read`. `where` names it in errors."""

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    storage_chunk: tuple[int, ...]
    shard: tuple[int, ...] | None
    random_access: bool
    fill_value: float

    def read(self, pieces: Sequence[Piece]) -> list[bool]: ...
