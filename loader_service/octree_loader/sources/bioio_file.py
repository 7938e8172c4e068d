"""Anything else, through bioio where it is installed: it has readers for most microscopes' files.

Whatever it reads comes as one dask array a resolution, (t, c, z, y, x), which is read as any other. Several images
(scenes) in one file are named by number, as in ``file.lif/2``. Knows nothing of any format.
"""

from __future__ import annotations

import math
from typing import Any

from octree_loader.sources.array_like import open_arrays
from octree_loader.sources.assembled import AssembledSource, Placing
from octree_loader.sources.base import SourceError

#: What to say where nothing else is known to read a file.
READABLE = (
    "OME-Zarr and Zarr (folders and .zip), N5, Neuroglancer precomputed, TIFF and OME-TIFF, HDF5 and Imaris, .npy, "
    "PNG, JPEG and other pictures, a folder of numbered planes, module:factory"
)


def open_with_bioio(path: str, inner: str, options: Placing) -> AssembledSource:
    """Open a file that nothing else reads. Raises `SourceError`."""
    try:
        import bioio
    except ImportError:
        raise SourceError(
            f"{path} is no image that can be opened here: these are {READABLE}; for files of microscopes, "
            f"pip install bioio bioio-<reader> where the daemon runs"
        ) from None
    try:
        image: Any = bioio.BioImage(path)
        if inner:
            image.set_scene(int(inner))
        levels = _levels(image)
        names, sizes = str(image.dims.order), image.physical_pixel_sizes
        scale = [_size(getattr(sizes, name.upper(), None)) for name in names]
    except Exception as error:  # its readers are many, and each has errors of its own
        raise SourceError(
            f"{path} is not read by bioio and the readers installed ({type(error).__name__}: {str(error)[:300]}): "
            f"pip install bioio-<reader> for it; without bioio can be opened {READABLE}"
        ) from error
    axes = [name.lower() for name in names]
    return open_arrays(path, {"levels": levels, "axes": axes, "scale": scale}, options)


def _levels(image: Any) -> list[Any]:
    levels = []
    for level in getattr(image, "resolution_levels", None) or (0,):
        if hasattr(image, "set_resolution_level"):
            image.set_resolution_level(level)
        levels.append(image.dask_data)
    if hasattr(image, "set_resolution_level"):
        image.set_resolution_level(0)
    return levels


def _size(value: Any) -> float:
    """Size of a voxel; 0 means that it is not known."""
    return float(value) if value is not None and math.isfinite(value) and value > 0 else 0.0
