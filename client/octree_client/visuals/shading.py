"""How a tiled image is shaded: what is set of it, checked, and handed to its programs.

Knows nothing of tiles, of pieces, nor of when anything is drawn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from vispy import gloo

from octree_client.looks import BLENDINGS, Blending, Interpolation
from octree_client.texture import TextureKind
from octree_client.visuals.blending import shader_opacity
from octree_client.visuals.programs import Programs, QuadBuffer
from octree_client.visuals.quads import FADING_VERTEX, VERTEX
from octree_client.visuals.variants import Switches

#: Entries of a colour map, at most: every OpenGL has textures of this width.
COLORMAP_ENTRIES = 2048


class Shading:
    """The appearance of one layer; `TiledImage` draws with it.

    Parameters
    ----------
    kind
        How the data's dtype stands in a texture.
    """

    def __init__(self, kind: TextureKind) -> None:
        self.kind = kind
        self._contrast_limits = (kind.low, kind.high)
        self._gamma = 1.0
        self._opacity = 1.0
        self._contour = 0
        self._blending: Blending = "translucent"
        self._interpolation: Interpolation = "nearest"
        self._overlay = False
        self._pixel_ratio = 1.0
        self._quads, self._fading_quads = QuadBuffer(VERTEX), QuadBuffer(FADING_VERTEX)
        self._programs = Programs(kind, self._quads, self._fading_quads)
        self._colormap: NDArray[np.uint8] = np.empty((0, 4), np.uint8)
        self._colormap_texture: Any = None
        grey = np.arange(256, dtype=np.uint8)
        self.colormap = np.stack([grey, grey, grey, np.full(256, 255, np.uint8)], axis=1)
        self._programs.set("u_colormap", self._colormap_texture)
        self._programs.set("u_contrast", self._contrast())
        for name in ("u_gamma", "u_opacity", "u_pixel"):
            self._programs.set(name, 1.0)
        if kind.labels:
            self.show_labels(0, None)

    def set_range(self, low: float, high: float) -> None:
        """Data values that colours of floats are stored between, and shown between, from the next upload on."""
        self.kind = replace(self.kind, low=low, high=high)
        self.contrast_limits = (low, high)

    @property
    def looks_beyond(self) -> bool:
        """Whether a fragment's colour depends on voxels of the chunks around its own."""
        return (self._interpolation == "linear" and not self.kind.labels) or self._contour > 0

    @property
    def contrast_limits(self) -> tuple[float, float]:
        """Data values of the colour map's first and last entry; the first may be the larger one."""
        return self._contrast_limits

    @contrast_limits.setter
    def contrast_limits(self, limits: tuple[float, float]) -> None:
        low, high = (float(v) for v in limits)
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError(f"contrast limits must be finite, not {limits}")
        self._contrast_limits = (low, high)
        self._programs.set("u_contrast", self._contrast())

    @property
    def gamma(self) -> float:
        """Exponent applied between the contrast limits, above 0."""
        return self._gamma

    @gamma.setter
    def gamma(self, gamma: float) -> None:
        if not 0.0 < gamma < float("inf"):
            raise ValueError(f"gamma must be above 0, not {gamma}")
        self._gamma = float(gamma)
        self._programs.set("u_gamma", self._gamma)

    @property
    def colormap(self) -> NDArray[np.uint8]:
        """The colour map, (n, 4) uint8; it may be set as float 0 .. 1 too, and with 2 to 2048 entries.

        Entry ``round(v * (n - 1))`` is the colour of ``v``, 0 .. 1 between the contrast limits. Colours ignore it.
        """
        return self._colormap.copy()

    @colormap.setter
    def colormap(self, entries: ArrayLike) -> None:
        table = np.asarray(entries)
        if table.ndim != 2 or table.shape[1] != 4 or not 2 <= len(table) <= COLORMAP_ENTRIES:
            raise ValueError(f"a colour map has shape (n, 4) with n from 2 to {COLORMAP_ENTRIES}, not {table.shape}")
        if table.dtype.kind == "f":
            table = np.rint(np.clip(table, 0.0, 1.0) * 255.0)
        self._colormap = table.astype(np.uint8)
        row = self._colormap[None].copy()
        if self._colormap_texture is None:
            self._colormap_texture = gloo.Texture2D(
                row, interpolation="nearest", wrapping="clamp_to_edge", internalformat="rgba8"
            )
        else:
            self._colormap_texture.set_data(row)
        self._programs.set("u_entries", float(len(table)))

    @property
    def interpolation(self) -> Interpolation:
        """Between voxels: ``nearest``, or ``linear`` without seams at any chunk's border."""
        return self._interpolation

    @interpolation.setter
    def interpolation(self, interpolation: Interpolation) -> None:
        if interpolation not in ("nearest", "linear"):
            raise ValueError(f"interpolation is 'nearest' or 'linear', not {interpolation!r}")
        self._interpolation = interpolation

    def show_labels(self, contour: int, only: int | None) -> None:
        """How labels are drawn.

        Parameters
        ----------
        contour
            Pixels of their outlines, within each; 0 fills them.
        only
            The one that is drawn alone, as `texture.folded_labels` makes it; None for all.
        """
        self._contour = contour
        number = 0 if only is None else only
        self._programs.set("u_selected", tuple(float(number >> shift & 0xFF) for shift in (0, 8, 16, 24)))
        self._programs.set("u_selection", float(only is not None))
        self._programs.set("u_contour", float(contour))

    @property
    def opacity(self) -> float:
        """0 (nothing to be seen) .. 1."""
        return self._opacity

    @opacity.setter
    def opacity(self, opacity: float) -> None:
        if not 0.0 <= opacity <= 1.0:
            raise ValueError(f"opacity is 0 .. 1, not {opacity}")
        self._opacity = float(opacity)
        self._programs.set("u_opacity", shader_opacity(self._blending, self._opacity))

    @property
    def blending(self) -> Blending:
        """How it is mixed with what is below; see `looks.Look`."""
        return self._blending

    @blending.setter
    def blending(self, blending: Blending) -> None:
        if blending not in BLENDINGS:
            raise ValueError(f"blending is one of {', '.join(BLENDINGS)}, not {blending!r}")
        self._blending = blending
        self._programs.set("u_opacity", shader_opacity(blending, self._opacity))

    @property
    def pixel_ratio(self) -> float:
        """Physical pixels a logical one: lines are as thick on every screen."""
        return self._pixel_ratio

    @pixel_ratio.setter
    def pixel_ratio(self, ratio: float) -> None:
        if ratio != self._pixel_ratio:
            self._pixel_ratio = ratio
            self._programs.set("u_pixel", ratio)

    @property
    def overlay(self) -> bool:
        """Whether pieces are tinted by status and level difference, with the outlines of their chunks."""
        return self._overlay

    @overlay.setter
    def overlay(self, overlay: bool) -> None:
        self._overlay = bool(overlay)

    def switches(self, lowest: bool, fades: bool = False) -> Switches:
        """What of it picks programs and blend states; parameters as of `variants.Switches`."""
        labels = self.kind.labels
        return Switches(
            linear=self._interpolation == "linear" and not labels,
            gamma=self._gamma != 1.0 and not labels,
            overlay=self._overlay,
            contour=self._contour > 0,
            blending=self._blending,
            lowest=lowest,
            fades=fades,
        )

    def _contrast(self) -> tuple[float, float]:
        low, high = (self.kind.to_texel_units(v) for v in self._contrast_limits)
        # Equal limits make a step: what is above is the last entry, the rest the first.
        return low, 1.0 / (high - low) if high != low else 1.0e30
