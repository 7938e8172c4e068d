"""Writes a PNG file row by row, so that its picture never is in memory as a whole. After RFC 2083."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

#: Colour type of a number of samples.
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}

#: Bytes a compressed part gets at most before it is written.
_PART = 1 << 20


class PngRows:
    """A PNG file that is being written.

    Parameters
    ----------
    file
        Open for writing.
    size
        (width, height).
    samples
        1 of grey, 3 or 4 of colours.
    depth
        Bits a sample: 8 or 16.
    """

    def __init__(self, file: BinaryIO, size: tuple[int, int], samples: int, depth: int) -> None:
        self._file = file
        self._left = size[1]
        self._row_bytes = size[0] * samples * depth // 8
        self._above = np.zeros(self._row_bytes, np.uint8)
        self._pack = zlib.compressobj(6)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, _COLOUR_TYPES[samples], 0, 0, 0))

    def write(self, rows: NDArray[np.unsignedinteger]) -> None:
        """Write the next rows, (n, width) or (n, width, samples), uint8 or uint16."""
        plain = np.ascontiguousarray(rows, dtype=">u2" if rows.dtype.itemsize == 2 else np.uint8)
        found = plain.view(np.uint8).reshape(len(rows), self._row_bytes)
        # Filter "Up": each byte less the one above it, which deflate likes.
        filtered = np.empty((len(found), self._row_bytes + 1), np.uint8)
        filtered[:, 0] = 2
        filtered[0, 1:] = found[0] - self._above
        filtered[1:, 1:] = found[1:] - found[:-1]
        self._above = found[-1].copy()
        self._left -= len(found)
        self._data(self._pack.compress(filtered.tobytes()))

    def finish(self) -> None:
        """Write the end. Raises `ValueError` if rows are missing."""
        if self._left:
            raise ValueError(f"{self._left} rows of the PNG are missing")
        self._data(self._pack.flush())
        self._chunk(b"IEND", b"")

    def _data(self, packed: bytes) -> None:
        for at in range(0, len(packed), _PART):
            self._chunk(b"IDAT", packed[at : at + _PART])

    def _chunk(self, kind: bytes, content: bytes) -> None:
        self._file.write(struct.pack(">I", len(content)) + kind + content)
        self._file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))
