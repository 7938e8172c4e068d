"""Which images lie inside of what a dataset names: fields of a plate, series of a file, labels of an image.

Each can be served as a dataset of its own, called after the outer one: ``plate/A/1/0``, ``cells/labels/nuclei``. Knows
nothing of how any is opened.
"""

from __future__ import annotations

import os

from octree_loader.sources.base import SourceSpec
from octree_loader.sources.local import images_inside
from octree_loader.sources.locations import is_remote
from octree_loader.sources.opening import local_path, own_options, without_catalog_options
from octree_protocol import limits

#: Options that say where an image lies: those of an image need not fit its labels.
_PLACING = ("axes", "scale", "translation", "rgb")


def specs_inside(spec: SourceSpec) -> list[SourceSpec]:
    """The datasets inside of one, beside itself. Empty for a single image, and for what code makes.

    Raises
    ------
    SourceError
        If what is there cannot be looked into.
    """
    if is_remote(spec.location):
        from octree_loader.sources import remote_opening

        options = without_catalog_options(spec.options)
        found = remote_opening.images_inside(spec.location, own_options(options)[1])
    else:
        path = local_path(spec.location)
        found = images_inside(path) if os.path.lexists(path) else []
    return [
        SourceSpec(f"{spec.name}/{name}", location, _options(spec, name)) for name, location in found[: limits.DATASETS]
    ]


def _options(spec: SourceSpec, name: str) -> dict[str, object]:
    labels = "labels" in name.split("/")
    return {key: value for key, value in spec.options.items() if not (labels and key in _PLACING)}
