"""A picture larger than the screen, made piece by piece on a canvas of its own, while whoever looks on may go on.

Pieces are as large as the screen, so that none takes more video memory, or a longer frame, than what one looks at; and
the picture may be larger than a texture. Knows nothing of who waits for it: `step` is called until it is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from octree_client.camera import Camera

if TYPE_CHECKING:
    from octree_client.viewer import Viewer

#: A picture is at most so large along an edge, in pixels: a gibibyte in memory if both are.
LARGEST_EDGE = 16384

#: A piece is at most so large along an edge, in pixels.
_PIECE = 1024


class PicturePiece(NamedTuple):
    """A part of a picture, in pixels from its upper left corner; those at the right and below reach beyond it."""

    top: int
    left: int


def picture_pieces(size: tuple[int, int], piece: tuple[int, int]) -> Iterator[PicturePiece]:
    """The pieces of a picture, row by row; sizes are (width, height)."""
    for top in range(0, size[1], piece[1]):
        for left in range(0, size[0], piece[0]):
            yield PicturePiece(top, left)


def piece_camera(camera: Camera, size: tuple[int, int], piece: PicturePiece, piece_size: tuple[int, int]) -> Camera:
    """The camera that sees a piece of the picture of `size` of what `camera` sees."""
    pixel = camera.pixel_size * camera.canvas[0] / size[0]
    down = piece.top + piece_size[1] / 2 - size[1] / 2
    across = piece.left + piece_size[0] / 2 - size[0] / 2
    center = camera.center[0] + down * pixel, camera.center[1] + across * pixel
    return replace(camera, center=center, pixel_size=pixel, canvas=piece_size)


class Enlarging:
    """One picture under way: what a viewer shows now, whatever it shows later.

    Parameters
    ----------
    viewer
        Whose view it is.
    factor
        How much larger than its canvas the picture is, in each direction.

    Attributes
    ----------
    twin
        The viewer that draws the pieces, without a window.
    done, total
        Pieces.
    picture
        (h, w, 4) uint8, top row first; whole when `step` has said so.

    Raises
    ------
    ValueError
        If the picture would be too large, or empty.
    """

    def __init__(self, viewer: Viewer, factor: float) -> None:
        self._camera = viewer.camera
        width, height = self._camera.canvas
        self._size = round(width * factor), round(height * factor)
        if not 1 <= min(self._size) <= max(self._size) <= LARGEST_EDGE:
            shown = " x ".join(f"{edge:,}" for edge in self._size)
            raise ValueError(f"no picture of {shown} pixels can be made: it has 1 to {LARGEST_EDGE:,} along an edge")
        self._piece_size = min(width, _PIECE), min(height, _PIECE)
        self._todo = list(picture_pieces(self._size, self._piece_size))
        self.done, self.total = 0, len(self._todo)
        self.picture = np.empty((self._size[1], self._size[0], 4), np.uint8)
        self.twin = viewer.twin(self._piece_size)
        self._aim()

    def step(self) -> bool:
        """Take the piece that is being drawn, if all of it is there, and go on to the next; whether that was all."""
        if self._todo and self.twin.is_final():
            top, left = self._todo.pop(0)
            part = self.picture[top : top + self._piece_size[1], left : left + self._piece_size[0]]
            part[...] = self.twin.render()[: part.shape[0], : part.shape[1]]
            self.done += 1
            if self._todo:
                self._aim()
        return not self._todo

    def close(self) -> None:
        """Free what it took."""
        self.twin.close()

    def __enter__(self) -> Enlarging:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _aim(self) -> None:
        camera = piece_camera(self._camera, self._size, self._todo[0], self._piece_size)
        self.twin.set_view(camera.center, camera.pixel_size)
