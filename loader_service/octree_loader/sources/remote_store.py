"""A Zarr hierarchy on another machine: documents and chunks over HTTP, S3 or Google's storage.

Documents cost a round trip each, so those that will be asked for come at once (`RemoteStore.expect`), consolidated
ones spare the others, and each is read once. Knows nothing of credentials (`cloud`) and of what goes wrong on the way
(`remote_files`).
"""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from octree_loader.sources.base import SourceError
from octree_loader.sources.chunk_files import Fetch, Index
from octree_loader.sources.cloud import Access, access_options, authorization, open_client
from octree_loader.sources.locations import RemoteLocation, parse_remote
from octree_loader.sources.remote_chunks import RemoteChunks, RemoteShards
from octree_loader.sources.remote_files import DistantFiles, Identity, RemoteFiles
from octree_loader.sources.stores import DOCUMENT_BYTES, name_in, parse_document

#: What may lie at the root of a dataset, asked for at once: Zarr v3 and v2, N5, Neuroglancer precomputed.
_ROOT = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata", "attributes.json", "info")

#: Documents that a node of a Zarr v2 hierarchy may have.
_V2 = frozenset({".zattrs", ".zgroup", ".zarray"})

#: Documents kept; a plate has some hundreds.
_DOCUMENTS_MOST = 1 << 14


def open_remote(location: str, options: Mapping[str, Any]) -> RemoteStore:
    """The store at a URL. `options` as `cloud.Access`.

    Raises
    ------
    SourceError
        If there is nothing, or nothing that may be read.
    """
    parsed = parse_remote(location)
    access = access_options(options, parsed.shown)
    try:
        client = open_client(parsed, access)
    except SourceError:
        raise
    except Exception as error:  # whatever the library says of an address may have all of it in it
        raise SourceError(f"{parsed.shown} cannot be reached: {type(error).__name__}; check its spelling") from None
    return RemoteStore(parsed, access, RemoteFiles(client, parsed.shown))


