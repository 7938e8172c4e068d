"""Writes the voxels of a pyramid that has been created: block by block, by this process or by several.

Knows how a pyramid is cut (`pyramid_plan`), not when it is complete.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.demo.pyramid_plan import Image, Plan
from octree_loader.demo.unfinished import PyramidError


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


@dataclass(slots=True)
class Writer:
    """Writes blocks: in this process, or as what a worker of a pool keeps between its blocks."""

    partial: Path
    image: Image
    plan: Plan
    _arrays: list[Any] = field(default_factory=list)

    def write(self, index: tuple[int, ...]) -> None:
        """Compute a block, and write it on every level down to the plan's depth."""
        if not self._arrays:
            self._arrays = _open_arrays(self.partial, self.plan)
        box = self.plan.box(index, 0)
        if isinstance(self.image, np.ndarray):
            block = self.image[tuple(slice(*edge) for edge in box)]
        else:
            block = self.image(box)
        for level in range(self.plan.depth + 1):
            if level:
                block = halved(block)
            self._arrays[level][tuple(slice(*edge) for edge in self.plan.box(index, level))] = block


def _open_arrays(partial: Path, plan: Plan) -> list[Any]:
    import zarr

    group = zarr.open_group(str(partial), mode="r+", zarr_format=plan.zarr_format)
    return [group[str(level)] for level in range(len(plan.shapes))]


def _work(writer: Writer, orders: Connection) -> None:
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


def written(writer: Writer, todo: Sequence[tuple[int, ...]], workers: int) -> Iterator[tuple[int, ...]]:
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


def write_coarse(partial: Path, plan: Plan) -> None:
    """The levels beyond the blocks' depth, each from the one before: 1/256 of the image or less, unless in shards."""
    if plan.depth + 1 == len(plan.shapes):
        return
    arrays = _open_arrays(partial, plan)
    for lead in product(*(range(n) for n in plan.shapes[0][:-2])):
        plane = arrays[plan.depth][lead]
        for array in arrays[plan.depth + 1 :]:
            plane = halved(plane)
            array[lead] = plane
