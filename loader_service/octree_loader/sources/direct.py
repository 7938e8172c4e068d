"""Zarr arrays read by hand: fetch a chunk's bytes, decode them straight into the memory that wants them.

The fast way, for what most images are: C order, the machine's byte order, one codec or none. Everything else goes
through `tensor`. Knows nothing of files (`chunk_files`, `shards`) and of codecs (`codecs`) but that they can be called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octree_loader.sources.base import Box, Piece, ReadChunk, SourceError
from octree_loader.sources.boxes import indices_of, overlap_of
from octree_loader.sources.chunk_files import Fetch
from octree_loader.sources.codecs import Decoder
from octree_loader.sources.zarr_metadata import ArrayMetadata

Index = tuple[int, ...]

#: Gives the encoded bytes of several chunks, with their indices, in any order.
FetchMany = Callable[[Sequence[Index]], Iterator[tuple[Index, memoryview | None]]]

#: What one thread keeps for decoding chunks that are cut: the next chunk needs the same, and fresh memory costs more
#: than decoding into it. A larger one is given back.
SCRATCH_BYTES = 64 << 20


class DirectArray:
    """A `LevelArray` over a Zarr array whose chunks `fetch` gives and `decode` decodes.

    Parameters
    ----------
    where
        Names the array in errors.
    name_chunk
        Names a chunk in errors, by its index.
    """

    def __init__(
        self, where: str, metadata: ArrayMetadata, fetch: Fetch, decode: Decoder, name_chunk: Callable[[Index], str]
    ) -> None:
        self.where = where
        self.shape = metadata.shape
        self.dtype = metadata.dtype
        self.storage_chunk = metadata.chunk
        self.shard = metadata.shard
        self.random_access = False
        #: Where to ask costs more than to read, several chunks are fetched with one call.
        self._fetch_many: FetchMany | None = getattr(fetch, "many", None)
        self.gathers = bool(getattr(fetch, "gathers", False))
        self.fill_value = float(metadata.fill.real)
        self._fill = metadata.fill
        self._fetch = fetch
        self._decode = decode
        self._name_chunk = name_chunk
        self._scratch = threading.local()

    def chunk_reader(self, chunk_shape: Index) -> ReadChunk | None:
        """See `assembled.AssembledSource.chunk_reader`."""
        return self._load if chunk_shape == self.storage_chunk else None

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        if len(pieces) == 1:
            box, out = pieces[0]
            index = self._whole(box)
            if index is not None:
                return [self._load(index, out)]
        return self._read_parts(pieces)

    def _whole(self, box: Box) -> Index | None:
        """The index of the one storage chunk that `box` is, or None if it is not just one whole chunk."""
        index = []
        for (low, high), edge in zip(box, self.storage_chunk, strict=True):
            if high - low != edge or low % edge:
                return None
            index.append(low // edge)
        return tuple(index)

    def _load(self, index: Index, out: NDArray[Any]) -> bool:
        """Decode a chunk into `out`, an array of exactly its bytes. False if it is not stored."""
        return self._decode_into(index, self._fetch(index), out)

    def _decode_into(self, index: Index, encoded: memoryview | None, out: NDArray[Any]) -> bool:
        if encoded is None:
            return False
        try:
            self._decode(encoded, out)
        except (ValueError, RuntimeError, TypeError, ArithmeticError) as error:
            raise SourceError(
                f"chunk {self._name_chunk(index)} cannot be decoded: it {_told(error)}; write it again"
            ) from error
        except Exception as error:  # zlib has an exception of its own
            raise SourceError(
                f"chunk {self._name_chunk(index)} cannot be decoded: it is corrupt ({error}); write it again"
            ) from error
        return True

    def _read_parts(self, pieces: Sequence[Piece]) -> list[bool]:
        """Read pieces that are cut from storage chunks or put together from them, each chunk once."""
        wanted: dict[Index, list[int]] = {}
        for number, piece in enumerate(pieces):
            for index in indices_of(piece.box, self.storage_chunk):
                wanted.setdefault(index, []).append(number)
        stored = [False] * len(pieces)
        absent: list[tuple[Index, int]] = []
        scratch: NDArray[Any] | None = None
        for index, encoded in self._fetched(list(wanted)):
            numbers = wanted[index]
            # Where a piece is the whole chunk, it is decoded there, and the others copy it from there.
            whole = next((n for n in numbers if self._whole(pieces[n].box) == index), None)
            if whole is None:
                scratch = self._workspace() if scratch is None else scratch
                target = scratch
            else:
                target = pieces[whole].out
            if not self._decode_into(index, encoded, target):
                absent.extend((index, number) for number in numbers)
                continue
            origin = [i * edge for i, edge in zip(index, self.storage_chunk, strict=True)]
            for number in numbers:
                stored[number] = True
                if number != whole:
                    part = overlap_of(pieces[number].box, origin, self.storage_chunk)
                    pieces[number].out[part.in_box] = target[part.in_chunk]
        for index, number in absent:
            if stored[number]:
                origin = [i * edge for i, edge in zip(index, self.storage_chunk, strict=True)]
                part = overlap_of(pieces[number].box, origin, self.storage_chunk)
                pieces[number].out[part.in_box] = self._fill
        return stored

    def _fetched(self, indices: list[Index]) -> Iterator[tuple[Index, memoryview | None]]:
        """Chunks as they come; each is valid until the next."""
        if self._fetch_many is not None:
            return self._fetch_many(indices)
        return ((index, self._fetch(index)) for index in indices)

    def _workspace(self) -> NDArray[Any]:
        """An array of one storage chunk, this thread's own."""
        kept: NDArray[Any] | None = getattr(self._scratch, "array", None)
        if kept is None:
            kept = np.empty(self.storage_chunk, self.dtype)
            if kept.nbytes <= SCRATCH_BYTES:
                self._scratch.array = kept
        return kept


def _told(error: Exception) -> str:
    """A decoder's complaint as the rest of a sentence."""
    text = str(error)
    return text if text.startswith(("is ", "decodes ", "holds ")) else f"is corrupt ({text})"
