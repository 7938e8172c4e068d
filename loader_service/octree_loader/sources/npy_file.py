"""``.npy`` files, mapped into memory, or read in bands from afar: only what is looked at is read.

Knows nothing of other formats.
"""

from __future__ import annotations

import io
import math
import os
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from octree_loader.sources.assembled import AssembledSource, Placing, assemble
from octree_loader.sources.base import Piece, SourceError
from octree_loader.sources.boxes import slices_of
from octree_loader.sources.image_file import ImageFile
from octree_loader.sources.plain_array import PlainArray
from octree_loader.sources.remote_file import RemoteFile
from octree_loader.sources.zarr_metadata import check_shape, plain_dtype

#: The longest header of a file far away; those of images have some hundred bytes.
HEADER_BYTES = 64 << 10


def open_npy(image: ImageFile, options: Placing) -> AssembledSource:
    """Open a ``.npy`` file as an image of one level. Raises `SourceError`."""
    if not isinstance(image, RemoteFile):
        return assemble(image.where, [NpyArray(image.where)], Placing(), options)
    header = io.BytesIO(image.head(HEADER_BYTES))
    shape, fortran, stored = _header(header, image.where)
    array = PlainArray(image.where, image, header.tell(), shape, stored, fortran=fortran)
    return assemble(image.where, [array], Placing(), options)


class NpyArray:
    """A `LevelArray` over a mapped ``.npy`` file."""

    def __init__(self, path: str) -> None:
        self.where = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            shape, fortran, stored = _header(file, path)
            self._bytes = file.tell() + math.prod(shape) * stored.itemsize
            self._check_length()
            data: NDArray[Any] = np.memmap(file, stored, "r", file.tell(), shape, "F" if fortran else "C")
        self._data = data.view(np.ndarray)
        self.shape = shape
        self.dtype = stored.newbyteorder("=")
        self.storage_chunk = shape
        self.shard: tuple[int, ...] | None = None
        self.random_access = True
        self.fill_value = 0.0

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        self._check_length()
        for box, out in pieces:
            np.copyto(out, self._data[slices_of(box)])
        return [True] * len(pieces)

    def sample(self, places: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
        """Single voxels: all combinations of these places along each axis."""
        self._check_length()
        voxels: NDArray[Any] = self._data[np.ix_(*places)]
        return voxels

    def _check_length(self) -> None:
        """To read a mapped file beyond its end kills the process, so the end is looked at first."""
        length = os.fstat(self._descriptor).st_size
        if length < self._bytes:
            raise SourceError(
                f"{self.where} is truncated: it has {length} of {self._bytes} bytes; write it again, or copy it again"
            )


def _header(file: Any, path: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy_format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"version {version}")
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, SyntaxError, TypeError, KeyError, EOFError, RecursionError, MemoryError) as error:
        raise SourceError(f"{path} is no .npy file that numpy can read ({error}): write it again") from error
    check_shape(shape, path)
    plain_dtype(dtype, path)
    return shape, fortran, dtype
