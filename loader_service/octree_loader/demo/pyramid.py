"""Writes OME-Zarr pyramids: the demo's image from the command line, any array or tile function from Python.

A pyramid appears under its name when it is complete, and never before: it grows under a hidden name beside it, and is
renamed. Reading is none of this module's business (`octree_loader.sources`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from octree_loader.demo.pyramid_blocks import Writer, write_coarse, written
from octree_loader.demo.pyramid_plan import Image, Plan, multiscale, plan_pyramid
from octree_loader.demo.tissue import Tissue
from octree_loader.demo.unfinished import Journal, PyramidError, locked
from octree_protocol.errors import OctreeError


def write_pyramid(
    path: str | os.PathLike[str],
    image: Image,
    shape: Sequence[int] | None = None,
    dtype: Any = None,
    *,
    axes: str | None = None,
    chunk: int | Sequence[int] = 256,
    shards: int | Sequence[int] | None = None,
    levels: int | None = None,
    codec: str = "lz4",
    zarr_format: int = 3,
    scale: float = 1.0,
    workers: int = 1,
    identity: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write an OME-Zarr pyramid, each level the mean of 2 x 2 voxels of the last two axes of the one before.

    Parameters
    ----------
    path
        Where it appears when it is complete. Its folder is made if it is not there.
    image
        An array, or a function from a box to the voxels in it. With several workers it must be picklable.
    shape, dtype
        Of level 0; needed for a function that has no such attributes.
    axes
        One letter an axis, of ``tczyx``; the last letters of that by default.
    chunk, shards
        Shape of a chunk and of the file that holds several (Zarr v3 only). A number means the last two axes, and 1 for
        all others.
    levels
        How many; by default down to the level that fits a single chunk.
    codec
        ``lz4`` or ``zstd`` (both in Blosc, shuffled), ``default`` (zarr-python's own: plain Zstandard), or ``none``.
    zarr_format
        3 writes OME-Zarr 0.5, 2 writes 0.4.
    scale
        World units (micrometres) across a voxel of level 0, along the axes of space.
    workers
        Processes; 1 writes everything in this one.
    identity
        Name of what is written. With it, a pyramid that was interrupted is taken up again where the names agree.
    progress
        Called with the number of blocks done and of all blocks.

    Raises
    ------
    PyramidError
        If there is something under `path` already, or another process is writing it now.
    ValueError
        If the arguments do not fit together.
    """
    final = Path(path)
    plan = plan_pyramid(image, shape, dtype, axes, chunk, shards, levels, codec, zarr_format)
    if final.exists():
        raise PyramidError(f"{final} is there already: remove it, or choose another name")
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.parent / f".{final.name}.partial"
    with locked(final.parent / f".{final.name}.lock", final):
        journal = Journal(partial, None if identity is None else f"{identity} {plan}")
        if not journal.resumed:
            _create(partial, plan, scale)
        _write_blocks(partial, image, plan, workers, journal, progress)
        write_coarse(partial, plan)
        journal.remove()
        partial.rename(final)
    return final


def _create(partial: Path, plan: Plan, scale: float) -> None:
    """An empty pyramid with all its metadata."""
    import zarr  # costs half a second, which `main` must not pay for a pyramid that is there
    from zarr.codecs import BloscCodec

    shutil.rmtree(partial, ignore_errors=True)
    group = zarr.open_group(str(partial), mode="w", zarr_format=plan.zarr_format)
    compressors: Any = None
    if plan.codec == "default":
        compressors = "auto"
    elif plan.codec != "none" and plan.zarr_format == 3:
        compressors = BloscCodec(cname=plan.codec, clevel=5, shuffle="shuffle", typesize=plan.dtype.itemsize)
    elif plan.codec != "none":
        from numcodecs import Blosc

        compressors = Blosc(cname=plan.codec, clevel=5, shuffle=Blosc.SHUFFLE)
    for level, shape in enumerate(plan.shapes):
        options: dict[str, Any] = {"dimension_names": tuple(plan.axes)} if plan.zarr_format == 3 else {}
        if plan.zarr_format == 2:
            options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
        group.create_array(
            str(level),
            shape=shape,
            dtype=plan.dtype,
            chunks=plan.chunk,
            shards=plan.shard,
            compressors=compressors,
            fill_value=0,
            **options,
        )
    entry = multiscale(plan, scale, partial.name.removeprefix(".").removesuffix(".partial"))
    if plan.zarr_format == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [entry]}
    else:
        group.attrs["multiscales"] = [{**entry, "version": "0.4"}]


def _write_blocks(
    partial: Path,
    image: Image,
    plan: Plan,
    workers: int,
    journal: Journal,
    progress: Callable[[int, int], None] | None,
) -> None:
    blocks = plan.blocks()
    todo = [index for index in blocks if index not in journal]
    done = len(blocks) - len(todo)

    def finished(index: tuple[int, ...]) -> None:
        nonlocal done
        journal.add(index)
        done += 1
        if progress is not None:
            progress(done, len(blocks))

    writer = Writer(partial, image, plan)
    if workers == 1 or len(todo) < 2:
        for index in todo:
            writer.write(index)
            finished(index)
        return
    for index in written(writer, todo, workers):
        finished(index)


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m octree_loader.demo.pyramid PATH``: write the demo's image, unless it is there."""
    parser = argparse.ArgumentParser(
        prog="python -m octree_loader.demo.pyramid",
        description="Write a made-up micrograph of liver as an OME-Zarr pyramid, unless it is there already.",
    )
    parser.add_argument("path", type=Path, help="where it appears when it is complete")
    parser.add_argument("--edge", type=int, default=16384, help="voxels along each side (default: %(default)s)")
    parser.add_argument(
        "--codec", choices=("lz4", "zstd", "default", "none"), default="lz4", help="default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=7, help="another seed, another liver (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    given = parser.parse_args(arguments)
    if given.path.exists():
        print(f"{given.path} is there already")
        return 0
    if given.edge < 1 or given.workers < 1:
        parser.error("--edge and --workers begin at 1")

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # Two workers with two threads of linear algebra each would only be in each other's way. The workers inherit it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    began = time.monotonic()
    print(f"Writing {given.path}: {given.edge} x {given.edge} voxels, once", flush=True)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    task = bar.add_task("blocks", total=None)
    try:
        with bar:
            write_pyramid(
                given.path,
                Tissue(given.edge, given.seed),
                codec=given.codec,
                scale=0.25,
                workers=given.workers,
                identity=f"tissue {given.edge} {given.seed}",
                progress=lambda done, of: bar.update(task, completed=done, total=of),
            )
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130
    except (OctreeError, OSError) as error:
        print(f"{given.path} was not written: {error}", file=sys.stderr)
        return 1
    print(f"Written in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
