"""Boxes and the chunks that they meet. Pure (no I/O).

Knows shapes and indices only: nothing of files, codecs or the levels of a dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from octree_loader.sources.base import Box, Piece

Index = tuple[int, ...]
Slices = tuple[slice, ...]


def indices_of(box: Box, chunk: Index) -> Iterator[Index]:
    """Grid indices of the chunks of shape `chunk` that meet `box`, in C order."""
    return product(*(range(low // edge, -(-high // edge)) for (low, high), edge in zip(box, chunk, strict=True)))


def slices_of(box: Box) -> Slices:
    """`box` as an index of an array."""
    return tuple(slice(low, high) for low, high in box)


#: What is read at once of voxels that lie plainly in a distant file: as much as a request brings in its own latency.
BAND_BYTES = 1 << 20


def band_of(shape: Sequence[int], itemsize: int, most: int = BAND_BYTES) -> Index:
    """The largest boxes of at most `most` bytes (or one voxel) that lie in one piece in a plain array, in C order."""
    band = [1] * len(shape)
    room = max(1, most // itemsize)
    for axis in reversed(range(len(shape))):
        band[axis] = min(shape[axis], room)
        if band[axis] < shape[axis]:
            break
        room //= max(1, band[axis])
        if room < 1:
            break
    return tuple(max(1, edge) for edge in band)


class Overlap(NamedTuple):
    """Where the same voxels stand in a chunk and in the array of a box."""

    in_chunk: Slices
    in_box: Slices


def overlap_of(box: Box, origin: Sequence[int], extent: Sequence[int]) -> Overlap:
    """What a box shares with the chunk that begins at voxel `origin` and is `extent` voxels long; they must meet."""
    in_chunk, in_box = [], []
    for (low, high), start, edge in zip(box, origin, extent, strict=True):
        first, last = max(low, start), min(high, start + edge)
        in_chunk.append(slice(first - start, last - start))
        in_box.append(slice(first - low, last - low))
    return Overlap(tuple(in_chunk), tuple(in_box))


class Gathering(NamedTuple):
    """Pieces that are read together: the smallest box around them, and their numbers."""

    box: Box
    members: tuple[int, ...]


def gather(pieces: Sequence[Piece], chunk: Index) -> list[Gathering]:
    """Group the pieces so that no storage chunk of shape `chunk` is read for two groups, as far as that is cheap.

    Pieces that lie in one and the same storage chunk are read as one box. A piece that spans several storage chunks
    stands alone.
    """
    groups: dict[Index, list[int]] = {}
    gathered = []
    for number, piece in enumerate(pieces):
        first = tuple(low // edge for (low, _), edge in zip(piece.box, chunk, strict=True))
        if all((high - 1) // edge == i for (_, high), edge, i in zip(piece.box, chunk, first, strict=True)):
            groups.setdefault(first, []).append(number)
        else:
            gathered.append(Gathering(piece.box, (number,)))
    for members in groups.values():
        around = tuple(
            (min(low for low, _ in sides), max(high for _, high in sides))
            for sides in zip(*(pieces[number].box for number in members), strict=True)
        )
        gathered.append(Gathering(around, tuple(members)))
    return gathered
