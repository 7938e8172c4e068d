"""Opening one Zarr array: the fast way if it can be, tensorstore otherwise, zarr-python where that gives up."""

from __future__ import annotations

import math
from typing import Any

from octree_loader.sources.base import LevelArray, SourceError
from octree_loader.sources.chunk_files import Fetch
from octree_loader.sources.codecs import Decoder, decoder_of, encoded_bytes_most
from octree_loader.sources.direct import DirectArray
from octree_loader.sources.shards import INDEX_BYTES
from octree_loader.sources.stores import Store, check_node, name_in
from octree_loader.sources.zarr_metadata import ArrayMetadata, parse_array


def open_array(store: Store, node: str) -> tuple[LevelArray, ArrayMetadata]:
    """Open the array at a node of a store. Raises `SourceError` if there is none, or none that can be shown."""
    node = check_node(store.where, node)
    where = name_in(store.where, node)
    metadata = read_metadata(store, node)
    if metadata is None:
        raise SourceError(f"{where} is no Zarr array: it has neither .zarray nor zarr.json")
    decode, most = _decoder_of(store, node, metadata)
    fetch = _fetch_of(store, node, metadata, most) if decode is not None else None
    if fetch is not None and decode is not None:

        def name_chunk(index: tuple[int, ...]) -> str:
            return name_in(where, metadata.key_prefix + metadata.separator.join(map(str, index)))

        return DirectArray(where, metadata, fetch, decode, name_chunk), metadata

    from octree_loader.sources.tensor import open_foreign_array

    return open_foreign_array(store, node, metadata), metadata


def _decoder_of(store: Store, node: str, metadata: ArrayMetadata) -> tuple[Decoder | None, int]:
    """How to decode a chunk that was fetched, and how long that may be; None where a library had better fetch it."""
    most = encoded_bytes_most(metadata.chunk_bytes)
    if metadata.codec is not None:
        return decoder_of(metadata.codec, metadata.chunk_bytes), most
    if store.folder(node) is not None:  # tensorstore reads files faster than we would
        return None, most
    from octree_loader.sources.codec_chain import chain_decoder, widest_bytes
    from octree_loader.sources.library_codecs import library_decoder

    document: Any = store.document(node, "zarr.json" if metadata.zarr_format == 3 else ".zarray")
    try:
        most = widest_bytes(document, metadata)
        return chain_decoder(document, metadata) or library_decoder(document, metadata, most), most
    except (LookupError, TypeError, ValueError, AttributeError):
        return None, most  # zarr-python says what is wrong


def _fetch_of(store: Store, node: str, metadata: ArrayMetadata, most: int) -> Fetch | None:
    """How to get the chunks by hand, or None where that cannot be: shards in a zip file."""
    if metadata.shard is None:
        return store.chunks(node, metadata.key_prefix, metadata.separator, most)
    per_shard = tuple(a // b for a, b in zip(metadata.shard, metadata.chunk, strict=True))
    if 16 * math.prod(per_shard) > INDEX_BYTES:
        return None
    return store.shards(node, metadata.key_prefix, metadata.separator, most, per_shard, metadata.index_at_end)


def read_metadata(store: Store, node: str) -> ArrayMetadata | None:
    """The metadata of the array at a node, or None if there is no array."""
    for name in ("zarr.json", ".zarray"):
        document = store.document(node, name)
        if document is not None:
            where = name_in(store.where, node, name)
            if name == "zarr.json" and isinstance(document, dict) and document.get("node_type") == "group":
                return None
            return parse_array(document, where)
    return None
