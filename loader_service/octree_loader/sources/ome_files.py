"""Which files an OME-TIFF says that its image lies in, and whether they may be read.

https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html: each ``TiffData`` may name the file of its
planes. tifffile opens what is named, whatever that is, so it is looked at before. Knows nothing of pages.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple
from xml.etree import ElementTree as ET

from octree_loader.sources.base import SourceError
from octree_loader.sources.chunk_files import lies_in

#: Names in a warning.
_SHOWN = 3


class Others(NamedTuple):
    """The files of an image beside the first: what there is to say to people, and what they are now.

    `identity` is another text once one of them has changed.
    """

    warning: str = ""
    identity: str = ""


def other_files(xml: str, own_name: str) -> list[str]:
    """Names, as they stand in the OME-XML of a file, of the others that its images lie in. Each once."""
    if "FileName" not in xml:
        return []
    try:
        root = ET.fromstring(xml)
    except ET.ParseError:
        return []  # then nobody follows it
    own = root.get("UUID")
    names: dict[str, None] = {}
    for element in root.iter():
        # What has our identity is here, whatever the file was called when it was written.
        if element.tag.endswith("UUID") and (name := element.get("FileName")) and (element.text != own or own is None):
            names[name] = None
    return [name for name in names if name.lower() != own_name.lower()]


def look_beside(where: str, names: list[str]) -> Others:
    """Look at the other files of an image on this machine.

    Raises
    ------
    SourceError
        If one lies elsewhere, or is no file.
    """
    folder = os.path.dirname(os.path.realpath(where))
    missing, seen = [], []
    for name in names:
        path = os.path.join(os.path.dirname(where), name)
        if "\0" in name or not lies_in(path, folder):
            raise SourceError(
                f"{where} says that a part of its image lies in {name!r}: only files beside it are read; move it there"
            )
        try:
            found = os.stat(path)
        except OSError:
            missing.append(name)
            seen.append(f"{name} -")
            continue
        if not stat.S_ISREG(found.st_mode):
            raise SourceError(f"{where} says that a part of its image lies in {name!r}, which is no file")
        seen.append(f"{name} {found.st_size} {found.st_mtime_ns}")
    warning = ""
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        warning = (
            f"{where} is one of {len(names) + 1} files of an image, and {len(missing)} are not beside it ({shown}): "
            f"what is in them shows as missing"
        )
    return Others(warning, "; ".join(seen))


def look_far_away(where: str, names: list[str]) -> Others:
    """The same for a file on another machine, where the others are not looked for."""
    if not names:
        return Others()
    return Others(
        f"{where} is one of {len(names) + 1} files of an image: only what is in this one is shown, since files on "
        f"other machines are read one by one; copy all of them into a folder on this one to see the whole image"
    )
