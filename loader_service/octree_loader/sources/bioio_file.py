"""Anything else, through bioio where it is installed: it has readers for most microscopes' files.

Whatever it reads comes as one dask array a resolution, (t, c, z, y, x), which is read as any other. Several images
(scenes) in one file are named by number, as in ``file.lif/2``. Knows nothing of any format.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from octree_loader.sources.array_like import open_arrays
from octree_loader.sources.assembled import AssembledSource, Placing, channels_of_shape
from octree_loader.sources.base import SourceError
from octree_protocol import limits
from octree_protocol.geometry import Channel

#: What to say where nothing else is known to read a file.
READABLE = (
    "OME-Zarr and Zarr (folders and .zip), N5, Neuroglancer precomputed, TIFF and OME-TIFF, HDF5 and Imaris, .npy, "
    "PNG, JPEG and other pictures, a folder of numbered planes, module:factory"
)


def open_with_bioio(path: str, inner: str, options: Placing) -> AssembledSource:
    """Open a file that nothing else reads: the first scene of it, or that whose number `inner` is.

    Raises
    ------
    SourceError
        If nothing reads it, or there is no such scene.
    """
    image = _open(path)
    scenes = tuple(image.scenes)
    if inner and not (inner.isdecimal() and int(inner) < len(scenes)):
        raise SourceError(
            f"{path} has no image {inner!r}: it has {len(scenes)}, named by their numbers, as in {path}/0"
        )
    try:
        if inner:
            image.set_scene(int(inner))
        levels = _levels(image)
        names, sizes = str(image.dims.order), image.physical_pixel_sizes
        scale = [_size(getattr(sizes, name.upper(), None)) for name in names]
    except Exception as error:  # its readers are many, and each has errors of its own
        raise SourceError(f"{path} is damaged: bioio stumbles over it ({_told(error)}); copy it again") from error
    axes = [name.lower() for name in names]
    source = open_arrays(path, {"levels": levels, "axes": axes, "scale": scale}, options)
    return replace(source, channels=source.channels or _channels(image, source))


def scenes_inside(path: str) -> list[tuple[str, str]]:
    """Names of the images in a file that only bioio reads, if it has several, and what follows its path for each."""
    names = [str(name).strip().replace("/", "_") for name in _open(path).scenes]
    if len(names) < 2:
        return []
    unique = len(set(names)) == len(names) and all(name.isprintable() and name for name in names)
    return [(names[i] if unique else str(i), f"/{i}") for i in range(len(names))]


def _open(path: str) -> Any:
    try:
        import bioio
    except ImportError:
        raise SourceError(
            f"{path} is no image that can be opened here: these are {READABLE}; for files of microscopes, "
            f"pip install bioio bioio-<reader> where the daemon runs"
        ) from None
    try:
        return bioio.BioImage(path)
    except Exception as error:
        if type(error).__name__ == "UnsupportedFileFormatError":
            raise SourceError(
                f"{path} is no image that can be opened here: these are {READABLE}, and what the installed readers of "
                f"bioio take; for others, pip install bioio-<reader> where the daemon runs"
            ) from error
        raise SourceError(f"{path} is damaged: bioio stumbles over it ({_told(error)}); copy it again") from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _channels(image: Any, source: AssembledSource) -> tuple[Channel, ...]:
    """Names of the channels, where they are more than numbers."""
    try:
        names = [str(name)[:256] for name in image.channel_names]
    except Exception:  # what is not said well is not said
        return ()
    if all(name.startswith("Channel:") for name in names) or len(names) > limits.CHANNELS:
        return ()
    return channels_of_shape(source.axes, source.levels[0].shape, tuple(Channel(name) for name in names))


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
