"""What the metadata of a Zarr array says, checked before it is believed. Pure (no I/O).

Takes the parsed JSON of a ``.zarray`` (Zarr v2) or ``zarr.json`` (v3) and gives an `ArrayMetadata`, or a
`SourceError`. Knows nothing of where the array lies, nor of pyramids.

Specifications: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html and .../v3/core/index.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from octree_loader.sources.base import SourceError
from octree_protocol import limits

Index = tuple[int, ...]

#: A storage chunk has to be decoded as a whole in the memory of one worker. Also the most that Blosc can hold.
STORAGE_CHUNK_BYTES = (1 << 31) - 1

#: numcodecs' and Zarr v3's names for what `codecs` decodes.
_PLAIN_CODECS = {name: name for name in ("blosc", "zstd", "gzip", "zlib", "lz4")} | {
    f"numcodecs.{name}": name for name in ("blosc", "zstd", "gzip", "zlib", "lz4")
}

_V3_TYPES = {
    name: np.dtype(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}


@dataclass(frozen=True, slots=True)
class ArrayMetadata:
    """One Zarr array.

    `chunk` is the smallest piece that can be read by itself, `shard` the piece in one file if the array is sharded.
    `dtype` has the machine's byte order, whatever the store has. `codec` is the one codec between the C-ordered bytes
    of a chunk and its file (``none``, ``blosc``, ...), or None if the way is longer than that. `key_prefix` and
    `separator` make a chunk's name: ``key_prefix + separator.join(index)``. `names` are the axes' names, if it has any.
    In a sharded array `codec` is that of the chunks inside, and `index_at_end` tells where a shard has its index.
    """

    zarr_format: int
    shape: Index
    chunk: Index
    shard: Index | None
    dtype: np.dtype[Any]
    fill: np.generic
    codec: str | None
    key_prefix: str
    separator: str
    names: tuple[str, ...] | None = None
    index_at_end: bool = True

    @property
    def chunk_bytes(self) -> int:
        """Decoded bytes of one storage chunk."""
        return math.prod(self.chunk) * self.dtype.itemsize


def parse_array(document: Any, where: str) -> ArrayMetadata:
    """Read and check the metadata of an array. `where` names the file in errors."""
    if not isinstance(document, Mapping):
        raise SourceError(f"{where} is no JSON object: it is not the metadata of a Zarr array")
    try:
        return _parse_v3(document, where) if document.get("zarr_format") == 3 else _parse_v2(document, where)
    except KeyError as error:
        raise SourceError(f"{where} lacks the key {error}: it is damaged, write the array again") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise SourceError(f"{where} is not valid metadata of a Zarr array: {error}") from None


def _parse_v2(document: Mapping[str, Any], where: str) -> ArrayMetadata:
    if document["zarr_format"] != 2:
        raise SourceError(f"{where} has zarr_format {document['zarr_format']!r}: only 2 and 3 are known")
    if not isinstance(document["dtype"], str):
        raise SourceError(f"{where} has structured voxels: only numbers can be shown, write one array for each field")
    stored = np.dtype(document["dtype"])
    dtype = plain_dtype(stored, where)
    shape, chunk = _edges(document["shape"], "shape", where), _edges(document["chunks"], "chunks", where)
    _check_grid(shape, chunk, dtype, where)
    compressor, order = document.get("compressor"), document.get("order", "C")
    codec = "none" if compressor is None else _PLAIN_CODECS.get(str(compressor["id"]))
    if document.get("filters") or order != "C" or stored.newbyteorder("=") != stored:
        codec = None
    separator = document.get("dimension_separator", ".")
    if separator not in (".", "/"):
        raise SourceError(f"{where} has the dimension_separator {separator!r}: only '.' and '/' are known")
    fill = _fill(document.get("fill_value"), dtype, where)
    return ArrayMetadata(2, shape, chunk, None, dtype, fill, codec, "", separator)


def _parse_v3(document: Mapping[str, Any], where: str) -> ArrayMetadata:
    kind = document["data_type"]
    if not isinstance(kind, str) or kind not in _V3_TYPES:
        raise SourceError(f"{where} has the data_type {kind!r}: only numbers can be shown")
    dtype = _V3_TYPES[kind]
    if document["chunk_grid"]["name"] != "regular":
        raise SourceError(f"{where} has a chunk grid {document['chunk_grid']['name']!r}: only 'regular' is known")
    if document.get("storage_transformers"):
        raise SourceError(f"{where} has storage transformers: none are known")
    shape = _edges(document["shape"], "shape", where)
    outer = _edges(document["chunk_grid"]["configuration"]["chunk_shape"], "chunk_shape", where)
    codecs = [_named(entry) for entry in document["codecs"]]
    shard = None
    chunk = outer
    codec = _v3_codec(codecs, dtype)
    at_end = True
    if codecs and codecs[0][0] == "sharding_indexed":
        chunk, shard = _edges(codecs[0][1]["chunk_shape"], "chunk_shape of its shards", where), outer
        if len(chunk) != len(outer) or any(o % c for o, c in zip(outer, chunk, strict=True)):
            raise SourceError(f"{where} has shards {outer} that are no multiple of their chunks {chunk}")
        codec, at_end = _shard_codec(codecs, dtype)
    _check_grid(shape, chunk, dtype, where)
    prefix, separator = _key_encoding(document.get("chunk_key_encoding", {"name": "default"}), where)
    names = document.get("dimension_names")
    if names is not None:
        names = tuple(f"axis{i}" if name is None else str(name) for i, name in enumerate(names))
        names = names if len(names) == len(shape) and len(set(names)) == len(names) else None
    fill = _fill(document.get("fill_value"), dtype, where)
    return ArrayMetadata(3, shape, chunk, shard, dtype, fill, codec, prefix, separator, names, at_end)


def _v3_codec(codecs: list[tuple[str, Mapping[str, Any]]], dtype: np.dtype[Any]) -> str | None:
    """The one codec after ``bytes`` in the machine's own order, or None if the chain is another."""
    if not codecs or codecs[0][0] != "bytes" or len(codecs) > 2:
        return None
    native = "little" if np.dtype("<u2").isnative else "big"
    if dtype.itemsize > 1 and codecs[0][1].get("endian", "little") != native:
        return None
    return "none" if len(codecs) == 1 else _PLAIN_CODECS.get(codecs[1][0])


