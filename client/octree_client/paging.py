"""What is uploaded in this frame: the best chunks first, within a time budget. Pure (no I/O).

Knows nothing of GL, and does not look at a clock: it is told how long uploads took.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from octree_client.camera import PlaneLevel
from octree_client.cover import PlaneChunk
from octree_protocol.keys import ChunkKey, Tier
from octree_protocol.messages import Ready, Wanted

_MIB = 1.0 / (1 << 20)


class Candidate(NamedTuple):
    """A chunk that lies in its slot and could be uploaded. The ranks are those of its `messages.Wanted`; `place` is
    where it is shown, None for the position that is shown now; `spares` whether tiles may go for it that are drawn."""

    chunk: PlaneChunk
    nbytes: int
    slot: Ready
    tier: Tier = Tier.VISIBLE
    relative_level: int = 0
    priority: int = 0
    place: tuple[int, ...] | None = None
    spares: bool = False


def candidates(
    entries: Iterable[tuple[PlaneChunk, Wanted]],
    resident: Container[PlaneChunk],
    ready: Mapping[ChunkKey, Ready],
    levels: Sequence[PlaneLevel],
    texel_bytes: int,
    ideal: int,
    place: tuple[int, ...] | None = None,
) -> list[Candidate]:
    """What of these entries lies in its slot and not in VRAM.

    Parameters
    ----------
    entries
        Chunks of a plane, with what was said of them to the daemon.
    resident, ready
        Chunks that are in VRAM, and where those lie that are in a slot.
    ideal
        Level of the cells in view.
    place
        The position that the plane is at, if it is another one than that which is shown.
    """
    slot_of = ready.get
    return [
        Candidate(
            chunk,
            levels[chunk[0]].chunk[0] * levels[chunk[0]].chunk[1] * texel_bytes,
            slot,
            wanted.tier,
            wanted.relative_level,
            wanted.priority,
            place,
            place is None and chunk[0] == ideal and wanted.tier is Tier.VISIBLE,
        )
        for chunk, wanted in entries
        if chunk not in resident and (slot := slot_of(wanted.key)) is not None
    ]


class UploadCost:
    """A moving estimate of what uploads cost: so many ms each, and so many ms a MiB.

    Least squares over past frames, older ones counting less and less, with a first guess that counts as one frame and
    never quite goes away: where all uploads have one size, the two costs cannot be told apart, and the guess decides
    how the sum is shared between them.

    Parameters
    ----------
    each_ms, mib_ms
        First guess; by default what vispy took on a machine without a GPU.
    memory
        Weight of a frame when the next one comes.
    """

    __slots__ = ("_bb", "_bt", "_guess", "_memory", "_nb", "_nn", "_nt", "each_ms", "mib_ms")

    def __init__(self, each_ms: float = 0.015, mib_ms: float = 0.08, memory: float = 0.75) -> None:
        self.each_ms, self.mib_ms = each_ms, mib_ms
        self._guess = each_ms, mib_ms
        self._memory = memory
        self._nn = self._nb = self._bb = self._nt = self._bt = 0.0

    def estimate(self, uploads: int, nbytes: int) -> float:
        """Milliseconds that so many uploads of so many bytes in all will take."""
        return uploads * self.each_ms + nbytes * _MIB * self.mib_ms

    def measured(self, uploads: int, nbytes: int, ms: float) -> None:
        """A frame's uploads took so long."""
        if uploads <= 0:
            return
        # A pause of the machine in the middle of an upload says little; one that repeats is believed soon enough.
        ms = min(max(ms, 0.0), 3.0 * self.estimate(uploads, nbytes) + 0.05)
        n, b, keep = float(uploads), nbytes * _MIB, self._memory
        self._nn = keep * self._nn + n * n
        self._nb = keep * self._nb + n * b
        self._bb = keep * self._bb + b * b
        self._nt = keep * self._nt + n * ms
        self._bt = keep * self._bt + b * ms
        # Normal equations; the guess is a frame with one upload, and another with a quarter of a MiB.
        each, mib = self._guess
        nn, bb = self._nn + 1.0, self._bb + 0.0625
        nt, bt = self._nt + each, self._bt + 0.0625 * mib
        determinant = nn * bb - self._nb * self._nb
        each_ms = (nt * bb - bt * self._nb) / determinant
        mib_ms = (bt * nn - nt * self._nb) / determinant
        if each_ms < 0.0:
            each_ms, mib_ms = 0.0, bt / bb
        elif mib_ms < 0.0:
            each_ms, mib_ms = nt / nn, 0.0
        # Nothing is free, else a lucky measurement would lift the budget for good.
        self.each_ms, self.mib_ms = max(each_ms, 1e-3), max(mib_ms, 1e-3)

    def validate(self) -> None:
        """Raise `AssertionError` if the estimate makes no sense."""
        assert self.each_ms > 0.0, "an upload must cost something"
        assert self.mib_ms > 0.0, "a byte must cost something"
        assert self._nn * self._bb - self._nb * self._nb >= -1e-6 * (1.0 + self._nn * self._bb), "sums out of step"


def _rank(candidate: Candidate) -> tuple[int, int, int]:
    return candidate[3], -candidate[4], candidate[5]


def plan_uploads(
    ready: Iterable[Candidate], budget_ms: float, cost: UploadCost, tiles: int, least: int = 1
) -> list[Candidate]:
    """The chunks to upload in this frame, the best first.

    By tier, then coarser before finer (a stand-in is among the candidates only while something needs it), then by
    distance from the view's centre. What does not fit into the budget waits for the next frame, and what is less good
    waits behind it; but one chunk is always uploaded, so that a small budget slows the picture down and never stops it:
    whoever shares the budget with others sees to it that his turn comes.

    Parameters
    ----------
    ready
        Chunks that are wanted, lie in their slots, and are not in VRAM.
    budget_ms
        Milliseconds of this frame that may go into uploads.
    tiles
        How many tiles may be given away (`atlas.TileCache.available`).
    least
        So many are uploaded even beyond the budget.
    """
    if tiles <= 0:
        return []
    best = sorted(ready, key=_rank)
    each, mib = cost.each_ms, cost.mib_ms * _MIB
    spent = 0.0
    plan: list[Candidate] = []
    for candidate in best[:tiles]:
        spent += each + candidate[1] * mib
        if len(plan) >= least and spent > budget_ms:
            break
        plan.append(candidate)
    return plan
