"""Where images lie, as people and configurations write it: made absolute, and given names.

Looks at the working directory and reads configurations; knows neither daemons nor what a format is. What a
configuration means the daemon says: here, only the places are taken out of it that a link can name.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Origin(NamedTuple):
    """What a daemon of our own opens for a dataset: a path, a URL or ``module:factory``; its options; what inside."""

    location: str
    options: Mapping[str, Any]
    inside: str = ""


def absolute(source: Any) -> str:
    """A source as it is named from anywhere: a path from the root."""
    location = str(source)
    if "://" in location or is_factory(location):
        return location
    return str(Path(location).expanduser().absolute())


def stem(location: str) -> str:
    """What a file is called without its ending; the 4 of ``image-0.4`` is none."""
    name = Path(location.rstrip("/")).name
    while (ending := Path(name).suffix) and not ending[1:].isdigit():
        name = name.removesuffix(ending)
    return name


def is_factory(location: str) -> bool:
    """Whether a source is ``module:factory``."""
    module, colon, factory = location.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *factory.split(".")))


def name_of(location: str) -> str:
    """What a source is called where nobody has given it a name."""
    return (location.rpartition(":")[2] if is_factory(location) else stem(location)) or "image"


def with_names(sources: Iterable[Any]) -> dict[str, str]:
    """Sources by name, in their order: each called after its file, a second one of a name ``-2``."""
    named: dict[str, str] = {}
    for source in sources:
        location = absolute(source)
        named[free_name(name_of(location), named)] = location
    return named


def free_name(name: str, taken: Iterable[str]) -> str:
    """`name`, or the first of ``name-2``, ``name-3`` ... that is not taken."""
    known = set(taken)
    number, found = 1, name
    while found in known:
        number += 1
        found = f"{name}-{number}"
    return found


def origin_of(source: Any) -> Origin:
    """The origin of a source as it is given to `session.open`: a location, or a mapping with options."""
    if isinstance(source, Mapping):
        return Origin(absolute(source["source"]), {key: each for key, each in source.items() if key != "source"})
    return Origin(absolute(source), {})


def origins_in(config: Path) -> dict[str, Origin]:
    """The datasets of a configuration by name; none, where it cannot be read (the daemon says why, and better)."""
    try:
        text = config.read_text(encoding="utf-8-sig")
        try:
            content = json.loads(text)
        except ValueError:
            content = ast.literal_eval(text.strip())
        datasets = content.get("datasets", {})
        found = {str(name): _anchored(origin, config) for name, origin in datasets.items()}
    except (OSError, ValueError, SyntaxError, TypeError, AttributeError, KeyError, RecursionError, MemoryError):
        return {}
    return found


def _anchored(source: Any, config: Path) -> Origin:
    """Relative paths in a file are relative to its folder; a file may be called like ``module:factory`` too."""
    options = dict(source) if isinstance(source, Mapping) else {"source": source}
    location = str(options.pop("source"))
    if "://" not in location:
        path = os.path.normpath(config.absolute().parent / Path(location).expanduser())
        location = location if is_factory(location) and not os.path.lexists(path) else path
    return Origin(location, options)
