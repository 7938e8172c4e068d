"""Which source opens a file, by its name and its first bytes, wherever it lies. Reads nothing itself."""

from __future__ import annotations

import os

from octree_loader.sources.assembled import AssembledSource, Placing
from octree_loader.sources.base import SourceError
from octree_loader.sources.image_file import ImageFile, LocalFile
from octree_loader.sources.remote_file import RemoteFile
from octree_loader.sources.stores import Store

_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def open_file(image: ImageFile, inner: str, options: Placing) -> AssembledSource:
    """Open a file, or the image at `inner` inside of it. Raises `SourceError`."""
    suffix = _suffix(image)
    if suffix == ".npy" and not inner:
        from octree_loader.sources.npy_file import open_npy

        return open_npy(image, options)
    if suffix == ".zip":
        from octree_loader.sources.ome_zarr import open_zarr
        from octree_loader.sources.subtree import Subtree

        store = _zipped(image)
        return open_zarr(Subtree(store, inner) if inner else store, options)
    from octree_loader.sources import pictures, tiff

    if tiff.is_tiff(image):
        return tiff.open_tiff(image, inner, options)
    if _is_hdf5(image):
        from octree_loader.sources.hdf5 import open_hdf5

        return open_hdf5(image, inner, options)
    if (suffix in pictures.SUFFIXES or (suffix == "" and image.head(8).startswith(_PICTURES))) and not inner:
        return pictures.open_picture(image, options)
    from octree_loader.sources.bioio_file import READABLE, open_with_bioio

    if not isinstance(image, LocalFile):
        raise SourceError(f"{image.where} is no image that can be opened from afar: these are {READABLE}")
    return open_with_bioio(image.where, inner, options)


def images_in_file(image: ImageFile) -> list[tuple[str, str]]:
    """Names (with ``/`` between) of the images in a file that holds several, and what follows its path for each.

    Raises
    ------
    SourceError
        If it is damaged.
    """
    from octree_loader.sources import tiff

    if _suffix(image) == ".zip":
        from octree_loader.sources.ome_layouts import images_below

        return [(node, f"/{node}") for node in images_below(_zipped(image))]
    if tiff.is_tiff(image):
        return tiff.images_inside(image)
    if _is_hdf5(image):
        from octree_loader.sources import hdf5

        return hdf5.images_inside(image)
    from octree_loader.sources import pictures

    if not isinstance(image, LocalFile) or _suffix(image) in (".npy", *pictures.SUFFIXES):
        return []
    from octree_loader.sources.bioio_file import scenes_inside

    return scenes_inside(image.where)


def has_suffix_of_file(name: str) -> bool:
    """Whether something of this name is a file that can be opened, and no folder: so its name says."""
    from octree_loader.sources import hdf5, pictures, tiff

    known = (*tiff.SUFFIXES, *hdf5.SUFFIXES, *pictures.SUFFIXES, ".npy", ".zip")
    return name.lower().endswith(known)


def _suffix(image: ImageFile) -> str:
    """Of its name; of its first bytes where the name has none, as in the links of web services."""
    suffix = os.path.splitext(image.name)[1].lower()
    if suffix:
        return suffix
    head = image.head(6)
    return ".npy" if head == b"\x93NUMPY" else ".zip" if head.startswith(b"PK\x03\x04") else ""


def _is_hdf5(image: ImageFile) -> bool:
    from octree_loader.sources.hdf5 import SUFFIXES

    return image.name.lower().endswith(SUFFIXES) or image.head(8) == _HDF5


def _zipped(image: ImageFile) -> Store:
    if isinstance(image, RemoteFile):
        from octree_loader.sources.remote_zip import open_remote_zip

        return open_remote_zip(image)
    from octree_loader.sources.stores import ZippedStore

    return ZippedStore(image.where)
