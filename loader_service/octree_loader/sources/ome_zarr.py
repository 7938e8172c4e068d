"""OME-Zarr pyramids: what the ``multiscales`` metadata say of levels and axes.

Versions 0.4 (Zarr v2) and 0.5 (Zarr v3), what older ones leave out, and of 0.6 the coordinate systems and sequences of
scales and translations. Specification: https://ngff.openmicroscopy.org/0.5/#multiscale-md. What holds several images
opens as its first one. Knows nothing of how chunks are read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from octree_loader.sources.assembled import AssembledSource, Placing, assemble
from octree_loader.sources.base import SourceError
from octree_loader.sources.ome_layouts import attributes_of, channels_of, first_image, kind_of
from octree_loader.sources.placement import Numbers, axis_named
from octree_loader.sources.stores import Store, check_node, find_arrays, name_in
from octree_loader.sources.subtree import Subtree
from octree_loader.sources.zarr_array import open_array, read_metadata
from octree_protocol import limits
from octree_protocol.geometry import Axis

log = logging.getLogger("octree.sources")


def open_zarr(store: Store, options: Placing) -> AssembledSource:
    """Open what lies at the root of a store: a pyramid with OME metadata, a single array, or the first of several."""
    if read_metadata(store, "") is not None:
        array, metadata = open_array(store, "")
        names = None if metadata.names is None else tuple(axis_named(name) for name in metadata.names)
        return assemble(store.where, [array], Placing(names), options)
    multiscales = find_multiscales(store)
    if multiscales is None:
        first = first_image(store)
        if first is None:
            raise SourceError(_nothing_to_show(store))
        below = Subtree(store, first)
        multiscales = find_multiscales(below)
        if multiscales is None:
            raise SourceError(
                f"{below.where}, the first image of {store.where}, has no OME-Zarr metadata: it is damaged"
            )
        log.info("%s holds several images: this is the first of them, %s", store.where, first)
        store = below
    return open_multiscales(store, multiscales, options)


def find_multiscales(store: Store) -> Any | None:
    """The ``multiscales`` metadata of a store's root, or None."""
    return attributes_of(store).get("multiscales") or None


def open_multiscales(store: Store, multiscales: Any, options: Placing) -> AssembledSource:
    """Open the first pyramid that `multiscales` describes."""
    try:
        image = multiscales[0]
        datasets = image["datasets"]
        if not 1 <= len(datasets) <= limits.LEVELS:
            raise SourceError(f"{store.where} has {len(datasets)} levels: a pyramid has 1 to {limits.LEVELS}")
        axes = _axes(_axes_said(image))
        outer = image.get("coordinateTransformations") or []
        paths = [str(dataset["path"]) for dataset in datasets]
        placed = [_place(dataset.get("coordinateTransformations") or [], outer) for dataset in datasets]
    except SourceError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SourceError(
            f"{store.where} has OME-Zarr metadata that cannot be understood ({type(error).__name__}: {error}): "
            f"they are damaged, or of a version that is not known"
        ) from error
    expect = getattr(store, "expect", None)
    if expect is not None:  # a distant store: all at once
        expect([check_node(store.where, path) for path in paths])
    arrays = [open_array(store, path)[0] for path in paths]
    scales = tuple(scale for scale, _, _ in placed)
    # A translation that belongs to all levels says where the image lies, not how levels lie to each other.
    explicit = any(own for _, _, own in placed)
    translations = tuple(translation for _, translation, _ in placed) if explicit else (placed[0][1],)
    known = Placing(axes, scales, translations, kind=kind_of(store), channels=channels_of(store))
    return assemble(store.where, arrays, known, options)


def _axes_said(image: Mapping[str, Any]) -> Any:
    """The axes of an image; since 0.6 they belong to a coordinate system, the first of which is that of the pixels."""
    axes, systems = image.get("axes"), image.get("coordinateSystems")
    return systems[0]["axes"] if axes is None and systems else axes


def _axes(value: Any) -> tuple[Axis, ...] | None:
    if value is None:
        return None
    return tuple(
        axis_named(entry)
        if isinstance(entry, str)  # version 0.3
        else axis_named(str(entry["name"]), _text(entry.get("type")), _text(entry.get("unit")) or "")
        for entry in value
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)[:256]


def _place(inner: Any, outer: Any) -> tuple[Numbers | None, Numbers | None, bool]:
    """Scale, translation, and whether the level has a translation of its own.

    Transformations are applied in their order, those of the level before those of the image. None is not said.
    """
    scale: Numbers | None = None
    translation: Numbers | None = None
    own = False
    for level, transformations in ((True, inner), (False, outer)):
        for transformation in _in_sequence(transformations):
            kind = transformation["type"]
            if kind == "identity":
                continue
            if kind not in ("scale", "translation") or kind not in transformation:
                raise ValueError(f"a coordinate transformation {kind!r}")
            numbers = tuple(float(number) for number in transformation[kind])
            if kind == "scale":
                scale = numbers if scale is None else tuple(a * b for a, b in zip(scale, numbers, strict=True))
                if translation is not None:
                    translation = tuple(a * b for a, b in zip(translation, numbers, strict=True))
            else:
                own = own or level
                translation = (
                    numbers if translation is None else tuple(a + b for a, b in zip(translation, numbers, strict=True))
                )
    return scale, translation, own


def _in_sequence(transformations: Any, depth: int = 4) -> Iterator[Any]:
    """Transformations one by one; 0.6 may put them into a sequence."""
    for transformation in transformations:
        if transformation["type"] == "sequence" and depth:
            yield from _in_sequence(transformation["transformations"], depth - 1)
        else:
            yield transformation


def _nothing_to_show(store: Store) -> str:
    if store.document("", "zarr.json") is None and all(
        store.document("", name) is None for name in (".zgroup", ".zattrs", ".zmetadata")
    ):
        return f"{store.where} is no Zarr: it has no zarr.json, .zarray or .zgroup; give the folder that has one"
    found = find_arrays(store)
    if not found:
        return f"{store.where} is a Zarr group without OME-Zarr metadata and without arrays: there is nothing to show"
    places = ", ".join(name_in(store.where, node) for node in found)
    return f"{store.where} is a Zarr group without OME-Zarr metadata: give one of the arrays in it ({places})"