def _shard_codec(codecs: list[tuple[str, Mapping[str, Any]]], dtype: np.dtype[Any]) -> tuple[str | None, bool]:
    """The one codec of the chunks in shards, or None if these are no common shards; and whether their index is last."""
    inner = [_named(entry) for entry in codecs[0][1]["codecs"]]
    location = codecs[0][1].get("index_location", "end")
    return (_v3_codec(inner, dtype) if _is_common(codecs) else None), location == "end"


def _is_common(codecs: list[tuple[str, Mapping[str, Any]]]) -> bool:
    """Whether these are shards whose index can be read by hand."""
    configuration = codecs[0][1]
    index = [_named(entry) for entry in configuration["index_codecs"]]
    return (
        len(codecs) == 1
        and configuration.get("index_location", "end") in ("start", "end")
        and [name for name, _ in index] == ["bytes", "crc32c"]
        and index[0][1].get("endian", "little") == "little"
    )


def chunk_document(document: Mapping[str, Any], metadata: ArrayMetadata) -> tuple[dict[str, Any], str] | None:
    """The metadata of an array that is one chunk of this one, and that chunk's name; None for chunks of rare shards.

    For a library that decodes a chunk that somebody else has fetched.
    """
    zeros = ["0"] * len(metadata.chunk)
    if metadata.zarr_format == 2:
        lone = {**document, "shape": list(metadata.chunk), "dimension_separator": "."}
        return lone, ".".join(zeros)
    codecs = document["codecs"]
    if metadata.shard is not None:
        named = [_named(entry) for entry in codecs]
        if not _is_common(named):
            return None
        codecs = named[0][1]["codecs"]
    grid = {"name": "regular", "configuration": {"chunk_shape": list(metadata.chunk)}}
    encoding = {"name": "default", "configuration": {"separator": "/"}}
    lone = {
        **document,
        "shape": list(metadata.chunk),
        "chunk_grid": grid,
        "chunk_key_encoding": encoding,
        "codecs": codecs,
        "attributes": {},
    }
    return lone, "c/" + "/".join(zeros)


