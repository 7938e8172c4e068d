"""What a factory will import, as far as the text of its module tells. Runs nothing of it.

A guess: of one that is wrong nothing comes but time.
"""

from __future__ import annotations

import re
from importlib.machinery import ModuleSpec, PathFinder

from octree_loader.sources.opening import is_factory

#: Modules that are worth to be imported once for all workers, and what in a factory's module says that it needs them.
_AHEAD = {"octree_loader.sources.dask_ahead": re.compile(rb"^[ \t]*(?:import|from)[ \t]+dask\b", re.MULTILINE)}

#: So much of a module is looked at.
_BYTES = 1 << 20


def foreseen_imports(location: str) -> tuple[str, ...]:
    """Modules that workers should have imported before they open what lies at `location`."""
    if not is_factory(location):
        return ()
    try:
        spec = _find(location.partition(":")[0])
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            return ()
        with open(spec.origin, "rb") as file:
            text = file.read(_BYTES)
    except Exception:  # finders may be other people's code, too, and it is only a guess
        return ()
    return tuple(module for module, sign in _AHEAD.items() if sign.search(text))


def _find(name: str) -> ModuleSpec | None:
    """Where a module lies; `importlib.util.find_spec` would import the packages around it."""
    within: list[str] | None = None
    *packages, last = name.split(".")
    for package in packages:
        # By the last part of its name alone: by all of it, packages without an __init__ would have to be imported.
        found = PathFinder.find_spec(package, within)
        if found is None or found.submodule_search_locations is None:
            return None
        within = list(found.submodule_search_locations)
    return PathFinder.find_spec(last, within)
