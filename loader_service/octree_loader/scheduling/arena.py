"""Who has which slot of the arena. Pure (no I/O).

Knows numbers only: not the memory behind them (`memory`), not who wants a chunk or why (`scheduler`), no clock.

The memory after the segment's header is cut into *slabs* of one size. A slab belongs to nobody or to one *size class*,
and is then cut into slots of that class, so that memory moves between chunk sizes in whole slabs and no slot ever has
to be split or joined (the design of Bonwick's slab allocator, USENIX 1994). How large they are says `slot_sizes`.

A slot that is in use is in one of three states::

    allocate                hold                  hold
    --------> FILLING ----------------> HELD <------------ RECENT --> evicted by a later allocate
                 |                       |    ------------>   ^
                 |                       |       release      |
                 '-----------------------|--------------------'
                 '--- discard: free -----'        release

Only RECENT slots are ever evicted, least recently used first. A slab of another class is emptied as a whole, and only
once everything in it is older than the oldest RECENT slot of the class in need: so the order of use holds across
classes, and each operation stays O(1), amortised over the slots that a slab holds.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import msgspec

from octree_loader.scheduling.slabs import FILLING, FREE, HELD, RECENT, SizeClass, Slab, Slot
from octree_loader.scheduling.slot_sizes import payload_for, slab_for
from octree_protocol.keys import ChunkKey
from octree_protocol.slots import SEGMENT_HEADER_BYTES, SLOT_HEADER_BYTES


class Allocation(msgspec.Struct, frozen=True, gc=False):
    """A slot given away: its first byte in the segment, its new generation, and whose bytes are gone for it."""

    slot: int
    generation: int
    evicted: tuple[ChunkKey, ...]


class ArenaUsage(NamedTuple):
    """What the arena is used for, in bytes of whole slots; `free` is all the rest. `evictions` counts chunks."""

    nbytes: int
    held: int
    recent: int
    filling: int
    free: int
    evictions: int


class Arena:
    """The books of one arena of `nbytes`, segment header included.

    Parameters
    ----------
    nbytes
        Size of the segment.
    slab_bytes
        Size of a slab, rounded down to whole cache lines; chosen from `nbytes` if not given. It bounds the payload of
        a slot, see `largest_payload`.

    Raises
    ------
    ValueError
        If the arena is too small to be of use.
    """

    __slots__ = (
        "_classes",
        "_evictions",
        "_filling",
        "_generation",
        "_held",
        "_idle",
        "_nbytes",
        "_recent",
        "_releases",
        "_slab_bytes",
        "_slabs",
        "_slots",
        "_unowned",
        "largest_payload",
    )

    def __init__(self, nbytes: int, slab_bytes: int | None = None) -> None:
        slab_bytes = slab_for(nbytes, slab_bytes)
        self._nbytes = nbytes
        self._slab_bytes = slab_bytes
        #: The greatest chunk, in bytes, that fits a slot of this arena: `pyramid` and `planning` cut accordingly.
        self.largest_payload = slab_bytes - SLOT_HEADER_BYTES
        starts = range(SEGMENT_HEADER_BYTES, nbytes - slab_bytes + 1, slab_bytes)
        self._unowned: list[int] = list(reversed(starts))
        self._slabs: dict[int, Slab] = {}
        self._slots: dict[int, Slot] = {}
        self._classes: dict[int, SizeClass] = {}
        #: Slabs in which nothing is busy, in the order in which they came to rest.
        self._idle: OrderedDict[int, Slab] = OrderedDict()
        self._generation = 0
        self._releases = 0
        self._held = self._recent = self._filling = 0
        self._evictions = 0

    # --- the five operations -----------------------------------------------------------------------------------------

    def allocate(self, key: ChunkKey, nbytes: int) -> Allocation | None:
        """Give a slot to a worker that will fill it with `nbytes` bytes of `key`: FILLING.

        Returns
        -------
        Allocation or None
            None if all that could make room is FILLING or HELD: try again after a `release` or `discard`.

        Raises
        ------
        ValueError
            If `nbytes` is not between 1 and `largest_payload`.
        """
        payload = payload_for(nbytes, self.largest_payload)
        size = self._classes.get(payload)
        if size is None:
            size = self._classes[payload] = SizeClass(SLOT_HEADER_BYTES + payload)
        evicted: tuple[ChunkKey, ...] = ()
        slot = self._take_free(size)
        if slot is None:
            found = self._make_room(size) or self._borrow(size)
            if found is None:
                return None
            slot, evicted = found
        slab = slot.slab
        slot.state = FILLING
        slot.key = key
        self._generation = slot.generation = self._generation + 1
        if not slab.busy:
            self._idle.pop(slab.start, None)
        slab.busy += 1
        assert slab.owner is not None
        self._filling += slab.owner.stride
        return Allocation(slot.offset, slot.generation, evicted)

    def hold(self, slot: int) -> None:
        """Somebody wants what is in a slot: FILLING (it is filled now) or RECENT becomes HELD.

        Raises
        ------
        ValueError
            If the slot is free, or held already: whoever calls has lost count.
        """
        record = self._slots.get(slot)
        if record is None or record.state not in (RECENT, FILLING):
            raise self._wrong(slot, "hold")
        slab = record.slab
        owner = slab.owner
        assert owner is not None
        stride = owner.stride
        if record.state == RECENT:
            del owner.recent[slot]
            if not slab.busy:
                del self._idle[slab.start]
            slab.busy += 1
            slab.recent -= 1
            self._recent -= stride
        else:
            self._filling -= stride
        self._held += stride
        record.state = HELD

    def release(self, slot: int) -> None:
        """Nobody wants what is in a slot: FILLING (it is filled now) or HELD becomes RECENT, as the last to be evicted.

        Raises
        ------
        ValueError
            If the slot is free, or RECENT already.
        """
        record = self._slots.get(slot)
        if record is None or record.state not in (HELD, FILLING):
            raise self._wrong(slot, "release")
        slab = record.slab
        owner = slab.owner
        assert owner is not None
        if record.state == HELD:
            self._held -= owner.stride
        else:
            self._filling -= owner.stride
        self._recent += owner.stride
        record.state = RECENT
        self._releases = record.released = self._releases + 1
        owner.recent[slot] = record
        slab.recent += 1
        slab.busy -= 1
        if not slab.busy:
            slab.released = self._releases
            self._idle[slab.start] = slab

    def discard(self, slot: int) -> None:
        """What is in a slot is worth nothing, because its load failed or its dataset is gone: it is free, in any state.

        Raises
        ------
        ValueError
            If it is free already.
        """
        record = self._slots.get(slot)
        if record is None or record.state == FREE:
            raise self._wrong(slot, "discard")
        slab = record.slab
        owner = slab.owner
        assert owner is not None
        if record.state == RECENT:
            del owner.recent[slot]
            slab.recent -= 1
            self._recent -= owner.stride
        else:
            if record.state == HELD:
                self._held -= owner.stride
            else:
                self._filling -= owner.stride
            slab.busy -= 1
            if not slab.busy:
                slab.released = self._releases
                self._idle[slab.start] = slab
        record.state = FREE
        record.key = None
        if slab.busy or slab.recent:
            slab.free.append(record)
            if not slab.listed:
                slab.listed = True
                owner.space.append(slab)
        else:
            self._take_back(slab)

    def usage(self) -> ArenaUsage:
        """What the arena is used for now, in bytes."""
        used = self._held + self._recent + self._filling
        return ArenaUsage(self._nbytes, self._held, self._recent, self._filling, self._nbytes - used, self._evictions)

    # --- where slots come from ---------------------------------------------------------------------------------------

    def _take_free(self, size: SizeClass) -> Slot | None:
        """A free slot of this size, from a slab that the class has or from a slab that nobody has."""
        space = size.space
        while space:
            slab = space[-1]
            if slab.free:
                return slab.free.pop()
            if slab.unused < slab.end:
                slot = Slot(slab.unused, slab)
                slab.unused += size.stride
                slab.slots.append(slot)
                self._slots[slot.offset] = slot
                return slot
            slab.listed = False
            space.pop()
        if not self._unowned:
            return None
        slab = Slab(self._unowned.pop(), size, self._slab_bytes)
        self._slabs[slab.start] = slab
        slab.listed = True
        space.append(slab)
        return self._take_free(size)

    def _make_room(self, size: SizeClass) -> tuple[Slot, tuple[ChunkKey, ...]] | None:
        """Evict the oldest: one slot of this class, or a slab of another in which everything is older than that."""
        oldest = next(iter(size.recent.values()), None)
        slab = next(iter(self._idle.values()), None)
        if slab is not None and slab.owner is not size and (oldest is None or slab.released < oldest.released):
            evicted = self._empty(slab)
            slot = self._take_free(size)
            assert slot is not None
            return slot, evicted
        return None if oldest is None else self._evict(oldest)

    def _evict(self, slot: Slot) -> tuple[Slot, tuple[ChunkKey, ...]]:
        slab, key = slot.slab, slot.key
        assert slab.owner is not None
        assert key is not None
        del slab.owner.recent[slot.offset]
        slab.recent -= 1
        self._recent -= slab.owner.stride
        self._evictions += 1
        return slot, (key,)

    def _empty(self, slab: Slab) -> tuple[ChunkKey, ...]:
        """Evict all that is in an idle slab, and take it back."""
        owner = slab.owner
        assert owner is not None
        evicted = []
        for slot in slab.slots:
            if slot.state == RECENT:
                del owner.recent[slot.offset]
                assert slot.key is not None
                evicted.append(slot.key)
                slot.state = FREE
                slot.key = None
        self._recent -= len(evicted) * owner.stride
        self._evictions += len(evicted)
        slab.recent = 0
        self._take_back(slab)
        return tuple(evicted)

    def _take_back(self, slab: Slab) -> None:
        """A slab in which every slot is free belongs to nobody."""
        for slot in slab.slots:
            del self._slots[slot.offset]
        del self._slabs[slab.start]
        self._idle.pop(slab.start, None)
        # Its class may still list it: it must look full there.
        slab.free.clear()
        slab.slots.clear()
        slab.unused = slab.end
        slab.owner = None
        self._unowned.append(slab.start)

    def _borrow(self, size: SizeClass) -> tuple[Slot, tuple[ChunkKey, ...]] | None:
        """A slot of a greater size. Wasteful, so only when every slab has something busy in it."""
        for _, greater in sorted(self._classes.items()):
            if greater.stride > size.stride:
                slot = self._take_free(greater)
                if slot is not None:
                    return slot, ()
                oldest = next(iter(greater.recent.values()), None)
                if oldest is not None:
                    return self._evict(oldest)
        return None

    def _wrong(self, slot: int, verb: str) -> ValueError:
        record = self._slots.get(slot)
        state = "no slot" if record is None else ("free", "FILLING", "HELD", "RECENT")[record.state]
        return ValueError(f"cannot {verb} slot {slot}: it is {state}")

    # --- looking at it -----------------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Raise `AssertionError` if slots overlap or are lost, or if a counter is wrong. O(slots)."""
        everywhere = list(range(SEGMENT_HEADER_BYTES, self._nbytes - self._slab_bytes + 1, self._slab_bytes))
        assert sorted([*self._unowned, *self._slabs]) == everywhere, "a slab is lost, or is there twice"
        totals = [0, 0, 0, 0]
        seen = 0
        generations: set[int] = set()
        for start, slab in self._slabs.items():
            owner = slab.owner
            assert slab.start == start
            assert owner is not None
            assert self._classes[owner.stride - SLOT_HEADER_BYTES] is owner
            assert slab.end <= start + self._slab_bytes
            counts = slab.validate()
            assert all(self._slots.get(slot.offset) is slot for slot in slab.slots)
            generations.update(slot.generation for slot in slab.slots if 0 < slot.generation <= self._generation)
            seen += len(slab.slots)
            assert (self._idle.get(start) is slab) == (slab.busy == 0)
            totals = [a + b * owner.stride for a, b in zip(totals, counts, strict=True)]
        assert seen == len(self._slots) == len(generations)
        assert (self._filling, self._held, self._recent) == (totals[FILLING], totals[HELD], totals[RECENT])
        assert self._idle.keys() <= self._slabs.keys()
        rests = [s.released for s in self._idle.values()]
        assert rests == sorted(rests), "slabs at rest are out of order"
        for size in self._classes.values():
            order = [s.released for s in size.recent.values()]
            assert order == sorted(set(order)), "RECENT slots are out of order"
            assert all(s.slab.owner is size for s in size.recent.values())
