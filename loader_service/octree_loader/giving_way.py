"""Lets a process give way to those that must answer within milliseconds, on a machine that is short of processors.

A worker computes for milliseconds at a time; woken for its next load, it would take the processor from a viewer in the
middle of a frame. Linux' batch policy is for such processes: their share is the same, but they never interrupt others.
"""

from __future__ import annotations

import contextlib
import os


def give_way(nice: int) -> None:
    """Never interrupt others from now on, with a share that is smaller by `nice` (see `os.nice`).

    Concerns the thread that calls it, and all threads and processes that it starts after. Where a system has no such
    policy, or forbids it, that is no error.
    """
    with contextlib.suppress(OSError):
        os.nice(nice)
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
