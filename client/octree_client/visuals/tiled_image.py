"""The tiled image: pieces of the screen drawn from one atlas in one draw call.

A thin layer over gloo's Program, not a scene node: what changes from frame to frame is one vertex buffer. Programs,
textures and the index buffer stay as they are when tiles come and go; contrast, gamma, opacity and colour map are
uniforms. Knows nothing of where tiles come from or which to evict, nor of windows; it draws into the canvas whose frame
is being drawn, over what is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from vispy import gloo
from vispy.gloo.context import get_current_canvas

from octree_client.camera import Camera, PlaneLevel
from octree_client.cover import Piece, PlaneChunk, Resident
from octree_client.looks import BLENDINGS, Blending, Interpolation
from octree_client.texture import AtlasTexture, TextureKind
from octree_client.visuals.blending import blend_state
from octree_client.visuals.quads import NO_DATA, VERTEX, LevelArrays, build_quads, triangle_indices
from octree_client.visuals.shaders import VERTEX_SHADER, bare_shader, fragment_shader
from octree_client.visuals.texture_copy import copy_parts
from octree_protocol.keys import CellStatus

_STATUSES = {"MISSING": int(CellStatus.MISSING), "FAILED": int(CellStatus.FAILED), "NO_DATA": NO_DATA}

#: Switches of a program that draws what there is no data of; the others have more.
_BARE_KEY = 2

#: Entries of a colour map, at most: every OpenGL has textures of this width.
COLORMAP_ENTRIES = 2048


class TiledImage:
    """One layer.

    Parameters
    ----------
    levels
        Of the dataset, as in `camera.plane_levels`.
    tile_shape
        (down, across) in texels; no chunk of any level is larger.
    kind
        How the data's dtype stands in a texture.
    atlas_grid
        (rows, columns) of the atlas, as from `texture.atlas_grid`.

    Notes
    -----
    Create it, upload and set frames at any time; GL is touched only by `draw`, in a frame of the canvas. It belongs to
    the first canvas that draws it.
    """

    def __init__(
        self,
        levels: Sequence[PlaneLevel],
        tile_shape: tuple[int, int],
        kind: TextureKind,
        atlas_grid: tuple[int, int],
    ) -> None:
        self.kind = kind
        self.atlas = AtlasTexture(tile_shape, kind, atlas_grid)
        self._levels = LevelArrays(levels)
        self._contrast_limits = (kind.low, kind.high)
        self._gamma = 1.0
        self._opacity = 1.0
        self._blending: Blending = "translucent"
        self._interpolation: Interpolation = "nearest"
        self._overlay = False
        self._fade = False
        self._frame: tuple[Sequence[Piece], Resident, int, Camera] | None = None
        self._count = self._bare = 0
        self._bare_indices: Any = None
        self._capacity = 0
        self._vertices: Any = None
        self._index_array = triangle_indices(0)
        self._indices: Any = None
        self._indexed = -1
        self._contour = 0
        self._programs: dict[tuple[int, ...], Any] = {}
        self._colormap: NDArray[np.uint8] = np.empty((0, 4), np.uint8)
        self._colormap_texture: Any = None
        self._uniforms: dict[str, Any] = {
            "u_texel": self._texel(),
            "u_grid": (self.atlas.columns, 1.0 / self.atlas.columns, tile_shape[1], tile_shape[0]),
        }
        grey = np.arange(256, dtype=np.uint8)
        self.colormap = np.stack([grey, grey, grey, np.full(256, 255, np.uint8)], axis=1)
        self._set("u_contrast", self._contrast())
        self._set("u_gamma", 1.0)
        self._set("u_opacity", 1.0)
        if kind.labels:
            self._set("u_selected", (0.0, 0.0, 0.0, 0.0))
            self._set("u_selection", 0.0)
            self._set("u_contour", 0.0)

    # --- tiles and frames ---

    def set_range(self, low: float, high: float) -> None:
        """Data values that colours of floats are stored between, and shown between, from the next upload on."""
        self.kind = self.atlas.kind = replace(self.kind, low=low, high=high)
        self.contrast_limits = (low, high)

    def upload(self, tile: int, data: NDArray[Any]) -> None:
        """Put a chunk's data into a tile at the next draw; see `texture.AtlasTexture.upload`."""
        self.atlas.upload(tile, data)

    def set_frame(
        self,
        pieces: Sequence[Piece],
        resident: Resident,
        ideal_level: int,
        camera: Camera,
        fades: Mapping[PlaneChunk, float] | None = None,
    ) -> None:
        """What the next draws show.

        Parameters
        ----------
        pieces
            A tiling of the visible image; drawn in this order, nothing upon anything else.
        resident
            Tiles by chunk, as they are when this is called: linear interpolation looks into neighbouring tiles. A
            MISSING piece's tile must be filled with the fill value over the whole chunk.
        ideal_level
            What the overlay counts level differences from.
        camera
            The view; its canvas is the size of the canvas drawn into.
        fades
            How far chunks of FINAL pieces have faded in, 0 .. 1; the overlay and fades exclude each other.
        """
        fades = None if self._overlay else fades
        self._fade = bool(fades)
        self._frame = (pieces, resident, ideal_level, camera)
        bare = [piece for piece in pieces if piece[2] < 0]
        drawn = [piece for piece in pieces if piece[2] >= 0] if bare else pieces
        quads = build_quads(
            [*drawn, *bare] if bare else pieces,
            resident,
            self._levels,
            ideal_level,
            camera,
            self.atlas.tile_shape,
            self.atlas.columns,
            neighbours=self._interpolation == "linear" or self._contour > 0,
            fades=fades,
        )
        self._count, self._bare = len(drawn), len(bare)
        if self._count + self._bare > self._capacity:
            self._grow(self._count + self._bare)
        if self._count + self._bare:
            self._vertices.set_subdata(quads)

    def draw(self, lowest: bool = False) -> None:
        """Send what was uploaded, and draw the frame. Within a frame of a canvas.

        Parameters
        ----------
        lowest
            Nothing but the background was drawn before: see `blending.blend_state`.
        """
        context = get_current_canvas().context
        if self._count + self._bare == 0:
            context.glir.associate(self.atlas.texture.glir)
            context.flush_commands()
            return
        state = blend_state(self._blending, lowest)
        context.set_blend_equation(state.equation)
        context.set_blend_func(*state.factors)
        if self._count:
            if self._indexed != self._count:
                self._indices.set_data(self._index_array[: 6 * self._count])
                self._indexed = self._count
            self._program(state.mode).draw("triangles", self._indices)
        if self._bare:
            if self._bare_indices is None:
                self._bare_indices = gloo.IndexBuffer()
            self._bare_indices.set_data(self._index_array[6 * self._count : 6 * (self._count + self._bare)])
            self._bare_program(state.mode).draw("triangles", self._bare_indices)

    def resize(self, rows: int, moves: Sequence[tuple[int, int]]) -> bool:
        """Have another number of rows of tiles. Within a frame of a canvas.

        Parameters
        ----------
        moves
            (tile before, tile now) of what has another place; the other tiles keep what they hold, as far as the new
            atlas has them.

        Returns
        -------
        bool
            Whether the tiles' content is there; where OpenGL cannot copy it, every tile has to be uploaded again.
        """
        context = get_current_canvas().context
        old = self.atlas
        new = AtlasTexture(old.tile_shape, self.kind, (rows, old.columns))
        for texture in (old.texture, new.texture):
            context.glir.associate(texture.glir)
        context.flush_commands()
        old.flushed()
        height, width = old.tile_shape
        parts = [((0, 0), (0, 0), (min(rows, old.rows) * height, old.columns * width))]
        parts += [(old.corner(source), new.corner(target), (height, width)) for source, target in moves]
        copied = copy_parts(context, old.texture, new.texture, parts)
        self.atlas = new
        for key, program in self._programs.items():
            if len(key) > _BARE_KEY:
                program["u_atlas"] = new.texture
        self._set("u_texel", self._texel())
        old.close()
        return copied

    def _texel(self) -> tuple[float, float]:
        height, width = self.atlas.shape
        return 1.0 / width, 1.0 / height

    def flushed(self) -> None:
        """The context's queue has been flushed: uploaded arrays are no longer read, their memory may change."""
        self.atlas.flushed()

    def close(self) -> None:
        """Free what it holds on the GL side at the next flush of its context."""
        self.atlas.close()
        owned = [*self._programs.values(), self._colormap_texture, self._vertices, self._indices, self._bare_indices]
        for item in owned:
            if item is not None:
                item.delete()
        self._programs.clear()
        self._count = self._bare = 0

    # --- appearance ---

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
        self._set("u_contrast", self._contrast())

    @property
    def gamma(self) -> float:
        """Exponent applied between the contrast limits, above 0."""
        return self._gamma

    @gamma.setter
    def gamma(self, gamma: float) -> None:
        if not 0.0 < gamma < float("inf"):
            raise ValueError(f"gamma must be above 0, not {gamma}")
        self._gamma = float(gamma)
        self._set("u_gamma", self._gamma)

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
        self._set("u_entries", float(len(table)))

    @property
    def interpolation(self) -> Interpolation:
        """Between voxels: ``nearest``, or ``linear`` without seams at any chunk's border."""
        return self._interpolation

    @interpolation.setter
    def interpolation(self, interpolation: Interpolation) -> None:
        if interpolation not in ("nearest", "linear"):
            raise ValueError(f"interpolation is 'nearest' or 'linear', not {interpolation!r}")
        changed = interpolation != self._interpolation
        self._interpolation = interpolation
        if changed and interpolation == "linear" and self._frame is not None:
            self.set_frame(*self._frame)  # with the neighbours that nearest did without

    def show_labels(self, contour: int, only: int | None) -> None:
        """How labels are drawn.

        Parameters
        ----------
        contour
            Pixels of their outlines, within each; 0 fills them.
        only
            The one that is drawn alone, as `texture.folded_labels` makes it; None for all.
        """
        bare, self._contour = self._contour == 0, contour
        number = 0 if only is None else only
        self._set("u_selected", tuple(float(number >> shift & 0xFF) for shift in (0, 8, 16, 24)))
        self._set("u_selection", float(only is not None))
        self._set("u_contour", float(contour))
        if bare and contour and self._frame is not None:
            self.set_frame(*self._frame)  # with the neighbours that filled labels did without

    @property
    def opacity(self) -> float:
        """0 (nothing to be seen) .. 1."""
        return self._opacity

    @opacity.setter
    def opacity(self, opacity: float) -> None:
        if not 0.0 <= opacity <= 1.0:
            raise ValueError(f"opacity is 0 .. 1, not {opacity}")
        self._opacity = float(opacity)
        self._set("u_opacity", self._opacity)

    @property
    def blending(self) -> Blending:
        """How it is mixed with what is below; see `looks.Look`."""
        return self._blending

    @blending.setter
    def blending(self, blending: Blending) -> None:
        if blending not in BLENDINGS:
            raise ValueError(f"blending is one of {', '.join(BLENDINGS)}, not {blending!r}")
        self._blending = blending

    @property
    def overlay(self) -> bool:
        """Whether pieces are tinted by status and level difference, with the outlines of their chunks."""
        return self._overlay

    @overlay.setter
    def overlay(self, overlay: bool) -> None:
        self._overlay = bool(overlay)

    # --- GL objects ---

    def _contrast(self) -> tuple[float, float]:
        low, high = (self.kind.to_texel_units(v) for v in self._contrast_limits)
        # Equal limits make a step: what is above is the last entry, the rest the first.
        return low, 1.0 / (high - low) if high != low else 1.0e30

    def _set(self, name: str, value: Any) -> None:
        self._uniforms[name] = value
        for key, program in self._programs.items():
            if len(key) > _BARE_KEY or name == "u_opacity":
                program[name] = value

    def _grow(self, count: int) -> None:
        self._capacity = max(64, 1 << (count - 1).bit_length())
        self._vertices = gloo.VertexBuffer(np.zeros(4 * self._capacity, VERTEX))
        self._index_array = triangle_indices(self._capacity)
        self._indices = gloo.IndexBuffer(self._index_array)
        self._indexed = self._capacity
        for program in self._programs.values():
            program.bind(self._vertices)

    def _program(self, mode: int) -> Any:
        """The program of the present switches, made when they are first used."""
        labels = self.kind.labels
        linear = self._interpolation == "linear" and not labels
        key = (linear, self._gamma != 1.0 and not labels, self._overlay, self._contour > 0, self._fade, mode)
        program = self._programs.get(key)
        if program is None:
            shader = fragment_shader(
                self.kind,
                linear=linear,
                gamma=key[1],
                overlay=self._overlay,
                contour=key[3],
                fade=self._fade,
                mode=mode,
                statuses=_STATUSES,
            )
            program = self._programs[key] = gloo.Program(VERTEX_SHADER, shader)
            program["u_atlas"] = self.atlas.texture
            program["u_colormap"] = self._colormap_texture
            for name, value in self._uniforms.items():
                program[name] = value
            program.bind(self._vertices)
        return program

    def _bare_program(self, mode: int) -> Any:
        """The program of what there is nothing to draw from."""
        key = (self._overlay, mode)
        program = self._programs.get(key)
        if program is None:
            shader = bare_shader(overlay=self._overlay, mode=mode, statuses=_STATUSES)
            program = self._programs[key] = gloo.Program(VERTEX_SHADER, shader)
            program["u_opacity"] = self._opacity
            program.bind(self._vertices)
        return program
