"""A folder of numbered planes (TIFF, PNG, JPEG ...) as one stack along z, or along t where the names say so.

A plane is opened when it is looked at: a thousand files open as fast as one, and one that is damaged fails alone. Knows
nothing of what is in a plane but that it is an array.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from octree_loader.sources import pictures, tiff
from octree_loader.sources.assembled import AssembledSource, Placing, assemble
from octree_loader.sources.base import LevelArray, SourceError
from octree_loader.sources.image_file import ImageFile, LocalFile
from octree_loader.sources.joined import JoinedArray
from octree_loader.sources.placement import axis_named

#: Names looked at in a folder. A stack of more files is no stack that anyone makes.
FILES = 1_000_000

_NUMBER = re.compile(r"\d+")
_TIME = re.compile(r"(?:^|[^a-z])(?:t|time|frame|tp)[-_ ]*\d+\D*$", re.IGNORECASE)


def planes_in(folder: str) -> list[str]:
    """Names of the planes in a folder, in their order."""
    try:
        with os.scandir(folder) as entries:
            return planes_among(entry.name for entry, _ in zip(entries, range(FILES), strict=False))
    except OSError as error:
        raise SourceError(f"{folder} cannot be looked into: {error.strerror}") from error


def planes_among(names: Iterable[str]) -> list[str]:
    """Those of these names that are planes, in the order of their numbers; the most frequent suffix decides."""
    by_suffix: dict[str, list[str]] = {}
    for name in names:
        suffix = os.path.splitext(name)[1].lower()
        if suffix in tiff.SUFFIXES + pictures.SUFFIXES and not name.startswith("."):
            by_suffix.setdefault(suffix, []).append(name)
    if not by_suffix:
        return []
    most = max(len(names) for names in by_suffix.values())
    return sorted(next(names for names in by_suffix.values() if len(names) == most), key=_in_order)


def open_stack(
    folder: str, names: list[str], options: Placing, find: Callable[[str], ImageFile | None] | None = None
) -> AssembledSource:
    """Open planes as a stack. `find` gives the file of a name, if not this machine does. Raises `SourceError`."""
    found = find or (lambda name: LocalFile(os.path.join(folder, name)))

    def open_plane(name: str) -> AssembledSource:
        image = found(name)
        if image is None:
            raise SourceError(f"{folder}/{name} has vanished since it was listed, or may not be read")
        return tiff.open_tiff(image, "", Placing()) if tiff.is_tiff(image) else _open_picture(image)

    def open_part(index: tuple[int, ...]) -> LevelArray:
        return open_plane(names[index[0]]).arrays[0]

    first = open_plane(names[0])

    array = JoinedArray(folder, (len(names),), first.arrays[0], open_part)
    taken = {axis.name for axis in first.axes}
    wanted = "tz" if _TIME.search(os.path.splitext(names[0])[0]) else "zt"
    front = next((name for name in wanted if name not in taken), "n")
    scale = (1.0, *first.levels[0].scale)
    return assemble(folder, [array], Placing((axis_named(front), *first.axes), (scale,), rgb=first.rgb), options)


def _open_picture(image: ImageFile) -> AssembledSource:
    return pictures.open_picture(image, Placing(), keep=False)


def _in_order(name: str) -> tuple[list[int | str], str]:
    """Numbers in a name count as numbers: plane 9 stands before plane 10."""
    parts: list[int | str] = []
    last = 0
    for match in _NUMBER.finditer(name):
        parts += [name[last : match.start()], int(match.group()[:4000])]
        last = match.end()
    return [*parts, name[last:]], name
