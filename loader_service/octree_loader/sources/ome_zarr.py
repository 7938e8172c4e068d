"""OME-Zarr pyramids: what the ``multiscales`` metadata say of levels and axes.

Versions 0.4 (Zarr v2) and 0.5 (Zarr v3), and what older ones leave out. Specification:
https://ngff.openmicroscopy.org/0.5/#multiscale-md. Knows nothing of how chunks are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from octree_loader.sources.assembled import AssembledSource, Placing, assemble
from octree_loader.sources.base import SourceError
from octree_loader.sources.placement import Numbers, axis_named
from octree_loader.sources.stores import Store, find_arrays, name_in
from octree_loader.sources.zarr_array import open_array, read_metadata
from octree_protocol import limits
from octree_protocol.geometry import Axis


def open_zarr(store: Store, options: Placing) -> AssembledSource:
    """Open what lies at the root of a store: a pyramid with OME metadata, or a single array."""
    if read_metadata(store, "") is not None:
        array, metadata = open_array(store, "")
        names = None if metadata.names is None else tuple(axis_named(name) for name in metadata.names)
        return assemble(store.where, [array], Placing(names), options)
    multiscales = find_multiscales(store)
    if multiscales is None:
        raise SourceError(_nothing_to_show(store))
    return open_multiscales(store, multiscales, options)


def find_multiscales(store: Store) -> Any | None:
    """The ``multiscales`` metadata of a store's root, or None."""
    document = store.document("", "zarr.json")
    if document is not None:
        attributes = document.get("attributes") if isinstance(document, Mapping) else None
    else:
        attributes = store.document("", ".zattrs")
    if not isinstance(attributes, Mapping):
        return None
    ome = attributes.get("ome")
    return (ome.get("multiscales") if isinstance(ome, Mapping) else None) or attributes.get("multiscales")


def open_multiscales(store: Store, multiscales: Any, options: Placing) -> AssembledSource:
    """Open the first pyramid that `multiscales` describes."""
    try:
        image = multiscales[0]
        datasets = image["datasets"]
        if not 1 <= len(datasets) <= limits.LEVELS:
            raise SourceError(f"{store.where} has {len(datasets)} levels: a pyramid has 1 to {limits.LEVELS}")
        axes = _axes(image.get("axes"))
        outer = image.get("coordinateTransformations") or []
        paths = [str(dataset["path"]) for dataset in datasets]
        placed = [_place(dataset.get("coordinateTransformations") or [], outer) for dataset in datasets]
    except SourceError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SourceError(
            f"{store.where} has OME-Zarr metadata that cannot be understood ({type(error).__name__}: {error}): "
            f"they are damaged, or of a version other than 0.4 and 0.5"
        ) from error
    arrays = [open_array(store, path)[0] for path in paths]
    scales = tuple(scale for scale, _, _ in placed)
    # A translation that belongs to all levels says where the image lies, not how levels lie to each other.
    explicit = any(own for _, _, own in placed)
    translations = tuple(translation for _, translation, _ in placed) if explicit else (placed[0][1],)
    return assemble(store.where, arrays, Placing(axes, scales, translations), options)


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
        for transformation in transformations:
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
