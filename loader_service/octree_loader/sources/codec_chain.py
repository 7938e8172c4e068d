"""Chunks of Zarr arrays behind several codecs or a rarer one, decoded step by step by numcodecs, each step bounded.

For what tensorstore does not have. A step that could make gigabytes of a few bytes stops at what a chunk can be; where
that cannot be told beforehand, `allowance` stops it. Knows nothing of files.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.allowance import memory_allowance
from octree_loader.sources.codecs import Decoder, encoded_bytes_most, zstd_content_size
from octree_loader.sources.zarr_metadata import ArrayMetadata

#: One step: encoded bytes, and how many bytes it may make of them.
Step = Callable[[Any, int], Any]

#: What a dictionary of LZMA may take.
_LZMA_BYTES = 256 << 20


def chain_decoder(document: Mapping[str, Any], metadata: ArrayMetadata) -> Decoder | None:
    """The decoder for an array with these metadata, or None where a step of it is not known here.

    Raises
    ------
    ValueError, KeyError, TypeError
        If a codec's configuration is none.
    """
    if metadata.shard is not None:
        return None
    chain = _chain_v3(document, metadata.dtype) if metadata.zarr_format == 3 else _chain_v2(document)
    if chain is None:
        return None
    steps, stored, order = chain
    nbytes, shape = metadata.chunk_bytes, metadata.chunk
    most = widest_bytes(document, metadata)
    turned = tuple(shape[a] for a in order) if order is not None else shape

    def decode(encoded: memoryview, out: NDArray[Any]) -> None:
        data: Any = bytes(encoded)
        with memory_allowance(most, "it"):
            for step in steps:
                data = step(data, most)
        flat = np.frombuffer(data, np.uint8) if isinstance(data, bytes | bytearray) else np.asarray(data)
        flat = np.ascontiguousarray(flat).reshape(-1).view(np.uint8)
        if flat.nbytes != nbytes:
            raise ValueError(f"decodes to {flat.nbytes} bytes where a chunk of this array has {nbytes}")
        array = flat.view(stored).reshape(turned)
        np.copyto(out.reshape(shape), array if order is None else array.transpose(np.argsort(order)))

    return decode


def widest_bytes(document: Mapping[str, Any], metadata: ArrayMetadata) -> int:
    """No step makes more bytes of a chunk than this: filters may turn voxels into wider ones."""
    widest = metadata.dtype.itemsize
    for codec in document.get("filters") or []:
        for key in ("astype", "dtype", "encode_dtype", "decode_dtype"):
            if key in codec:
                widest = max(widest, np.dtype(codec[key]).itemsize)
    return encoded_bytes_most(metadata.chunk_bytes // metadata.dtype.itemsize * widest)


class _Chain(NamedTuple):
    """Steps in the order in which they decode, the dtype as it is stored, and the order of the axes if not C's."""

    steps: list[Step]
    stored: np.dtype[Any]
    order: tuple[int, ...] | None


def _chain_v2(document: Mapping[str, Any]) -> _Chain:
    codecs = [*(document.get("filters") or [])]
    if document.get("compressor") is not None:
        codecs.append(document["compressor"])
    steps = [_step(str(codec["id"]), codec) for codec in reversed(codecs)]
    axes = len(document["shape"])
    order = tuple(reversed(range(axes))) if document.get("order", "C") == "F" else None
    return _Chain(steps, np.dtype(document["dtype"]), order)


def _chain_v3(document: Mapping[str, Any], dtype: np.dtype[Any]) -> _Chain | None:
    steps: list[Step] = []
    stored, order = None, None
    for entry in document["codecs"]:
        name = entry if isinstance(entry, str) else str(entry["name"])
        said = {} if isinstance(entry, str) else dict(entry.get("configuration") or {})
        plain = name.removeprefix("numcodecs.")
        if stored is None and name == "transpose" and order is None:
            order = tuple(int(axis) for axis in said["order"])
            if sorted(order) != list(range(len(document["shape"]))):
                raise ValueError(f"a transposition {order}")
        elif stored is None and name == "bytes":
            stored = dtype.newbyteorder("<" if said.get("endian", "little") == "little" else ">")
        elif stored is not None and name == "crc32c":
            steps.insert(0, _crc32c)
        elif stored is not None and (plain != name or name in ("gzip", "zstd", "blosc")):
            # These three are configured otherwise than numcodecs spells it, and need nothing to decode.
            steps.insert(
                0, _step(plain, {"id": plain} if plain in ("gzip", "zstd", "blosc") else {**said, "id": plain})
            )
        else:
            return None
    return None if stored is None else _Chain(steps, stored, order)


def _step(name: str, configuration: Mapping[str, Any]) -> Step:
    if name in ("zlib", "gzip"):
        bits = zlib.MAX_WBITS | (16 if name == "gzip" else 0)
        return lambda data, most: _streamed(lambda: zlib.decompressobj(bits), data, most)
    if name == "bz2":
        return lambda data, most: _streamed(bz2.BZ2Decompressor, data, most)
    if name == "lzma":
        return lambda data, most: _streamed(lambda: _lzma(configuration), data, most)
    import numcodecs

    codec: Any = numcodecs.get_codec(dict(configuration))
    declared = _DECLARED.get(name)

    def decode(data: Any, most: int) -> Any:
        if declared is not None:
            size = declared(memoryview(np.ascontiguousarray(data).reshape(-1).view(np.uint8)))  # type: ignore[arg-type]
            if size is not None and not 0 <= size <= most:
                raise ValueError(f"decodes to {size} bytes, more than a chunk of this array can have")
        return codec.decode(data)

    return decode


def _lzma(configuration: Mapping[str, Any]) -> lzma.LZMADecompressor:
    kind = int(configuration.get("format", lzma.FORMAT_XZ))
    if kind == lzma.FORMAT_RAW:
        return lzma.LZMADecompressor(kind, filters=configuration.get("filters"))
    return lzma.LZMADecompressor(kind, _LZMA_BYTES)


def _streamed(open_stream: Callable[[], Any], data: Any, most: int) -> bytes:
    """Decode one stream, or several one after the other, up to `most` bytes."""
    parts: list[bytes] = []
    length, rest = 0, bytes(data)
    for _ in range(64):
        stream = open_stream()
        part = stream.decompress(rest, most - length + 1)
        length += len(part)
        parts.append(part)
        if length > most:
            raise ValueError("decodes to more than a chunk of this array can have")
        if not stream.eof:
            raise ValueError(f"is truncated: only {length} bytes could be decoded")
        rest = stream.unused_data
        if not rest:
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _crc32c(data: Any, most: int) -> Any:  # noqa: ARG001
    import google_crc32c

    view = bytes(data)
    if len(view) < 4 or google_crc32c.value(view[:-4]) != int.from_bytes(view[-4:], "little"):
        raise ValueError("is truncated or corrupt: its checksum is wrong")
    return view[:-4]


def _blosc_size(data: memoryview) -> int:
    if len(data) < 16:
        raise ValueError("is truncated")
    if int.from_bytes(data[12:16], "little") != len(data):
        raise ValueError("is truncated or overlong")  # the C library would read past the end
    return int.from_bytes(data[4:8], "little")


def _lz4_size(data: memoryview) -> int:
    if len(data) < 5:
        raise ValueError("is truncated")
    return int.from_bytes(data[:4], "little", signed=True)


#: Decoded size that the first bytes tell; None where they do not.
_DECLARED: dict[str, Callable[[memoryview], int | None]] = {
    "blosc": _blosc_size,
    "lz4": _lz4_size,
    "zstd": zstd_content_size,
}
