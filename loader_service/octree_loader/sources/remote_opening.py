"""What lies at a URL: a file with images in it, a folder that is an image, or a folder of numbered planes.

A name that ends as files do is asked for as a file first, any other as a folder: each guess costs a round trip. What
follows a file in a URL names an image inside of it, as on this machine (``slide.svs/2``, ``file.h5:/t0/image``). Knows
nothing of what files and folders hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from octree_loader.sources import formats
from octree_loader.sources.assembled import AssembledSource, Placing
from octree_loader.sources.base import SourceError
from octree_loader.sources.cloud import access_options, open_client
from octree_loader.sources.locations import parse_remote
from octree_loader.sources.remote_file import RemoteFile, find_remote_file
from octree_loader.sources.remote_files import RemoteFiles
from octree_loader.sources.remote_store import RemoteStore, open_remote

#: Names looked at in a folder: so many of a stack's planes can be listed in a minute.
_NAMES = 100_000


class _Division(NamedTuple):
    """The URL of a folder, the name of a file in it, and what follows that."""

    folder: str
    name: str
    inner: str


def open_remote_location(location: str, options: Mapping[str, Any], placing: Placing) -> AssembledSource:
    """Open what lies at a URL; `options` as `cloud.Access`. Raises `SourceError`."""
    found = _find(location, options)
    source = _open(found, placing)
    if isinstance(found, _Stack):  # of a thousand planes one was looked at
        return source
    return replace(source, identity=(found[0] if isinstance(found, tuple) else found).identity())


def _open(found: tuple[RemoteFile, str] | RemoteStore | _Stack, placing: Placing) -> AssembledSource:
    if isinstance(found, tuple):
        return formats.open_file(*found, placing)
    if isinstance(found, _Stack):
        from octree_loader.sources.stack import open_stack

        return open_stack(found.files.where, found.names, placing, lambda name: find_remote_file(found.files, name))
    if found.kind != "zarr":
        from octree_loader.sources.tensor_formats import open_n5, open_precomputed

        return (open_n5 if found.kind == "n5" else open_precomputed)(found, placing)
    from octree_loader.sources.ome_zarr import open_zarr

    return open_zarr(found, placing)


def images_inside(location: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names (with ``/`` between) and URLs of the images that lie at a URL, beside the one that it opens as."""
    found = _find(location, options)
    address, mark, query = location.partition("?")
    if isinstance(found, _Stack) or (isinstance(found, tuple) and found[1]):
        return []
    if isinstance(found, tuple):
        inside = formats.images_in_file(found[0])
    elif found.kind == "n5":
        from octree_loader.sources.tensor_formats import n5_images

        inside = [(node, f"/{node}") for node in n5_images(found) if node]
    elif found.kind == "zarr":
        from octree_loader.sources.ome_layouts import images_below

        inside = [(node, f"/{node}") for node in images_below(found)]
    else:
        inside = []
    return [(name, f"{address.rstrip('/')}{inner}{mark}{query}") for name, inner in inside]


class _Stack:
    """A folder of numbered planes."""

    def __init__(self, files: RemoteFiles, names: list[str]) -> None:
        self.files = files
        self.names = names


def _find(location: str, options: Mapping[str, Any]) -> tuple[RemoteFile, str] | RemoteStore | _Stack:
    likely = [division for division in divisions(location) if formats.has_suffix_of_file(division.name)]
    for division in likely:
        files = _files(division.folder, options)
        file = find_remote_file(files, division.name)
        if file is not None:
            return file, division.inner
    try:
        return open_remote(location, options)
    except SourceError as error:
        if error.transient:
            raise
        nothing = error
    if parse_remote(location).scheme in ("s3", "gs"):
        from octree_loader.sources.stack import planes_among

        files = _files(location, options)
        names = planes_among(files.names("", _NAMES))
        if names:
            return _Stack(files, names)
    if likely:
        raise SourceError(f"there is no file at {_shown(likely)}, or it may not be read; {nothing}")
    for division in divisions(location)[:1]:
        file = find_remote_file(_files(division.folder, options), division.name)
        if file is not None:
            return file, division.inner
    raise nothing


def _shown(likely: list[_Division]) -> str:
    return " or ".join(f"{parse_remote(d.folder).shown.partition('?')[0]}/{d.name}" for d in likely)


def _files(folder: str, options: Mapping[str, Any]) -> RemoteFiles:
    parsed = parse_remote(folder)
    shown = parsed.shown.partition("?")[0].rstrip("/")
    return RemoteFiles(open_client(parsed, access_options(options, parsed.shown)), shown)


def divisions(location: str) -> list[_Division]:
    """The files that a URL may mean, the longest path first."""
    scheme, _, rest = location.partition("://")
    rest, mark, query = rest.partition("?")
    host, _, path = rest.partition("/")
    parts = [part for part in path.split("/") if part]
    found = []
    for count in range(len(parts), 0, -1):
        name, colon, begun = parts[count - 1].partition(":")
        inner = "/".join(part for part in ((begun,) if colon else ()) + tuple(parts[count:]) if part)
        if colon and not formats.has_suffix_of_file(name):
            name = parts[count - 1]
            inner = "/".join(parts[count:])
        folder = "/".join((f"{scheme}://{host}", *parts[: count - 1]))
        found.append(_Division(f"{folder}{mark}{query}", name, inner))
    return found
