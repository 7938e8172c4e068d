"""Which places along an axis are loaded, for what is in view. Pure (no I/O)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from octree_client.cover import PlaneChunk


def loaded_shares(
    places: Iterable[tuple[tuple[int, ...], Collection[PlaneChunk]]],
    position: tuple[int, ...],
    axis: int,
    visible: Collection[PlaneChunk],
) -> dict[int, float]:
    """Which part of the chunks in view is there, by the voxel along one axis.

    Parameters
    ----------
    places
        (position, chunks that are there) of every position that anything is known of.
    position
        Where the view is now.
    axis
        Which entry of a position is looked along.
    visible
        The chunks that the view needs, the same at every position.

    Returns
    -------
    dict
        Voxel to share, above 0 and up to 1; voxels of which nothing is there are left out.
    """
    found: dict[int, float] = {}
    if not visible:
        return found
    for place, chunks in places:
        if place[:axis] != position[:axis] or place[axis + 1 :] != position[axis + 1 :]:
            continue
        there = sum(1 for chunk in visible if chunk in chunks)
        if there:
            found[place[axis]] = there / len(visible)
    return found


def runs(shares: Mapping[int, float], least: float = 0.999) -> list[tuple[int, int, bool]]:
    """Neighbouring places as (first, one past the last, whether all of them are whole), in order."""
    found: list[tuple[int, int, bool]] = []
    for place in sorted(shares):
        whole = shares[place] >= least
        if found and found[-1][1] == place and found[-1][2] == whole:
            found[-1] = found[-1][0], place + 1, whole
        else:
            found.append((place, place + 1, whole))
    return found
