"""Puts what is drawn of a layer into its look.

Tables of colours are made and uploaded anew only where they change; all the rest costs nothing to say again. Knows
nothing of who sets the look, of the data, or of where the contrast comes from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from octree_client.colormaps import colormap_table, label_table
from octree_client.looks import LayerKind, Look
from octree_client.texture import folded_labels
from octree_client.visuals.tiled_image import TiledImage


class Dressing:
    """What a layer's visuals are dressed by.

    Parameters
    ----------
    kind
        Of the layer.
    dtype
        Of its data.
    """

    def __init__(self, kind: LayerKind, dtype: np.dtype[Any]) -> None:
        self._kind = kind
        self._dtype = dtype
        self._coloured: tuple[TiledImage, str | int] | None = None

    def dress(self, visual: TiledImage, look: Look) -> None:
        """Show a visual as the look says. Colours keep the visual's own contrast while theirs is automatic."""
        if self._kind == "image":
            if self._coloured != (visual, look.colormap):
                visual.colormap = colormap_table(look.colormap)
                self._coloured = (visual, look.colormap)
            visual.contrast_limits = look.contrast_limits
        elif self._kind == "labels":
            if self._coloured != (visual, look.seed):
                visual.colormap = label_table(look.seed)
                self._coloured = (visual, look.seed)
            only = look.selected_label if look.show_selected_only else None
            visual.show_labels(look.contour, None if only is None else self._folded(only))
        elif not look.auto_contrast:
            visual.contrast_limits = look.contrast_limits
        visual.gamma = look.gamma
        visual.opacity = look.opacity
        visual.blending = look.blending
        visual.interpolation = look.interpolation
        visual.overlay = look.overlay

    def _folded(self, label: int) -> int:
        """A label as the shader knows it."""
        try:
            return int(folded_labels(np.array([label], self._dtype))[0])
        except OverflowError:
            return 0  # the dtype has no such number, so that no voxel is drawn: 0 is never
