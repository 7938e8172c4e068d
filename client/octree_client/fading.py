"""How new pieces fade in over what stood in for them. Pure (no I/O); time is an argument, in seconds.

Knows nothing of GL. Off as long as `Fading.seconds` is 0: every piece is then drawn once, and there is nothing to know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

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


class FadingPiece(NamedTuple):
    """A piece that fades in, where it stands upon one piece of what was there before.

    Attributes
    ----------
    piece
        What is coming; its rectangle is that of `before`.
    before
        What would be drawn without it; None where nothing would.
    share
        How far it has faded in, 0 .. 1.
    """

    piece: Piece
    before: Piece | None
    share: float


def split(
    pieces: Sequence[Piece], before: Sequence[Piece], factors: Mapping[PlaneChunk, float]
) -> tuple[list[Piece], list[FadingPiece]]:
    """Pieces that are drawn as they are, and those that fade in. All of them together tile what `pieces` do.

    Parameters
    ----------
    before
        What `cover.cover` made of the same view without the chunks of `factors`: the same cells in the same order, and
        a cell that does not fade from the same pieces.
    """
    settled: list[Piece] = []
    fading: list[FadingPiece] = []
    place = 0
    for piece in pieces:
        share = factors.get(piece.chunk) if piece.status is CellStatus.FINAL else None
        if share is None:
            settled.append(piece)
            place += 1
            continue
        while place < len(before) and _within(before[place].rect, piece.rect):
            under = before[place]
            fading.append(FadingPiece(piece._replace(rect=under.rect), under, share))
            place += 1
    return settled, fading


def _within(inner: tuple[float, float, float, float], outer: tuple[float, float, float, float]) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]
