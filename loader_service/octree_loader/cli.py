"""The command ``octree-serve``."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib.metadata import version
from pathlib import Path

from octree_protocol.errors import OctreeError

#: What ``--check`` ends with if a dataset does not open (EX_NOINPUT).
EXIT_UNREADABLE = 66

_EPILOG = """\
examples:
  octree-serve embryo.zarr                       serve one image under the name "embryo"
  octree-serve day1=a.zarr day2=b.zarr           serve two, with names of your own
  octree-serve --config octree.json --check      look a configuration over, and open every dataset in it
  octree-serve status                            what the running daemon is doing

exit status:
  0 ended in good order    2 usage    66 a dataset does not open (--check)    69 an address is in use
  73 no shared memory      75 already running                                 78 a mistake in the configuration
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="octree-serve",
        description="Serve images too large to load: read chunks into shared memory, for viewers that never wait.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "datasets", nargs="*", metavar="NAME=SOURCE", help="a path, URL or module:factory; the name may be left out"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="octree.json; see --print-schema for all of its keys"
    )
    parser.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="URL",
        help="listen here (ipc://PATH or tcp://127.0.0.1:PORT); may be given several times",
    )
    parser.add_argument(
        "--check", action="store_true", help="look over the configuration and open every dataset, without serving"
    )
    parser.add_argument("--print-schema", action="store_true", help="print the JSON Schema of octree.json")
    parser.add_argument("--version", action="version", version=f"octree-serve {version('octree-serve')}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what happens, client by client")
    parser.add_argument("--lifeline", type=int, metavar="FD", help=argparse.SUPPRESS)
    return parser


def _status_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="octree-serve status",
        description="Show what a running daemon is doing: pools, queues, arena, clients, rates.",
    )
    parser.add_argument("--connect", metavar="URL", help="of the daemon; this user's default one if left out")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if given[:1] == ["status"]:
            return _status(_status_parser().parse_args(given[1:]))
        return _serve(_parser().parse_args(given))
    except OctreeError as error:
        print(f"octree-serve: {error}", file=sys.stderr)
        # Each error knows its own, after sysexits.h where that has a word for it.
        return getattr(error, "exit_code", 1)


def _status(options: argparse.Namespace) -> int:
    from rich.console import Console

    from octree_loader.instance import default_address
    from octree_loader.status import ask_status, show, to_json

    status = ask_status(options.connect or default_address("default"))
    if options.json:
        print(to_json(status))
    else:
        console = Console()
        # Into a file or a pipe, lines may be as long as they are.
        show(status, console if console.is_terminal else Console(width=200))
    return 0


def _serve(options: argparse.Namespace) -> int:
    from octree_loader.config import load_config, print_schema

    if options.print_schema:
        print(print_schema())
        return 0
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(name)s %(levelname)s: %(message)s",
    )
    config = load_config(options.config, options.datasets, options.bind)
    if options.check:
        return _check(config)

    from octree_loader import daemon
    from octree_loader.server import Server

    def announce(server: Server, health: str) -> None:
        names = ", ".join(server.catalog.names()) or "nothing yet: name a SOURCE, or datasets in octree.json"
        lines = [f"octree-serve: serving {names}", *(f"  on {address}" for address in server.addresses)]
        if health:
            lines.append(f"  health at {health}")
        print("\n".join(lines) + "\n", end="", flush=True)  # in one piece, for those who read along

    reason = daemon.run(config, lifeline=options.lifeline, on_ready=announce)
    print(f"octree-serve: ended ({reason})", flush=True)
    return 0


def _check(config: object) -> int:
    """Open every dataset of a configuration and say what it is; returns the exit status."""
    from octree_loader.catalog import plan_spec
    from octree_loader.config import Config
    from octree_loader.sources.base import SourceSpec

    assert isinstance(config, Config)
    unreadable = 0
    for number, (name, dataset) in enumerate(config.datasets.items()):
        try:
            plan = plan_spec(number, SourceSpec(name, dataset.source, dataset.options), config.octree.tile_size)
        except OctreeError as error:
            unreadable += 1
            print(f"{name}: {error}", file=sys.stderr)
            continue
        described = plan.dataset
        axes = "".join(axis.name for axis in described.axes)
        shape = " x ".join(f"{n:,}" for n in described.levels[0].shape)
        print(f"{name}: {axes} {shape}, {described.dtype}, {len(described.levels)} levels, from {dataset.source}")
    print(f"configuration ok, {len(config.datasets) - unreadable} of {len(config.datasets)} datasets open")
    return EXIT_UNREADABLE if unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
