"""The tiled image: pieces of the screen drawn from one atlas in one draw call.

A thin layer over gloo's Program, not a scene node: what changes from frame to frame is one vertex buffer. Programs,
textures and the index buffer stay as they are when tiles come and go; contrast, gamma, opacity and colour map are
uniforms (`shading`). Knows nothing of where tiles come from or which to evict, nor of windows; it draws into the canvas
whose frame is being drawn, over what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vispy import gloo
from vispy.gloo.context import get_current_canvas

from octree_client.camera import Camera, PlaneLevel
from octree_client.cover import Piece, Resident
from octree_client.fading import FadingPiece
from octree_client.texture import AtlasTexture, TextureKind
from octree_client.visuals.blending import blend_state
from octree_client.visuals.programs import QuadBuffer
from octree_client.visuals.quads import LevelArrays, build_fading_quads, build_quads
from octree_client.visuals.quick_draw import draw_quads, set_blending
from octree_client.visuals.shading import Shading
from octree_client.visuals.texture_copy import copy_parts
from octree_client.visuals.variants import Drawn, Part, likely
from octree_client.visuals.wide_camera import place_in, wide_camera


class TiledImage(Shading):
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
        super().__init__(kind)
        self.atlas = AtlasTexture(tile_shape, kind, atlas_grid)
        self._levels = LevelArrays(levels)
        self._frame: tuple[Sequence[Piece], Resident, int, Camera, Sequence[FadingPiece]] | None = None
        #: What the vertices were made from, and the camera that they were made for.
        self._made_of: tuple[object, bool] = (None, False)
        self._wide: Camera | None = None
        #: How many pieces are drawn how; bare ones follow the settled ones in the same buffer.
        self._settled = self._bare = self._fading = 0
        self._drawn: set[Drawn] = set()
        self._nothing: Any = None
        self._programs.set("u_atlas", self.atlas.texture)
        self._programs.set("u_texel", self._texel())
        self._programs.set("u_view", (1.0, 1.0, 0.0, 0.0))
        self._programs.set("u_grid", (self.atlas.columns, 1.0 / self.atlas.columns, tile_shape[1], tile_shape[0]))

    def set_range(self, low: float, high: float) -> None:
        """Data values that colours of floats are stored between, and shown between, from the next upload on."""
        super().set_range(low, high)
        self.atlas.kind = self.kind

    def upload(self, tile: int, data: NDArray[Any]) -> None:
        """Put a chunk's data into a tile at the next draw; see `texture.AtlasTexture.upload`."""
        self.atlas.upload(tile, data)

    def set_frame(
        self,
        pieces: Sequence[Piece],
        resident: Resident,
        ideal_level: int,
        camera: Camera,
        fading: Sequence[FadingPiece] = (),
        revision: object = None,
    ) -> None:
        """What the next draws show.

        Parameters
        ----------
        pieces
            Together with `fading` a tiling of the visible image: nothing lies upon anything else.
        resident
            Tiles by chunk, as they are when this is called: linear interpolation looks into neighbouring tiles. A
            MISSING piece's tile must be filled with the fill value over the whole chunk.
        ideal_level
            What the overlay counts level differences from.
        camera
            The view; its canvas is the size of the canvas drawn into.
        fading
            Pieces that are drawn mixed with what stood there before them.
        revision
            If it is the same as in the last call, so are the pieces, their tiles and the ideal level: then there is
            nothing to do while the camera stays near where it was. None: nobody knows.
        """
        self._frame = (pieces, resident, ideal_level, camera, fading)
        neighbours = self.looks_beyond
        wide = wide_camera(camera, self._wide)
        made_of = (revision, neighbours)
        if wide is self._wide and revision is not None and made_of == self._made_of:
            return
        self._wide, self._made_of = wide, made_of
        bare = [piece for piece in pieces if piece[2] < 0]
        drawn = [piece for piece in pieces if piece[2] >= 0] if bare else pieces
        tile_shape, columns = self.atlas.tile_shape, self.atlas.columns
        ordered = [*drawn, *bare] if bare else pieces
        self._quads.put(
            build_quads(ordered, resident, self._levels, ideal_level, wide, tile_shape, columns, neighbours)
        )
        self._settled, self._bare, self._fading = len(drawn), len(bare), len(fading)
        if fading:
            self._fading_quads.put(
                build_fading_quads(fading, resident, self._levels, wide, tile_shape, columns, neighbours)
            )

    def draw(self, lowest: bool = False) -> None:
        """Send what was uploaded, and draw the frame. Within a frame of a canvas.

        Parameters
        ----------
        lowest
            Nothing but the background was drawn before: see `blending.blend_state`.
        """
        context = get_current_canvas().context
        self.send(context)
        if self._frame is None or self._wide is None or not self._settled + self._bare + self._fading:
            return
        if self._made_of != (self._made_of[0], self.looks_beyond):
            self.set_frame(*self._frame)  # with the neighbours that it did without
        now, view = self.switches(lowest), place_in(self._wide, self._frame[3])
        set_blending(context, blend_state(self._blending, lowest))
        runs: tuple[tuple[Part, QuadBuffer, int, int], ...] = (
            ("settled", self._quads, 0, self._settled),
            ("fading", self._fading_quads, 0, self._fading),
            ("bare", self._quads, self._settled, self._bare),
        )
        for part, buffer, first, count in runs:
            if count:
                self._drawn.add(now.drawn(part))
                draw_quads(context, self._programs[now.variant(part)], buffer.indices, first, count, view)

    def cold(self, lowest: bool, fades: bool) -> list[Drawn]:
        """What GL has not drawn with yet, of all that one change of the look would need, the likeliest first.

        Parameters
        ----------
        lowest
            As of `draw`.
        fades
            Whether pieces fade in.
        """
        return [one for one in likely(self.switches(lowest, fades), self.kind.labels) if one not in self._drawn]

    def warm(self, one: Drawn) -> None:
        """Have GL compile something, by a triangle without area. Within a canvas' context."""
        context = get_current_canvas().context
        if self._nothing is None:
            self._nothing = gloo.IndexBuffer(np.zeros(3, np.uint32))
        set_blending(context, one.blend)
        self._programs[one.variant].draw("triangles", self._nothing)
        self._drawn.add(one)

    @property
    def compiled(self) -> tuple[int, int]:
        """How many programs were made, and with how many pairs of program and blend state GL has drawn."""
        return self._programs.made, len(self._drawn)

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
        for atlas in (old, new):
            atlas.send(context)
        height, width = old.tile_shape
        parts = [((0, 0), (0, 0), (min(rows, old.rows) * height, old.columns * width))]
        parts += [(old.corner(source), new.corner(target), (height, width)) for source, target in moves]
        copied = copy_parts(context, old.texture, new.texture, parts)
        self.atlas = new
        self._programs.set("u_atlas", new.texture)
        self._programs.set("u_texel", self._texel())
        old.close()
        return copied

    def _texel(self) -> tuple[float, float]:
        height, width = self.atlas.shape
        return 1.0 / width, 1.0 / height

    def send(self, context: Any) -> None:
        """Put what was uploaded into video memory; see `texture.AtlasTexture.send`."""
        self.atlas.send(context)

    def close(self) -> None:
        """Free what it holds on the GL side at the next flush of its context."""
        self.atlas.close()
        self._programs.close()
        for held in (self._quads, self._fading_quads):
            held.close()
        for item in (self._colormap_texture, self._nothing):
            if item is not None:
                item.delete()
