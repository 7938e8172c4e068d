"""Opening one Zarr array: the fast way if it can be, tensorstore otherwise, zarr-python where that gives up."""

from __future__ import annotations

from octree_loader.sources.assembled import LevelArray
from octree_loader.sources.base import SourceError
from octree_loader.sources.codecs import decoder_of, encoded_bytes_most
from octree_loader.sources.direct import DirectArray
from octree_loader.sources.stores import Store, check_node, name_in
from octree_loader.sources.zarr_metadata import ArrayMetadata, parse_array


def open_array(store: Store, node: str) -> tuple[LevelArray, ArrayMetadata]:
    """Open the array at a node of a store. Raises `SourceError` if there is none, or none that can be shown."""
    node = check_node(store.where, node)
    where = name_in(store.where, node)
    metadata = read_metadata(store, node)
    if metadata is None:
        raise SourceError(f"{where} is no Zarr array: it has neither .zarray nor zarr.json")
    if metadata.codec is not None:
        most = encoded_bytes_most(metadata.chunk_bytes)
        fetch = store.chunks(node, metadata.key_prefix, metadata.separator, most)

        def name_chunk(index: tuple[int, ...]) -> str:
            return name_in(where, metadata.key_prefix + metadata.separator.join(map(str, index)))

        return DirectArray(
            where, metadata, fetch, decoder_of(metadata.codec, metadata.chunk_bytes), name_chunk
        ), metadata

    from octree_loader.sources.tensor import open_foreign_array

    return open_foreign_array(store, node, metadata), metadata


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
