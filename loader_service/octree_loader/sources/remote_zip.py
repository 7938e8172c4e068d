"""A zip file on another machine: its directory is read once, members come by themselves, several under way.

The danger that lives here is what a stranger's directory claims: nothing is decoded to more than was asked for. Of
members that are stored as they are (those of a zipped Zarr should be) parts come without the rest. Knows nothing of
what the members are.

Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

from octree_loader.sources.base import SourceError
from octree_loader.sources.image_file import watched
from octree_loader.sources.remote_file import RemoteFile
from octree_loader.sources.remote_files import Note
from octree_loader.sources.remote_store import DistantStore
from octree_loader.sources.spans import Request, Span

#: A member's own header is a little longer than the directory says: read so much more at once.
_SLACK = 64

#: Members that are compressed are read as a whole, up to this length.
_WHOLE_BYTES = 256 << 20

_LOCAL = struct.Struct("<4s22xHH")


def open_remote_zip(file: RemoteFile) -> ZipStore:
    """The hierarchy in a zip file. Raises `SourceError`."""
    return ZipStore(ZipMembers(file))


class ZipStore(DistantStore):
    """See `stores.Store`."""

    def kvstore(self, node: str) -> dict[str, Any] | None:  # noqa: ARG002
        """See `Store.kvstore`: there is none."""
        return None

    def for_zarr(self, node: str) -> tuple[Any, str]:
        """See `Store.for_zarr`: there is none."""
        raise SourceError(f"{self.where}/{node} has a codec that is only read from files: copy the zip file here")


class ZipMembers:
    """`remote_files.DistantFiles` that are the members of a zip file."""

    def __init__(self, file: RemoteFile) -> None:
        self.where = file.where
        self.denied = ""
        self._file = file
        stream = file.stream()
        try:
            with watched(stream), stream, zipfile.ZipFile(stream) as directory:
                entries = directory.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
            raise SourceError(f"{file.where} is no valid zip file ({error}): it is damaged, write it again") from error
        # Some writers put the whole folder into the file, not what is in it.
        tops = {entry.filename.split("/", 1)[0] for entry in entries}
        documents = (".zgroup", ".zattrs", ".zarray", "zarr.json")
        nested = len(tops) == 1 and not any(entry.filename in documents for entry in entries)
        top = len(next(iter(tops))) + 1 if nested else 0
        self._entries = {entry.filename[top:]: entry for entry in entries}
        #: Where the bytes of members begin that are read in parts.
        self._starts: dict[str, int] = {}

    def read(self, path: str, nbytes_most: int) -> memoryview | None:
        """See `RemoteFiles.read`."""
        return self.read_many([path], nbytes_most)[0]

    def read_many(
        self,
        paths: Sequence[str],
        nbytes_most: int,
        note: Note | None = None,  # noqa: ARG002
    ) -> list[memoryview | None]:
        """See `RemoteFiles.read_many`; what a member is like tells the file around it."""
        entries = [self._entries.get(path) for path in paths]
        there = [entry for entry in entries if entry is not None]
        for entry in there:
            if entry.file_size > nbytes_most or entry.compress_size > nbytes_most + nbytes_most // 8 + 4096:
                raise SourceError(
                    f"{self.place(entry.filename)} is longer than it can be ({entry.file_size} bytes): it is damaged"
                )
        spans = [self._span(entry) for entry in there]
        found = zip(there, self._file.read_batches(spans), strict=True)
        members = {entry.filename: self._member(entry, data) for entry, data in found}
        return [None if entry is None else members[entry.filename] for entry in entries]

    def read_end(self, path: str, nbytes: int) -> memoryview | None:
        """See `RemoteFiles.read_end`."""
        entry = self._entries.get(path)
        if entry is None:
            return None
        parts = self.read_parts(path, [Request(max(0, entry.file_size - nbytes), entry.file_size, (0,))])
        return None if parts is None else parts[0]

    def read_parts(self, path: str, requests: Sequence[Request]) -> list[memoryview] | None:
        """See `RemoteFiles.read_parts`."""
        entry = self._entries.get(path)
        if entry is None:
            return None
        cut = [Span(min(r.low, entry.file_size), min(r.high, entry.file_size)) for r in requests]
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            whole = self.read(path, _WHOLE_BYTES)
            return None if whole is None else [whole[span.low : span.high] for span in cut]
        start = self._starts.get(path)
        if start is None:
            header = self._file.read_spans([Span(entry.header_offset, entry.header_offset + _LOCAL.size)])[0]
            start = self._starts[path] = entry.header_offset + self._header_bytes(entry, header)
        return self._file.read_spans([Span(start + span.low, start + span.high) for span in cut])

    def size(self, path: str) -> int | None:
        """See `RemoteFiles.size`."""
        entry = self._entries.get(path)
        return None if entry is None else entry.file_size

    def folders(self, path: str) -> list[str]:
        """See `RemoteFiles.folders`."""
        below = f"{path}/" if path else ""
        inside = (name[len(below) :] for name in self._entries if name.startswith(below))
        return sorted({rest.split("/", 1)[0] for rest in inside if "/" in rest})

    def place(self, path: str) -> str:
        """See `RemoteFiles.place`."""
        return f"{self.where}/{path}"

    # --- one member --------------------------------------------------------------------------------------------------

    def _span(self, entry: zipfile.ZipInfo) -> Span:
        header = _LOCAL.size + len(entry.filename.encode()) + len(entry.extra) + _SLACK
        low = entry.header_offset
        return Span(low, max(low, min(low + header + entry.compress_size, self._file.size)))

    def _header_bytes(self, entry: zipfile.ZipInfo, data: memoryview) -> int:
        signature, name, extra = _LOCAL.unpack(data[: _LOCAL.size]) if len(data) >= _LOCAL.size else (b"", 0, 0)
        if signature != b"PK\x03\x04":
            raise SourceError(f"{self.place(entry.filename)} is not where the zip file says: it is damaged")
        return int(_LOCAL.size + name + extra)

    def _member(self, entry: zipfile.ZipInfo, data: memoryview) -> memoryview:
        where = self.place(entry.filename)
        start = self._header_bytes(entry, data)
        encoded = data[start : start + entry.compress_size]
        if len(encoded) < entry.compress_size:
            low = entry.header_offset + start
            encoded = self._file.read_spans([Span(low, low + entry.compress_size)])[0]
        if entry.flag_bits & 1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SourceError(f"{where} is encrypted, or compressed in a rare way: write the zip file again, stored")
        decoded = encoded
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            try:
                decoded = memoryview(zlib.decompressobj(-zlib.MAX_WBITS).decompress(encoded, entry.file_size + 1))
            except zlib.error as error:
                raise SourceError(f"{where} cannot be decompressed ({error}): the zip file is damaged") from None
        if len(decoded) != entry.file_size or zlib.crc32(decoded) != entry.CRC:
            raise SourceError(f"{where} is not what the zip file says of it: it is damaged, copy it again")
        return decoded
