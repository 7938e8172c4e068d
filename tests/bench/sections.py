"""The sections of the benchmark: one module each, with ``measure(options) -> Measurements``."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from tests.bench.figures import Figure

#: In the order in which they run.
SECTIONS = (
    "planning",
    "throughput",
    "dask",
    "remote",
    "shards",
    "announcing",
    "jump",
    "pan",
    "whip",
    "walk",
    "levels",
    "opening",
    "layers",
    "idle",
    "lan",
)


@dataclass(frozen=True, slots=True)
class Options:
    """What a section is told: repetitions, of which the median counts, and minutes of the random walk."""

    repeat: int = 3
    minutes: float = 1.0


def run_section(name: str, options: Options) -> list[Figure]:
    """Measure one section here and now."""
    figures: list[Figure] = importlib.import_module(f"tests.bench.{name}").measure(options).figures()
    return figures
