"""Which source opens a file or folder of this machine, and which images lie inside of it.

A file may hold several images: what follows it in a path names one of them (``slide.svs/2``, ``file.h5:/t0/image``,
``plate.zip/A/1/0``). Knows nothing of remote stores nor of what files hold (`formats`), and reads nothing itself.
"""

from __future__ import annotations

import os

from octree_loader.sources import formats
from octree_loader.sources.assembled import AssembledSource, Placing
from octree_loader.sources.base import SourceError
from octree_loader.sources.image_file import LocalFile


def open_local(path: str, options: Placing) -> AssembledSource:
    """Open what lies at a path. Raises `SourceError`."""
    place, inner = divide(path)
    if os.path.isdir(place):
        return _open_folder(place, options)
    if not os.path.isfile(place):
        raise SourceError(f"{place} is neither a folder nor a file")
    return formats.open_file(LocalFile(place), inner, options)


def divide(path: str) -> tuple[str, str]:
    """A path that exists, and the place inside of it.

    Raises
    ------
    SourceError
        If there is no such path.
    """
    if os.path.exists(path):
        return path, ""
    head, colon, inner = path.rpartition(":/")
    if colon and os.path.isfile(head):
        return head, inner
    head, colon, inner = path.rpartition(":")
    if colon and os.path.isfile(head):  # a normalised path has lost a slash
        return head, inner.lstrip("/")
    parts: list[str] = []
    head = path
    while len(parts) < 64 and os.path.dirname(head) != head:
        head, tail = os.path.split(head)
        parts.insert(0, tail)
        if os.path.isfile(head):
            return head, "/".join(parts)
        if os.path.exists(head):
            break
    raise SourceError(f"{path} does not exist: check the path, and whether its disk is mounted")


def _open_folder(path: str, options: Placing) -> AssembledSource:
    from octree_loader.sources.stores import FolderStore

    if not _is_zarr(path):
        from octree_loader.sources import stack, tensor_formats

        if os.path.isfile(os.path.join(path, "info")):
            return tensor_formats.open_precomputed(FolderStore(path), options)
        if tensor_formats.is_n5(path):
            return tensor_formats.open_n5(FolderStore(path), options)
        names = stack.planes_in(path)
        if names:
            return stack.open_stack(path, names, options)
    from octree_loader.sources.ome_zarr import open_zarr

    return open_zarr(FolderStore(path), options)


def _is_zarr(folder: str) -> bool:
    return any(os.path.lexists(os.path.join(folder, name)) for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs"))


def images_inside(path: str) -> list[tuple[str, str]]:
    """Names (with ``/`` between) and locations of the images that lie at a path, beside the one that it opens as.

    Empty for a single image, and for what does not exist. Raises `SourceError` for what is damaged.
    """
    if os.path.isfile(path):
        return [(name, path + inner) for name, inner in formats.images_in_file(LocalFile(path))]
    if not os.path.isdir(path):
        return []
    from octree_loader.sources.stores import FolderStore

    store = FolderStore(path)
    if _is_zarr(path):
        from octree_loader.sources.ome_layouts import images_below

        return [(node, f"{path}/{node}") for node in images_below(store)]
    from octree_loader.sources import tensor_formats

    if tensor_formats.is_n5(path) and not os.path.isfile(os.path.join(path, "info")):
        return [(node, f"{path}/{node}") for node in tensor_formats.n5_images(store) if node]
    return []
