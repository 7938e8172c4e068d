"""Where images are found, by oneself and by others, and their opening there. Imports neither Qt nor vispy."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from octree_client import session as sessions
from octree_client.links import BadLink, LayerLink, SourceOptions, linked_options
from octree_client.locations import free_name, is_factory, name_of
from octree_client.opening import Keep, Opened
from octree_client.session import Image, Session
from octree_protocol.errors import OctreeError


class Place(NamedTuple):
    """Where an image is found: a path or URL, its options, and what inside of it; or a daemon's address and a name.

    Of a path or URL, `dataset` is only how it is called.
    """

    source: str = ""
    address: str = ""
    dataset: str = ""
    options: SourceOptions = SourceOptions()
    inside: str = ""

    @property
    def text(self) -> str:
        """As people read it."""
        if self.source:
            return f"{self.source} ({self.inside})" if self.inside else self.source
        return f"{self.dataset} at {self.address}"


def place_of(layer: LayerLink) -> Place:
    """Where a layer's image is."""
    return Place(layer.source, layer.address, layer.dataset, layer.options, layer.inside)


def open_places(places: Iterable[Place], keep: Keep) -> Opened:
    """Open what is at some places: paths and URLs in one daemon of our own. May take its time.

    Raises
    ------
    OctreeError
        If nothing of it can be opened; as `session.open` and `session.connect`.
    """
    places = list(dict.fromkeys(places))
    named = _names([place for place in places if place.source])
    found: dict[Place, Image] = {}
    problems: dict[Place, OctreeError] = {}

    def describe(session: Session, place: Place, name: str | None) -> None:
        try:
            found[place] = session.dataset(name)
        except OctreeError as error:
            problems[place] = error

    with ThreadPoolExecutor(8, "octree-describing") as pool:
        if named:
            served = {
                name: {"source": place.source, **msgspec.to_builtins(place.options)} for place, name in named.items()
            }
            session = keep(sessions.open(datasets=served))
            for place, name in named.items():
                pool.submit(describe, session, place, f"{name}/{place.inside}" if place.inside else name)
        for address in dict.fromkeys(place.address for place in places if place.address):
            there = [place for place in places if place.address == address]
            try:
                session = keep(sessions.connect(address))
            except OctreeError as error:
                problems |= dict.fromkeys(there, error)
                continue
            for place in there:
                pool.submit(describe, session, place, place.dataset or None)
    if problems and not found:
        raise next(iter(problems.values()))
    return Opened(
        tuple(found[place] for place in places if place in found),
        {place: found[place] for place in places if place in found},
        tuple(f"{place.text} cannot be opened: {problems[place]}" for place in places if place in problems),
    )


def _names(places: Iterable[Place]) -> dict[Place, str]:
    """What each source is called in the daemon that opens all of them."""
    named: dict[Place, str] = {}
    for place in places:
        name = place.dataset.removesuffix(f"/{place.inside}") if place.inside else place.dataset
        named[place] = free_name(name or name_of(place.source), named.values())
    return named


def place_of_image(image: Image) -> Place:
    """Where somebody else finds an image.

    Raises
    ------
    BadLink
        With why nobody does, and what would help.
    """
    session = image.session
    if not session.is_own:
        return Place(address=session.connection.address, dataset=image.name)
    origin = session.origin(image.name)
    if origin is None:
        raise BadLink(f"{image.name} is in memory only: save it to a file, and open that")
    cure = "serve it with octree-serve, and open it from there (--connect)"
    if is_factory(origin.location):
        raise BadLink(f"{image.name} is computed by {origin.location}, which a link may not call: {cure}")
    try:
        options = linked_options(origin.options)
    except BadLink as error:
        raise BadLink(f"{image.name}: {error}; {cure}") from None
    return Place(origin.location, "", image.name, options, origin.inside)
