"""Imported by a process from which others are forked, before any of them needs dask: importing it takes seconds.

Where it cannot be imported nothing is said: whoever needs it will be told.
"""

from __future__ import annotations

import contextlib

with contextlib.suppress(Exception):
    import dask.array  # noqa: F401
