"""The arena's books: slots never overlap, are never lost, what is wanted is never reused, generations rise."""

from __future__ import annotations

import random
from bisect import bisect_left, insort

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_loader.scheduling.arena import Allocation, Arena
from octree_loader.scheduling.slot_sizes import SLAB_BYTES, SMALLEST_ARENA_BYTES, payload_for
from octree_protocol import limits
from octree_protocol.keys import ChunkKey
from octree_protocol.slots import SEGMENT_HEADER_BYTES, SLOT_HEADER_BYTES

SLAB = 64 * 1024
SIZES = (1, 4096, 4097, 9000, 16384, 30000, SLAB - SLOT_HEADER_BYTES)


def small_arena(slabs: int = 4) -> Arena:
    return Arena(SEGMENT_HEADER_BYTES + slabs * SLAB, SLAB)


def key(number: int) -> ChunkKey:
    return ChunkKey(1, 0, (0, number))


def give(arena: Arena, number: int, nbytes: int) -> Allocation:
    given = arena.allocate(key(number), nbytes)
    assert given is not None
    return given


def keep(arena: Arena, number: int, nbytes: int) -> int:
    """A chunk that was loaded and that nobody wants."""
    slot = give(arena, number, nbytes).slot
    arena.release(slot)
    return slot


class Model:
    """What must be true of an arena, in the plainest way: a dictionary of what is in use."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.used: dict[int, tuple[str, ChunkKey, int]] = {}
        self.by_key: dict[ChunkKey, int] = {}
        self.ranges: list[tuple[int, int]] = []
        self.generation: dict[int, int] = {}

    def allocated(self, name: ChunkKey, nbytes: int, given: Allocation) -> None:
        for gone in given.evicted:
            slot = self.by_key[gone]
            assert self.used[slot][0] == "recent", f"{gone} was taken from somebody who wants it"
            self.forget(slot)
        low, high = given.slot, given.slot + SLOT_HEADER_BYTES + nbytes
        assert low % SLOT_HEADER_BYTES == 0
        assert low >= SEGMENT_HEADER_BYTES
        assert high <= self.nbytes
        at = bisect_left(self.ranges, (low, high))
        assert at == 0 or self.ranges[at - 1][1] <= low, "overlaps the slot before"
        assert at == len(self.ranges) or high <= self.ranges[at][0], "overlaps the slot after"
        assert given.generation > self.generation.get(low, 0)
        self.generation[low] = given.generation
        insort(self.ranges, (low, high))
        self.used[low] = ("filling", name, nbytes)
        self.by_key[name] = low

    def forget(self, slot: int) -> None:
        _, name, nbytes = self.used.pop(slot)
        del self.by_key[name]
        self.ranges.remove((slot, slot + SLOT_HEADER_BYTES + nbytes))

    def become(self, slot: int, state: str) -> None:
        self.used[slot] = (state, *self.used[slot][1:])

    def slots(self, *states: str) -> list[int]:
        return [slot for slot, (state, _, _) in self.used.items() if state in states]

    def payload(self, *states: str) -> int:
        return sum(nbytes for state, _, nbytes in self.used.values() if state in states)


def step(arena: Arena, model: Model, action: int, choice: int, number: int) -> bool:
    """One step of both. False if the arena had no slot to give."""
    if action < 5:
        nbytes = SIZES[choice % len(SIZES)]
        given = arena.allocate(key(number), nbytes)
        if given is None:
            # Nobody may be refused while something of at least that size could be evicted.
            assert not [s for s in model.slots("recent") if model.used[s][2] >= nbytes]
            return False
        model.allocated(key(number), nbytes, given)
        return True
    states, become = {
        5: (("filling", "recent"), "held"),
        6: (("filling", "held"), "recent"),
        7: (("filling", "held"), "recent"),
        8: (("filling", "held", "recent"), None),
    }[action]
    candidates = model.slots(*states)
    if not candidates:
        return True
    slot = candidates[choice % len(candidates)]
    if become is None:
        arena.discard(slot)
        model.forget(slot)
    elif become == "held":
        arena.hold(slot)
        model.become(slot, become)
    else:
        arena.release(slot)
        model.become(slot, become)
    return True


def agree(arena: Arena, model: Model) -> None:
    arena.validate()
    usage = arena.usage()
    assert usage.held + usage.recent + usage.filling + usage.free == usage.nbytes == model.nbytes
    for stated, state in ((usage.held, "held"), (usage.recent, "recent"), (usage.filling, "filling")):
        assert (stated == 0) == (not model.slots(state))
        assert stated >= model.payload(state)


@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_thousand_random_steps_agree_with_a_plain_model(seed: int) -> None:
    rng = random.Random(seed)
    arena = small_arena(slabs=6)
    model = Model(SEGMENT_HEADER_BYTES + 6 * SLAB)
    refused = 0
    for number in range(25_000):
        # Phases of pressure and of peace, so that the arena is now full of what is held, now empty.
        weights = (5, 1, 1, 1) if number // 500 % 2 else (3, 2, 4, 2)
        action = rng.choices((rng.randrange(5), 5, rng.choice((6, 7)), 8), weights)[0]
        refused += not step(arena, model, action, rng.randrange(1 << 30), number)
        if number % 50 == 0:
            agree(arena, model)
    agree(arena, model)
    assert refused > 100, "the arena was never full of what is held: the test shows little"
    assert arena.usage().evictions > 1000
    for slot in list(model.used):
        arena.discard(slot)
    assert arena.usage()[1:5] == (0, 0, 0, model.nbytes)
    arena.validate()


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1 << 16)), max_size=120))
def test_any_steps_agree_with_a_plain_model(steps: list[tuple[int, int]]) -> None:
    arena = small_arena(slabs=2)
    model = Model(SEGMENT_HEADER_BYTES + 2 * SLAB)
    for number, (action, choice) in enumerate(steps):
        step(arena, model, action, choice, number)
        agree(arena, model)


@given(st.integers(1, limits.CHUNK_BYTES))
def test_at_most_an_eighth_of_a_slot_is_lost(nbytes: int) -> None:
    payload = payload_for(nbytes, limits.CHUNK_BYTES)
    assert nbytes <= payload <= max(4096, nbytes * 9 // 8 + 1)
    assert payload_for(payload, limits.CHUNK_BYTES) == payload
    arena = Arena(64 << 20, SLAB_BYTES)
    give(arena, 0, nbytes)
    assert arena.usage().filling == payload + SLOT_HEADER_BYTES


def test_a_128_kib_chunk_fits_its_slot_and_64_of_them_a_slab_to_the_byte() -> None:
    arena = Arena(SEGMENT_HEADER_BYTES + SLAB_BYTES, SLAB_BYTES)
    for number in range(64):
        give(arena, number, 131072)
    assert arena.usage().filling == SLAB_BYTES
    assert arena.allocate(key(64), 131072) is None


def test_the_greatest_chunk_fits_a_default_arena() -> None:
    arena = Arena(1 << 30)
    assert arena.largest_payload >= limits.CHUNK_BYTES
    give(arena, 0, limits.CHUNK_BYTES)


def test_small_arenas_have_small_slabs() -> None:
    arena = Arena(32 << 20)
    assert 1 << 20 <= arena.largest_payload < 2 << 20
    give(arena, 0, arena.largest_payload)
    with pytest.raises(ValueError, match=r"cut the chunks smaller or raise memory\.arena_bytes"):
        arena.allocate(key(1), arena.largest_payload + 1)


@pytest.mark.parametrize(
    ("nbytes", "slab_bytes", "reason"),
    [
        (0, None, "too small: it takes at least"),
        (SMALLEST_ARENA_BYTES - 1, None, "too small: it takes at least"),
        (SEGMENT_HEADER_BYTES + SLAB - 1, SLAB, "too small for one slab"),
        (1 << 20, 4096, "slabs of 4096 bytes are too small"),
    ],
)
def test_an_arena_that_is_too_small_says_so(nbytes: int, slab_bytes: int | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Arena(nbytes, slab_bytes)


def test_the_smallest_arena_works() -> None:
    arena = Arena(SMALLEST_ARENA_BYTES)
    give(arena, 0, 1 << 20)
    arena.validate()


def test_an_empty_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to keep"):
        small_arena().allocate(key(0), 0)


def test_what_is_held_or_filling_is_never_evicted() -> None:
    arena = small_arena(slabs=1)
    whole = arena.largest_payload
    slot = give(arena, 0, whole).slot
    assert arena.allocate(key(1), whole) is None
    arena.hold(slot)
    assert arena.allocate(key(1), 1) is None
    arena.release(slot)
    assert give(arena, 1, 1).evicted == (key(0),)


def test_the_least_recently_released_goes_first() -> None:
    arena = small_arena(slabs=1)
    slots = [give(arena, number, 30000).slot for number in range(2)]
    arena.release(slots[1])
    arena.release(slots[0])
    assert give(arena, 2, 30000).evicted == (key(1),)
    arena.release(slots[1])
    assert give(arena, 3, 30000).evicted == (key(0),)


def test_wanting_it_again_makes_it_the_most_recent() -> None:
    arena = small_arena(slabs=1)
    slots = [keep(arena, number, 30000) for number in range(2)]
    arena.hold(slots[0])
    arena.release(slots[0])
    assert give(arena, 2, 30000).evicted == (key(1),)


def test_a_free_slot_is_used_before_anything_is_evicted() -> None:
    arena = small_arena(slabs=1)
    first = give(arena, 0, 30000).slot
    keep(arena, 1, 30000)
    arena.discard(first)
    again = give(arena, 2, 30000)
    assert (again.slot, again.evicted) == (first, ())


def test_a_slab_that_became_free_serves_another_size() -> None:
    arena = small_arena(slabs=1)
    slots = [give(arena, number, 4096).slot for number in range(15)]
    assert arena.allocate(key(99), arena.largest_payload) is None
    for slot in slots:
        arena.discard(slot)
    given = give(arena, 99, arena.largest_payload)
    assert given.evicted == ()
    assert given.slot in slots
    assert given.generation == 16


def test_the_oldest_slab_of_another_size_is_emptied_as_a_whole() -> None:
    arena = small_arena(slabs=2)
    # Both slabs full of small chunks; those of the first were let go last.
    small = [give(arena, number, 30000).slot for number in range(4)]
    for slot in (small[2], small[3], small[0], small[1]):
        arena.release(slot)
    given = give(arena, 9, arena.largest_payload)
    assert set(given.evicted) == {key(2), key(3)}
    arena.validate()
    assert arena.usage().evictions == 2


def test_a_new_size_is_not_confined_to_its_first_slab() -> None:
    """Old chunks of another size give way before young ones of the same size: one order of use for all."""
    arena = small_arena(slabs=4)
    for number in range(8):
        keep(arena, number, 30000)
    for number in range(8, 8 + 4 * 15):
        given = give(arena, number, 4096)
        assert all(gone.index[1] < 8 for gone in given.evicted)
        arena.release(given.slot)
    assert arena.usage().evictions == 8


def test_a_young_slab_of_another_size_outlives_old_chunks_of_the_same_size() -> None:
    arena = small_arena(slabs=2)
    keep(arena, 0, 30000)
    arena.hold(give(arena, 1, 30000).slot)
    keep(arena, 2, arena.largest_payload)
    assert give(arena, 3, 30000).evicted == (key(0),)


def test_a_small_chunk_borrows_a_large_slot_when_every_slab_is_busy() -> None:
    arena = small_arena(slabs=1)
    arena.hold(give(arena, 0, 30000).slot)
    given = arena.allocate(key(1), 4096)
    assert given is not None
    arena.validate()
    assert arena.allocate(key(2), 4096) is None
    arena.release(given.slot)
    assert give(arena, 2, 4096).evicted == (key(1),)


def test_usage_counts_whole_slots_by_state() -> None:
    arena = small_arena()
    stride = 4096 + SLOT_HEADER_BYTES
    slots = [give(arena, number, 4096).slot for number in range(6)]
    for slot in slots[:3]:
        arena.hold(slot)
    arena.release(slots[0])
    usage = arena.usage()
    assert (usage.held, usage.recent, usage.filling) == (2 * stride, stride, 3 * stride)
    assert usage.free == usage.nbytes - 6 * stride


def test_every_state_refuses_what_does_not_follow() -> None:
    arena = small_arena()
    slot = give(arena, 0, 4096).slot
    arena.hold(slot)
    with pytest.raises(ValueError, match="cannot hold slot 4096: it is HELD"):
        arena.hold(slot)
    arena.release(slot)
    with pytest.raises(ValueError, match="cannot release slot 4096: it is RECENT"):
        arena.release(slot)
    arena.discard(slot)
    for verb in (arena.hold, arena.release, arena.discard):
        with pytest.raises(ValueError, match="it is no slot"):
            verb(slot)
    give(arena, 1, 4096)
    other = give(arena, 2, 4096).slot
    arena.discard(other)
    for verb in (arena.hold, arena.release, arena.discard):
        with pytest.raises(ValueError, match="it is free"):
            verb(other)


def test_validate_notices_a_counter_that_is_wrong() -> None:
    arena = small_arena()
    give(arena, 0, 4096)
    arena.validate()
    arena._filling += 1
    with pytest.raises(AssertionError):
        arena.validate()
