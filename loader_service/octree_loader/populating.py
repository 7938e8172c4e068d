"""Maps the pages of a segment before anybody needs them. Knows nothing of what is in them."""

from __future__ import annotations

import ctypes
import mmap
import threading
import time

import numpy as np

# How much is populated at a time: meanwhile no other thread of the process can map or unmap memory.
_POPULATE_BYTES = 256 << 10

# Rest between two of them: at least so many seconds, and so many times what the last one took. A busy machine makes it
# take longer, and so rest longer.
_POPULATE_REST = 0.001
_POPULATE_RESTS = 4.0
# asm-generic/mman-common.h
_MADV_POPULATE_READ, _MADV_POPULATE_WRITE = 22, 23


class Populate:
    """Zeroes and maps the pages of a mapping behind everybody's back, from the first to the last, as slots are used.

    A first touch costs 1 to 9 µs a page, so some 0.1 ms a chunk; all of them together 0.3 to 2.4 s a GiB, too long to
    wait for at the start. `madvise(2)` changes no content, and ctypes lets other threads run meanwhile. A kernel older
    than 5.14 refuses: then pages are mapped when they are touched.
    """

    def __init__(self, mapping: mmap.mmap, writable: bool) -> None:
        self._address: int = np.frombuffer(mapping, np.uint8).__array_interface__["data"][0]
        self._nbytes = len(mapping)
        self._advice = _MADV_POPULATE_WRITE if writable else _MADV_POPULATE_READ
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="octree-populate", daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None) -> bool:
        """Wait until all are mapped; False if that takes longer than `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Leave the rest to whoever touches it; comes back when nothing is being mapped any more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        # Never at a low priority: a thread that lost the processor while it holds the interpreter or the map of the
        # process would keep everybody else waiting (measured: answers late by 0.3 s). It rests instead.
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start in range(0, self._nbytes, _POPULATE_BYTES):
            piece = min(_POPULATE_BYTES, self._nbytes - start)
            began = time.monotonic()
            if madvise(self._address + start, piece, self._advice):
                return
            if self._stop.wait(max(_POPULATE_REST, _POPULATE_RESTS * (time.monotonic() - began))):
                return