class DistantStore:
    """See `stores.Store`; what is the same wherever `files` are."""

    def __init__(self, files: DistantFiles) -> None:
        self.where = files.where
        self.files = files
        self._documents: dict[str, Any | None] = {}
        self._consolidated: dict[str, Any] = {}
        self._identities: dict[str, Identity] = {}
        self._changing = threading.Lock()
        self._read(_ROOT)
        if all(document is None for document in self._documents.values()):
            reason = files.denied or f"{self.where} has none of {', '.join(_ROOT)}"
            raise SourceError(f"there is no dataset at {self.where}, or it may not be read: {reason}")
        self._consolidate()

    def identity(self) -> str:
        """What the documents that were read so far are like; "" where the store does not say of one of them.

        Whoever writes chunks anew without writing any document is not noticed.
        """
        told = {path: identity.told() for path, identity in sorted(self._identities.items())}
        return repr(told) if told and all(told.values()) else ""

    @property
    def kind(self) -> str:
        """What lies at the root: ``zarr``, ``n5`` or ``precomputed``."""
        said = self._documents
        if not any(said[name] is not None for name in ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")):
            if isinstance(said["info"], Mapping) and "scales" in said["info"]:
                return "precomputed"
            if said["attributes.json"] is not None:
                return "n5"
        return "zarr"

    def document(self, node: str, name: str) -> Any | None:
        """See `Store.document`."""
        path = name_in("", node, name)
        if path not in self._documents:
            if path in self._consolidated:
                return self._consolidated[path]
            if not self._may_exist(node, name):
                return None
            self._read((path,))
        return self._documents.get(path)

    def expect(self, nodes: Iterable[str]) -> None:
        """Read the metadata of the arrays at these nodes now, all at once: they will be asked for."""
        names = ("zarr.json",) if self._documents["zarr.json"] is not None else (".zarray",)
        paths = [name_in("", node, name) for node in nodes for name in names]
        self._read([path for path in paths if path not in self._documents and path not in self._consolidated])

    def children(self, node: str) -> list[str]:
        """See `Store.children`."""
        if self._consolidated:
            below = f"{node}/" if node else ""
            inside = (path[len(below) :] for path in self._consolidated if path.startswith(below))
            return sorted({rest.split("/", 1)[0] for rest in inside if "/" in rest})
        return self.files.folders(node)

    def chunks(self, node: str, prefix: str, separator: str, nbytes_most: int) -> Fetch:
        """See `Store.chunks`."""
        return RemoteChunks(self.files, self._stem(node, prefix), separator, nbytes_most)

    def shards(
        self, node: str, prefix: str, separator: str, nbytes_most: int, chunks_per_shard: Index, index_at_end: bool
    ) -> Fetch | None:
        """See `Store.shards`."""
        stem = self._stem(node, prefix)
        return RemoteShards(self.files, stem, separator, nbytes_most, chunks_per_shard, index_at_end)

    def sizes(self, node: str, prefix: str, separator: str) -> Callable[[Index], int | None]:
        """See `Store.sizes`."""
        stem = self._stem(node, prefix)
        return lambda index: self.files.size(stem + separator.join(map(str, index)))

    def folder(self, node: str) -> str | None:  # noqa: ARG002
        """See `Store.folder`: there is none."""
        return None

    def _stem(self, node: str, prefix: str) -> str:
        return (f"{node}/" if node else "") + prefix

    def _may_exist(self, node: str, name: str) -> bool:
        """Whether a hierarchy of this version has such a document: guesses cost a round trip each."""
        if not node:
            return True
        if self._documents["zarr.json"] is not None:
            return name not in _V2
        return name != "zarr.json" or not any(self._documents[known] is not None for known in _V2)

    def _read(self, paths: Iterable[str]) -> None:
        paths = list(paths)
        if not paths:
            return
        found = self.files.read_many(paths, DOCUMENT_BYTES, self._identities.__setitem__)
        parsed: dict[str, Any | None] = {}
        for path, data in zip(paths, found, strict=True):
            try:
                parsed[path] = None if data is None else parse_document(bytes(data), self.files.place(path))
            except SourceError:
                # Some servers answer a page instead of 404. What is no JSON is only an error where it must be there.
                if path in _ROOT and data is not None and bytes(data[:64]).lstrip().startswith(b"<"):
                    parsed[path] = None
                    continue
                raise
        with self._changing:
            if len(self._documents) + len(parsed) > _DOCUMENTS_MOST:
                root = {name: self._documents[name] for name in _ROOT if name in self._documents}
                self._documents = root
            self._documents.update(parsed)

    def _consolidate(self) -> None:
        """Take the documents of all nodes out of the root's, where they were put there."""
        root, old = self._documents["zarr.json"], self._documents[".zmetadata"]
        if isinstance(root, Mapping) and isinstance(root.get("consolidated_metadata"), Mapping):
            nodes = root["consolidated_metadata"].get("metadata")
            if isinstance(nodes, Mapping):
                self._consolidated = {f"{node}/zarr.json": entry for node, entry in nodes.items()}
        elif root is None and isinstance(old, Mapping) and isinstance(old.get("metadata"), Mapping):
            self._consolidated = {str(path): entry for path, entry in old["metadata"].items() if "/" in str(path)}


class RemoteStore(DistantStore):
    """See `stores.Store`; of `files`, which lie at `location` in a store that is reached with `access`."""

    def __init__(self, location: RemoteLocation, access: Access, files: RemoteFiles) -> None:
        self.location = location
        self.access = access
        self.client = files.client
        super().__init__(files)

    def children(self, node: str) -> list[str]:
        """See `Store.children`; a web server does not tell."""
        if self._consolidated or self.location.scheme in ("s3", "gs"):
            return super().children(node)
        return []

    def for_zarr(self, node: str) -> tuple[Any, str]:
        """See `Store.for_zarr`."""
        from zarr.storage import ObjectStore

        return ObjectStore(self.client, read_only=True), node

    def kvstore(self, node: str) -> dict[str, Any] | None:
        """How tensorstore opens the folder of a node; None where its own ways to credentials cannot be told.

        tensorstore takes neither keys nor a token: it looks for them itself where we do.
        """
        location, access = self.location, self.access
        path = name_in("", location.path, node)
        path = f"{path}/" if path else ""
        if location.scheme == "s3":
            found: dict[str, Any] = {"driver": "s3", "bucket": location.host, "path": path}
            if (endpoint := self._configured("endpoint")) is not None:
                found["endpoint"] = endpoint.rstrip("/")
            if (region := self._configured("region")) is not None:
                found["aws_region"] = region
            if (self._configured("skip_signature") or "").lower() == "true":
                found["aws_credentials"] = {"type": "anonymous"}
            elif access.profile is not None:
                found["aws_credentials"] = {"type": "profile", "profile": access.profile}
            return found
        if location.scheme == "gs":
            endpoint = self._configured("base_url")
            if endpoint is None:
                return {"driver": "gcs", "bucket": location.host, "path": path}
            if (self._configured("skip_signature") or "").lower() != "true":
                return None
            # tensorstore knows one address of Google's only; unsigned, its storage is a web server.
            place = urllib.parse.quote(f"{location.host}/{path}", "/%~:@!$&'()*+,;=")
            return {"driver": "http", "base_url": f"{endpoint.rstrip('/')}/{place}"}
        base, question, query = location.url.partition("?")
        base = "/".join(part for part in (base.rstrip("/"), node) if part)
        found = {"driver": "http", "base_url": f"{base}/{question}{query}"}
        header = authorization(location)
        return found if header is None else {**found, "headers": [f"authorization: {header}"]}

    def _configured(self, key: str) -> str | None:
        value = self.client.config.get(key)
        return None if value is None else str(value)
