"""The values of a look as attributes of whatever has one. Pure (no I/O).

What is set is brought to its type, and the owner's look replaced by one that has it; the look checks it. Knows nothing
of layers, or of what a change of the look sets off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Generic, Protocol, TypeVar, overload

from octree_client.looks import Look

T = TypeVar("T")

_NAMES = frozenset(field.name for field in fields(Look))


class HasLook(Protocol):
    """Something whose look can be replaced."""

    look: Look


class LookAttribute(Generic[T]):
    """One value of the owner's look, under the same name: ``opacity = LookAttribute(float, "0 .. 1.")``.

    Parameters
    ----------
    convert
        Makes of what is set what the look keeps; raises `ValueError` or `TypeError` for what cannot be that.
    doc
        What the attribute means: `help` shows it.
    """

    def __init__(self, convert: Callable[[Any], T], doc: str) -> None:
        self._convert = convert
        self._name = ""
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        if name not in _NAMES:
            raise AttributeError(f"a look has no {name}")
        self._name = name

    @overload
    def __get__(self, owner: None, kind: type) -> LookAttribute[T]: ...

    @overload
    def __get__(self, owner: HasLook, kind: type | None = None) -> T: ...

    def __get__(self, owner: HasLook | None, kind: type | None = None) -> LookAttribute[T] | T:
        if owner is None:
            return self
        value: T = getattr(owner.look, self._name)
        return value

    def __set__(self, owner: HasLook, value: T) -> None:
        changed: dict[str, Any] = {self._name: self._convert(value)}
        owner.look = replace(owner.look, **changed)


def unchanged(value: Any) -> Any:
    """For values that the look alone has to check."""
    return value


def int_or_none(value: Any) -> int | None:
    """A whole number, or None for none."""
    return None if value is None else int(value)


def two_floats(values: Any) -> tuple[float, float]:
    """The first two of them."""
    return float(values[0]), float(values[1])
