"""From a viewer to a link and back. Imports neither Qt nor vispy; what a link may say is decided by `links`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from octree_client import session as sessions
from octree_client.contrast import QUANTILES
from octree_client.links import LayerLink, ViewLink

if TYPE_CHECKING:
    from octree_client.layer import ImageLayer
    from octree_client.session import Image, Session
    from octree_client.viewer import Viewer


class Place(NamedTuple):
    """Where an image is found: a path or URL; or a daemon's address and a name."""

    source: str
    address: str
    dataset: str

    @property
    def text(self) -> str:
        """As people read it."""
        return self.source or f"{self.dataset} at {self.address}"


def place_of(layer: LayerLink) -> Place:
    """Where a layer's image is."""
    return Place(layer.source, layer.address, layer.dataset if layer.address else "")


def open_place(place: Place) -> Session:
    """A session with what is at a place. May take its time; raises as `session.open` and `session.connect`."""
    return sessions.open(place.source) if place.source else sessions.connect(place.address)


def image_at(place: Place) -> Callable[[Session], Image]:
    """What takes the image of a place from its session."""
    return lambda session: session.dataset(place.dataset or None)


def link_of(viewer: Viewer) -> ViewLink:
    """What a viewer shows, as a link's content."""
    camera, dims = viewer.camera, viewer.dims
    return ViewLink(
        tuple(_layer_link(layer) for layer in viewer.layers),
        camera.center,
        camera.pixel_size,
        dims.displayed,
        {axis: float(world) for axis, world in dims.point.items()},
    )


def _layer_link(layer: ImageLayer) -> LayerLink:
    source, address = layer.image.session.place(layer.image.name)
    return LayerLink(
        source=source,
        address=address,
        dataset=layer.image.name,
        channel=layer.channel,
        name=layer.name,
        kind=layer.kind,
        visible=layer.visible,
        opacity=layer.opacity,
        blending=layer.blending,
        contrast=None if layer.auto_contrast or layer.kind == "labels" else layer.contrast_limits,
        gamma=layer.gamma,
        colormap=layer.colormap if layer.kind == "image" else "",
        interpolation=layer.interpolation,
        quantiles=layer.auto_quantiles if layer.kind == "image" and layer.auto_quantiles != QUANTILES else None,
        contour=layer.contour,
        seed=layer.seed,
        selected=layer.selected_label,
        alone=layer.show_selected_only,
    )


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
    looks = {
        "visible": layer.visible,
        "opacity": layer.opacity,
        "gamma": layer.gamma,
        "blending": layer.blending or None,
        "contrast_limits": layer.contrast,
        "colormap": layer.colormap or None,
        "interpolation": layer.interpolation or None,
        "auto_quantiles": layer.quantiles,
        "contour": layer.contour,
        "seed": layer.seed,
        "selected_label": layer.selected,
        "show_selected_only": layer.alone,
    }
    for name, value in looks.items():
        if value is not None:
            with suppress(ValueError, UnknownColormap):
                setattr(shown, name, value)
