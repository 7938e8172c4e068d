"""From a viewer to a link and back. Imports neither Qt nor vispy; what a link may say is decided by `links`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from octree_client.contrast import QUANTILES
from octree_client.links import LayerLink, ViewLink
from octree_client.places import Place, place_of, place_of_image

if TYPE_CHECKING:
    from octree_client.layer import ImageLayer
    from octree_client.session import Image
    from octree_client.viewer import Viewer

#: Looks that a link has under the names that layers have for them.
_LOOKS = ("visible", "opacity", "gamma", "overlay", "contour", "seed", "level_lock", "quality")


def link_of(viewer: Viewer) -> ViewLink:
    """What a viewer shows, as a link's content. Raises `BadLink` where an image cannot be found again."""
    camera, dims = viewer.camera, viewer.dims
    return ViewLink(
        tuple(_layer_link(layer) for layer in viewer.layers),
        camera.center,
        camera.pixel_size,
        dims.displayed,
        {axis: float(world) for axis, world in dims.point.items()},
    )


def _layer_link(layer: ImageLayer) -> LayerLink:
    place = place_of_image(layer.image)
    looks: dict[str, Any] = {name: getattr(layer, name) for name in _LOOKS}
    return LayerLink(
        **place._asdict(),
        **looks,
        channel=layer.channel,
        name=layer.name,
        kind=layer.kind,
        blending=layer.blending,
        contrast=_limits(layer),
        colormap=layer.colormap if layer.kind == "image" else "",
        interpolation=layer.interpolation,
        quantiles=layer.auto_quantiles if layer.kind == "image" and layer.auto_quantiles != QUANTILES else None,
        selected=layer.selected_label,
        alone=layer.show_selected_only,
    )


def _limits(layer: ImageLayer) -> tuple[float, float] | None:
    """The limits that the picture has. Automatic ones too: they follow what is seen first, and are others elsewhere."""
    if layer.kind == "labels" or (layer.auto_contrast and (layer.kind == "rgb" or layer.contrast.limits is None)):
        return None
    return layer.contrast_limits


def show_link(viewer: Viewer, link: ViewLink, images: Mapping[Place, Image]) -> None:
    """Have a viewer show what a link says, instead of what it shows.

    Layers of images that are not among `images` are left out, and so is whatever a link says wrongly.
    """
    viewer.layers.clear()
    for layer in link.layers:
        image = images.get(place_of(layer))
        if image is not None:
            _add(viewer, image, layer)
    if not len(viewer.layers):
        return
    dims = viewer.dims
    if link.displayed is not None:
        with suppress(ValueError):
            dims.set_displayed(*link.displayed)
    for axis, world in link.point.items():
        with suppress(ValueError):
            dims.set_point(axis, world)
    viewer.home()
    viewer.set_view(link.center, link.pixel_size)


def _add(viewer: Viewer, image: Image, layer: LayerLink) -> None:
    from octree_client.colormaps import UnknownColormap

    channel = layer.channel if layer.channel is not None else "merged"
    try:
        (shown,) = viewer.add(image, channel=channel, name=layer.name or None, kind=layer.kind or None)  # type: ignore[arg-type]
    except ValueError:
        (shown,) = viewer.add(image, channel="merged")
    if layer.name:
        shown.name = layer.name  # a channel's has the image's name before it
    looks: dict[str, Any] = {name: getattr(layer, name) for name in _LOOKS} | {
        "blending": layer.blending or None,
        "colormap": layer.colormap or None,
        "interpolation": layer.interpolation or None,
        "auto_quantiles": layer.quantiles,
        "contrast_limits": layer.contrast,
        "selected_label": layer.selected,
        "show_selected_only": layer.alone,
    }
    for name, value in looks.items():
        if value is not None:
            with suppress(ValueError, UnknownColormap):
                setattr(shown, name, value)
