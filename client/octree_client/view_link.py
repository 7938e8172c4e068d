"""From a viewer to a link and back. Imports neither Qt nor vispy; what a link may say is decided by `links`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from octree_client.links import LayerLink, ViewLink

if TYPE_CHECKING:
    from octree_client.viewer import Viewer


def link_of(viewer: Viewer) -> ViewLink:
    """What a viewer shows, as a link's content."""
    shown, camera, dims = viewer.layers[0], viewer.camera, viewer.dims
    source, address = shown.image.session.place(shown.image.name)
    layer = LayerLink(
        source=source,
        address=address,
        dataset=shown.image.name,
        opacity=shown.opacity,
        contrast=None if shown.auto_contrast else shown.contrast_limits,
        gamma=shown.gamma,
        colormap=shown.colormap,
        interpolation=shown.interpolation,
    )
    point = {axis: float(dims.index(axis)) for axis in dims.hidden}
    return ViewLink((layer,), camera.center, camera.pixel_size, dims.displayed, point)


def show_link(viewer: Viewer, link: ViewLink) -> None:
    """Have a viewer show its image as a link says. What the link says of other images, or wrongly, is left out."""
    from octree_client.colormaps import UnknownColormap

    layer, shown = link.layers[0], viewer.layers[0]
    shown.opacity, shown.gamma = layer.opacity, layer.gamma
    if layer.contrast is not None:
        shown.contrast_limits = layer.contrast
    if layer.colormap:
        with suppress(UnknownColormap):
            shown.colormap = layer.colormap
    if layer.interpolation in ("nearest", "linear"):
        shown.interpolation = layer.interpolation  # type: ignore[assignment]
    for axis in viewer.dims.hidden:
        if axis in link.point:
            viewer.dims.set_index(axis, round(link.point[axis]))
    viewer.set_view(link.center, link.pixel_size)
