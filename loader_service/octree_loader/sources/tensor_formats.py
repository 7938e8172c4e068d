"""N5 and Neuroglancer's precomputed volumes, read by tensorstore.

Both count axes the other way round (x first); here they stand as everywhere else: z, y, x, channels before them. Knows
nothing of how chunks are decoded.

Formats: https://github.com/saalfeldlab/n5 and
https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/volume.md
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from octree_loader.sources.allowance import memory_allowance
from octree_loader.sources.assembled import AssembledSource, Placing, assemble
from octree_loader.sources.base import Box, LevelArray, Piece, SourceError
from octree_loader.sources.locations import shown_text
from octree_loader.sources.placement import Numbers, axis_named
from octree_loader.sources.stores import Store, check_node, name_in
from octree_loader.sources.tensor import READS_UNDER_WAY, TensorArray, tensor_context
from octree_loader.sources.tiff import unit_named
from octree_loader.sources.zarr_metadata import STORAGE_CHUNK_BYTES, ArrayMetadata, check_shape, plain_dtype
from octree_protocol import limits
from octree_protocol.geometry import Axis

Index = tuple[int, ...]

_LEVEL = re.compile(r"s(\d{1,3})")


class _Turned(TensorArray):
    """An array whose axes tensorstore has turned round; the format says how files of chunks are called."""

    def __init__(
        self, where: str, metadata: ArrayMetadata, sizes: Callable[[Index], int | None] | None, array: Any
    ) -> None:
        super().__init__(where, metadata, sizes or (lambda _: 0), array)
        self._asks = sizes is not None

    def _has_files(self, box: Box) -> bool:
        return super()._has_files(box) if self._asks else True

    def read(self, pieces: Sequence[Piece]) -> list[bool]:
        """See `base.Source.read`."""
        if self._asks:
            return super().read(pieces)
        # What a shard of this format holds may be deflated, and nothing says how large it is.
        nbytes = (
            sum(out.nbytes for _, out in pieces) + READS_UNDER_WAY * math.prod(self.storage_chunk) * self.dtype.itemsize
        )
        with memory_allowance(nbytes, self.where):
            return super().read(pieces)


def _open(where: str, specification: dict[str, Any]) -> Any:
    import tensorstore

    if specification["kvstore"] is None:
        raise SourceError(
            f"{where} cannot be opened: with an endpoint of one's own, N5 and precomputed volumes on gs:// are only "
            f"read unsigned; set anonymous to true, or leave the endpoint out"
        )
    whole = {"fill_missing_data_reads": False, "recheck_cached_metadata": False, **specification}
    try:
        return tensorstore.open(whole, read=True, context=tensor_context()).result()
    except Exception as error:  # metadata that it cannot make sense of raise anything
        raise SourceError(f"{where} does not open with tensorstore: {shown_text(str(error)[:500])}") from error


def _metadata(where: str, array: Any) -> ArrayMetadata:
    """What `LevelArray` needs, of an array whose axes stand as they are shown."""
    shape = tuple(int(edge) for edge in array.shape)
    check_shape(shape, where)
    dtype = plain_dtype(np.dtype(array.dtype.numpy_dtype), where)
    chunk = tuple(int(edge) for edge in array.chunk_layout.read_chunk.shape)
    if math.prod(chunk) * dtype.itemsize > STORAGE_CHUNK_BYTES or min(chunk) < 1:
        raise SourceError(
            f"{where} has blocks of shape {chunk}, which no worker can decode: write it with smaller ones"
        )
    fill: np.generic = np.zeros((), dtype)[()]  # type: ignore[assignment]  # a scalar
    return ArrayMetadata(2, shape, chunk, None, dtype, fill, None, "", "/")


# --- N5 -------------------------------------------------------------------------------------------------------------


def open_n5(store: Store, options: Placing) -> AssembledSource:
    """Open an N5 dataset, or a group with the levels of one (``s0``, ``s1`` ... or ``multiscales``)."""
    path = store.where
    said = _attributes(store, "")
    if "dimensions" in said:
        scale, translation, axes = _n5_placing(said, {}, len(said["dimensions"]))
        return assemble(path, [_open_n5_array(store, "")], Placing(axes, (scale,), (translation,)), options)
    nodes = _n5_levels(store, said)
    if not nodes:
        found = n5_images(store)
        listed = ", ".join(name_in(path, node) for node in found[:8]) or "none"
        raise SourceError(f"{path} is an N5 group without levels s0, s1 ...: give one of the images in it ({listed})")
    arrays: list[LevelArray] = [_open_n5_array(store, node) for node in nodes]
    rows = [_n5_placing(_attributes(store, node), said, len(arrays[0].shape)) for node in nodes]
    factors = _n5_factors(store, nodes, said, len(arrays[0].shape))
    first = rows[0][0] or (1.0,) * len(arrays[0].shape)
    scales = tuple(
        tuple(f * s for f, s in zip(factor, first, strict=True)) if factor is not None else row[0]
        for row, factor in zip(rows, factors, strict=True)
    )
    return assemble(path, arrays, Placing(rows[0][2], scales, (rows[0][1],)), options)


def is_n5(folder: str) -> bool:
    """Whether a folder is an N5 group or dataset: a plain ``attributes.json`` tells."""
    return os.path.isfile(os.path.join(folder, "attributes.json")) or (
        folder.rstrip("/").endswith(".n5") and os.path.isdir(folder)
    )


def n5_images(store: Store) -> list[str]:
    """Nodes of the images below the root: pyramids, and arrays that belong to none."""
    found: list[str] = []
    budget, level = 1024, [""]
    for _ in range(6):
        below: list[str] = []
        for node in level:
            budget -= 1
            if budget < 0 or len(found) >= limits.DATASETS:
                return found
            said = _attributes(store, node)
            if "dimensions" in said or _n5_levels(store, said, node):
                found.append(node)
            else:
                below += [name_in("", node, child) for child in store.children(node)]
        level = below
    return found


def _attributes(store: Store, node: str) -> Mapping[str, Any]:
    said = store.document(node, "attributes.json")
    return said if isinstance(said, Mapping) else {}


def _n5_levels(store: Store, said: Mapping[str, Any], node: str = "") -> list[str]:
    """Nodes of the levels of a group."""
    try:
        paths = [str(entry["path"]) for entry in said["multiscales"][0]["datasets"]]
        return [name_in("", node, check_node(store.where, path)) for path in paths][: limits.LEVELS]
    except (LookupError, TypeError):
        pass
    numbers = sorted(int(m.group(1)) for child in store.children(node) if (m := _LEVEL.fullmatch(child)))
    if not numbers and store.folder(node) is None:  # a store that may not be able to list
        numbers = list(takewhile(lambda n: _attributes(store, name_in("", node, f"s{n}")), range(limits.LEVELS)))
    levels = [name_in("", node, f"s{number}") for number in numbers]
    return [level for level in levels if "dimensions" in _attributes(store, level)][: limits.LEVELS]


def _open_n5_array(store: Store, node: str) -> LevelArray:
    where = name_in(store.where, node)
    said = _attributes(store, node)
    edges = said.get("blockSize")
    if not isinstance(edges, list) or not all(isinstance(edge, int) and edge > 0 for edge in edges):
        raise SourceError(f"{where} is no N5 dataset: its attributes.json has no blockSize")
    if math.prod(edges) > STORAGE_CHUNK_BYTES:
        raise SourceError(
            f"{where} has blocks of {math.prod(edges)} voxels, which no worker can decode: write it again"
        )
    turned = _open(where, {"driver": "n5", "kvstore": store.kvstore(node)}).T
    sizes = store.sizes(node, "", "/")
    return _Turned(where, _metadata(where, turned), lambda index: sizes(index[::-1]), turned)


def _numbers(value: Any, count: int) -> Numbers | None:
    """Numbers in N5's order of axes, turned round; None if they are none."""
    try:
        numbers = tuple(float(number) for number in value)[::-1]
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if len(numbers) == count and all(math.isfinite(n) and abs(n) < 1e300 for n in numbers) else None


