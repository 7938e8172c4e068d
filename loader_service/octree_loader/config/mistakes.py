"""What is wrong with a configuration, in one line a mistake. Pure (no I/O).

Turns errors of pydantic into lines that name the key by its dotted path, what was given and what is allowed. Knows no
file, and no key in particular: what is allowed it reads from `models`.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Sequence
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from octree_loader.config.models import Config
from octree_protocol.errors import OctreeError


class ConfigError(OctreeError):
    """The configuration cannot be used. `mistakes` has one line for each thing that is wrong in it."""

    #: EX_CONFIG of sysexits.h.
    exit_code = 78

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = list(mistakes)
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__("\n  ".join([f"{count} in the configuration:", *self.mistakes]))


def describe(found: Any) -> str:
    """One line for one of pydantic's errors: the key by its dotted path, what was given, what is allowed."""
    kind, given = found["type"], found["input"]
    keys = [key for key in found["loc"] if key != "[key]"]
    path = ".".join(str(key) if re.fullmatch(r"[\w:-]+", str(key)) else json.dumps(str(key)) for key in keys)
    model, field = _find(keys)
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(keys[-1]), list(model.model_fields), 1, 0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"allowed are {choices(model)}"
        return f"{path}: there is no such key; {hint}"
    if kind == "missing":
        return f"{path}: is missing; allowed is {_allowed(field)}"
    if kind == "value_error":
        reason = found["ctx"]["error"]
        if isinstance(reason, OctreeError):  # says itself what was given
            return f"{path}: {reason}"
        return f"{path}: is {show(given)}; allowed is {reason}"
    return f"{path}: is {show(given)}; allowed is {_allowed(field)}"


def _find(keys: list[Any]) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model in which a path ends, and the field that it names there."""
    model: type[BaseModel] = Config
    inner: type[BaseModel] | None = Config
    field: FieldInfo | None = None
    for key in keys:
        if inner is not None and key in inner.model_fields:
            model, field = inner, inner.model_fields[key]
            found = (t for t in _types(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel))
            inner = next(found, None)
        elif inner is not None:
            model = inner
    return model, field


def _types(annotation: Any) -> list[Any]:
    """The types in an annotation, flat."""
    if get_origin(annotation) is typing.Annotated:
        return _types(get_args(annotation)[0])
    return [annotation, *(t for part in get_args(annotation) for t in _types(part))]


def _allowed(field: FieldInfo | None) -> str:
    if field is None:
        return "an object"
    united = get_origin(field.annotation) in (Union, types.UnionType)
    parts = get_args(field.annotation) if united else (field.annotation,)
    bounds: dict[str, Any] = {}
    texts = []
    for part in parts:
        metadata = list(field.metadata)
        if get_origin(part) is typing.Annotated:
            part, *inner = get_args(part)
            metadata += [m for info in inner for m in (info.metadata if isinstance(info, FieldInfo) else [info])]
        for item in metadata:
            bounds |= {name: getattr(item, name) for name in ("ge", "gt", "le") if hasattr(item, name)}
        if get_origin(part) is typing.Literal:
            texts.append(" or ".join(json.dumps(choice) for choice in get_args(part)))
            continue
        texts.append(_KINDS.get(get_origin(part) or part, "an object"))
    span = ""
    if "ge" in bounds:
        span = f" from {bounds['ge']} to {bounds['le']}"
    elif "gt" in bounds:
        span = f" above {bounds['gt']}, up to {bounds['le']}"
    return " or ".join(text + (span if "number" in text else "") for text in texts)


_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text that is not empty",
    tuple: "a list",
    dict: "an object",
    type(None): "null",
}


def show(given: Any) -> str:
    """What was given, on part of one line."""
    text = json.dumps(given, default=repr, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:100]}..."


def choices(model: type[BaseModel]) -> str:
    """The keys that a model has."""
    return ", ".join(model.model_fields)
