"""The daemon's arena as a viewer sees it: mapped read-only, arrays without a copy.

Knows nothing of sockets (`connection`): it is told where the arena is and what lies in it. Needs neither Qt nor vispy.
"""

from __future__ import annotations

import contextlib
import hmac
import math
import mmap
import os
import stat
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_protocol import limits
from octree_protocol.errors import OctreeError, RemoteProtocolError
from octree_protocol.messages import Ready
from octree_protocol.slots import (
    MAGIC,
    SEGMENT_HEADER_BYTES,
    SLOT_HEADER_BYTES,
    TOKEN_BYTES,
    TOKEN_OFFSET,
    read_generation,
)

#: Kinds of dtype that a chunk may have: truth values, integers, floats, complex numbers. No objects, no text.
DTYPE_KINDS = "biufc"


class ArenaUnavailable(OctreeError):
    """The daemon's arena cannot be mapped. The text says why, and what to look at."""


class SharedArena:
    """The arena of a daemon on this machine, read-only.

    A write attempt is an error in Python and kills the process elsewhere. What is mapped stays readable when the daemon
    ends and its file is gone; its content may change as soon as a chunk is not wanted any more, which `is_current`
    tells afterwards.

    Parameters
    ----------
    path, nbytes, token
        As in `octree_protocol.messages.ArenaAddress`.

    Raises
    ------
    ArenaUnavailable
        If there is no such file, it may not be read, or it is not the arena of that daemon.
    """

    def __init__(self, path: str, nbytes: int, token: str) -> None:
        self.path = path
        self.nbytes = nbytes
        self._dtypes: dict[str, np.dtype[Any]] = {}
        try:
            # O_NONBLOCK: should the path name a pipe, opening it must not wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            raise ArenaUnavailable(
                f"cannot open the daemon's arena {path}: {getattr(error, 'strerror', None) or error}; "
                "a viewer must run on the daemon's machine, as the same user, and see the same /dev/shm"
            ) from None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ArenaUnavailable(f"the daemon's arena {path} is no ordinary file")
            if nbytes < SEGMENT_HEADER_BYTES or found.st_size < nbytes:
                # Mapping more than there is would be answered with SIGBUS later.
                raise ArenaUnavailable(
                    f"the daemon's arena {path} has {found.st_size} bytes, not {nbytes} as announced"
                )
            self._mapping = mmap.mmap(descriptor, nbytes, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            raise ArenaUnavailable(f"cannot map the daemon's arena {path}: {error}") from None
        finally:
            os.close(descriptor)
        header = self._mapping[:SEGMENT_HEADER_BYTES]
        if not header.startswith(MAGIC):
            self._mapping.close()
            raise ArenaUnavailable(
                f"{path} is not an arena of this release (it begins with {header[: len(MAGIC)]!r}, not {MAGIC!r}): "
                "run daemon and viewer of the same release"
            )
        if not hmac.compare_digest(header[TOKEN_OFFSET : TOKEN_OFFSET + TOKEN_BYTES].hex().encode(), token.encode()):
            self._mapping.close()
            raise ArenaUnavailable(
                f"{path} is the arena of another daemon: its token is not the one that was announced"
            )
        self._view = memoryview(self._mapping)

    def array(self, ready: Ready) -> NDArray[Any]:
        """The voxels of a chunk, without a copy and read-only.

        They stay mapped as long as the array lives, and *valid* only while the chunk is wanted: see `is_current`.

        Raises
        ------
        RemoteProtocolError
            If what the daemon announced is not in the arena, or is no array of numbers.
        """
        dtype = self._dtypes.get(ready.dtype) or self._learn(ready.dtype)
        count = math.prod(ready.shape)
        start = ready.slot + SLOT_HEADER_BYTES
        nbytes = count * dtype.itemsize
        if (
            ready.slot < SEGMENT_HEADER_BYTES
            or not 0 < nbytes <= self.nbytes - start
            or min(ready.shape, default=1) < 0
        ):
            raise RemoteProtocolError(
                f"chunk {ready.key} of shape {ready.shape} and dtype {ready.dtype} was announced at byte {ready.slot}, "
                f"where an arena of {self.nbytes} bytes does not hold it"
            )
        # Not numpy.ndarray(buffer=...): that would not keep the mapping, and closing it then crashes the process.
        return np.frombuffer(self._mapping, dtype, count, start).reshape(ready.shape)

    def generation(self, slot: int) -> int:
        """The generation of a slot now.

        Raises
        ------
        RemoteProtocolError
            If no slot of the arena can begin there.
        """
        if not SEGMENT_HEADER_BYTES <= slot <= self.nbytes - SLOT_HEADER_BYTES:
            raise RemoteProtocolError(f"byte {slot} is no slot of an arena of {self.nbytes} bytes")
        return read_generation(self._view, slot)

    def is_current(self, ready: Ready) -> bool:
        """Whether a slot still is what was announced. Asked *after* its bytes were used, it tells if they were good."""
        return self.generation(ready.slot) == ready.generation

    def close(self) -> None:
        """Unmap it, as soon as no array uses it any more. A second call does nothing."""
        self._view.release()
        with contextlib.suppress(BufferError):
            self._mapping.close()

    def __enter__(self) -> SharedArena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _learn(self, text: str) -> np.dtype[Any]:
        try:
            dtype = np.dtype(text)
        except (TypeError, ValueError, SyntaxError):
            raise RemoteProtocolError(f"{text!r} is no dtype") from None
        if dtype.kind not in DTYPE_KINDS or dtype.itemsize > limits.CHUNK_BYTES:
            raise RemoteProtocolError(f"{text!r} is no dtype of numbers")
        if len(self._dtypes) < limits.DATASETS:
            self._dtypes[text] = dtype
        return dtype
