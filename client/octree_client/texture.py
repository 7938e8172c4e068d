"""Texture kinds, and the atlas: one texture that holds the tiles of a layer.

A kind says how a dtype becomes texels; an atlas is a grid of tiles of one kind. Knows nothing of chunks, of levels,
of what lies in which tile, nor of when a tile may be overwritten (`atlas`, `paging`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from vispy import gloo
from vispy.gloo import gl
from vispy.gloo.context import get_current_canvas

from octree_protocol.errors import OctreeError

#: Of texels with so many bytes a component.
_GL_TYPES = {1: gl.GL_UNSIGNED_BYTE, 2: gl.GL_UNSIGNED_SHORT, 4: gl.GL_FLOAT}

#: Tiles of an atlas along one edge, at most.
TILES_PER_EDGE = 255


class TextureError(OctreeError):
    """A dtype, a tile or an atlas that no texture can hold."""


@dataclass(frozen=True, slots=True)
class TextureKind:
    """How data of one dtype stands in a texture.

    Attributes
    ----------
    name
        The texture's internal format: ``r8``, ``r16``, ``r32f``, ``rgb8`` or ``rgba8``.
    dtype
        The data's dtype, as numpy's short string with byte order.
    texels
        dtype of what is uploaded, as numpy's short string.
    channels
        1, or 3 and 4 for colours.
    low, high
        Data values that the shader sees as 0 and as 1: a normalised texture is divided by its maximum on the way.
    labels
        Whether the four channels are the bytes of a number, the lowest first.
    """

    name: str
    dtype: str
    texels: str
    channels: int
    low: float
    high: float
    labels: bool = False

    @property
    def bytes_per_texel(self) -> int:
        """Bytes that one texel takes; drivers pad three components to four."""
        return np.dtype(self.texels).itemsize * (4 if self.channels == 3 else self.channels)

    @property
    def is_float(self) -> bool:
        """Whether texels may be NaN or infinite."""
        return self.name == "r32f"

    @property
    def is_colour(self) -> bool:
        """Whether the texels are colours, which no colour map touches."""
        return self.channels > 1 and not self.labels

    @property
    def is_exact(self) -> bool:
        """Whether texels tell the very values: none are rounded, scaled or folded."""
        source = np.dtype(self.dtype)
        if self.labels:
            return source.itemsize <= 4
        if self.is_colour:
            return source.str == self.texels
        return source.kind != "c" and (source.itemsize <= 2 or source.str[1:] == "f4")

    def value_of(self, texel: NDArray[np.float32]) -> Any:
        """The value, or tuple of a colour's values, of a texel as GL reads it: (4,) float32, integers as parts of their
        texture's maximum. Only where `is_exact`."""
        source = np.dtype(self.dtype)
        if self.is_float:
            return source.type(texel[0]).item()
        whole = np.rint(texel.astype(np.float64) * np.iinfo(np.dtype(self.texels)).max)
        if self.labels:
            number = np.array(whole, "<u1").view("<u4")
            return number.astype(f"u{source.itemsize}").view(source.newbyteorder("="))[0].item()
        if self.is_colour:
            return tuple(int(v) for v in whole[: self.channels])
        return source.type(whole[0]).item()

    def to_texel_units(self, value: float) -> float:
        """What the shader reads where the data are `value`."""
        return (value - self.low) / (self.high - self.low)


def texture_kind(dtype: DTypeLike, samples: int = 1, labels: bool = False) -> TextureKind:
    """The kind of texture for a dtype.

    ============================  ==========================================================================
    data                          texture
    ============================  ==========================================================================
    u1, bool                      r8, exact
    u2                            r16, exact
    f4                            r32f, exact
    i1, i2, f2                    r32f, exact
    i4, u4, i8, u8, f8            r32f, rounded to 24 bits
    complex                       r32f, the magnitude
    3 or 4 samples of u1          rgb8, rgba8, exact
    3 or 4 samples of integers    rgb8, rgba8: the dtype's whole range scaled to 0 .. 255
    3 or 4 samples of floats      rgb8, rgba8: 0 .. 1 scaled to 0 .. 255, clipped
    labels, up to 32 bits         rgba8: the four bytes, exact
    labels of 64 bits             rgba8: folded to 32 bits, see `folded_labels`
    ============================  ==========================================================================

    Parameters
    ----------
    dtype
        Of the data, in either byte order.
    samples
        1, or the length of the last axis where that axis is a colour.
    labels
        Whether whole numbers are names.

    Raises
    ------
    TextureError
        If the dtype is no number, or there are neither 1, 3 nor 4 samples.
    """
    source = np.dtype(dtype)
    if source.kind not in "buifc":
        raise TextureError(f"data of dtype {source} cannot be drawn: only booleans, integers, floats and complex can")
    if labels:
        if source.kind not in "bui" or samples != 1:
            raise TextureError(f"data of dtype {source} are no labels: whole numbers are")
        return TextureKind("rgba8", source.str, "|u1", 4, 0.0, 255.0, labels=True)
    if samples in (3, 4):
        if source.kind in "ui":
            info = np.iinfo(source)
            low, high = float(info.min), float(info.max)
        else:
            low, high = 0.0, 1.0
        return TextureKind("rgb8" if samples == 3 else "rgba8", source.str, "|u1", samples, low, high)
    if samples != 1:
        raise TextureError(f"a colour has 3 or 4 samples, not {samples}")
    if source.kind == "b" or (source.kind, source.itemsize) == ("u", 1):
        return TextureKind("r8", source.str, "|u1", 1, 0.0, 255.0)
    if (source.kind, source.itemsize) == ("u", 2):
        return TextureKind("r16", source.str, "=u2", 1, 0.0, 65535.0)
    return TextureKind("r32f", source.str, "=f4", 1, 0.0, 1.0)


