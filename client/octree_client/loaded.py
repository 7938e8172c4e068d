"""Which places of an axis could be shown at once: what lies in VRAM, or in its slot. Reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from octree_client.camera import Camera
from octree_client.dims import Dims
from octree_client.layer import ImageLayer
from octree_client.placing import position_at
from octree_client.plane_grid import visible_cells
from octree_client.slices import KeyTemplate

#: Places that are looked at; of longer axes, so many at even distances.
_PLACES_MOST = 256


def loaded_places(layers: Iterable[ImageLayer], dims: Dims, camera: Camera, axis: str) -> NDArray[np.float64]:
    """See `Viewer.loaded`."""
    count = dims.count(axis)
    looked_at = np.unique(np.linspace(0, count - 1, min(count, _PLACES_MOST)).round().astype(int))
    there, cells = np.zeros(len(looked_at)), np.zeros(len(looked_at))
    low, _, step = dims.ranges[axis]
    point = dims.point
    for layer in layers:
        pager = layer.pager
        if not pager.active or pager.ideal is None:
            continue
        row0, col0, row1, col1 = visible_cells(pager.levels, pager.ideal, camera.view())
        chunks = [(pager.ideal, row, col) for row in range(row0, row1) for col in range(col0, col1)]
        known: dict[tuple[int, ...] | None, int] = {}
        for number, index in enumerate(looked_at):
            place = position_at(pager.dataset, pager.plane, point | {axis: low + index * step}, layer.fixed)
            if place is None:
                continue
            if place not in known:
                resident, ready = pager.atlas.tiles.resident(place), pager.heard.ready
                lacking = [chunk for chunk in chunks if chunk not in resident]
                found = len(chunks) - len(lacking)
                if lacking and ready:
                    key = KeyTemplate(pager.dataset, place, pager.plane).key
                    found += sum(1 for chunk in lacking if key(chunk) in ready)
                known[place] = found
            there[number] += known[place]
            cells[number] += len(chunks)
    shares = there / np.maximum(cells, 1.0)
    nearest = np.searchsorted(looked_at, np.arange(count), side="right") - 1
    result: NDArray[np.float64] = shares[nearest]
    return result
