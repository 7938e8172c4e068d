"""Images that code makes: ``module:factory`` is called, and what it yields is sliced like a NumPy array.

A factory is called with the options of the dataset, but for the common ones (see `sources.open_source`), as keyword
arguments. It yields one of

- an array: numpy, dask, zarr, or any object with ``shape``, ``dtype`` and ``__getitem__`` that takes a tuple of slices
  and gives something that `numpy.asarray` takes, of just that shape and dtype; or None for "nothing is stored there".
  It may have `chunks` or `storage_chunk` (one edge an axis): what it computes at a time;
- a list or tuple of arrays, a level each, in any order;
- a dict, or an object with attributes: ``levels`` (as above), and if it likes ``axes`` (``"tzyx"`` or names),
  ``scale`` and ``translation`` (of level 0, or a list with one of them a level), ``rgb``, ``kind``,
  ``fill_value``, ``storage_chunk``.

Scales that are not given follow from the shapes, with the edges of all levels together. Arrays that are not numpy's
are read from several threads at once.

A dask array is computed here, with the synchronous scheduler: each dask chunk once for all that a call wants of it, and
kept nowhere (the arena is the cache). Knows nothing of files.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.assembled import AssembledSource, Placing, assemble
from octree_loader.sources.base import Box, LevelArray, Piece, SourceError
from octree_loader.sources.boxes import gather, indices_of, overlap_of, slices_of
from octree_loader.sources.placement import Numbers, axis_named
from octree_loader.sources.zarr_metadata import check_shape, plain_dtype

#: Dask chunks are computed together up to this many bytes: one graph for several costs less than one each.
DASK_BATCH_BYTES = 64 << 20


def open_factory(location: str, arguments: Mapping[str, Any], options: Placing) -> AssembledSource:
    """Call ``module:factory`` and open what it yields. Raises `SourceError`, whatever the factory raises."""
    module_name, _, factory_name = location.partition(":")
    try:
        factory: Any = importlib.import_module(module_name)
        for part in factory_name.split("."):
            factory = getattr(factory, part)
    except AttributeError as error:
        raise SourceError(f"{location}: the module {module_name} has no {factory_name} ({error})") from error
    except (Exception, SystemExit) as error:
        raise SourceError(
            f"{location}: the module {module_name} cannot be imported ({type(error).__name__}: {error}); "
            f"is it installed where the daemon runs?"
        ) from error
    try:
        made = factory(**arguments) if callable(factory) and not hasattr(factory, "shape") else factory
    except (Exception, SystemExit) as error:
        raise SourceError(
            f"{location} failed with the options {dict(arguments)}: {type(error).__name__}: {error}"
        ) from error
    return open_arrays(location, made, options)


def open_arrays(where: str, made: Any, options: Placing) -> AssembledSource:
    """Open what a factory yields; the module's docstring says what that may be. Raises `SourceError`."""
    known, storage_chunk, fill = Placing(), None, 0.0
    if isinstance(made, Mapping) or (hasattr(made, "levels") and not hasattr(made, "shape")):
        said = made if isinstance(made, Mapping) else _Attributes(made)
        if said.get("levels") is None:
            raise SourceError(f"{where} yields a dict without levels: give it a list of arrays as 'levels'")
        try:
            known = _placing(said)
            fill = float(said.get("fill_value") or 0.0)
        except (TypeError, ValueError) as error:
            raise SourceError(
                f"{where} yields axes, scale, translation or fill_value that are none: {error}"
            ) from error
        storage_chunk = said.get("storage_chunk")
        made = said.get("levels")
    levels = list(made) if isinstance(made, list | tuple) else [made]
    if not levels:
        raise SourceError(f"{where} yields no levels: give one array at least")
    arrays = [
        _wrap(f"level {number} of {where}" if len(levels) > 1 else where, array, storage_chunk, fill)
        for number, array in enumerate(levels)
    ]
    return assemble(where, arrays, known, options)


