"""What there is to know of a dataset before any of it is read: looked up here, or in a process of its own.

Opening a factory runs code of a stranger's. In a process of its own it can take the interpreter for seconds, or die,
and nobody who looks at other datasets notices; and what it imports has mostly been imported where that process comes
from. Knows nothing of chunks.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

from octree_loader.fork_server import fork_context
from octree_loader.sources import open_source
from octree_loader.sources.base import SourceDescription, SourceError, SourceSpec, describe
from octree_loader.sources.opening import is_factory


class Look(NamedTuple):
    """A dataset at a glance. `sampled`: single voxels can be had of it (see `sampling`)."""

    described: SourceDescription
    sampled: bool


#: Looks at a dataset; raises `SourceError`.
Looking = Callable[[SourceSpec], Look]


def look_here(spec: SourceSpec) -> Look:
    """Open a dataset in this process. Raises `SourceError`."""
    source = open_source(spec)
    return Look(describe(source), hasattr(source, "sample"))


def look_apart(spec: SourceSpec) -> Look:
    """Open a dataset; if that is to run a factory, in a process of its own. Raises `SourceError`."""
    if not is_factory(spec.location):
        return look_here(spec)
    answers, telling = fork_context().Pipe(duplex=False)
    process = fork_context().Process(target=_tell, args=(telling, spec), name="octree-open", daemon=True)
    try:
        try:
            process.start()
        finally:
            telling.close()
        answer = answers.recv()
        process.join()
    except (OSError, EOFError) as error:
        died = ""
        if process.pid is not None:
            process.join()
            code = process.exitcode or 0
            died = f" ({signal.Signals(-code).name if code < 0 else f'exit status {code}'})"
        raise SourceError(
            f"dataset {spec.name!r}: the process that opened {spec.location} died{died}: call the factory by itself "
            f"to see why",
            transient=process.pid is None,
        ) from error
    finally:
        answers.close()
    if isinstance(answer, Look):
        return answer
    reason, transient = answer
    raise SourceError(reason, transient=transient)


def _tell(telling: Connection, spec: SourceSpec) -> None:
    """Entry point of the process: a `Look`, or (reason, transient), goes into the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon ends us in good order
    with contextlib.suppress(OSError):
        telling.send(_answer(spec))
    os._exit(0)  # threads that a factory has started hold nobody up


def _answer(spec: SourceSpec) -> Look | tuple[str, bool]:
    try:
        return look_here(spec)
    except SourceError as error:
        return str(error), error.transient
