"""Keeps the threads of connections out of a frame.

They share the interpreter with the thread that draws, which lets go of it at each call of OpenGL. Whoever takes it then
has it for as long as his own work lasts, or until the one that draws has waited for a switch: some tenths of a
millisecond, many times a frame. So they wait until the frame is done; what they have to tell is too late for it anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: Nobody waits longer than this, whatever becomes of the frame. Seconds.
_MOST = 0.02

_open = threading.Event()
_open.set()


@contextmanager
def closed() -> Iterator[None]:
    """Within, threads that ask `pass_through` wait."""
    _open.clear()
    try:
        yield
    finally:
        _open.set()


def pass_through() -> None:
    """Wait while a frame is drawn."""
    _open.wait(_MOST)
