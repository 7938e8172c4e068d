"""Which tile of the atlas holds which chunk, and which one is given up for the next. Pure (no I/O).

Knows nothing of textures: it hands out tile numbers, and whoever gets one uploads into it. Chunks are told apart by the
position of the axes that are not displayed too, so that going back to a time point finds its tiles still there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType

from octree_client.cover import FILL_TILE, PlaneChunk

#: Anything that tells apart what is shown: the position (`slices.Position`), or (dataset, position).
Place = Hashable

_NOTHING: Mapping[PlaneChunk, int] = MappingProxyType({})


class TileCache:
    """A cache of tiles with least-recently-used eviction.

    Parameters
    ----------
    tiles
        Tiles of the atlas. `FILL_TILE` is one of them and is never given away.

    Attributes
    ----------
    capacity
        Tiles that can hold chunks: all but the fill tile.
    evictions
        How often a chunk lost its tile to another one.
    """

    __slots__ = ("_free", "_owners", "_pinned", "_places", "_revisions", "_steps", "_used", "capacity", "evictions",
                 "tiles")  # fmt: skip

    def __init__(self, tiles: int) -> None:
        if tiles < 2:
            raise ValueError(f"an atlas of {tiles} tiles holds nothing beside the fill tile; give it 2 at least")
        self.tiles = tiles
        self.capacity = tiles - 1
        self.evictions = 0
        self._free = [tile for tile in range(tiles - 1, -1, -1) if tile != FILL_TILE]
        self._owners: dict[int, tuple[Place, PlaneChunk]] = {}
        self._places: dict[Place, dict[PlaneChunk, int]] = {}
        self._revisions: dict[Place, int] = {}
        self._steps = 0
        #: Tile -> last frame it was used in, least recently used first.
        self._used: OrderedDict[int, int] = OrderedDict()
        self._pinned: frozenset[tuple[Place, PlaneChunk]] = frozenset()

    def __len__(self) -> int:
        return len(self._owners)

    def resident(self, place: Place) -> Mapping[PlaneChunk, int]:
        """Which tile holds which chunk at a place; not to be kept beyond the next change."""
        return self._places.get(place, _NOTHING)

    def revision(self, place: Place) -> int:
        """A number that is another one after what is resident at a place has changed; 0 while nothing is."""
        return self._revisions.get(place, 0)

    def _changed(self, place: Place) -> None:
        self._steps += 1
        self._revisions[place] = self._steps

    def pin(self, chunks: Iterable[tuple[Place, PlaneChunk]]) -> None:
        """Replace the set of chunks that are never evicted once they are there: the base of what is shown."""
        self._pinned = frozenset(chunks)

    def touch(self, tiles: Iterable[int], frame: int) -> None:
        """These tiles are drawn in this frame."""
        used = self._used
        move = used.move_to_end
        for tile in tiles:
            if tile in used:
                used[tile] = frame
                move(tile)

    def available(self, keep: Collection[int]) -> int:
        """How many tiles `assign` could give away one after another, if `keep` is in use."""
        held = set(keep)
        for place, chunk in self._pinned:
            tile = self._places.get(place, _NOTHING).get(chunk)
            if tile is not None:
                held.add(tile)
        held.discard(FILL_TILE)
        return self.capacity - len(held & self._owners.keys())

    def assign(
        self, place: Place, chunk: PlaneChunk, frame: int, keep: Collection[int], spare: Sequence[int] = ()
    ) -> int | None:
        """A tile for a chunk: its own if it has one, a free one, or the least recently used one that may go.

        Parameters
        ----------
        keep
            Tiles in use now (`cover.touched_tiles`); a set.
        spare
            Tiles of `keep` that may go all the same if no other can, the first first (`cover.spare_tiles`). Leave it
            empty for a chunk that is not in view: nothing visible is evicted for something invisible.

        Returns
        -------
        int or None
            The tile, or None if every tile is in use or pinned. The chunk is resident from now on: its upload has to
            follow before the next draw, or `forget`.
        """
        mine = self._places.setdefault(place, {})
        tile = mine.get(chunk)
        if tile is None:
            tile = self._free.pop() if self._free else self._evict(keep, spare)
            if tile is None:
                if not mine:
                    del self._places[place]
                return None
            # Evicting the last chunk of this very place drops its dictionary.
            self._places.setdefault(place, mine)[chunk] = tile
            self._owners[tile] = (place, chunk)
            self._changed(place)
        self._used[tile] = frame
        self._used.move_to_end(tile)
        return tile

    def forget(self, place: Place, chunk: PlaneChunk) -> None:
        """The chunk's tile is free: its content is not worth keeping. Nothing happens if it has none."""
        tile = self._places.get(place, _NOTHING).get(chunk)
        if tile is not None:
            self._release(tile)
            self._free.append(tile)

    def forget_all(self) -> None:
        """Every tile is free: the texture was lost, or holds another dataset now. Pins stay."""
        for tile in list(self._owners):
            self._release(tile)
            self._free.append(tile)

    @property
    def free(self) -> int:
        """Tiles that hold nothing."""
        return len(self._free)

    def resize(self, tiles: int) -> list[tuple[int, int]]:
        """Have another number of tiles. What was used last is kept, as much as there is room for.

        Returns
        -------
        list of tuple of int
            (tile before, tile now) of the chunks that have another tile now; no tile stands on both sides.
        """
        if tiles < 2:
            raise ValueError(f"an atlas of {tiles} tiles holds nothing beside the fill tile; give it 2 at least")
        pinned = [tile for tile, owner in self._owners.items() if owner in self._pinned]
        order = [*(tile for tile in self._used if tile not in set(pinned)), *pinned]
        for tile in order[: max(0, len(order) - (tiles - 1))]:
            self._release(tile)
            self.evictions += 1
        beyond = [tile for tile in self._owners if tile >= tiles]
        room = [tile for tile in range(tiles - 1, -1, -1) if tile != FILL_TILE and tile not in self._owners]
        moves = []
        for tile in beyond:
            place, chunk = self._owners.pop(tile)
            target = room.pop()
            self._owners[target] = (place, chunk)
            self._places[place][chunk] = target
            self._changed(place)
            moves.append((tile, target))
        renamed = dict(moves)
        self._used = OrderedDict((renamed.get(tile, tile), frame) for tile, frame in self._used.items())
        self._free = room
        self.tiles, self.capacity = tiles, tiles - 1
        return moves

    def _evict(self, keep: Collection[int], spare: Sequence[int]) -> int | None:
        for tile in self._used:
            if tile not in keep and self._owners[tile] not in self._pinned:
                break
        else:
            for tile in spare:
                if tile in self._owners and self._owners[tile] not in self._pinned:
                    break
            else:
                return None
        self._release(tile)
        self.evictions += 1
        return tile

    def _release(self, tile: int) -> None:
        place, chunk = self._owners.pop(tile)
        del self._used[tile]
        there = self._places[place]
        del there[chunk]
        self._changed(place)
        if not there:
            del self._places[place], self._revisions[place]

    def validate(self) -> None:
        """Raise `AssertionError` if a tile is lost, held twice, or the books disagree."""
        held = sorted(tile for there in self._places.values() for tile in there.values())
        assert held == sorted(self._owners) == sorted(self._used), "the books of owners, places and uses disagree"
        assert len(set(held)) == len(held), "a tile is held by two chunks"
        assert sorted([*held, *self._free, FILL_TILE]) == list(range(self.tiles)), "a tile is lost, or free and held"
        for tile, (place, chunk) in self._owners.items():
            assert self._places[place][chunk] == tile, f"tile {tile} does not know its owner"
        assert all(self._places.values()), "a place without chunks is remembered"
        assert self._places.keys() == self._revisions.keys(), "a place without a revision, or the other way round"
        assert len(set(self._revisions.values())) == len(self._revisions), "two changes have one number"