def _n5_placing(
    said: Mapping[str, Any], group: Mapping[str, Any], count: int
) -> tuple[Numbers | None, Numbers | None, tuple[Axis, ...] | None]:
    """Size of a voxel, where the first is, and the axes: COSEM's `transform`, Paintera's `resolution`, BDV's."""
    transform = said.get("transform")
    if isinstance(transform, Mapping) and isinstance(transform.get("axes"), list):
        # COSEM writes these in the order of numpy.
        names, units = [str(name) for name in transform["axes"]], transform.get("units") or []
        axes = tuple(
            axis_named(n, None, str(u)[:64]) for n, u in zip(names, [*units, *[""] * len(names)], strict=False)
        )
        scale, shift = (_numbers(list(reversed(transform.get(key) or [])), count) for key in ("scale", "translate"))
        if len(axes) == count and len({axis.name for axis in axes}) == count:
            return scale, shift, axes
    unit, value = "", next((m[k] for m in (said, group) for k in ("pixelResolution", "resolution") if k in m), None)
    if isinstance(value, Mapping):
        unit, value = unit_named(str(value.get("unit", ""))), value.get("dimensions")
    scale = _numbers(value, count)
    if scale is not None and min(scale) <= 0:
        scale = None
    offset = _numbers(said.get("offset", group.get("offset")), count)
    names = list("tczyx"[-count:]) if count <= 5 else []
    axes = tuple(axis_named(name, None, unit if name in "zyx" else "") for name in names)
    return scale, offset, axes or None