class _Attributes:
    """An object's attributes, asked for like the keys of a dict."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def get(self, key: str) -> Any:
        return getattr(self._made, key, None)


def _placing(said: Any) -> Placing:
    axes, rgb = said.get("axes"), said.get("rgb")
    return Placing(
        axes=None if axes is None else tuple(axis_named(str(name)) for name in axes),
        scales=_rows(said.get("scale")),
        translations=_rows(said.get("translation")),
        rgb=None if rgb is None else bool(rgb),
        kind=said.get("kind") if said.get("kind") in ("intensity", "labels", "mask") else None,
    )


def _rows(value: Any) -> tuple[Numbers | None, ...]:
    """One tuple of numbers a level, from one alone or from a list of them."""
    if value is None:
        return ()
    entries = list(value)
    if entries and all(entry is None or hasattr(entry, "__len__") for entry in entries):
        return tuple(None if entry is None else tuple(float(number) for number in entry) for entry in entries)
    return (tuple(float(number) for number in entries),)


def _wrap(where: str, array: Any, storage_chunk: Any, fill: float) -> LevelArray:
    try:
        shape = tuple(int(edge) for edge in array.shape)
        dtype = np.dtype(array.dtype)
        array.__getitem__  # noqa: B018  # asked for, not called: it is what we need
    except (AttributeError, TypeError, ValueError) as error:
        raise SourceError(
            f"{where} is a {type(array).__name__}, no array: it needs shape, dtype and slicing ({error})"
        ) from error
    check_shape(shape, where)
    dtype = plain_dtype(dtype, where)
    if hasattr(array, "__dask_graph__") and hasattr(array, "blocks"):
        return DaskArray(where, array, shape, dtype, fill)
    if isinstance(array, np.ndarray):
        return NumpyArray(where, array, shape, dtype, shape, True, fill)
    given = next(
        (c for c in (storage_chunk, getattr(array, "storage_chunk", None), getattr(array, "chunks", None)) if c), None
    )
    if given is None:
        return SlicedArray(where, array, shape, dtype, shape, True, fill)
    try:
        chunk = tuple(int(edge) for edge in given)
    except (TypeError, ValueError):
        chunk = ()
    if len(chunk) != len(shape) or any(edge < 1 for edge in chunk):
        raise SourceError(f"{where} has chunks {given!r}: give one edge for every axis")
    return SlicedArray(where, array, shape, dtype, chunk, False, fill)


class SlicedArray:
    """A `LevelArray` over anything that is sliced like a NumPy array."""

    def __init__(
        self,
        where: str,
        array: Any,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        storage_chunk: tuple[int, ...],
        random_access: bool,
        fill: float,
    ) -> None:
        self.where = where
        self.shape = shape
        self.dtype = dtype
        self.storage_chunk = storage_chunk
        self.shard: tuple[int, ...] | None = None
        self.random_access = random_access
        self.fill_value = fill
        self._array = array

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        if self.random_access:
            return [self._give(self._slice(box), [low for low, _ in box], [Piece(box, out)]) for box, out in pieces]
        stored = [False] * len(pieces)
        for group in gather(pieces, self.storage_chunk):
            data = self._slice(group.box)
            present = self._give(data, [low for low, _ in group.box], [pieces[n] for n in group.members])
            for number in group.members:
                stored[number] = present
        return stored

    def _slice(self, box: Box) -> NDArray[Any] | None:
        try:
            got = self._array[slices_of(box)]
            if got is None:
                return None
            data = np.asarray(got)
        except (Exception, SystemExit) as error:
            raise SourceError(f"{self.where} failed at {box}: {type(error).__name__}: {error}") from error
        check_data(data, tuple(high - low for low, high in box), self.dtype, f"{self.where} at {box}")
        return data

    def _give(self, data: NDArray[Any] | None, origin: Sequence[int], pieces: Sequence[Piece]) -> bool:
        if data is None:
            return False
        for box, out in pieces:
            np.copyto(out, data[overlap_of(box, origin, data.shape).in_chunk])
        return True


class NumpyArray(SlicedArray):
    """A `LevelArray` over an array of numpy: any of its voxels is there at once."""

    def sample(self, places: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
        """Single voxels: all combinations of these places along each axis."""
        voxels: NDArray[Any] = self._array[np.ix_(*places)]
        return voxels


def check_data(data: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    """Raise `SourceError` unless an array is what was asked for; a smaller dtype that fits is taken too."""
    if data.shape != shape:
        raise SourceError(f"{where} gave an array of shape {data.shape} where {shape} was asked for")
    if not np.can_cast(data.dtype, dtype, "safe"):
        raise SourceError(f"{where} gave {data.dtype} where its dtype is {dtype}: convert it, or declare what it is")


class DaskArray:
    """A `LevelArray` over a dask array. The storage chunk is the largest dask chunk where they are not all the same."""

    def __init__(self, where: str, array: Any, shape: tuple[int, ...], dtype: np.dtype[Any], fill: float) -> None:
        if any(math.isnan(edge) for edges in array.chunks for edge in edges):
            raise SourceError(f"{where} is a dask array with chunks of unknown size: call compute_chunk_sizes() on it")
        self.where = where
        self.shape = shape
        self.dtype = dtype
        self.storage_chunk = tuple(int(edge) for edge in array.chunksize)
        self.shard: tuple[int, ...] | None = None
        self.random_access = False
        self.fill_value = fill
        self._array = array
        self._graph: Any = None
        self._starts = [np.concatenate(([0], np.cumsum(edges))) for edges in array.chunks]

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        wanted: dict[tuple[int, ...], list[Piece]] = {}
        for piece in pieces:
            for index in self._blocks_of(piece.box):
                wanted.setdefault(index, []).append(piece)
        together = max(1, DASK_BATCH_BYTES // (math.prod(self.storage_chunk) * self.dtype.itemsize))
        waiting = list(wanted)
        while waiting:
            batch, waiting = waiting[:together], waiting[together:]
            for index, data in zip(batch, self._compute(batch), strict=True):
                origin = [int(starts[i]) for starts, i in zip(self._starts, index, strict=True)]
                for box, out in wanted[index]:
                    part = overlap_of(box, origin, data.shape)
                    out[part.in_box] = data[part.in_chunk]
        return [True] * len(pieces)

    def _blocks_of(self, box: Box) -> list[tuple[int, ...]]:
        """Indices of the dask chunks that meet a box; they need not be of one size."""
        as_blocks = tuple(
            (int(np.searchsorted(starts, low, "right")) - 1, int(np.searchsorted(starts, high, "left")))
            for starts, (low, high) in zip(self._starts, box, strict=True)
        )
        return list(indices_of(as_blocks, (1,) * len(box)))

    def _compute(self, indices: Sequence[tuple[int, ...]]) -> list[NDArray[Any]]:
        try:
            computed = self._computed(indices)
        except (Exception, SystemExit) as error:
            raise SourceError(f"{self.where} failed at chunk {indices[0]}: {type(error).__name__}: {error}") from error
        arrays = [np.asarray(data) for data in computed]
        for index, data in zip(indices, arrays, strict=True):
            shape = tuple(int(edges[i]) for edges, i in zip(self._array.chunks, index, strict=True))
            check_data(data, shape, self.dtype, f"{self.where} at chunk {index}")
        return arrays

    def _computed(self, indices: Sequence[tuple[int, ...]]) -> Sequence[Any]:
        """What dask computes for its chunks.

        Their keys are asked of the graph as it is: a new array around each chunk (`blocks`) costs several times as much
        as a small chunk. `dask.get` is the synchronous scheduler; asked for by its name, dask would import distributed
        first, which takes most of a second in every worker.
        """
        import dask

        if self._graph is None:
            self._graph = self._array.__dask_graph__()
        keys = [(self._array.name, *index) for index in indices]
        computed: Sequence[Any] = dask.get(self._array.__dask_optimize__(self._graph, keys), keys)
        return computed
