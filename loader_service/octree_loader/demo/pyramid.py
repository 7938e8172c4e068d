"""Writes OME-Zarr pyramids: the demo's image from the command line, any array or tile function from Python.

A pyramid appears under its name when it is complete, and never before: it grows under a hidden name beside it, and is
renamed. Reading is none of this module's business (`octree_loader.sources`).
"""

from __future__ import annotations

import argparse
import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, product
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.demo.tissue import Tissue
from octree_protocol.errors import OctreeError

Box = tuple[tuple[int, int], ...]

#: An array, or a function from a box (first and one-past-last voxel of each axis) to the array of that shape.
Image = NDArray[Any] | Callable[[Box], NDArray[Any]]

#: Edge of the block that is computed and halved at once, in voxels. Four halvings of it reach 128; 8 MiB of uint16.
_BLOCK = 2048

_KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


class PyramidError(OctreeError):
    """A pyramid cannot be written. The text says why, and the cure."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a pyramid is cut into blocks. Each is written by one process alone: no two ever touch the same file.

    `depth` is the coarsest level whose part of a block is made of whole files; coarser ones are written at the end.
    """

    shapes: tuple[tuple[int, ...], ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None
    block: tuple[int, ...]
    depth: int
    dtype: np.dtype[Any]
    axes: str
    codec: str
    zarr_format: int

    def blocks(self) -> list[tuple[int, ...]]:
        """Index of every block, in C order."""
        counts = (range(-(-n // b)) for n, b in zip(self.shapes[0], self.block, strict=True))
        return list(product(*counts))

    def box(self, index: Sequence[int], level: int) -> Box:
        """What a block covers of a level."""
        edges = (b if axis < len(self.block) - 2 else b >> level for axis, b in enumerate(self.block))
        return tuple((i * e, min((i + 1) * e, n)) for i, e, n in zip(index, edges, self.shapes[level], strict=True))


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
    plan = _plan(image, shape, dtype, axes, chunk, shards, levels, codec, zarr_format)
    if final.exists():
        raise PyramidError(f"{final} is there already: remove it, or choose another name")
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.parent / f".{final.name}.partial"
    with _locked(final.parent / f".{final.name}.lock", final):
        journal = _Journal(partial, None if identity is None else f"{identity} {plan}")
        if not journal.resumed:
            _create(partial, plan, scale)
        _write_blocks(partial, image, plan, workers, journal, progress)
        _write_coarse(partial, plan)
        journal.remove()
        partial.rename(final)
    return final


def _plan(
    image: Image,
    shape: Sequence[int] | None,
    dtype: Any,
    axes: str | None,
    chunk: int | Sequence[int],
    shards: int | Sequence[int] | None,
    levels: int | None,
    codec: str,
    zarr_format: int,
) -> _Plan:
    whole = tuple(int(n) for n in (shape if shape is not None else getattr(image, "shape", ())))
    kind = dtype if dtype is not None else getattr(image, "dtype", None)
    if len(whole) < 2 or kind is None:
        raise ValueError("a function needs shape= (of 2 axes at least) and dtype= beside it")
    if codec not in ("lz4", "zstd", "default", "none"):
        raise ValueError(f"codec={codec!r}: choose lz4, zstd, default or none")
    if zarr_format not in (2, 3):
        raise ValueError(f"zarr_format={zarr_format}: choose 2 or 3")
    if shards is not None and zarr_format == 2:
        raise ValueError("shards need zarr_format=3")
    names = axes if axes is not None else "tczyx"[-len(whole) :]
    if len(names) != len(whole) or any(name not in _KINDS for name in names):
        raise ValueError(f"axes={names!r} do not fit a shape of {len(whole)} axes")

    def per_axis(edge: int | Sequence[int]) -> tuple[int, ...]:
        return (1,) * (len(whole) - 2) + (edge, edge) if isinstance(edge, int) else tuple(edge)

    pieces = per_axis(chunk)
    files = pieces if shards is None else per_axis(shards)
    if any(f % c for f, c in zip(files, pieces, strict=True)):
        raise ValueError(f"shards {files} are not whole multiples of chunks {pieces}")
    shapes = [whole]
    while levels is None or len(shapes) < levels:
        last = shapes[-1]
        if levels is None and last[-2] <= pieces[-2] and last[-1] <= pieces[-1]:
            break
        shapes.append((*last[:-2], -(-last[-2] // 2), -(-last[-1] // 2)))
    block = (*files[:-2], *(f * max(1, _BLOCK // f) for f in files[-2:]))
    depth = 0
    while depth + 1 < len(shapes) and all((b >> depth + 1 << depth + 1) == b for b in block[-2:]):
        if any((b >> depth + 1) % f for b, f in zip(block[-2:], files[-2:], strict=True)):
            break
        depth += 1
    return _Plan(
        tuple(shapes),
        pieces,
        None if shards is None else files,
        block,
        depth,
        np.dtype(kind),
        names,
        codec,
        zarr_format,
    )


class _Journal:
    """Which blocks of an unfinished pyramid are done: a file inside it, so that the two live and die together."""

    def __init__(self, partial: Path, identity: str | None) -> None:
        self._path = partial / ".blocks-done"
        self._done: set[tuple[int, ...]] = set()
        self.resumed = False
        try:
            first, *lines = self._path.read_text().split("\n")
            self.resumed = identity is not None and json.loads(first) == identity
            # The last line may be cut off; split leaves "" after a whole one.
            self._done = {tuple(json.loads(line)) for line in lines[:-1]} if self.resumed else set()
        except (OSError, ValueError):
            pass
        self._identity = identity

    def __contains__(self, index: tuple[int, ...]) -> bool:
        return index in self._done

    def add(self, index: tuple[int, ...]) -> None:
        """A block is written, on all levels down to the plan's depth."""
        if not self._path.exists():
            self._path.write_text(json.dumps(self._identity) + "\n")
        with self._path.open("a") as file:
            file.write(json.dumps(index) + "\n")

    def remove(self) -> None:
        """The pyramid is complete."""
        self._path.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, final: Path) -> Iterator[None]:
    """Keeps a second writer out; the lock goes with the process that holds it, however that ends."""
    file: IO[str]
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PyramidError(f"another process is writing {final} now: wait for it, or end it") from None
        yield
        path.unlink(missing_ok=True)


def _create(partial: Path, plan: _Plan, scale: float) -> None:
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
    multiscale = _multiscale(plan, scale, partial.name.removeprefix(".").removesuffix(".partial"))
    if plan.zarr_format == 3:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [{**multiscale, "version": "0.4"}]


def _multiscale(plan: _Plan, scale: float, name: str) -> dict[str, Any]:
    """The ``multiscales`` entry of OME-Zarr. The mean of 2**n voxels lies in their middle: hence the translation."""
    axes = []
    for letter in plan.axes:
        unit = {"space": {"unit": "micrometer"}}.get(_KINDS[letter], {})
        axes.append({"name": letter, "type": _KINDS[letter], **unit})
    base = [scale if _KINDS[letter] == "space" else 1.0 for letter in plan.axes]
    datasets = []
    for level in range(len(plan.shapes)):
        factor = [1.0] * (len(base) - 2) + [2.0**level] * 2
        steps = [b * f for b, f in zip(base, factor, strict=True)]
        shift = [b * (f - 1) / 2 for b, f in zip(base, factor, strict=True)]
        transformations = [{"type": "scale", "scale": steps}, {"type": "translation", "translation": shift}]
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    return {"name": name, "type": "mean", "axes": axes, "datasets": datasets}


@dataclass(slots=True)
class _Writer:
    """Writes blocks: in this process, or as what a worker of a pool keeps between its blocks."""

    partial: Path
    image: Image
    plan: _Plan
    _arrays: list[Any] = field(default_factory=list)

    def write(self, index: tuple[int, ...]) -> None:
        """Compute a block, and write it on every level down to the plan's depth."""
        if not self._arrays:
            self._arrays = _open(self.partial, self.plan)
        box = self.plan.box(index, 0)
        if isinstance(self.image, np.ndarray):
            block = self.image[tuple(slice(*edge) for edge in box)]
        else:
            block = self.image(box)
        for level in range(self.plan.depth + 1):
            if level:
                block = halved(block)
            self._arrays[level][tuple(slice(*edge) for edge in self.plan.box(index, level))] = block


def _open(partial: Path, plan: _Plan) -> list[Any]:
    import zarr

    group = zarr.open_group(str(partial), mode="r+", zarr_format=plan.zarr_format)
    return [group[str(level)] for level in range(len(plan.shapes))]


def _work(writer: _Writer, orders: Connection) -> None:
    """What a worker process does: blocks, until there is no more order."""
    # Ctrl-C reaches the whole group; the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            index = orders.recv()
            reason = None
            try:
                writer.write(index)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
            orders.send((index, reason))
    except (EOFError, OSError):
        pass  # the parent has closed its end: there is no more to do, or nobody to do it for


def _worked(writer: _Writer, todo: Sequence[tuple[int, ...]], workers: int) -> Iterator[tuple[int, ...]]:
    """The blocks as they are finished by `workers` processes, a pipe and one block under way for each.

    Not a `ProcessPoolExecutor`: that of Python 3.11 can hang for ever when a worker dies while others start.
    """
    # Spawned: a fork would take the threads of zarr and of the caller along in an unknown state.
    context = multiprocessing.get_context("spawn")
    orders = iter(todo)
    running: dict[Connection, BaseProcess] = {}
    try:
        for first in islice(orders, workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(writer, theirs), daemon=True)
            process.start()
            theirs.close()  # now only the worker holds it, so that its death ends the pipe
            running[ours] = process
            ours.send(first)
        busy = set(running)
        while busy:
            ready = wait(list(busy))
            for pipe in [pipe for pipe in running if pipe in ready]:
                try:
                    index, reason = pipe.recv()
                except (EOFError, ConnectionError):
                    running[pipe].join()
                    code = running[pipe].exitcode
                    raise PyramidError(f"a writing process died (exit code {code}): is there enough memory?") from None
                if reason is not None:
                    raise PyramidError(f"block {index} was not written: {reason}")
                busy.discard(pipe)
                if (following := next(orders, None)) is not None:
                    pipe.send(following)
                    busy.add(pipe)
                yield index
    finally:
        for pipe, worker in running.items():
            pipe.close()  # the worker ends after the block that it writes now
            worker.join()
            worker.close()


def _write_blocks(
    partial: Path,
    image: Image,
    plan: _Plan,
    workers: int,
    journal: _Journal,
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

    writer = _Writer(partial, image, plan)
    if workers == 1 or len(todo) < 2:
        for index in todo:
            writer.write(index)
            finished(index)
        return
    for index in _worked(writer, todo, workers):
        finished(index)


def _write_coarse(partial: Path, plan: _Plan) -> None:
    """The levels beyond the blocks' depth, each from the one before: 1/256 of the image or less, unless in shards."""
    if plan.depth + 1 == len(plan.shapes):
        return
    arrays = _open(partial, plan)
    for lead in product(*(range(n) for n in plan.shapes[0][:-2])):
        plane = arrays[plan.depth][lead]
        for array in arrays[plan.depth + 1 :]:
            plane = halved(plane)
            array[lead] = plane


def halved(voxels: NDArray[Any]) -> NDArray[Any]:
    """The mean of 2 x 2 voxels of the last two axes, rounded to nearest for whole numbers; an odd edge counts twice."""
    odd = [(0, 0)] * (voxels.ndim - 2) + [(0, n % 2) for n in voxels.shape[-2:]]
    if any(after for _, after in odd):
        voxels = np.pad(voxels, odd, mode="edge")
    whole = voxels.dtype.kind in "iub"
    wide: Any = voxels.dtype
    if whole:
        wide = np.uint32 if voxels.dtype.itemsize <= 2 and voxels.dtype.kind == "u" else np.int64
    total = voxels[..., 0::2, 0::2].astype(wide)
    total += voxels[..., 0::2, 1::2]
    total += voxels[..., 1::2, 0::2]
    total += voxels[..., 1::2, 1::2]
    mean = total + 2 >> 2 if whole else total / 4
    return mean.astype(voxels.dtype)


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
    # Spawned workers import this module by its name: the classes pickled here must carry that name, not __main__'s.
    from octree_loader.demo import pyramid

    sys.exit(pyramid.main())
