"""``octree-serve --check``: what `checking` found, as tables for people or as JSON for programs."""

from __future__ import annotations

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from octree_loader.checking import DatasetReport, ReadReport, Report, check_config
from octree_loader.config.models import Config

_STATES = {"free": "is free", "ours": "is in use by a daemon of ours", "taken": "[red]cannot be used[/]"}


def run(config: Config, as_json: bool, patience: float) -> int:
    """Check a configuration and say what was found; returns the exit status."""
    report = check_config(config, patience)
    if as_json:
        print(to_json(report))
    else:
        console = Console()
        # Into a file or a pipe, lines may be as long as they are.
        show(report, console if console.is_terminal else Console(width=200))
    return report.exit_code


def to_json(report: Report) -> str:
    """The report as JSON; `exit_code` and each dataset's `good` beside what was found."""
    found = msgspec.to_builtins(report)
    found["exit_code"] = report.exit_code
    for entry, dataset in zip(found["datasets"], report.datasets, strict=True):
        entry["good"] = dataset.good
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def show(report: Report, console: Console) -> None:
    """Print the report."""
    if report.datasets:
        console.print(_datasets(report.datasets))
    for dataset in report.datasets:
        for error in filter(None, [dataset.error, *(read.error for read in dataset.reads)]):
            console.print(f"[red]{escape(dataset.name)}:[/] {escape(error)}", soft_wrap=True)
    memory = report.memory
    console.print(
        f"arena: {_size(memory.asked)} in {escape(memory.directory)}, {_size(memory.free)} free"
        + (f" and {_size(memory.returned)} when the running daemon ends" if memory.returned else "")
    )
    if memory.error:
        console.print(f"[red]arena:[/] {escape(memory.error)}", soft_wrap=True)
    for address in report.addresses:
        detail = f": {escape(address.detail)}" if address.detail else ""
        console.print(f"{escape(address.address)} {_STATES[address.state]}{detail}", soft_wrap=True)
    good = sum(1 for dataset in report.datasets if dataset.good)
    verdict = "[green]would serve[/]" if report.exit_code == 0 else "[red]has trouble[/]"
    console.print(f"configuration {verdict}: {good} of {len(report.datasets)} datasets open")


def _datasets(datasets: tuple[DatasetReport, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("dataset", "format", "axes", "shape", "dtype", "size", "levels", "opens in", "coarsest", "level 0"):
        right = heading in ("size", "levels", "opens in", "coarsest", "level 0")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for d in datasets:
        if d.error:
            table.add_row(escape(d.name), "[red]does not open[/]")
            continue
        levels = (
            str(d.levels) if d.levels == d.levels_stored else f"{d.levels_stored} + {d.levels - d.levels_stored} made"
        )
        table.add_row(
            escape(d.name),
            d.format,
            " ".join(d.axes),
            " × ".join(f"{n:,}" for n in d.shape),
            d.dtype if d.kind == "intensity" else f"{d.dtype} {d.kind}",
            _size(d.nbytes),
            levels,
            f"{d.open_milliseconds:.0f} ms",
            _read(d.reads[0]),
            _read(d.reads[-1]),
        )
    return table


def _read(read: ReadReport) -> str:
    if read.error:
        return "[red]unreadable[/]"
    return f"{read.milliseconds:.1f} ms" if read.stored else f"empty, {read.milliseconds:.1f} ms"


def _size(nbytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if nbytes < 1024 or unit == "TiB":
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    raise AssertionError