def _named(entry: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(entry, str):  # the short form for a codec without a configuration
        return entry, {}
    return str(entry["name"]), entry.get("configuration") or {}


def _key_encoding(entry: Any, where: str) -> tuple[str, str]:
    name, configuration = _named(entry)
    separator = configuration.get("separator", "/" if name == "default" else ".")
    if name not in ("default", "v2") or separator not in (".", "/"):
        raise SourceError(f"{where} has a chunk_key_encoding {name!r} with the separator {separator!r}: unknown")
    return ("c" + separator if name == "default" else ""), separator


def plain_dtype(dtype: np.dtype[Any], where: str) -> np.dtype[Any]:
    """`dtype` in the machine's byte order. Raises `SourceError` if it is no kind of number that can be shown."""
    if dtype.kind not in "buifc" or dtype.itemsize > 16 or dtype.char in "gG":
        raise SourceError(f"{where} has voxels of type {dtype}: only booleans and numbers can be shown")
    return dtype.newbyteorder("=")


def _edges(value: Any, what: str, where: str) -> Index:
    if not isinstance(value, list | tuple) or not all(isinstance(edge, int) and edge is not True for edge in value):
        raise SourceError(f"{where} has a {what} that is no list of whole numbers: {str(value)[:80]}")
    return tuple(value)


def check_shape(shape: Index, where: str) -> None:
    """Raise `SourceError` unless this is the shape of an image that can be shown."""
    if not 2 <= len(shape) <= limits.AXES:
        raise SourceError(f"{where} has {len(shape)} axes: an image has 2 to {limits.AXES}")
    if any(edge < 1 for edge in shape):
        raise SourceError(f"{where} has the shape {shape}: an image has at least one voxel along every axis")
    if any(edge > limits.EXTENT_VOXELS for edge in shape):
        raise SourceError(f"{where} has the shape {shape}: an axis has at most 2^52 voxels")


def _check_grid(shape: Index, chunk: Index, dtype: np.dtype[Any], where: str) -> None:
    check_shape(shape, where)
    if len(chunk) != len(shape) or any(edge < 1 for edge in chunk):
        raise SourceError(f"{where} has chunks of shape {chunk} for an image of shape {shape}: it is damaged")
    nbytes = math.prod(chunk) * dtype.itemsize
    if nbytes > STORAGE_CHUNK_BYTES:
        raise SourceError(
            f"{where} has chunks of {nbytes / 2**30:.4g} GiB, which no worker can decode: write it again with chunks "
            f"of a few MiB"
        )


def _fill(value: Any, dtype: np.dtype[Any], where: str) -> np.generic:
    """A fill value as the metadata spell it: a number, a word for one that JSON lacks, or its bits in hexadecimal."""
    number: Any = 0 if value is None else None
    try:
        if dtype.kind == "c" and isinstance(value, list | tuple):
            real, imaginary = (float(part) for part in value)
            number = complex(real, imaginary)
        elif dtype.kind == "f" and isinstance(value, str) and value.startswith("0x"):
            bits = int(value, 16).to_bytes(dtype.itemsize, "little")
            number = np.frombuffer(bits, dtype.newbyteorder("<"))[0]
        elif dtype.kind in "fc" and value is not None:
            number = float(value)
        elif dtype.kind == "b" and value in (0, 1):
            number = bool(value)
        elif dtype.kind in "ui" and value is not None and int(value) == value and int(value) in _range(dtype):
            number = int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    if number is not None:
        fill: np.generic = np.asarray(number).astype(dtype)[()]  # type: ignore[assignment]  # a scalar of 0 axes
        return fill
    raise SourceError(f"{where} has the fill_value {str(value)[:80]!r}, which is no {dtype}: it is damaged")


def _range(dtype: np.dtype[Any]) -> range:
    bounds = np.iinfo(dtype)
    return range(int(bounds.min), int(bounds.max) + 1)