def _n5_factors(store: Store, nodes: list[str], said: Mapping[str, Any], count: int) -> list[Numbers | None]:
    """Downsampling of each level, as it or the group says it."""
    of_group = said.get("downsamplingFactors") or said.get("scales")
    factors = []
    for number, node in enumerate(nodes):
        own = _attributes(store, node).get("downsamplingFactors")
        if own is None and isinstance(of_group, list) and number < len(of_group):
            own = of_group[number]
        factor = _numbers(own, count)
        factors.append(factor if factor is not None and min(factor) > 0 else None)
    return factors


# --- precomputed ----------------------------------------------------------------------------------------------------


def open_precomputed(store: Store, options: Placing) -> AssembledSource:
    """Open a Neuroglancer volume: one image with a level a scale, in nanometres."""
    path = store.where
    said: Any = store.document("", "info")
    try:
        scales = said["scales"]
        channels, kind = int(said["num_channels"]), str(said["type"])
        if not 1 <= len(scales) <= limits.LEVELS:
            raise SourceError(f"{path} has {len(scales)} levels: a pyramid has 1 to {limits.LEVELS}")
        sizes = [tuple(float(n) for n in scale["resolution"])[::-1] for scale in scales]
        offsets = [tuple(float(n) for n in scale.get("voxel_offset", (0, 0, 0)))[::-1] for scale in scales]
        keys = [str(scale["key"]) for scale in scales]
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise SourceError(f"{path}/info is no description of a precomputed volume ({error}): it is damaged") from error
    arrays: list[LevelArray] = []
    for number, key in enumerate(keys):
        where = name_in(path, key)
        store.folder(check_node(path, key))  # it lies below the root, whatever links there are
        array = _open(
            where,
            {
                "driver": "neuroglancer_precomputed",
                "kvstore": store.kvstore(""),
                "scale_index": number,
            },
        )
        origin = array.domain.origin
        turned = array.translate_to[(0,) * array.ndim].T
        if channels == 1:
            turned = turned[0]
        sharded = "sharding" in scales[number]
        metadata = _metadata(where, turned)
        files = None if sharded else _precomputed_sizes(store, key, metadata, tuple(origin))
        arrays.append(_Turned(where, metadata, files, turned))
    axes = tuple(axis_named(name, None, "" if name == "c" else "nanometer") for name in "czyx"[channels == 1 :])
    front = () if channels == 1 else (1.0,)
    # What precomputed calls the origin is the outer edge of voxel 0.
    centres = [
        tuple((o + 0.5) * s for o, s in zip(offset, size, strict=True))
        for offset, size in zip(offsets, sizes, strict=True)
    ]
    known = Placing(
        axes,
        tuple((*front, *size) for size in sizes),
        tuple((*(0.0 for _ in front), *centre) for centre in centres),
        False,
        "labels" if kind == "segmentation" else None,
    )
    return assemble(path, arrays, known, options)


def _precomputed_sizes(store: Store, key: str, metadata: ArrayMetadata, origin: Index) -> Callable[[Index], int | None]:
    """Length of the file of a chunk: ``x0-x1_y0-y1_z0-z1``."""
    sizes = store.sizes(check_node(store.where, key), "", "_")
    shape, chunk = metadata.shape[-3:][::-1], metadata.chunk[-3:][::-1]

    def size(index: Index) -> int | None:
        sides = []
        for i, edge, whole, first in zip(index[-3:][::-1], chunk, shape, origin, strict=False):
            sides.append(f"{first + i * edge}-{first + min((i + 1) * edge, whole)}")
        return sizes(tuple(sides))  # type: ignore[arg-type]  # it only joins them

    return size
