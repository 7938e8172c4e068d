"""How what was opened is shown at first, as a command line or a link asks for it. Imports neither Qt nor vispy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from octree_client.links import ViewLink
from octree_client.opening import Opened
from octree_client.view_link import show_link

if TYPE_CHECKING:
    from octree_client.viewer import Viewer


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """How images are shown at first; None leaves the viewer's own choice. `center`, `pixel_size`: world units."""

    center: tuple[float, float] | None = None
    pixel_size: float | None = None
    colormap: str | None = None
    contrast: tuple[float, float] | None = None
    interpolation: str | None = None
    link: ViewLink | None = None

    @property
    def says_where(self) -> bool:
        """Whether they say where one is, so that nobody else shall."""
        return self.center is not None or self.pixel_size is not None or self.link is not None

    def show(self, viewer: Viewer, opened: Opened) -> None:
        """Have a viewer that is empty show it so."""
        if self.link is not None:
            show_link(viewer, self.link, opened.places)
        else:
            for image in opened.images:
                viewer.add(image)
            if len(opened.images) > 1:
                viewer.home()
        for layer in viewer.layers:
            if self.colormap is not None:
                layer.colormap = self.colormap
            if self.contrast is not None:
                layer.contrast_limits = self.contrast
            if self.interpolation is not None:
                layer.interpolation = self.interpolation  # type: ignore[assignment]
        if self.center is not None or self.pixel_size is not None:
            viewer.set_view(self.center, self.pixel_size)
