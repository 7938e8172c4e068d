"""Writes a region of an image to a file: OME-Zarr, TIFF or PNG, piece by piece. Imports neither Qt nor vispy.

What is written lies beside its place until it is whole. Whatever ends an export early (a wish, a full disk, a daemon
that is gone) leaves nothing. A chunk that cannot be read does not end it: the fill value stands for it, and it is told.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octree_client.export_metadata import ome_attributes, tiff_metadata
from octree_client.export_plan import TILE, Box, ExportPlan, pieces, written_chunks
from octree_client.png_rows import PngRows
from octree_client.reading import ReadStopped
from octree_client.session import Image
from octree_client.thumbnail import coloured
from octree_protocol.errors import OctreeError

#: So many of the chunks that could not be read are told by their place.
_TOLD = 3

#: Above this a TIFF needs 64-bit offsets. Bytes, with room for what is not voxels.
_CLASSIC_TIFF = 2**32 - 2**26


class NotExported(OctreeError):
    """An export came to nothing; the text says why."""


class ExportCancelled(NotExported):
    """It was given up by whoever asked for it."""


class Hole(NamedTuple):
    """A chunk that could not be read: the fill value was written for what of it lies in `box` (voxels of `level`)."""

    level: int
    box: Box
    reason: str


@dataclass(frozen=True, slots=True)
class Export:
    """What was written."""

    path: Path
    holes: tuple[Hole, ...] = ()
    axes: tuple[str, ...] = ()
    fill_value: float = 0.0

    @property
    def problem(self) -> str:
        """What is wrong with it, in a sentence; nothing, where all was read."""
        if not self.holes:
            return ""
        count = len(self.holes)
        told = "; ".join(self._place(hole) for hole in self.holes[:_TOLD])
        more = f"; and {count - _TOLD:,} more" if count > _TOLD else ""
        chunks = f"{count:,} chunks" if count > 1 else "a chunk"
        return (
            f"{chunks} could not be read and hold{'' if count > 1 else 's'} {self.fill_value:g}: {told}{more} "
            f"({self.holes[0].reason})"
        )

    def _place(self, hole: Hole) -> str:
        ranges = [
            f"{axis} {low}–{high - 1}" if high - low > 1 else f"{axis} {low}"
            for axis, (low, high) in zip(self.axes, hole.box, strict=True)
        ]
        return f"level {hole.level}, {', '.join(ranges)}"


@dataclass(frozen=True, slots=True)
class Look:
    """How values become colours in a PNG. `table` is (n, 4) uint8."""

    limits: tuple[float, float]
    gamma: float
    table: NDArray[np.uint8]


def run_export(
    image: Image,
    plan: ExportPlan,
    path: Path,
    *,
    look: Look | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: threading.Event | None = None,
) -> Export:
    """Carry a plan out; returns when the file is there.

    Parameters
    ----------
    look
        For a PNG of values that are neither bytes nor 16 bits, or of colours; None writes values as they are.
    overwrite
        Whether something of that name may be replaced.
    progress
        Called with the pieces done, and all of them.
    cancelled
        Once set, the export ends at the next piece.

    Returns
    -------
    Export
        With the chunks that could not be read, if there were any.

    Raises
    ------
    ExportCancelled
        If it was.
    NotExported
        With the file and the reason; also if nothing at all could be read.
    """
    if path.exists() and not overwrite:
        raise NotExported(f"{path} is there already")
    if not path.absolute().parent.is_dir():
        raise NotExported(f"{path} is not written: there is no folder {path.absolute().parent}")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    job = _Job(image, plan, look, progress, cancelled if cancelled is not None else threading.Event())
    try:
        {"zarr": job.write_zarr, "tiff": job.write_tiff, "png": job.write_png}[plan.format](beside)
        holes = job.holes()
        _put(beside, path, overwrite)
    except NotExported:
        raise
    except OctreeError as error:
        raise NotExported(f"{path} is not written: {error}") from None
    except (OSError, ValueError) as error:
        raise NotExported(f"{path} is not written: {getattr(error, 'strerror', None) or error}") from None
    finally:
        _remove(beside)
    return Export(path, holes, image.axes, image.dataset.fill_value)


def _put(beside: Path, path: Path, overwrite: bool) -> None:
    """Give what is finished its name. A folder cannot be replaced in one step: the old one steps aside."""
    if not path.exists():
        os.rename(beside, path)
        return
    if not overwrite:
        raise NotExported(f"{path} is there already, since a moment ago")
    if not path.is_dir() and not beside.is_dir():
        os.replace(beside, path)
        return
    if path.is_dir() and not (path / "zarr.json").exists() and not (path / ".zattrs").exists():
        raise NotExported(f"{path} is a folder, and not an OME-Zarr: it is not replaced")
    old = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    os.rename(path, old)
    try:
        os.rename(beside, path)
    except OSError:
        os.rename(old, path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class _Job:
    """One export under way."""

    def __init__(
        self,
        image: Image,
        plan: ExportPlan,
        look: Look | None,
        progress: Callable[[int, int], None],
        cancelled: threading.Event,
    ) -> None:
        self._image, self._plan, self._look = image, plan, look
        self._progress, self._cancelled = progress, cancelled
        self._todo = [self._pieces(number) for number in range(len(plan.boxes))]
        self._done = 0
        self._holes: dict[tuple[int, tuple[int, ...]], Hole] = {}

    def holes(self) -> tuple[Hole, ...]:
        """The chunks that could not be read. Raises `NotExported` if that is all there are."""
        found = tuple(hole for _, hole in sorted(self._holes.items()))
        voxels = sum(prod(high - low for low, high in hole.box) for hole in found)
        if found and voxels >= sum(prod(high - low for low, high in box) for box in self._plan.boxes):
            raise NotExported(f"nothing of {self._image.name} could be read: {found[0].reason}")
        return found

    def _pieces(self, number: int) -> list[Box]:
        level = self._image.levels[self._plan.level + number]
        return pieces(self._plan, number, self._image.dtype.itemsize, level.chunk_shape)

    def _values(self, number: int) -> Iterator[tuple[Box, NDArray[Any]]]:
        """The pieces of one level with their values; the next is read while the last is written."""
        level = self._image.levels[self._plan.level + number]
        total = sum(len(todo) for todo in self._todo)

        def read(box: Box) -> NDArray[Any]:
            found, unreadable = level.read_with_holes(box, self._cancelled)
            for index, reason in unreadable.items():
                extent = zip(level.chunk_extent(index), self._plan.boxes[number], strict=True)
                part = tuple((max(low, a), min(high, b)) for (low, high), (a, b) in extent)
                self._holes[number, index] = Hole(self._plan.level + number, part, reason)
            return found

        with ThreadPoolExecutor(1, "octree-export") as ahead, self._stopped_by_errors():
            todo = self._todo[number]
            following = ahead.submit(read, todo[0])
            for position, box in enumerate(todo):
                values = following.result()
                if position + 1 < len(todo) and not self._cancelled.is_set():
                    following = ahead.submit(read, todo[position + 1])
                if self._cancelled.is_set():
                    raise ExportCancelled("the export was cancelled")
                self._done += 1
                self._progress(self._done, total)
                yield box, values

    @contextmanager
    def _stopped_by_errors(self) -> Iterator[None]:
        """Within, whatever ends the export (Ctrl-C, too) ends the read ahead, for which the pool would wait."""
        try:
            yield
        except ReadStopped:
            raise ExportCancelled("the export was cancelled") from None
        except BaseException:
            self._cancelled.set()
            raise

    # --- OME-Zarr ----------------------------------------------------------------------------------------------------

    def write_zarr(self, path: Path) -> None:
        """OME-Zarr 0.5: the level that was asked for, and all coarser ones of the same region."""
        import zarr

        image, plan = self._image, self._plan
        group = zarr.create_group(str(path), zarr_format=3)
        group.attrs["ome"] = ome_attributes(image.dataset, plan)
        for number, box in enumerate(plan.boxes):
            shape = tuple(high - low for low, high in box)
            array = group.create_array(
                str(number),
                shape=shape,
                chunks=written_chunks(shape, image.levels[plan.level + number].chunk_shape),
                dtype=image.dtype,
                dimension_names=image.axes,
                fill_value=np.array(image.dataset.fill_value).astype(image.dtype)[()],
            )
            for where, values in self._values(number):
                array[tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(where, box, strict=True))] = values

    # --- TIFF --------------------------------------------------------------------------------------------------------

    def write_tiff(self, path: Path) -> None:
        """A tiled, compressed TIFF; an OME-TIFF where the axes are those that OME knows."""
        import tifffile

        image = self._image
        shape, metadata, is_ome = tiff_metadata(image.dataset, self._plan)
        dtype = np.dtype(np.uint8) if image.dtype.kind == "b" else image.dtype.newbyteorder("<")
        with tifffile.TiffWriter(
            path, bigtiff=int(np.prod(shape)) * dtype.itemsize > _CLASSIC_TIFF, ome=is_ome
        ) as writer:
            writer.write(
                self._tiles(dtype),
                shape=shape,
                dtype=dtype,
                tile=(TILE, TILE),
                compression="zlib",
                photometric="rgb" if image.rgb else "minisblack",
                metadata=metadata,
            )

    def _planes(self) -> Iterator[NDArray[Any]]:
        """The pieces in the order of the file: (down, across), or (down, across, samples)."""
        dimensions = 3 if self._plan.samples > 1 else 2
        for _, values in self._values(0):
            turned = values.transpose(self._plan.order)
            yield turned.reshape(turned.shape[-dimensions:])

    def _tiles(self, dtype: np.dtype[Any]) -> Generator[NDArray[Any], None, None]:
        """Tiles in the order in which a TIFF has them; those at the edges filled up with zeros."""
        samples = self._image.rgb
        for found in self._planes():
            plane = found.astype(dtype, copy=False)
            for across in range(0, plane.shape[1], TILE):
                tile = plane[:, across : across + TILE]
                if tile.shape[:2] != (TILE, TILE):
                    room = [(0, TILE - tile.shape[0]), (0, TILE - tile.shape[1])] + ([(0, 0)] if samples else [])
                    tile = np.pad(tile, room)
                yield np.ascontiguousarray(tile)

    # --- PNG ---------------------------------------------------------------------------------------------------------

    def write_png(self, path: Path) -> None:
        """Values of 8 or 16 bits as they are, or as colours."""
        image, look = self._image, self._look
        kind, size = image.dtype.kind, image.dtype.itemsize
        if look is None and not (kind == "b" or (kind == "u" and size <= 2)):
            raise NotExported(
                f"a PNG holds 8 or 16 bits, not {image.dtype.name}: give contrast limits, or choose TIFF or OME-Zarr"
            )
        down, across = self._plan.order[-3:-1] if image.rgb else self._plan.order[-2:]
        height, width = (self._plan.box[axis][1] - self._plan.box[axis][0] for axis in (down, across))
        samples = self._plan.samples if image.rgb else 3 if look is not None else 1
        depth = 16 if look is None and kind == "u" and size == 2 else 8
        with path.open("xb") as file:
            writer = PngRows(file, (width, height), samples, depth)
            for rows in self._planes():
                if look is not None and not image.rgb:
                    rows = coloured(rows, look.limits, look.gamma, look.table)[..., :3]
                elif kind == "b":
                    rows = rows.astype(np.uint8) * 255
                writer.write(rows)
            writer.finish()
