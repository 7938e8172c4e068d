"""Slabs, and the slots that they are cut into. Pure (no I/O): values that only `arena` changes."""

from __future__ import annotations

from collections import OrderedDict

from octree_protocol.keys import ChunkKey

#: States of a slot, see `arena`.
FREE, FILLING, HELD, RECENT = range(4)


class Slot:
    """One slot. It exists from its first use until its slab is taken back."""

    __slots__ = ("generation", "key", "offset", "released", "slab", "state")

    def __init__(self, offset: int, slab: Slab) -> None:
        self.offset = offset
        self.slab = slab
        self.state = FREE
        self.generation = 0
        self.released = 0
        self.key: ChunkKey | None = None


class Slab:
    """One slab in the hands of one class.

    `unused` is where the next slot that was never used begins, `free` the used ones that are free again. `busy` counts
    slots that are FILLING or HELD, `recent` those that are RECENT. `listed`: stands in the class's list of slabs with
    space. `released`: when the last of its busy slots was let go.
    """

    __slots__ = ("busy", "end", "free", "listed", "owner", "recent", "released", "slots", "start", "unused")

    def __init__(self, start: int, owner: SizeClass, slab_bytes: int) -> None:
        self.start = start
        self.owner: SizeClass | None = owner
        self.unused = start
        self.end = start + slab_bytes // owner.stride * owner.stride
        self.free: list[Slot] = []
        self.slots: list[Slot] = []
        self.busy = 0
        self.recent = 0
        self.released = 0
        self.listed = False

    def validate(self) -> list[int]:
        """Raise `AssertionError` if anything about this slab contradicts the rest; returns how many slots there are in
        each state."""
        owner = self.owner
        assert owner is not None
        # Slots stand edge to edge: that they are all there is that none overlap.
        assert [s.offset for s in self.slots] == list(range(self.start, self.unused, owner.stride))
        counts = [0, 0, 0, 0]
        for slot in self.slots:
            counts[slot.state] += 1
            assert slot.slab is self
            assert (slot.key is None) == (slot.state == FREE)
            assert (owner.recent.get(slot.offset) is slot) == (slot.state == RECENT)
            assert slot.state != RECENT or self.busy or slot.released <= self.released
        assert counts[FILLING] + counts[HELD] == self.busy
        assert counts[RECENT] == self.recent
        assert self.busy or self.recent, "a slab with nothing in it is kept"
        assert len(self.free) == len({id(s) for s in self.free}) == counts[FREE]
        assert all(s.state == FREE and s.slab is self for s in self.free)
        assert sum(s is self for s in owner.space) == self.listed
        assert self.listed or (not self.free and self.unused == self.end), "free slots that no one can find"
        return counts


class SizeClass:
    """Slots of one size. `space` holds each slab with a free slot once, and lazily some that are full or gone."""

    __slots__ = ("recent", "space", "stride")

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.space: list[Slab] = []
        self.recent: OrderedDict[int, Slot] = OrderedDict()
