"""From a viewer to a link and back. Imports neither Qt nor vispy; what a link may say is decided by `links`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from octree_client.links import LayerLink, ViewLink

if TYPE_CHECKING:
    from octree_client.viewer import Viewer


def link_of(viewer: Viewer) -> ViewLink:
    """What a viewer shows, as a link's content."""
    image, camera = viewer.image, viewer.camera
    source, address = viewer.session.place(image.name)
    down, across = image.dataset.displayed()
    layer = LayerLink(
        source=source,
        address=address,
        dataset=image.name,
        opacity=viewer.opacity,
        contrast=None if viewer.auto_contrast else viewer.contrast_limits,
        gamma=viewer.gamma,
        colormap=viewer.colormap,
        interpolation=viewer.interpolation,
    )
    point = {image.axes[axis]: float(index) for axis, index in enumerate(viewer.position)}
    return ViewLink((layer,), camera.center, camera.pixel_size, (image.axes[down], image.axes[across]), point)


def show_link(viewer: Viewer, link: ViewLink) -> None:
    """Have a viewer show its image as a link says. What the link says of other images, or wrongly, is left out."""
    from octree_client.colormaps import UnknownColormap

    layer = link.layers[0]
    viewer.opacity, viewer.gamma = layer.opacity, layer.gamma
    if layer.contrast is not None:
        viewer.contrast_limits = layer.contrast
    if layer.colormap:
        with suppress(UnknownColormap):
            viewer.colormap = layer.colormap
    if layer.interpolation in ("nearest", "linear"):
        viewer.interpolation = layer.interpolation
    position = list(viewer.position)
    for axis, name in enumerate(viewer.image.axes[: len(position)]):
        if name in link.point:
            position[axis] = min(max(round(link.point[name]), 0), viewer.image.shape[axis] - 1)
    viewer.position = tuple(position)
    viewer.set_view(link.center, link.pixel_size)
