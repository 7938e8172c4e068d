"""Chunks of rare codecs decoded by a library, from memory: who fetches them is somebody else.

tensorstore and zarr-python read arrays, not chunks. So a chunk is laid into their memory as an array of its own, and
read from there: fetching stays what it is for all chunks (many under way, missing and failed told apart, few requests).
Knows nothing of files nor of stores.
"""

from __future__ import annotations

import itertools
import json
import threading
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.allowance import memory_allowance
from octree_loader.sources.codecs import Decoder
from octree_loader.sources.zarr_metadata import ArrayMetadata, chunk_document

#: Numbers of places in tensorstore's memory.
_places = itertools.count()


def library_decoder(document: Any, metadata: ArrayMetadata, most: int) -> Decoder | None:
    """A decoder for the chunks of an array whose metadata is `document`; None where no library has their codecs.

    `most` is what any of their steps may make of one.
    """
    found = chunk_document(document, metadata)
    if found is None:
        return None
    lone, key = found
    decoder: Decoder
    for make in (_TensorChunk, _ZarrChunk):
        try:
            decoder = _OneEachThread(make, lone, metadata.zarr_format, key, most)
            decoder.prepare()
        except Exception:  # each library says in its own way that it does not have a codec
            continue
        return decoder
    return None


class _OneEachThread:
    """A `codecs.Decoder` that has a chunk in memory for each thread."""

    def __init__(self, make: Any, lone: dict[str, Any], zarr_format: int, key: str, most: int) -> None:
        self._arguments = (lone, zarr_format, key)
        self._most = most
        self._make = make
        self._own = threading.local()

    def prepare(self) -> Any:
        """The calling thread's chunk."""
        own = getattr(self._own, "chunk", None)
        if own is None:
            own = self._own.chunk = self._make(*self._arguments)
        return own

    def __call__(self, encoded: memoryview, out: NDArray[Any]) -> None:
        """See `codecs.Decoder`."""
        own = self.prepare()
        with memory_allowance(self._most, "it"):
            voxels = own.decode(bytes(encoded))
        np.copyto(out, voxels.reshape(out.shape))


class _TensorChunk:
    def __init__(self, lone: dict[str, Any], zarr_format: int, key: str) -> None:
        import tensorstore

        from octree_loader.sources.tensor import tensor_context

        place = {"driver": "memory", "path": f"octree/{next(_places)}/"}
        self._store = tensorstore.KvStore.open(place, context=tensor_context()).result()
        self._store.write("zarr.json" if zarr_format == 3 else ".zarray", json.dumps(lone).encode()).result()
        specification = {
            "driver": "zarr3" if zarr_format == 3 else "zarr",
            "kvstore": place,
            "fill_missing_data_reads": False,
            "recheck_cached_metadata": False,
        }
        self._array = tensorstore.open(specification, read=True, context=tensor_context()).result()
        self._key = key

    def decode(self, encoded: bytes) -> NDArray[Any]:
        self._store.write(self._key, encoded).result()
        try:
            voxels: NDArray[Any] = self._array.read().result()
            return voxels
        finally:
            self._store.write(self._key, None).result()


class _ZarrChunk:
    def __init__(self, lone: dict[str, Any], zarr_format: int, key: str) -> None:
        import zarr
        from zarr.core.buffer import default_buffer_prototype
        from zarr.storage import MemoryStore

        self._wrap = default_buffer_prototype().buffer.from_bytes
        self._kept: dict[str, Any] = {}
        self._kept["zarr.json" if zarr_format == 3 else ".zarray"] = self._wrap(json.dumps(lone).encode())
        self._key = key
        with warnings.catch_warnings():
            # It warns of codecs that the specification does not name yet. Whoever wrote the file knows.
            warnings.simplefilter("ignore")
            self._array: Any = zarr.open_array(
                MemoryStore(self._kept, read_only=True), mode="r", zarr_format=zarr_format
            )

    def decode(self, encoded: bytes) -> NDArray[Any]:
        self._kept[self._key] = self._wrap(encoded)
        try:
            return np.asarray(self._array[...])
        finally:
            del self._kept[self._key]
