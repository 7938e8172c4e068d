"""Writes a region of an image to a file: OME-Zarr, TIFF or PNG, piece by piece. Imports neither Qt nor vispy.

What is written lies beside its place until it is whole. Whatever ends an export early (a wish, a full disk, a chunk
that cannot be read) leaves nothing.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_client.export_plan import TILE, Box, ExportPlan, pieces, written_chunks
from octree_client.png_rows import PngRows
from octree_client.readout import unit_sign
from octree_client.session import Image
from octree_client.thumbnail import coloured
from octree_protocol.errors import OctreeError

#: Above this a TIFF needs 64-bit offsets. Bytes, with room for what is not voxels.
_CLASSIC_TIFF = 2**32 - 2**26


class NotExported(OctreeError):
    """An export came to nothing; the text says why."""


class ExportCancelled(NotExported):
    """It was given up by whoever asked for it."""


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
) -> None:
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

    Raises
    ------
    ExportCancelled
        If it was.
    NotExported
        With the file and the reason.
    """
    if path.exists() and not overwrite:
        raise NotExported(f"{path} is there already")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    job = _Job(image, plan, look, progress, cancelled if cancelled is not None else threading.Event())
    try:
        {"zarr": job.write_zarr, "tiff": job.write_tiff, "png": job.write_png}[plan.format](beside)
        _put(beside, path, overwrite)
    except NotExported:
        raise
    except OctreeError as error:
        raise NotExported(f"{path} is not written: {error}") from None
    except (OSError, ValueError) as error:
        raise NotExported(f"{path} is not written: {getattr(error, 'strerror', None) or error}") from None
    finally:
        _remove(beside)


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

    def _pieces(self, number: int) -> list[Box]:
        level = self._image.levels[self._plan.level + number]
        return pieces(self._plan, number, self._image.dtype.itemsize, level.chunk_shape)

    def _values(self, number: int) -> Iterator[tuple[Box, NDArray[Any]]]:
        """The pieces of one level with their values; the next is read while the last is written."""
        level = self._image.levels[self._plan.level + number]
        total = sum(len(todo) for todo in self._todo)

        def read(box: Box) -> NDArray[Any]:
            found: NDArray[Any] = level[tuple(slice(low, high) for low, high in box)]
            return found

        with ThreadPoolExecutor(1, "octree-export") as ahead:
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

    # --- OME-Zarr ----------------------------------------------------------------------------------------------------

    def write_zarr(self, path: Path) -> None:
        """OME-Zarr 0.5: the level that was asked for, and all coarser ones of the same region."""
        import zarr

        image, plan = self._image, self._plan
        group = zarr.create_group(str(path), zarr_format=3)
        group.attrs["ome"] = {"version": "0.5", "multiscales": [self._multiscale()]}
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

    def _multiscale(self) -> dict[str, Any]:
        image, plan = self._image, self._plan
        axes = [
            {"name": axis.name}
            | ({"type": axis.kind} if axis.kind in ("space", "time", "channel") else {})
            | ({"unit": axis.unit} if axis.unit else {})
            for axis in image.axis_details
        ]
        datasets = []
        for number, box in enumerate(plan.boxes):
            level = image.levels[plan.level + number]
            start = [t + low * s for t, s, (low, _) in zip(level.translation, level.scale, box, strict=True)]
            steps = [
                {"type": "scale", "scale": [float(s) for s in level.scale]},
                {"type": "translation", "translation": [float(t) for t in start]},
            ]
            datasets.append({"path": str(number), "coordinateTransformations": steps})
        return {"name": image.name, "axes": axes, "datasets": datasets}

    # --- TIFF --------------------------------------------------------------------------------------------------------

    def write_tiff(self, path: Path) -> None:
        """A tiled, compressed TIFF; an OME-TIFF where the axes are those that OME knows."""
        import tifffile

        image, box = self._image, self._plan.box
        shape = tuple(box[axis][1] - box[axis][0] for axis in self._plan.order)
        dtype = np.dtype(np.uint8) if image.dtype.kind == "b" else image.dtype.newbyteorder("<")
        metadata, is_ome = self._tiff_metadata()
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

    def _tiff_metadata(self) -> tuple[dict[str, Any], bool]:
        image = self._image
        axes = [image.axis_details[axis] for axis in self._plan.order]
        letters = [axis.name.upper() for axis in axes]
        if image.rgb:
            letters[-1] = "S"
        known = all(letter in "TCZYXS" and len(letter) == 1 for letter in letters)
        if not known or len(set(letters)) < len(letters) or "".join(letters).rstrip("S")[-2:] != "YX":
            return {}, False  # OME knows no others, and planes of y and x alone
        metadata: dict[str, Any] = {"axes": "".join(letters), "Name": image.name}
        level = image.levels[self._plan.level]
        scales = [level.scale[axis] for axis in self._plan.order]
        for letter, axis, scale in zip(letters, axes, scales, strict=True):
            if letter in "XYZ" and axis.unit:
                metadata[f"PhysicalSize{letter}"] = float(scale)
                metadata[f"PhysicalSize{letter}Unit"] = unit_sign(axis.unit)
        return metadata, True

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
