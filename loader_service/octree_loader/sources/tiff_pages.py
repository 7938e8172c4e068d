"""Pages of a TIFF file as one array: fetch a tile's or strip's bytes, let tifffile decode them, copy what is wanted.

Each storage chunk (a tile or strip) is read and decoded once for all that a call wants of it; pages that are not
compressed are mapped, so that any box costs no more than its own bytes. Knows nothing of series, levels or metadata
(`tiff`), and decodes nothing itself.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import threading
import weakref
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.base import Box, Piece, SourceError
from octree_loader.sources.chunk_files import lies_in, read_failed
from octree_loader.sources.codecs import encoded_bytes_most
from octree_loader.sources.zarr_metadata import STORAGE_CHUNK_BYTES, check_shape, plain_dtype

#: Files beside the first one (an OME-TIFF may lie in many) that are open at the same time.
OPEN_FILES = 16

#: Compressions whose data say how large they decode, and that tifffile decodes as they say.
_PICTURES = {6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 34933, 34934, 50001}


class Axes(NamedTuple):
    """How the axes of an array lie in pages.

    `leading` are the edges of the axes that count pages, as they are stored. `sources` has one entry for each axis of
    the array: 0 .. n-1 for those, n .. n+4 for the five of a page (separate samples, depth, length, width, contiguous
    samples).
    """

    leading: tuple[int, ...]
    sources: tuple[int, ...]


class Files:
    """Descriptors of the files that an image lies in. Reads with `os.pread`: no thread waits for another's seek."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._open: dict[str, _File] = {path: _File(path)}
        self._changing = threading.Lock()

    def of(self, path: str) -> _File:
        """An open file."""
        with self._changing:
            found = self._open.get(path)
            if found is None:
                if len(self._open) > OPEN_FILES:
                    self._open.pop(next(p for p in self._open if p != self.path))
                found = self._open[path] = _File(path)
            return found


