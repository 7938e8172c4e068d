"""Which blocks of a distant file are read before anybody asks. Pure (no I/O).

Libraries that parse a file's structure read it a few bytes at a time: forwards (a table), or in steps (the pages of a
stack, each behind its voxels). A request costs the same as a hundred KiB, so once such a pattern shows, what comes next
in it is asked for together. Knows nothing of what the bytes mean.
"""

from __future__ import annotations

#: A block: so much comes with one request at no extra cost worth mentioning.
BLOCK_BYTES = 64 << 10

#: Blocks asked for at most before anybody wants them.
AHEAD_MOST = 16


class ReadAhead:
    """Watches the places where a file was read in vain, and says which blocks come next."""

    def __init__(self) -> None:
        self._place = self._before = -1
        self._step = 0
        self._ahead = 0

    def missed(self, place: int, size: int) -> list[int]:
        """Numbers of the blocks to be read besides the one at byte `place` of a file of `size` bytes, ascending."""
        if self._ahead:
            # What was read ahead was used if this miss lies where the pattern goes on behind it.
            step = (place - self._place) // (self._ahead + 1)
            goes_on = step > 0 and abs(step - self._step) * (self._ahead + 1) <= max(BLOCK_BYTES, self._step // 2)
        else:
            step = place - self._place
            before = self._place - self._before
            near = self._place >= 0 and 0 < step <= BLOCK_BYTES
            goes_on = near or (self._before >= 0 and step > 0 and abs(step - before) <= BLOCK_BYTES // 2)
        self._before, self._place = self._place, place
        if not goes_on:
            self._ahead = 0
            return []
        self._step = max(step, BLOCK_BYTES)
        self._ahead = min(max(2 * self._ahead, 2), AHEAD_MOST)
        places = (place + number * self._step for number in range(1, self._ahead + 1))
        return sorted({at // BLOCK_BYTES for at in places if at < size} - {place // BLOCK_BYTES})
