"""How new pieces fade in over what stood in for them. Pure (no I/O); time is an argument, in seconds.

Knows nothing of GL. Off as long as `Fading.seconds` is 0: every piece is then drawn once, and there is nothing to know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from octree_client.cover import Piece, PlaneChunk
from octree_protocol.keys import CellStatus


class Fading:
    """Remembers since when chunks are there.

    Attributes
    ----------
    seconds
        How long a fade takes.
    """

    __slots__ = ("_born", "seconds")

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._born: dict[PlaneChunk, float] = {}

    def came(self, chunks: Iterable[PlaneChunk], now: float) -> None:
        """These chunks of the view have just come."""
        if self.seconds > 0.0:
            for chunk in chunks:
                self._born[chunk] = now

    def clear(self) -> None:
        """Another position is shown: nothing fades into it."""
        self._born.clear()

    def factors(self, pieces: Sequence[Piece], now: float) -> dict[PlaneChunk, float]:
        """How far the chunks of final pieces have faded in, 0 .. 1; those that have altogether are left out."""
        if not self._born:
            return {}
        self._born = {chunk: at for chunk, at in self._born.items() if now - at < self.seconds}
        born = self._born
        return {
            piece.chunk: max(0.0, now - born[piece.chunk]) / self.seconds
            for piece in pieces
            if piece.chunk in born and piece.status is CellStatus.FINAL
        }


def without(resident: Mapping[PlaneChunk, int], chunks: Collection[PlaneChunk]) -> dict[PlaneChunk, int]:
    """What is there besides these chunks."""
    return {chunk: tile for chunk, tile in resident.items() if chunk not in chunks}


def layered(pieces: Sequence[Piece], before: Sequence[Piece], factors: Mapping[PlaneChunk, float]) -> list[Piece]:
    """The pieces to draw, from the bottom to the top: below those that fade in, what would be there without them.

    Parameters
    ----------
    before
        What `cover.cover` made of the same view without the chunks of `factors`.
    """
    rects = [piece.rect for piece in pieces if piece.chunk in factors]
    below = [
        piece
        for piece in before
        if piece.tile >= 0 and piece.status is not CellStatus.FINAL and any(_within(piece.rect, rect) for rect in rects)
    ]
    return [*below, *pieces]


def _within(inner: tuple[float, float, float, float], outer: tuple[float, float, float, float]) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]