def folded_labels(data: NDArray[Any]) -> NDArray[np.uint32]:
    """Labels as 32 bits, little-endian: exact up to that size, below zero in two's complement.

    Of 64 bits the upper half, times the odd 0x9E3779B1, is mixed into the lower one (Knuth, The Art of Computer
    Programming 3, 6.4), so that labels that fit into 32 bits stay as they are. Only 0 becomes 0.
    """
    if data.dtype.itemsize < 8:
        signed: NDArray[np.uint32] = data.astype("<i4" if data.dtype.kind == "i" else "<u4").view("<u4")
        return signed
    whole = data.astype(f"<{data.dtype.kind}8").view("<u8")
    upper = (whole >> np.uint64(32)) * np.uint64(0x9E3779B1) & np.uint64(0xFFFFFFFF)
    folded = ((whole & np.uint64(0xFFFFFFFF)) ^ upper).astype("<u4")
    folded[(folded == 0) & (whole != 0)] = 1
    return folded


def to_texels(data: NDArray[Any], kind: TextureKind) -> NDArray[Any]:
    """What is uploaded of a chunk: the very bytes where they are texels already, else a converted copy.

    Parameters
    ----------
    data
        (h, w), or (h, w, samples) for a colour; dtype of `kind`, either byte order.

    Returns
    -------
    ndarray
        C-contiguous, same shape, dtype ``kind.texels``. A view of `data` for u1, bool, u2 and f4 in native order.

    Raises
    ------
    TextureError
        If the data's number of axes or samples does not fit the kind.
    """
    if kind.labels:
        if data.ndim != 2:
            raise TextureError(f"data of shape {data.shape} are no plane of labels")
        return np.ascontiguousarray(folded_labels(data)).view(np.uint8).reshape(*data.shape, 4)
    if data.ndim != (3 if kind.is_colour else 2) or (kind.is_colour and data.shape[2] != kind.channels):
        raise TextureError(f"data of shape {data.shape} do not fit a texture of kind {kind.name}")
    texels = np.dtype(kind.texels)
    if data.dtype == texels:
        return np.ascontiguousarray(data)
    if data.dtype.kind == "b" and not kind.is_colour:
        return np.ascontiguousarray(data).view(texels)
    if kind.is_colour:
        scaled = (data.astype(np.float64) - kind.low) * (255.0 / (kind.high - kind.low))
        return np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(texels)
    if data.dtype.kind == "c":
        data = np.abs(data)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is drawn in the last colour
        return np.ascontiguousarray(data, dtype=texels)


