"""``python -m tests.bench``: measures, prints a table, writes ``build/bench.json``.

Each section runs in a process of its own, so that none inherits another's memory, threads or GL context; and each runs
alone with ``--only NAME``. Exit status 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.bench.figures import Figure
from tests.bench.machine import describe_machine, measure_noise
from tests.bench.sections import SECTIONS, Options, run_section


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="NAME", help=", ".join(SECTIONS))
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; the median counts (default 3)")
    parser.add_argument("--minutes", type=float, default=1.0, help="of random walk (default 1)")
    parser.add_argument("--output", type=Path, default=Path("build") / "bench.json")
    chosen = parser.parse_args(arguments)
    options = Options(max(1, chosen.repeat), chosen.minutes)
    console = Console(width=None if sys.stdout.isatty() else 160)
    report: dict[str, Any] = {"machine": describe_machine(), "sections": {}}
    table = _table()
    missed = broken = 0
    for name in chosen.only or SECTIONS:
        noise, began = measure_noise(), time.monotonic()
        console.print(
            f"[dim]{name}: work stretched {noise.stretched:.2f} times, a sleep of 1 ms late by "
            f"{noise.late_p99_ms:.2f} ms (p99), load {noise.load:.1f}[/]"
        )
        section: dict[str, Any] = {"noise": noise._asdict()}
        report["sections"][name] = section
        try:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                figures = process.submit(run_section, name, options).result()
        except (Exception, BrokenProcessPool) as error:
            # One section that breaks must not take the others' figures with it.
            console.print_exception()
            section["error"] = f"{type(error).__name__}: {error}"
            broken += 1
            continue
        section["seconds"] = round(time.monotonic() - began, 1)
        section["figures"] = [figure.as_json() for figure in figures]
        missed += sum(1 for figure in figures if figure.met is False)
        table.add_section()
        for figure in figures:
            table.add_row(*_row(name, figure))
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps(report, indent=2) + "\n")
    console.print(table)
    console.print(f"{chosen.output}: {missed} missed" + (f", {broken} sections broke" if broken else ""))
    return 1 if missed or broken else 0


def _table() -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("section", "figure", "asked", "measured", "spread", "verdict", "note"):
        right = heading in ("asked", "measured", "spread")
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading not in ("figure", "note"))
    return table


def _row(section: str, figure: Figure) -> tuple[str, ...]:
    def number(value: float) -> str:
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        return f"{text} {figure.unit}".rstrip()

    asked = "" if figure.bound is None else f"{figure.sense} {number(figure.bound)}"
    spread = "" if len(figure.values) < 2 else f"{number(min(figure.values))} .. {number(max(figure.values))}"
    verdict = {None: "", True: "[green]met[/]", False: "[bold red]MISSED[/]"}[figure.met]
    return section, figure.name, asked, number(figure.measured), spread, verdict, figure.note


if __name__ == "__main__":
    sys.exit(main())