class _File:
    """One open file; closed when nobody reads from it any more."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise read_failed(path, error) from error
        weakref.finalize(self, os.close, self.descriptor)
        self._map: mmap.mmap | None = None

    def read(self, offset: int, length: int, what: str) -> bytes:
        """So many bytes, all of them."""
        try:
            data = os.pread(self.descriptor, length, offset)
            while len(data) < length and (more := os.pread(self.descriptor, length - len(data), offset + len(data))):
                data += more
        except OverflowError:
            data = b""
        except OSError as error:
            raise read_failed(self.path, error) from error
        if len(data) < length:
            raise SourceError(
                f"{what} of {self.path} is truncated: {len(data)} of its {length} bytes are there; copy the file again"
            )
        return data

    def mapped(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """A part of the file as an array; valid as long as the file is not cut."""
        end = offset + math.prod(shape) * dtype.itemsize
        # To read a mapped file beyond its end kills the process, so the end is looked at first.
        length = os.fstat(self.descriptor).st_size
        if end > length:
            raise SourceError(f"{self.path} is truncated: it has {length} of {end} bytes; copy it again")
        if self._map is None or len(self._map) < end:
            self._map = mmap.mmap(self.descriptor, length, prot=mmap.PROT_READ)
        return np.ndarray(shape, dtype, self._map, offset)


class _Segments(NamedTuple):
    """Where the tiles or strips of one page lie; `mapped_at` where the page is one plain array in its file."""

    path: str
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    mapped_at: int | None
    tables: bytes | None
    header: bytes | None


class TiffArray:
    """A `LevelArray` over the pages of one level of a series.

    Parameters
    ----------
    pages
        tifffile's series: its item is a page, or None where a page is missing.
    axes
        How the axes of the array lie in it.
    files
        Shared by all arrays of an image.
    lock
        Held while tifffile reads the file itself: it has but one position in it.
    """

    def __init__(self, where: str, pages: Any, axes: Axes, files: Files, lock: Any) -> None:
        keyframe = pages.keyframe
        self.where = where
        self.dtype = plain_dtype(np.dtype(pages.dtype), where)
        self._pages = pages
        self._keyframe = keyframe
        self._axes = axes
        self._files = files
        self._lock = lock
        self._known: dict[int, _Segments | None] = {}
        self._shaped: tuple[int, ...] = tuple(int(edge) for edge in keyframe.shaped)
        self._segment = self._segment_shape()
        self._grid = tuple(-(-size // edge) for size, edge in zip(self._shaped, self._segment, strict=True))
        self._stored_dtype = np.dtype(keyframe.dtype).newbyteorder(keyframe.parent.byteorder)
        extents = (*axes.leading, *self._shaped)
        edges = (*(1,) * len(axes.leading), *self._segment)
        self.shape = tuple(extents[source] for source in axes.sources)
        check_shape(self.shape, where)
        self.random_access = bool(keyframe.is_final)
        self.storage_chunk = tuple(min(edges[s], extents[s]) for s in axes.sources)
        if self.random_access:
            self.storage_chunk = self.shape
        self.shard: tuple[int, ...] | None = None
        self.fill_value = _fill_value(keyframe.nodata, self.dtype)
        self._segment_bytes = math.prod(self._segment) * self.dtype.itemsize
        if self._segment_bytes > STORAGE_CHUNK_BYTES and not self.random_access:
            raise SourceError(
                f"{where} has strips or tiles of {self._segment_bytes / 2**30:.4g} GiB, which no worker can decode: "
                f"write it again in tiles of 256 to 1024 voxels"
            )

    def _segment_shape(self) -> tuple[int, ...]:
        page = self._keyframe
        contiguous = self._shaped[4]
        if page.is_tiled:
            shape = (1, int(page.tiledepth), int(page.tilelength), int(page.tilewidth), contiguous)
        else:
            shape = (1, 1, min(int(page.rowsperstrip), self._shaped[2]), self._shaped[3], contiguous)
        if min(shape) < 1 or 0 in self._shaped:
            raise SourceError(f"{self.where} has tiles or strips of shape {shape}: it is damaged")
        return shape

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        views = [self._as_stored(piece.out) for piece in pieces]
        boxes = [self._box_as_stored(piece.box) for piece in pieces]
        leads = len(self._axes.leading)
        stored = [False] * len(pieces)
        wanted: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = {}
        for number, box in enumerate(boxes):
            for lead in product(*(range(low, high) for low, high in box[:leads])):
                within = tuple(i - low for i, (low, _) in zip(lead, box, strict=False))
                wanted.setdefault(lead, []).append((number, within))
        absent: list[tuple[NDArray[Any], int]] = []
        for lead, users in wanted.items():
            page = self._page(lead)
            targets = [(number, views[number][within], boxes[number][leads:]) for number, within in users]
            if page is None:
                absent.extend((view, number) for number, view, _ in targets)
            elif page.mapped_at is not None:
                data = self._files.of(page.path).mapped(page.mapped_at, self._shaped, self._stored_dtype)
                for number, view, box in targets:
                    np.copyto(view, data[tuple(slice(low, high) for low, high in box)], casting="same_kind")
                    stored[number] = True
            else:
                self._read_segments(page, targets, stored, absent)
        for view, number in absent:
            if stored[number]:
                view[...] = self.fill_value
        return stored

    def _as_stored(self, out: NDArray[Any]) -> NDArray[Any]:
        """A view of `out` with the axes as they are stored, those that it lacks of length 1."""
        sources = self._axes.sources
        order = sorted(range(len(sources)), key=lambda axis: sources[axis])
        view = out.transpose(order)
        lacking = [s for s in range(len(self._axes.leading) + 5) if s not in sources]
        return np.expand_dims(view, tuple(lacking)) if lacking else view

    def _box_as_stored(self, box: Box) -> Box:
        ranges = [(0, 1)] * (len(self._axes.leading) + 5)
        for source, sides in zip(self._axes.sources, box, strict=True):
            ranges[source] = sides
        return tuple(ranges)

    def _read_segments(
        self,
        page: _Segments,
        targets: list[tuple[int, NDArray[Any], Box]],
        stored: list[bool],
        absent: list[tuple[NDArray[Any], int]],
    ) -> None:
        """Decode each tile or strip of a page once, and copy it to all that want some of it."""
        wanted: dict[tuple[int, ...], list[int]] = {}
        for position, (_, _, box) in enumerate(targets):
            ranges = (range(low // e, -(-high // e)) for (low, high), e in zip(box, self._segment, strict=True))
            for index in product(*ranges):
                wanted.setdefault(index, []).append(position)
        file = self._files.of(page.path)
        for index, positions in wanted.items():
            origin = tuple(i * edge for i, edge in zip(index, self._segment, strict=True))
            data = self._decode(page, file, index)
            # Strips and tiles at the edge may come cut to the image, or not.
            extent = self._segment if data is None else (1, *data.shape)
            for position in positions:
                number, view, box = targets[position]
                lows = [max(low, o) for (low, _), o in zip(box, origin, strict=True)]
                highs = [min(high, o + e) for (_, high), o, e in zip(box, origin, extent, strict=True)]
                target = view[tuple(slice(a - low, b - low) for a, b, (low, _) in zip(lows, highs, box, strict=True))]
                if data is None:
                    absent.append((target, number))
                    continue
                cut = tuple(slice(a - o, b - o) for a, b, o in zip(lows, highs, origin, strict=True))
                target[0] = data[cut[1:]]
                stored[number] = True

    def _decode(self, page: _Segments, file: _File, index: tuple[int, ...]) -> NDArray[Any] | None:
        """One tile or strip (depth, length, width, samples), or None where it is not stored."""
        number = 0
        for i, count in zip(index[:4], self._grid, strict=False):
            number = number * count + i
        what = f"{'tile' if self._keyframe.is_tiled else 'strip'} {number}"
        if number >= len(page.offsets) or number >= len(page.lengths):
            raise SourceError(
                f"{what} of {self.where} has no place in the file: its tables are too short; it is damaged"
            )
        length = page.lengths[number]
        if not length or not page.offsets[number]:
            return None
        if length > encoded_bytes_most(self._segment_bytes):
            raise SourceError(f"{what} of {self.where} has {length} bytes, more than it can: the file is damaged")
        encoded = file.read(page.offsets[number], length, what)
        if self._keyframe.compression in _PICTURES and page.header is None:
            self._check_picture(encoded, what)
        tables = {"jpegtables": page.tables, "jpegheader": page.header} if page.tables or page.header else {}
        try:
            data, _, _ = self._keyframe.decode(encoded, number, **tables)
        except Exception as error:  # each codec has exceptions of its own
            raise SourceError(
                f"{what} of {self.where} cannot be decoded ({type(error).__name__}: {error}): write the file again"
            ) from error
        decoded: NDArray[Any] = data
        return decoded

    def _check_picture(self, encoded: bytes, what: str) -> None:
        """Refuse a tile that decodes to something larger than a tile: here the data, not the page, say how large."""
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(io.BytesIO(encoded)) as picture:
                width, height = picture.size
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            return  # a codec that pillow does not know; the decoder will tell
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise SourceError(f"{what} of {self.where} decodes to far more than it should: {error}") from None
        # Decoders pad to whole blocks, and some writers put the last, shorter strip into a longer one.
        if width * height > 4 * self._segment[2] * self._segment[3] + 65536:
            raise SourceError(
                f"{what} of {self.where} decodes to {width} x {height} where it has "
                f"{self._segment[3]} x {self._segment[2]}: the file is damaged"
            )

    # --- pages -------------------------------------------------------------------------------------------------------

    def _page(self, lead: tuple[int, ...]) -> _Segments | None:
        number = 0
        for i, edge in zip(lead, self._axes.leading, strict=True):
            number = number * edge + i
        with self._lock:
            if number not in self._known:
                if len(self._known) >= 4096:
                    self._known.clear()
                self._known[number] = self._look_up(number)
            return self._known[number]

    def _look_up(self, number: int) -> _Segments | None:
        offset = self._pages.dataoffset if self._pages.is_truncated else None
        if offset is not None:
            # One page stands for all, which follow it without pages of their own (large ImageJ files).
            at = offset + number * math.prod(self._shaped) * self._stored_dtype.itemsize
            return _Segments(self._keyframe.parent.filehandle.path, (), (), at, None, None)
        page = self._pages[number]
        if page is None:
            return None
        offsets, lengths = tuple(page.dataoffsets), tuple(page.databytecounts)
        if not offsets or not lengths:  # not what was never written: that has places, of length 0
            raise SourceError(f"{self.where} has a page that does not say where its voxels are: the file is damaged")
        if not any(lengths):
            return None
        path = page.parent.filehandle.path
        if not lies_in(path, os.path.dirname(os.path.realpath(self._files.path))):
            raise SourceError(f"{self.where} has a page in {path}: only files beside it are read; move it there")
        mapped_at = None
        if self.random_access and page.is_contiguous and _follow_each_other(offsets, lengths):
            mapped_at = int(offsets[0])
        tables = page.jpegtables if self._keyframe.compression in _PICTURES else None
        header = page.jpegheader if self._keyframe.compression in _PICTURES else None
        return _Segments(path, offsets, lengths, mapped_at, tables, header)


def _follow_each_other(offsets: tuple[int, ...], lengths: tuple[int, ...]) -> bool:
    ends = (offset + length for offset, length in zip(offsets, lengths, strict=False))
    return all(end == start for end, start in zip(ends, offsets[1:], strict=False))


def _fill_value(nodata: Any, dtype: np.dtype[Any]) -> float:
    """What stands where nothing is stored, if the file says one that its voxels can be."""
    try:
        value = float(nodata)
        np.asarray(nodata).astype(dtype, casting="unsafe")
    except (TypeError, ValueError, OverflowError):
        return 0.0
    if dtype.kind in "iub":
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        return value if low <= value <= high and value == int(value) else 0.0
    return value