def atlas_grid(tile_shape: tuple[int, int], bytes_per_texel: int, budget: int, max_texture: int) -> tuple[int, int]:
    """How many tiles (down, across) an atlas gets: as many as the budget allows, as square as may be.

    Parameters
    ----------
    tile_shape
        (down, across) in texels.
    budget
        Bytes of video memory; kept, but for an atlas of a single tile.
    max_texture
        GL_MAX_TEXTURE_SIZE.

    Raises
    ------
    TextureError
        If not even one tile fits into a texture.
    """
    height, width = tile_shape
    most_rows, most_columns = min(max_texture // height, TILES_PER_EDGE), min(max_texture // width, TILES_PER_EDGE)
    if most_rows < 1 or most_columns < 1:
        raise TextureError(
            f"a tile of {width} x {height} does not fit into a texture of at most {max_texture} x {max_texture}: "
            "use a smaller octree.tile_size"
        )
    tiles = max(1, budget // (height * width * bytes_per_texel))
    grids = [(min(most_rows, tiles // columns), columns) for columns in range(1, min(most_columns, tiles) + 1)]
    return max(grids, key=lambda grid: (grid[0] * grid[1], -abs(grid[0] * height - grid[1] * width)))


class AtlasTexture:
    """One texture of ``rows * columns`` tiles, numbered row by row.

    Parameters
    ----------
    tile_shape
        (down, across) in texels: the largest array that a tile takes.
    kind
        What the texels are.
    grid
        (rows, columns), as from `atlas_grid`.

    Notes
    -----
    Uploads are deferred until `send`, in a frame. Until then the array is held here, so that its memory stays mapped,
    and its content must not change.
    """

    def __init__(self, tile_shape: tuple[int, int], kind: TextureKind, grid: tuple[int, int]) -> None:
        self.tile_shape = tile_shape
        self.kind = kind
        self.rows, self.columns = grid
        self._pending: list[tuple[int, NDArray[Any]]] = []
        self._target: Any = None
        shape = (self.rows * tile_shape[0], self.columns * tile_shape[1], kind.channels)
        self.texture: Any = gloo.Texture2D(
            shape,
            format={1: "red", 3: "rgb", 4: "rgba"}[kind.channels],
            internalformat=kind.name,
            interpolation="nearest",
            wrapping="clamp_to_edge",
            resizable=False,
        )

    def corner(self, tile: int) -> tuple[int, int]:
        """(down, across) of a tile's upper left texel."""
        row, column = divmod(tile, self.columns)
        return row * self.tile_shape[0], column * self.tile_shape[1]

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return self.rows * self.columns

    @property
    def nbytes(self) -> int:
        """Bytes of video memory."""
        return self.tiles * self.tile_shape[0] * self.tile_shape[1] * self.kind.bytes_per_texel

    @property
    def shape(self) -> tuple[int, int]:
        """(down, across) of the whole texture in texels."""
        return self.rows * self.tile_shape[0], self.columns * self.tile_shape[1]

    @property
    def pending(self) -> int:
        """Arrays that `send` has still to read."""
        return len(self._pending)

    def upload(self, tile: int, data: NDArray[Any]) -> None:
        """Put a chunk into a tile, from the tile's upper left corner.

        Parameters
        ----------
        tile
            0 .. `tiles` - 1.
        data
            (h, w) or (h, w, samples), not larger than the tile; its memory must stay as it is until `send`.

        Raises
        ------
        TextureError
            If there is no such tile, or the data do not fit it.
        """
        if not 0 <= tile < self.tiles:
            raise TextureError(f"tile {tile} of an atlas of {self.tiles}")
        texels = to_texels(data, self.kind)
        if texels.shape[0] > self.tile_shape[0] or texels.shape[1] > self.tile_shape[1]:
            raise TextureError(f"data of shape {data.shape} in a tile of {self.tile_shape}")
        self._pending.append((tile, texels))

    def send(self, context: Any) -> None:
        """Put what was uploaded into video memory, and do what else stands in the context's queue; the arrays are read
        when it returns. Within a frame.

        The texture is bound once for all: gloo binds, looks names up and sets the alignment for each.
        """
        context.glir.associate(self.texture.glir)
        context.flush_commands()
        if not self._pending:
            return
        known = context.shared.parser.get_object(self.texture.id)
        known.activate()
        components = known._shape_formats[1]
        gl.glPixelStorei(gl.GL_UNPACK_ALIGNMENT, 1)
        for tile, texels in self._pending:
            y, x = self.corner(tile)
            kind = _GL_TYPES[texels.dtype.itemsize]
            gl.glTexSubImage2D(gl.GL_TEXTURE_2D, 0, x, y, components, kind, texels)
        gl.glPixelStorei(gl.GL_UNPACK_ALIGNMENT, 4)
        self._pending.clear()

    def read(self, tile: int, voxel: tuple[int, int]) -> NDArray[np.float32]:
        """What GL holds of a voxel (down, across) of a tile, as `TextureKind.value_of` takes it. Within a canvas'
        context; waits until GL has drawn what it was told to."""
        context = get_current_canvas().context
        self.send(context)
        if self._target is None:
            self._target = gloo.FrameBuffer(color=self.texture)
        down, across = self.corner(tile)
        self._target.activate()
        context.flush_commands()
        try:
            raw = gl.glReadPixels(across + voxel[1], down + voxel[0], 1, 1, gl.GL_RGBA, gl.GL_FLOAT)
        finally:
            self._target.deactivate()
            context.flush_commands()
        return np.frombuffer(raw, np.float32)

    def close(self) -> None:
        """Free the video memory at the context's next flush."""
        self._pending.clear()
        if self._target is not None:
            self._target.delete()
        self.texture.delete()
