"""What a figure is: what was asked, what was measured, and whether that is good enough. Pure (no I/O)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: a value a repetition, and the bound that their median must keep.

    Attributes
    ----------
    name, unit
        For people.
    values
        One a repetition. The verdict looks at their median, as the spread of a busy machine says little.
    bound, sense
        The median must be ``<=`` or ``>=`` this. Without a bound, the figure is there to be compared with.
    note
        What one must know to read it right.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    bound: float | None = None
    sense: Literal["<=", ">="] = "<="
    note: str = ""

    @property
    def measured(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None where there is none."""
        if self.bound is None:
            return None
        return self.measured <= self.bound if self.sense == "<=" else self.measured >= self.bound

    def as_json(self) -> dict[str, Any]:
        """For ``bench.json``."""
        return {**asdict(self), "measured": self.measured, "met": self.met}


@dataclass(slots=True)
class Measurements:
    """Collects what the repetitions of one section come to, in the order in which figures were first named."""

    _figures: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(
        self,
        name: str,
        unit: str,
        value: float,
        bound: float | None = None,
        sense: Literal["<=", ">="] = "<=",
        note: str = "",
    ) -> None:
        """One more value of a figure."""
        entry = self._figures.setdefault(name, {"unit": unit, "bound": bound, "sense": sense, "values": []})
        entry["values"].append(float(value))
        entry["note"] = note

    def figures(self) -> list[Figure]:
        """All of them."""
        return [
            Figure(name, e["unit"], tuple(e["values"]), e["bound"], e["sense"], e["note"])
            for name, e in self._figures.items()
        ]


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile, `share` in 0 .. 1; 0 for no values."""
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))] if ordered else 0.0
