"""What OME-Zarr says beside the levels of an image: plates, wells, series, labels, channels.

Specification: https://ngff.openmicroscopy.org/0.5/ and, for converted files,
https://github.com/glencoesoftware/bioformats2raw. All of it may be wrong: what cannot be understood is as good as not
said. Knows nothing of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from octree_loader.sources.base import SourceError
from octree_loader.sources.stores import Store, check_node, name_in
from octree_protocol import limits
from octree_protocol.geometry import Channel


def attributes_of(store: Store, node: str = "") -> Mapping[str, Any]:
    """The OME attributes of a node, wherever its version keeps them; empty where there are none."""
    document = store.document(node, "zarr.json")
    if document is not None:
        attributes = document.get("attributes") if isinstance(document, Mapping) else None
    else:
        attributes = store.document(node, ".zattrs")
    if not isinstance(attributes, Mapping):
        return {}
    ome = attributes.get("ome")
    return {**attributes, **ome} if isinstance(ome, Mapping) else attributes


def images_below(store: Store, most: int = limits.DATASETS) -> list[str]:
    """Nodes of the images in a plate, a well, a converted file, a group of labels, and of the labels of an image.

    A store that is one image has its labels here, not itself; anything else has none.
    """
    found: list[str] = []
    for node in _direct_images(store, most):
        if len(found) < most:
            found.append(node)
    if attributes_of(store).get("multiscales"):
        return _labels(store, "")[:most]
    # Labels of a plate's thousand fields are not looked for: that is a request for each.
    if len(found) <= 16:
        found += [label for node in list(found) for label in _labels(store, node)]
    return found[:most]


def first_image(store: Store) -> str | None:
    """The node of the first image of a plate, a well, a converted file or a group of labels."""
    found = _direct_images(store, 1)
    return found[0] if found else None


def _direct_images(store: Store, most: int) -> list[str]:
    said = attributes_of(store)
    try:
        if isinstance(said.get("plate"), Mapping):
            found: list[str] = []
            for well in said["plate"]["wells"]:
                if len(found) >= most:
                    break
                well_node = check_node(store.where, str(well["path"]))
                found += _fields(attributes_of(store, well_node), well_node, store)
            return found[:most]
        if isinstance(said.get("well"), Mapping):
            return _fields(said, "", store)[:most]
        if "bioformats2raw.layout" in said:
            return _series(store)[:most]
        if isinstance(said.get("labels"), list):
            return [check_node(store.where, str(name)) for name in said["labels"]][:most]
    except (LookupError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{store.where} has OME-Zarr metadata that cannot be understood ({type(error).__name__}: {error}): "
            f"they are damaged"
        ) from error
    return []


def _fields(said: Mapping[str, Any], node: str, store: Store) -> list[str]:
    return [
        name_in("", node, check_node(store.where, str(image["path"])))
        for image in said.get("well", {}).get("images", [])
    ]


def _series(store: Store) -> list[str]:
    """Series of a converted file: as the group OME says, or all groups that have a number for a name."""
    said = attributes_of(store, "OME").get("series")
    if isinstance(said, list):
        return [check_node(store.where, str(name)) for name in said]
    numbers = sorted(int(name) for name in store.children("") if name.isdecimal() and len(name) < 10)
    if numbers:
        return [str(number) for number in numbers]
    # A distant store may not tell what is in it.
    found = []
    for number in range(64):
        if not attributes_of(store, str(number)).get("multiscales"):
            break
        found.append(str(number))
    return found


def _labels(store: Store, node: str) -> list[str]:
    group = name_in("", node, "labels")
    names = attributes_of(store, group).get("labels")
    if not isinstance(names, list):
        return []
    return [name_in("", group, check_node(store.where, str(name))) for name in names[: limits.DATASETS]]


def kind_of(store: Store) -> str | None:
    """Whether an image says of itself that it is one of labels."""
    return "labels" if "image-label" in attributes_of(store) else None


def channels_of(store: Store) -> tuple[Channel, ...]:
    """What ``omero`` says of the channels: https://ngff.openmicroscopy.org/0.5/#omero-md."""
    omero = attributes_of(store).get("omero")
    said = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(said, list) or len(said) > limits.CHANNELS:
        return ()
    return tuple(_channel(entry) for entry in said)


def _channel(said: Any) -> Channel:
    if not isinstance(said, Mapping):
        return Channel()
    name, color = said.get("label"), said.get("color")
    code = str(color or "").lstrip("#").lower()
    known = len(code) == 6 and all(c in "0123456789abcdef" for c in code)
    window = None
    try:
        low, high = float(said["window"]["start"]), float(said["window"]["end"])
        window = (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None
    except (LookupError, TypeError, ValueError, OverflowError):
        pass
    return Channel("" if name is None else str(name)[:256], f"#{code}" if known else "", window)
