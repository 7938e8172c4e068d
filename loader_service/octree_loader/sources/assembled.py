"""A source made of arrays, one a level. Knows how levels and axes fit together, not where the arrays come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.base import LevelArray, Piece, ReadChunk, SourceError, StoredLevel
from octree_loader.sources.placement import (
    Numbers,
    axis_named,
    colour_axis,
    default_axes,
    kind_of_dtype,
    place_levels,
    shown_order,
)
from octree_loader.sources.sampling import sample_array
from octree_loader.sources.turned import TurnedArray
from octree_protocol import limits
from octree_protocol.geometry import Axis, Channel


@dataclass(frozen=True, slots=True)
class Placing:
    """What is known of where arrays lie; None is not known.

    `scales` and `translations` have one entry a level, or one for level 0 alone. `kind` and `channels` are those of
    `geometry.Dataset`.
    """

    axes: tuple[Axis, ...] | None = None
    scales: tuple[Numbers | None, ...] = ()
    translations: tuple[Numbers | None, ...] = ()
    rgb: bool | None = None
    kind: str | None = None
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class AssembledSource:
    """A `base.Source` of one array a level. Make it with `assemble`. `identity`, `warning`: as in
    `base.SourceDescription`.
    """

    axes: tuple[Axis, ...]
    dtype: np.dtype[Any]
    rgb: bool
    fill_value: float
    levels: tuple[StoredLevel, ...]
    arrays: tuple[LevelArray, ...] = field(repr=False)
    kind: str = "intensity"
    channels: tuple[Channel, ...] = ()
    identity: str = ""
    warning: str = ""

    def sample(
        self, level: int, places: Sequence[NDArray[np.intp]], until: float, clock: Callable[[], float]
    ) -> tuple[NDArray[Any], bool]:
        """Voxels at all combinations of places, as good as may be until then; see `sampling.sample_array`."""
        array = self.arrays[level]
        own = getattr(array, "sample", None)
        if own is not None:
            return own(places), True
        return sample_array(array, places, until, clock)

    def chunk_reader(self, level: int, chunk_shape: tuple[int, ...]) -> ReadChunk | None:
        """How chunks of that shape are read where each is one storage chunk as it is; None: by `read`."""
        reader_of = getattr(self.arrays[level], "chunk_reader", None)
        return None if reader_of is None else reader_of(chunk_shape)

    def read(self, level: int, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        try:
            return self.arrays[level].read(pieces)
        except SourceError:
            raise
        except Exception as error:
            # What decodes or computes may be anybody's code: the caller has one exception to expect.
            where = self.arrays[level].where if 0 <= level < len(self.arrays) else f"level {level}"
            raise SourceError(
                f"{where} cannot be read: {type(error).__name__}: {error}",
                transient=isinstance(error, TimeoutError | ConnectionError | BlockingIOError),
            ) from error


def assemble(where: str, arrays: Sequence[LevelArray], known: Placing, options: Placing) -> AssembledSource:
    """Make a source of the arrays of a pyramid, in any order.

    Parameters
    ----------
    where
        Names the dataset in errors.
    known
        What the data say of themselves.
    options
        What the configuration says; it overrides. Its scale and translation are those of level 0: the others follow by
        their ratio to level 0.

    Returns
    -------
    AssembledSource
        Whatever the order of the axes in `arrays`, `known` and `options`, those of the screen are the last of the
        source's; see `placement.shown_order`.

    Raises
    ------
    SourceError
        If the arrays are no pyramid.
    """
    if not 1 <= len(arrays) <= limits.LEVELS:
        raise SourceError(f"{where} has {len(arrays)} levels: a pyramid has 1 to {limits.LEVELS}")
    by_size = sorted(range(len(arrays)), key=lambda i: -math.prod(arrays[i].shape))
    scales = [known.scales[i] if i < len(known.scales) else None for i in by_size]
    translations = [known.translations[i] if i < len(known.translations) else None for i in by_size]
    arrays = [arrays[i] for i in by_size]
    first = arrays[0]
    for array in arrays[1:]:
        if len(array.shape) != len(first.shape):
            raise SourceError(
                f"{array.where} has {len(array.shape)} axes, {first.where} {len(first.shape)}: no pyramid"
            )
        if array.dtype != first.dtype:
            raise SourceError(f"{array.where} holds {array.dtype}, {first.where} {first.dtype}: no pyramid")
        if any(a > b for a, b in zip(array.shape, first.shape, strict=True)):
            raise SourceError(f"{array.where} has the shape {array.shape}, {first.where} {first.shape}: no pyramid")
    axes, colour = _axes_and_colour(where, first, known, options)
    if colour is not None and any(array.shape[colour] != first.shape[colour] for array in arrays):
        raise SourceError(f"{where} has levels with different numbers of samples in a colour: no pyramid")

    shapes = [array.shape for array in arrays]
    placed = _with_options(place_levels(shapes, scales, translations, where), options, len(first.shape), where)
    order = shown_order(axes, colour)
    if order != tuple(range(len(axes))):
        axes = tuple(axes[a] for a in order)
        arrays = [TurnedArray(array, order) for array in arrays]
        placed = [(tuple(s[a] for a in order), tuple(t[a] for a in order)) for s, t in placed]
        first = arrays[0]
    return AssembledSource(
        axes,
        first.dtype,
        colour is not None,
        first.fill_value,
        tuple(
            StoredLevel(
                array.shape,
                array.storage_chunk,
                scale,
                translation,
                array.shard,
                array.random_access,
                getattr(array, "gathers", False),
            )
            for array, (scale, translation) in zip(arrays, placed, strict=True)
        ),
        tuple(arrays),
        options.kind or known.kind or kind_of_dtype(first.dtype, colour is not None),
        channels_of_shape(axes, first.shape, options.channels or known.channels),
    )


def channels_of_shape(axes: tuple[Axis, ...], shape: tuple[int, ...], said: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """What is said of the channels, if it is one entry for each: what describes others would mislead."""
    counts = [size for axis, size in zip(axes, shape, strict=True) if axis.kind == "channel"]
    return said if len(counts) == 1 and counts[0] == len(said) <= limits.CHANNELS else ()


def _axes_and_colour(
    where: str, first: LevelArray, known: Placing, options: Placing
) -> tuple[tuple[Axis, ...], int | None]:
    """The axes, as they are stored, and which of them holds the samples of a colour."""
    count = len(first.shape)
    axes = options.axes or known.axes
    if axes is not None and len(axes) != count:
        raise SourceError(
            f"{where} has {count} axes, not {len(axes)} ({', '.join(axis.name for axis in axes)}): "
            f"give one name for each in the option axes"
        )
    rgb = next((said for said in (options.rgb, known.rgb) if said is not None), None)
    colour = colour_axis(first.shape, first.dtype, axes, rgb)
    if rgb and colour is None:
        raise SourceError(f"{where} has the shape {first.shape}: as rgb its last axis must have 3 or 4 entries")
    if axes is None:
        axes = default_axes(count, colour is not None)
    if len({axis.name for axis in axes}) != count:
        raise SourceError(f"{where} has two axes of one name ({', '.join(axis.name for axis in axes)}): rename one")
    kinds = [axis.kind for axis in axes]
    if colour is not None:
        kinds[colour] = "samples"
    elif "channel" not in kinds and "samples" in kinds:
        kinds[kinds.index("samples")] = "channel"  # samples that are no colour are looked at one by one
    return tuple(axis_named(axis.name, kind, axis.unit) for axis, kind in zip(axes, kinds, strict=True)), colour


def _with_options(
    placed: list[tuple[Numbers, Numbers]], options: Placing, count: int, where: str
) -> list[tuple[Numbers, Numbers]]:
    """Stretch and shift the whole pyramid so that level 0 lies where the options say."""
    scale, translation = (known[0] if known else None for known in (options.scales, options.translations))
    if scale is None and translation is None:
        return placed
    old_scale, old_translation = placed[0]
    ((new_scale, new_translation),) = place_levels(
        [(1,) * count], [scale or old_scale], [translation or old_translation], f"{where} (its options)"
    )
    stretched = []
    for level_scale, level_translation in placed:
        stretch = [new / old for new, old in zip(new_scale, old_scale, strict=True)]
        stretched.append(
            (
                tuple(s * k for s, k in zip(level_scale, stretch, strict=True)),
                tuple(
                    new + (t - old) * k
                    for new, t, old, k in zip(new_translation, level_translation, old_translation, stretch, strict=True)
                ),
            )
        )
    return stretched
