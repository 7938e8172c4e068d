"""Pages of a TIFF file as one array: fetch a tile's or strip's bytes, let tifffile decode them, copy what is wanted.

Each storage chunk (a tile or strip) is read and decoded once for all that a call wants of it; pages that are not
compressed are mapped, so that any box costs no more than its own bytes, or read in bands where they are far away. Knows
nothing of series, levels or metadata (`tiff`), nor of where the bytes lie (`tiff_files`), and decodes nothing itself.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.allowance import memory_allowance
from octree_loader.sources.base import Box, Piece, SourceError
from octree_loader.sources.boxes import band_of
from octree_loader.sources.codecs import encoded_bytes_most
from octree_loader.sources.tiff_files import Files, Place
from octree_loader.sources.zarr_metadata import STORAGE_CHUNK_BYTES, check_shape, plain_dtype

#: Compressions whose data say how large they decode, and that tifffile decodes as they say.
_PICTURES = {6, 7, 33003, 33004, 33005, 33007, 34712, 34892, 34933, 34934, 50001}

#: Compressions that are decoded into memory of a tile's size: none, LZW, Deflate, PackBits, LZMA, Zstandard.
_BOUNDED = {1, 5, 8, 32773, 32946, 34925, 34926, 50000}


class Axes(NamedTuple):
    """How the axes of an array lie in pages.

    `leading` are the edges of the axes that count pages, as they are stored. `sources` has one entry for each axis of
    the array: 0 .. n-1 for those, n .. n+4 for the five of a page (separate samples, depth, length, width, contiguous
    samples).
    """

    leading: tuple[int, ...]
    sources: tuple[int, ...]


#: Storage chunks that lie side by side in a file far away are read together, up to so many in a row.
_ROW = 16


class _Page(NamedTuple):
    """Where the voxels of one page lie.

    `offsets` and `lengths` are those of its tiles or strips, `plain_at` is where the page begins if it is one plain
    array in its file.
    """

    path: str
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    plain_at: int | None
    tables: bytes | None
    header: bytes | None


class _User(NamedTuple):
    """Who wants some of a page: the number of a piece, where its voxels go, and what they are in the page."""

    piece: int
    view: NDArray[Any]
    box: Box


class _Job(NamedTuple):
    """A tile, strip or band that is read, for all who want some of it."""

    page: _Page
    number: int
    origin: tuple[int, ...]
    extent: tuple[int, ...]
    what: str
    users: tuple[_User, ...]


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
        self._known: dict[int, _Page | None] = {}
        self._shaped: tuple[int, ...] = tuple(int(edge) for edge in keyframe.shaped)
        self._segment = self._segment_shape()
        self._stored_dtype = np.dtype(keyframe.dtype).newbyteorder(keyframe.parent.byteorder)
        #: What is read at once of a page that is one plain array, where it cannot be mapped.
        self._band = (1, *band_of(self._shaped[1:], self._stored_dtype.itemsize))
        extents = (*axes.leading, *self._shaped)
        plain = bool(keyframe.is_final)
        edges = (*(1,) * len(axes.leading), *(self._band if plain and not files.maps else self._segment))
        self.shape = tuple(extents[source] for source in axes.sources)
        check_shape(self.shape, where)
        self.random_access = plain and files.maps
        self.storage_chunk = tuple(min(edges[s], extents[s]) for s in axes.sources)
        if self.random_access:
            self.storage_chunk = self.shape
        self.shard: tuple[int, ...] | None = None
        self.gathers = not files.maps and not plain
        if self.gathers:  # tiles of a row lie side by side
            across = len(axes.leading) + 3
            self.shard = tuple(
                edge * _ROW if source == across else edge
                for edge, source in zip(self.storage_chunk, axes.sources, strict=True)
            )
        self.fill_value = _fill_value(keyframe.nodata, self.dtype)
        self._segment_bytes = math.prod(self._segment) * self.dtype.itemsize
        if self._segment_bytes > STORAGE_CHUNK_BYTES and not plain:
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
        jobs: list[_Job] = []
        for lead, members in wanted.items():
            page = self._page(lead)
            users = [_User(number, views[number][within], boxes[number][leads:]) for number, within in members]
            if page is None:
                absent.extend((user.view, user.piece) for user in users)
            elif page.plain_at is not None and self._files.maps:
                data = self._files.mapped(page.path, page.plain_at, self._shaped, self._stored_dtype)
                for user in users:
                    np.copyto(user.view, data[tuple(slice(low, high) for low, high in user.box)], casting="same_kind")
                    stored[user.piece] = True
            else:
                jobs += self._jobs(page, users)
        self._carry_out(jobs, stored, absent)
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

    def _jobs(self, page: _Page, users: list[_User]) -> list[_Job]:
        """The tiles, strips or bands of a page that are wanted, each once."""
        edges = self._segment if page.plain_at is None else self._band
        grid = tuple(-(-size // edge) for size, edge in zip(self._shaped, edges, strict=True))
        wanted: dict[tuple[int, ...], list[_User]] = {}
        for user in users:
            ranges = (range(low // e, -(-high // e)) for (low, high), e in zip(user.box, edges, strict=True))
            for index in product(*ranges):
                wanted.setdefault(index, []).append(user)
        jobs = []
        kind = "band" if page.plain_at is not None else "tile" if self._keyframe.is_tiled else "strip"
        for index, those in wanted.items():
            number = 0
            for i, count in zip(index[:4], grid, strict=False):
                number = number * count + i
            origin = tuple(i * edge for i, edge in zip(index, edges, strict=True))
            extent = edges
            if page.plain_at is not None:
                extent = tuple(min(e, size - o) for e, size, o in zip(edges, self._shaped, origin, strict=True))
            jobs.append(_Job(page, number, origin, extent, f"{kind} {number}", tuple(those)))
        return jobs

    def _carry_out(self, jobs: list[_Job], stored: list[bool], absent: list[tuple[NDArray[Any], int]]) -> None:
        """Read and decode, and copy to all that want some of it."""
        places = [self._place(job) for job in jobs]
        there = [(job, place) for job, place in zip(jobs, places, strict=True) if place is not None]
        for job in (job for job, place in zip(jobs, places, strict=True) if place is None):
            absent.extend((target, user.piece) for user, target, _ in self._targets(job, self._segment))
        for (job, _), encoded in zip(there, self._files.read([place for _, place in there]), strict=True):
            if job.page.plain_at is not None:
                data = np.frombuffer(encoded, self._stored_dtype).reshape(job.extent[1:])
            else:
                data = self._decode(job, bytes(encoded))
            # Strips and tiles at the edge may come cut to the image, or not.
            for user, target, cut in self._targets(job, (1, *data.shape)):
                target[0] = data[cut[1:]]
                stored[user.piece] = True

    def _targets(self, job: _Job, extent: tuple[int, ...]) -> list[tuple[_User, NDArray[Any], tuple[slice, ...]]]:
        """For each user where in its array, and which part of the job's voxels."""
        found = []
        for user in job.users:
            lows = [max(low, o) for (low, _), o in zip(user.box, job.origin, strict=True)]
            highs = [min(high, o + e) for (_, high), o, e in zip(user.box, job.origin, extent, strict=True)]
            inside = zip(lows, highs, user.box, strict=True)
            target = user.view[tuple(slice(a - low, b - low) for a, b, (low, _) in inside)]
            cut = tuple(slice(a - o, b - o) for a, b, o in zip(lows, highs, job.origin, strict=True))
            found.append((user, target, cut))
        return found

    def _place(self, job: _Job) -> Place | None:
        """Where the bytes of a tile, strip or band are, or None where it is not stored."""
        page, number = job.page, job.number
        if page.plain_at is not None:
            voxel = 0
            for o, size in zip(job.origin, self._shaped, strict=True):
                voxel = voxel * size + o
            itemsize = self._stored_dtype.itemsize
            return Place(page.path, page.plain_at + voxel * itemsize, math.prod(job.extent) * itemsize, job.what)
        if number >= len(page.offsets) or number >= len(page.lengths):
            raise SourceError(
                f"{job.what} of {self.where} has no place in the file: its tables are too short; it is damaged"
            )
        length = page.lengths[number]
        if not length or not page.offsets[number]:
            return None
        if length > encoded_bytes_most(self._segment_bytes):
            raise SourceError(f"{job.what} of {self.where} has {length} bytes, more than it can: the file is damaged")
        return Place(page.path, page.offsets[number], length, job.what)

    def _decode(self, job: _Job, encoded: bytes) -> NDArray[Any]:
        """One tile or strip: (depth, length, width, samples)."""
        page = job.page
        bounded = self._keyframe.compression in _BOUNDED
        if self._keyframe.compression in _PICTURES and page.header is None:
            bounded = self._check_picture(encoded, job.what)
        tables = {"jpegtables": page.tables, "jpegheader": page.header} if page.tables or page.header else {}
        allowance = nullcontext() if bounded else memory_allowance(self._segment_bytes, f"{job.what} of {self.where}")
        try:
            with allowance:
                data, _, _ = self._keyframe.decode(encoded, job.number, **tables)
        except SourceError:
            raise
        except Exception as error:  # each codec has exceptions of its own
            raise SourceError(
                f"{job.what} of {self.where} cannot be decoded ({type(error).__name__}: {error}): write the file again"
            ) from error
        decoded: NDArray[Any] = data
        return decoded

    def _check_picture(self, encoded: bytes, what: str) -> bool:
        """Refuse a tile that decodes to something larger than a tile: here the data, not the page, say how large.

        Whether it could be told.
        """
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(io.BytesIO(encoded)) as picture:
                width, height = picture.size
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            return False  # a codec that pillow does not know
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise SourceError(f"{what} of {self.where} decodes to far more than it should: {error}") from None
        # Decoders pad to whole blocks, and some writers put the last, shorter strip into a longer one.
        if width * height > 4 * self._segment[2] * self._segment[3] + 65536:
            raise SourceError(
                f"{what} of {self.where} decodes to {width} x {height} where it has "
                f"{self._segment[3]} x {self._segment[2]}: the file is damaged"
            )
        return True

    # --- pages -------------------------------------------------------------------------------------------------------

    def _page(self, lead: tuple[int, ...]) -> _Page | None:
        number = 0
        for i, edge in zip(lead, self._axes.leading, strict=True):
            number = number * edge + i
        with self._lock:
            if number not in self._known:
                if len(self._known) >= 4096:
                    self._known.clear()
                with self._files.watched():
                    page = self._look_up(number)
                self._known[number] = page
            return self._known[number]

    def _look_up(self, number: int) -> _Page | None:
        offset = self._pages.dataoffset if self._pages.is_truncated else None
        if offset is not None:
            # One page stands for all, which follow it without pages of their own (large ImageJ files).
            at = offset + number * math.prod(self._shaped) * self._stored_dtype.itemsize
            return _Page(self._keyframe.parent.filehandle.path, (), (), at, None, None)
        page = self._pages[number]
        if page is None:
            return None
        offsets, lengths = tuple(page.dataoffsets), tuple(page.databytecounts)
        if not offsets or not lengths:  # not what was never written: that has places, of length 0
            raise SourceError(f"{self.where} has a page that does not say where its voxels are: the file is damaged")
        if not any(lengths):
            return None
        path = page.parent.filehandle.path
        if not self._files.may_read(path):
            raise SourceError(f"{self.where} has a page in {path}: only files beside it are read; move it there")
        plain_at = None
        if self._keyframe.is_final and page.is_contiguous and _follow_each_other(offsets, lengths):
            plain_at = int(offsets[0])
        tables = page.jpegtables if self._keyframe.compression in _PICTURES else None
        header = page.jpegheader if self._keyframe.compression in _PICTURES else None
        return _Page(path, offsets, lengths, plain_at, tables, header)


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
