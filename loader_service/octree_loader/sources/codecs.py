"""Decoding one chunk straight into the memory that wants it, and never a byte further.

A chunk comes from a file that anyone may have written. So its decoded size is compared with the expected one *before*
it is decoded, where the format says it, and the output is bounded where it does not: a bomb or a truncated chunk costs
an error and no memory. Knows nothing of files or arrays' shapes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numcodecs import blosc, lz4, zstd
from numpy.typing import NDArray

from octree_loader.sources.system_zstd import system_decompress

# Blosc's own threads would take the cores from the other workers, and its global state serialises our threads.
blosc.use_threads = False

#: Decodes (encoded bytes, array of exactly the chunk's bytes to fill); raises `ValueError` or `RuntimeError`.
Decoder = Callable[[memoryview, NDArray[Any]], None]

#: Members of one gzip chunk: writers make one. Each further one costs a copy of the rest.
DEFLATE_MEMBERS = 64


def encoded_bytes_most(nbytes: int) -> int:
    """No sane encoder makes more than this of `nbytes`: all codecs here store what they cannot compress."""
    return nbytes + nbytes // 8 + 4096


def decoder_of(codec: str, nbytes: int) -> Decoder:
    """The decoder for chunks of `nbytes` decoded bytes.

    Parameters
    ----------
    codec
        ``none``, ``blosc``, ``zstd``, ``lz4`` (as numcodecs frames it), ``zlib`` or ``gzip``.
    """
    return _MAKERS[codec](nbytes)


def _raw(nbytes: int) -> Decoder:
    def decode(encoded: memoryview, out: NDArray[Any]) -> None:
        if len(encoded) != nbytes:
            raise ValueError(_sizes("holds", len(encoded), nbytes))
        out.reshape(-1).view(np.uint8)[:] = encoded

    return decode


def _blosc(nbytes: int) -> Decoder:
    # https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst: version, versionlz, flags, typesize,
    # nbytes, blocksize, cbytes.
    header = struct.Struct("<4x3I").unpack_from
    decompress = blosc.decompress

    def decode(encoded: memoryview, out: NDArray[Any]) -> None:
        length = len(encoded)
        if length < 16:
            raise ValueError(f"is truncated: {length} bytes are less than a Blosc header")
        decoded, _, compressed = header(encoded)
        if decoded != nbytes:
            raise ValueError(_sizes("decodes to", decoded, nbytes))
        # The C library believes `cbytes` and would read past the end of a truncated chunk.
        if compressed != length:
            raise ValueError(f"is truncated or overlong: {length} bytes where its header says {compressed}")
        decompress(encoded, out)

    return decode


def _zstd(nbytes: int) -> Decoder:
    decompress = system_decompress()
    if decompress is None:
        return _bundled_zstd(nbytes)

    def decode(encoded: memoryview, out: NDArray[Any]) -> None:
        try:
            decoded = decompress(encoded, out)
        except ValueError as error:
            # The library writes no further than `out` reaches: what is too large is an error like any other.
            known = zstd_content_size(encoded)
            if known is not None and known != nbytes:
                raise ValueError(_sizes("decodes to", known, nbytes)) from error
            raise
        if decoded != nbytes:
            raise ValueError(_sizes("decodes to", decoded, nbytes))

    return decode


def _bundled_zstd(nbytes: int) -> Decoder:
    decompress = zstd.decompress

    def decode(encoded: memoryview, out: NDArray[Any]) -> None:
        decoded = zstd_content_size(encoded)
        # A frame that does not tell its size must fill `out` exactly: numcodecs checks that.
        if decoded is not None and decoded != nbytes:
            raise ValueError(_sizes("decodes to", decoded, nbytes))
        decompress(encoded, out)

    return decode


def zstd_content_size(frame: memoryview) -> int | None:
    """Decoded size that a Zstandard frame's header gives, or None if it gives none (RFC 8878, section 3.1.1.1).

    Raises
    ------
    ValueError
        If this is no Zstandard frame.
    """
    if len(frame) < 6 or bytes(frame[:4]) != b"\x28\xb5\x2f\xfd":
        raise ValueError("is truncated or no Zstandard frame")
    descriptor = frame[4]
    single = descriptor & 0x20
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    code = descriptor >> 6
    if code == 0 and not single:
        return None
    length = (1, 2, 4, 8)[code]
    size = int.from_bytes(frame[at : at + length], "little")
    return size + 256 if code == 1 else size


def _lz4(nbytes: int) -> Decoder:
    def decode(encoded: memoryview, out: NDArray[Any]) -> None:
        if len(encoded) < 5:
            raise ValueError(f"is truncated: {len(encoded)} bytes are less than an LZ4 header")
        decoded = int.from_bytes(encoded[:4], "little", signed=True)
        if decoded != nbytes:
            raise ValueError(_sizes("decodes to", decoded, nbytes))
        lz4.decompress(encoded, out)

    return decode


def _deflate(nbytes: int, window_bits: int) -> Decoder:
    def decode(encoded: memoryview, out: NDArray[Any]) -> None:
        target = out.reshape(-1).view(np.uint8)
        at, rest = 0, bytes(encoded)
        for _ in range(DEFLATE_MEMBERS):  # a gzip file may have several members
            if not rest:
                break
            member = zlib.decompressobj(window_bits)
            # One byte more than fits tells a chunk that is too long from one that is just right.
            decoded = member.decompress(rest, nbytes - at + 1)
            if at + len(decoded) > nbytes:
                raise ValueError(f"decodes to more than the {nbytes} bytes of a chunk of this array")
            target[at : at + len(decoded)] = np.frombuffer(decoded, np.uint8)
            at += len(decoded)
            if not member.eof:
                raise ValueError(f"is truncated: only {at} of {nbytes} bytes could be decoded")
            rest = member.unused_data
        if at != nbytes or rest:
            raise ValueError(_sizes("decodes to", at, nbytes))

    return decode


def _sizes(verb: str, found: int, expected: int) -> str:
    return f"{verb} {found} bytes where a chunk of this array has {expected}"


_MAKERS: dict[str, Callable[[int], Decoder]] = {
    "none": _raw,
    "blosc": _blosc,
    "zstd": _zstd,
    "lz4": _lz4,
    "zlib": lambda nbytes: _deflate(nbytes, zlib.MAX_WBITS),
    "gzip": lambda nbytes: _deflate(nbytes, zlib.MAX_WBITS | 16),
}

#: Names of the codecs that are decoded here.
CODECS = frozenset(_MAKERS)
