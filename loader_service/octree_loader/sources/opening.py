"""What lies at a location, and what the options of a dataset say. Opens nothing itself but the right source."""

from __future__ import annotations

import math
import os
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from octree_loader.sources.assembled import Placing
from octree_loader.sources.base import Source, SourceError
from octree_loader.sources.locations import is_remote, shown_location
from octree_loader.sources.placement import axis_named
from octree_protocol import limits

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

#: Options that say which levels there are, and when they are made: for the daemon's catalogue, not for what opens the
#: data. Always a text; anything else of these names is an argument of a factory.
CATALOG_OPTIONS = frozenset({"levels", "make_levels"})

#: Options that mean the same at every location; the others belong to a factory.
OWN_OPTIONS = frozenset({"axes", "scale", "translation", "rgb", "kind", "delay_ms"})

#: What voxels can be; it decides how they are downsampled, and how they are shown.
KINDS = ("intensity", "labels", "mask")

#: The longest simulated delay: beyond it a read looks like one that hangs.
DELAY_MS = 60_000.0


@dataclass(frozen=True, slots=True)
class OwnOptions:
    """The options that every location takes."""

    placing: Placing = field(default_factory=Placing)
    delay_ms: float = 0.0


def without_catalog_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` for what opens the data."""
    return {key: said for key, said in options.items() if key not in CATALOG_OPTIONS or not isinstance(said, str)}


def own_options(options: Mapping[str, Any]) -> tuple[OwnOptions, dict[str, Any]]:
    """Split options into ours, checked, and the others.

    Raises
    ------
    SourceError
        If one of ours is no value that it can have.
    """
    axes, rgb, delay = options.get("axes"), options.get("rgb"), options.get("delay_ms", 0)
    if axes is not None:
        if not isinstance(axes, str | list | tuple) or not all(isinstance(name, str) and name for name in axes):
            raise SourceError(f"the option axes is {axes!r}: give one letter an axis, as in 'tzyx', or a list of names")
        if not 2 <= len(axes) <= limits.AXES or len(set(axes)) != len(axes):
            raise SourceError(f"the option axes is {axes!r}: give 2 to {limits.AXES} different names")
    if rgb is not None and not isinstance(rgb, bool):
        raise SourceError(f"the option rgb is {rgb!r}: it is true or false")
    kind = options.get("kind")
    if kind is not None and kind not in KINDS:
        raise SourceError(f"the option kind is {kind!r}: say {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= DELAY_MS:
        raise SourceError(f"the option delay_ms is {delay!r}: give milliseconds from 0 to {DELAY_MS:.0f}")
    numbers = {}
    for key in ("scale", "translation"):
        value = options.get(key)
        if value is not None:
            if not isinstance(value, list | tuple) or not all(
                isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in value
            ):
                raise SourceError(f"the option {key} is {value!r}: give one number for every axis")
            if key == "scale" and any(n <= 0 for n in value):
                raise SourceError(f"the option scale is {value!r}: a voxel's size is above 0")
            numbers[key] = tuple(float(n) for n in value)
    placing = Placing(
        axes=None if axes is None else tuple(axis_named(name) for name in axes),
        scales=(numbers["scale"],) if "scale" in numbers else (),
        translations=(numbers["translation"],) if "translation" in numbers else (),
        rgb=rgb,
        kind=kind,
    )
    others = {key: value for key, value in options.items() if key not in OWN_OPTIONS}
    return OwnOptions(placing, float(delay)), others


def open_location(location: str, options: OwnOptions, others: Mapping[str, Any]) -> Source:
    """Open what lies at `location`. `others` are the keyword arguments of a factory. Raises `SourceError`."""
    if "\0" in location or not location:
        raise SourceError("the location of a dataset is a path, or module:factory")
    if is_remote(location):
        from octree_loader.sources.remote_opening import open_remote_location

        return open_remote_location(location, others, options.placing)
    path = local_path(location)
    if is_factory(location):
        from octree_loader.sources.array_like import open_factory

        return open_factory(location, others, options.placing)
    if others:
        raise SourceError(
            f"{location} does not take the option {', '.join(sorted(others))}: "
            f"it takes {', '.join(sorted(OWN_OPTIONS))}"
        )
    from octree_loader.sources.local import open_local

    return open_local(path, options.placing)


def is_factory(location: str) -> bool:
    """Whether a location means code: ``module:factory``, unless a file is called that."""
    return _FACTORY.fullmatch(location) is not None and not os.path.lexists(os.path.abspath(location))


def local_path(location: str) -> str:
    """The path that a location means: ``~`` is the home folder, ``file://`` is dropped.

    Raises
    ------
    SourceError
        For the URL of another machine.
    """
    if location.startswith("file://"):
        parts = urllib.parse.urlsplit(location)
        if parts.netloc not in ("", "localhost"):
            raise SourceError(f"{location} names the machine {parts.netloc!r}: a file URL is file:///path")
        path = urllib.parse.unquote(parts.path)
        if "\0" in path:
            raise SourceError("the location of a dataset has a NUL in it")
        return os.path.abspath(path)
    if _URL.match(location):
        raise SourceError(
            f"{shown_location(location)} cannot be opened: give a path, or a URL of http://, https://, s3:// or gs://"
        )
    return os.path.abspath(os.path.expanduser(location))
