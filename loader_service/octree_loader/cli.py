"""The command ``octree-serve``: serves, or does one of the things of `COMMANDS` first named on the command line."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from importlib.metadata import version
from pathlib import Path

from octree_protocol.errors import OctreeError

#: Sub-commands, and the modules whose ``main(arguments)`` they are. A file of such a name is served as ``./status``.
COMMANDS = {
    "status": "octree_loader.status",
    "probe": "octree_loader.monitoring.probe",
    "keys": "octree_loader.transport.keys",
}

_EPILOG = """\
commands:
  octree-serve status                            what the running daemon is doing
  octree-serve probe livez|readyz|metrics        ask its health endpoint, where there is no curl
  octree-serve keys --client alice               make keys, for clients on other machines
  (each has a --help of its own)

examples:
  octree-serve embryo.zarr                       serve one image under the name "embryo"
  octree-serve day1=a.zarr day2=b.zarr           serve two, with names of your own
  octree-serve --config octree.json              serve what a configuration says (docs/configuration.md)
  octree-serve --config octree.json --check      test it, and every dataset in it, without serving

exit status:
  0 ended in good order    2 usage    1 anything else
  66 a dataset does not open or cannot be read (--check)
  69 an address cannot be had; nobody answers (status, probe)
  73 no shared memory, or no safe folder for the socket
  75 already running
  78 a mistake in the configuration
--check ends with the first of 78, 73, 69, 66 that holds, or with 0. A service manager may start the daemon again after
1, 69, 73 and 75, and a signal; 2 and 78 do not mend themselves.
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
        help="listen here (ipc://PATH or tcp://HOST:PORT); may be given several times",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="test the configuration without serving: open every dataset, read a chunk of its coarsest and of its "
        "finest level, look for memory and at the addresses",
    )
    parser.add_argument("--json", action="store_true", help="with --check: what was found as JSON, for programs")
    parser.add_argument(
        "--patience", type=float, default=60.0, metavar="SECONDS", help="with --check: for a dataset (default 60)"
    )
    parser.add_argument("--print-schema", action="store_true", help="print the JSON Schema of octree.json")
    parser.add_argument("--version", action="version", version=f"octree-serve {version('octree-serve')}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what happens, client by client")
    parser.add_argument("--lifeline", type=int, metavar="FD", help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if given and given[0] in COMMANDS:
            command = importlib.import_module(COMMANDS[given[0]])
            status: int = command.main(given[1:])
            return status
        return _serve(_parser().parse_args(given))
    except OctreeError as error:
        print(f"octree-serve: {error}", file=sys.stderr)
        # Each error knows its own, after sysexits.h where that has a word for it.
        return getattr(error, "exit_code", 1)


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
        from octree_loader import check

        return check.run(config, options.json, options.patience)

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


if __name__ == "__main__":
    sys.exit(main())
