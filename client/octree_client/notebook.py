"""What notebooks show of an image and of a layer: a few facts, and a small picture. Imports neither Qt nor vispy.

Knows nothing of Jupyter: its objects ask theirs for ``_repr_html_``, and a viewer for ``_repr_png_``.
"""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octree_client.picture_file import png_bytes
from octree_client.readout import shape_text, unit_sign
from octree_client.thumbnail import coloured, label_colours, thumbnail_index, thumbnail_level
from octree_protocol.errors import OctreeError
from octree_protocol.geometry import Dataset, Level

if TYPE_CHECKING:
    from octree_client.layer import ImageLayer
    from octree_client.session import Image

#: Pixels of a small picture's longer edge.
_LONGEST = 192


def image_html(image: Image) -> str:
    """Axes, dtype and levels of an image, as HTML."""
    facts = [("axes", _axes_text(image.dataset)), ("dtype", str(image.dtype))]
    facts += [
        (f"level {number}", f"{shape_text(level.shape)} voxels, {_voxel_text(image.dataset, level)}")
        for number, level in enumerate(image.dataset.levels)
    ]
    return _card(image.name, facts, "")


def layer_html(layer: ImageLayer) -> str:
    """How a layer is set, and a small picture of the plane that it shows, as HTML."""
    facts = [("kind", layer.kind + ("" if layer.channel is None else f", channel {layer.channel}"))]
    facts += [("dtype", str(np.dtype(layer.dataset.dtype))), ("axes", _axes_text(layer.dataset))]
    if layer.kind == "image":
        low, high = layer.contrast_limits
        facts += [("contrast", f"{low:g} to {high:g}{' (automatic)' if layer.auto_contrast else ''}")]
        facts += [("colour map", layer.colormap)]
    facts += [("blending", f"{layer.blending}, opacity {layer.opacity:g}{'' if layer.visible else ', hidden'}")]
    try:
        data = b64encode(png_bytes(_small_picture(layer))).decode()
        picture = f'<img src="data:image/png;base64,{data}" alt="{escape(layer.name)}">'
    except (OctreeError, TimeoutError, OSError) as error:
        picture = f"<i>no picture: {escape(str(error))}</i>"
    return _card(layer.name, facts, picture)


def _small_picture(layer: ImageLayer) -> NDArray[np.uint8]:
    """(h, w, 4) uint8 of the plane that a layer shows, from a coarse level; reads it, so it may take its time."""
    from octree_client.colormaps import colormap_table, label_table

    image, plane, position = layer.image, layer.pager.plane, layer.pager.position
    number, step = thumbnail_level([level.shape for level in image.levels], plane, _LONGEST)
    values: NDArray[Any] = image.levels[number][thumbnail_index(image.dataset, number, plane, position, step)]
    if plane[0] > plane[1]:
        values = values.swapaxes(0, 1)
    if layer.kind == "labels":
        return label_colours(values, label_table(layer.seed))
    table = None if layer.kind == "rgb" else colormap_table(layer.colormap)
    return coloured(values, layer.contrast_limits, layer.gamma, table)


def _axes_text(dataset: Dataset) -> str:
    return ", ".join(f"{axis.name} {size:,}" for axis, size in zip(dataset.axes, dataset.levels[0].shape, strict=True))


def _voxel_text(dataset: Dataset, level: Level) -> str:
    sizes = (
        f"{axis.name} {scale:g} {unit_sign(axis.unit)}".strip()
        for axis, scale in zip(dataset.axes, level.scale, strict=True)
        if axis.kind == "space"
    )
    return f"each {' × '.join(sizes)}"


def _card(title: str, facts: list[tuple[str, str]], picture: str) -> str:
    rows = "".join(
        f"<tr><td style='text-align:left; opacity:0.7'>{escape(what)}</td>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for what, value in facts
    )
    table = f"<table><caption style='text-align:left'><b>{escape(title)}</b></caption>{rows}</table>"
    return f"<div style='display:flex; gap:1em; align-items:center'>{picture}{table}</div>"
