"""Levels that a source does not have, made of those that it has, and kept on disk.

A made chunk comes from the disk cache, or from the chunks below it on the next finer level, which come from there too,
down to what is stored. What lies on the way is kept, so nothing is computed twice. Knows nothing of who wants a chunk
and of which levels are lacking (`pyramid`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.downsample import downsample, rule_of
from octree_loader.level_cache import LevelCache
from octree_loader.pyramid import Making, footprint, steps_of
from octree_loader.sources.base import Box, Piece, ReadChunk, Source, SourceError
from octree_loader.sources.boxes import indices_of, overlap_of
from octree_protocol.geometry import Dataset

Index = tuple[int, ...]
Voxels = NDArray[Any]

#: So much of the stored level is read at once and halved several times in memory: a distant store is asked for many
#: chunks together.
AT_ONCE_BYTES = 16 << 20

#: Where any box costs no more than its bytes, so little: what is read then is halved while it is in the processor's
#: cache.
AT_ONCE_CACHED_BYTES = 1 << 20

#: A chunk far up the pyramid may need all of the image. After so many seconds what has been made so far is kept, and
#: the rest is put off, so that no worker is lost to the others for longer.
SLICE_SECONDS = 0.5

#: So long is sampled: what is there at once is there in a fraction of it, and a coarse picture is no use late.
SAMPLE_SECONDS = 0.25


class Unfinished(SourceError):
    """A chunk is not there yet, but some of what it needs has been made and kept: ask again."""

    def __init__(self) -> None:
        super().__init__("the chunk is still being made from finer levels", transient=True)


class DerivedSource:
    """`source`, and the coarser levels of `dataset` that it lacks. Only whole chunks of `dataset` are read of these.

    Parameters
    ----------
    dataset
        As clients know it: its levels from `making.stored` on are made.
    cache
        Where made chunks are kept, if anywhere.
    clock
        Seconds.
    """

    def __init__(
        self,
        source: Source,
        dataset: Dataset,
        making: Making,
        cache: LevelCache | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.axes = source.axes
        self.dtype = source.dtype
        self.rgb = source.rgb
        self.fill_value = source.fill_value
        self.levels = source.levels
        self._source = source
        self._dataset = dataset
        self._stored = making.stored
        self._averaged = making.averaged(len(dataset.levels))
        self._steps = steps_of(dataset, making.stored)
        self._rule = rule_of(dataset.kind)
        self._cache = cache
        self._clock = clock
        self._base = self._stored - 1
        cached = source.levels[self._base].random_access
        self._at_once = AT_ONCE_CACHED_BYTES if cached else AT_ONCE_BYTES

    def chunk_reader(self, level: int, chunk_shape: tuple[int, ...]) -> ReadChunk | None:
        """See `assembled.AssembledSource.chunk_reader`: only of levels that are stored."""
        reader_of = getattr(self._source, "chunk_reader", None)
        return None if reader_of is None or level >= self._stored else reader_of(level, chunk_shape)

    def read(self, level: int, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`. Raises `Unfinished` if that took too long and it is worth to ask again."""
        if level < self._stored:
            return self._source.read(level, pieces)
        present = []
        for box, out in pieces:
            if level >= self._averaged.stop:
                present.append(self._sample(level, box, out))
                continue
            edges = self._dataset.levels[level].chunk_shape
            index = tuple(low // edge for (low, _), edge in zip(box, edges, strict=True))
            if self._dataset.levels[level].chunk_extent(index) != tuple(box):
                raise ValueError(f"{box} is no chunk of the made level {level}")
            voxels = _Errand(self, self._clock() + SLICE_SECONDS).make(level, index)
            if voxels is not None:
                np.copyto(out, voxels)
            present.append(voxels is not None)
        return present

    def _sample(self, level: int, box: Box, out: Voxels) -> bool:
        """Take voxels in the middle of what would be averaged; averages, where these have been made by now."""
        if self._is_made(level - 1, below := self._below(level, box)):
            region = _Errand(self, math.inf).together(level - 1, below)
            if region is not None:
                np.copyto(out, downsample(region, self._steps[level - self._stored], self._rule))
            return region is not None
        fine, coarse = self._dataset.levels[self._base], self._dataset.levels[level]
        places = []
        for a, (low, high) in enumerate(box):
            factor = round(coarse.scale[a] / fine.scale[a])
            places.append(np.minimum(np.arange(low, high) * factor + factor // 2, fine.shape[a] - 1))
        try:
            voxels, stored = self._source.sample(  # type: ignore[attr-defined]
                self._base, places, self._clock() + SAMPLE_SECONDS, self._clock
            )
        except SourceError as error:
            raise SourceError(
                f"level {level} cannot be sampled from level {self._base}: {error}", transient=error.transient
            ) from error
        np.copyto(out, voxels)
        return bool(stored)

    def _below(self, level: int, box: Box) -> Box:
        """What of the next finer level a box is made of."""
        return footprint(box, self._steps[level - self._stored], self._dataset.levels[level - 1].shape)

    def _is_made(self, level: int, box: Box) -> bool:
        """Whether all chunks of a box of a made level are kept already."""
        cache = self._cache
        if cache is None or level not in cache.kept:
            return False
        return all(cache.has(level, index) for index in indices_of(box, self._dataset.levels[level].chunk_shape))


class _Errand:
    """The making of one chunk, and of all that it takes."""

    def __init__(self, source: DerivedSource, until: float) -> None:
        self._of = source
        self._until = until
        self._kept_some = False

    def make(self, level: int, index: Index) -> Voxels | None:
        """The voxels of a made chunk, or None if nothing is stored of what it would be made of."""
        of = self._of
        extent = of._dataset.levels[level].chunk_extent(index)
        if of._cache is not None and level in of._cache.kept:
            out = np.empty([high - low for low, high in extent], of.dtype)
            known = of._cache.read(level, index, out)
            if known is not None:
                return out if known else None
        axes = of._steps[level - of._stored]
        finer = footprint(extent, axes, of._dataset.levels[level - 1].shape)
        if level - 1 == of._base:
            region = self._read(finer, level)
        elif (box := self._at_once(level, finer)) is not None:
            region = self._read(box, level)
            if region is not None:
                region = self._down_to(level - 1, finer, region)
        else:
            region = self.together(level - 1, finer)
        voxels = None if region is None else downsample(region, axes, of._rule)
        self._keep(level, index, voxels)
        return voxels

    def together(self, level: int, box: Box) -> Voxels | None:
        """Put a box of a made level together from its chunks."""
        of = self._of
        shape = [high - low for low, high in box]
        edges = of._dataset.levels[level].chunk_shape
        region: Voxels | None = None
        for index in indices_of(box, edges):
            if self._kept_some and of._clock() > self._until:
                raise Unfinished
            voxels = self.make(level, index)
            if voxels is None:
                continue
            if region is None:
                if voxels.shape == tuple(shape):
                    return voxels
                region = np.full(shape, of.fill_value, of.dtype)
            origin = [i * edge for i, edge in zip(index, edges, strict=True)]
            part = overlap_of(box, origin, voxels.shape)
            region[part.in_box] = voxels[part.in_chunk]
        return region

    def _below(self, box: Box, level: int, to: int) -> Box:
        """What of the level `to` a box of the coarser `level` comes from."""
        for finer in range(level - 1, to - 1, -1):
            box = footprint(box, self._of._steps[finer + 1 - self._of._stored], self._of._dataset.levels[finer].shape)
        return box

    def _at_once(self, level: int, finer: Box) -> Box | None:
        """The voxels of the coarsest stored level for a chunk, if they are few and nothing between has been made."""
        of = self._of
        box = self._below(finer, level - 1, of._base)
        if math.prod(high - low for low, high in box) * of.dtype.itemsize > of._at_once:
            return None
        if of._cache is not None and level - 1 in of._cache.kept:
            edges = of._dataset.levels[level - 1].chunk_shape
            if any(of._cache.has(level - 1, index) for index in indices_of(finer, edges)):
                return None
        return box

    def _down_to(self, level: int, box: Box, region: Voxels) -> Voxels:
        """Halve voxels of the coarsest stored level down to a box of `level`; keep the chunks that come by."""
        of = self._of
        for coarser in range(of._stored, level + 1):
            region = downsample(region, of._steps[coarser - of._stored], of._rule)
            here = self._below(box, level, coarser)
            described = of._dataset.levels[coarser]
            for index in indices_of(here, described.chunk_shape):
                chunk = described.chunk_extent(index)
                if all(low <= a and b <= high for (a, b), (low, high) in zip(chunk, here, strict=True)):
                    part = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(chunk, here, strict=True))
                    self._keep(coarser, index, region[part])
        return region

    def _read(self, box: Box, level: int) -> Voxels | None:
        """A box of the coarsest stored level, or None if nothing of it is stored."""
        of = self._of
        out = np.empty([high - low for low, high in box], of.dtype)
        try:
            (present,) = of._source.read(of._base, [Piece(box, out)])
        except SourceError as error:
            raise SourceError(
                f"level {level} cannot be made of level {of._base}: {error}", transient=error.transient
            ) from error
        return out if present else None

    def _keep(self, level: int, index: Index, voxels: Voxels | None) -> None:
        of = self._of
        if of._cache is not None and of._cache.write(level, index, voxels):
            self._kept_some = True


def derive_source(source: Source, dataset: Dataset, making: Making | None) -> Source:
    """`source` itself if it has all levels of `dataset`, or one that makes the others."""
    if making is None:
        return source
    kept = making.kept(len(dataset.levels))
    return DerivedSource(source, dataset, making, LevelCache(making.cache, dataset, kept) if kept else None)
