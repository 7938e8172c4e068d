"""The command ``octree-view``: what it opens, who shows it, what it ends with. Imports Qt for a window alone."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from octree_client.cli_options import read_options
from octree_client.exit_codes import EXIT_INTERRUPTED, EXIT_UNAVAILABLE, EXIT_UNREADABLE, EXIT_USAGE, CommandError
from octree_client.export_plan import ExportRefused
from octree_protocol.addresses import default_address
from octree_protocol.errors import OctreeError

if TYPE_CHECKING:
    from octree_client.opening import Keep, Opened
    from octree_client.session import Session


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="octree-view: %(message)s")
    try:
        options = read_options(sys.argv[1:] if arguments is None else arguments)
        if options.list:
            from octree_client.headless import list_daemons

            return list_daemons()
        return _show(options)
    except OctreeError as error:
        print(f"octree-view: {error}", file=sys.stderr)
        return _exit_code(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _exit_code(error: OctreeError) -> int:
    """Each error knows its own; those of the session are unavailable daemons, but for datasets."""
    from octree_client.canvas import CanvasError
    from octree_client.transport.connection import ConnectionFailed, DatasetUnavailable

    if isinstance(error, ExportRefused):
        return EXIT_USAGE
    if isinstance(error, DatasetUnavailable):
        return EXIT_UNREADABLE
    if isinstance(error, ConnectionFailed | CanvasError):
        return EXIT_UNAVAILABLE
    code = getattr(error, "exit_code", 1)
    return code if isinstance(code, int) and code > 0 else 1


def _show(options: argparse.Namespace) -> int:
    from octree_client.first_view import ViewOptions
    from octree_client.opening import Opening

    headless = options.screenshot is not None or options.export is not None
    if headless:
        # SIGTERM ends like Ctrl-C, in good order: nothing of a daemon of our own stays behind.
        signal.signal(signal.SIGTERM, _terminated)
    # The daemon starts while Qt is being imported: together they take half as long.
    opening = (
        Opening(_name_of(options), lambda keep: _open(options, keep)) if headless or _has_something(options) else None
    )
    view = ViewOptions(
        options.center, options.pixel_size, options.colormap, options.contrast, options.interpolation, options.link
    )
    try:
        if opening is not None and headless:
            from octree_client.headless import export, take_screenshot

            return export(opening, options) if options.export is not None else take_screenshot(opening, options, view)
        from octree_client.gui.desktop import show_window, signals_noted

        with signals_noted() as asked:
            return show_window(opening, options.size, view, asked)
    finally:
        if opening is not None:
            opening.close()


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


# --- what is opened --------------------------------------------------------------------------------------------------


def _asks_usual_daemon(options: argparse.Namespace) -> bool:
    """Whether nothing says what to open: then it is what this user's daemon has."""
    return not options.sources and options.link is options.config is options.connect is None


def _has_something(options: argparse.Namespace) -> bool:
    """Whether there is something to open before somebody says what."""
    from octree_client.transport.discovery import answers

    return not _asks_usual_daemon(options) or options.dataset is not None or answers(default_address())


def _name_of(options: argparse.Namespace) -> str:
    """How people call what is being opened."""
    if options.sources:
        return ", ".join(Path(source.rstrip("/")).name or source for source in options.sources)
    if options.link is not None:
        return ", ".join(dict.fromkeys(layer.dataset or layer.source for layer in options.link.layers))
    return str(options.dataset or options.connect or options.config or "the daemon")


def _open(options: argparse.Namespace, keep: Keep) -> Opened:
    """Open what the command line names. May take its time."""
    from octree_client import session as sessions
    from octree_client.locations import with_names
    from octree_client.opening import Opened
    from octree_client.places import open_places, place_of

    if options.link is not None:
        return open_places((place_of(layer) for layer in options.link.layers), keep)
    if options.sources or options.config is not None:
        named = with_names(options.sources)
        session = keep(sessions.open(datasets=named, config=options.config))
        if len(named) > 1:
            return Opened(session.images(tuple(named)))
        # A source that was named beside a configuration's datasets is what was meant.
        return _chosen(session, options.dataset or next(iter(named), None))
    return _chosen(keep(_connect(options)), options.dataset, _asks_usual_daemon(options))


def _connect(options: argparse.Namespace) -> Session:
    from octree_client import session as sessions

    address = options.connect or default_address()
    try:
        return sessions.connect(address, server_key=options.server_key, insecure=options.insecure, learn=_ask_about_key)
    except OctreeError as error:
        if options.connect is not None:
            raise
        raise CommandError(
            f"no daemon of this user answers at {address}: name a SOURCE to look at, or start octree-serve",
            EXIT_UNAVAILABLE,
        ) from error


def _chosen(session: Session, wanted: str | None, may_be_empty: bool = False) -> Opened:
    """One image of a daemon: the one that is wanted, or the first."""
    from octree_client.opening import Opened

    names = session.datasets()
    if wanted is not None and not any(f"{wanted}/".startswith(f"{name}/") for name in names):
        known = f"it serves {', '.join(names)}" if names else "it serves nothing"
        raise CommandError(f"the daemon has no dataset {wanted!r}: {known}", EXIT_UNREADABLE)
    if not names:
        if may_be_empty:
            return Opened()
        raise CommandError("the daemon serves no dataset: name a SOURCE, or start it with one", EXIT_UNREADABLE)
    return Opened((session.dataset(wanted),))


def _ask_about_key(place: str) -> str | None:
    """Ask whoever sits there whether an announced key is the right one, as ssh does; nobody there is a no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    from octree_client.transport.discovery import find_daemons, key_announced_for
    from octree_protocol.curve_keys import fingerprint

    key = key_announced_for(place, find_daemons())
    if key is None:
        return None
    print(
        f"The daemon at {place} is not known. The network says that its key is\n  {key}\n"
        f"  {fingerprint(key)}\nAnybody on the network can say so: compare it with what its owner sees with "
        "`octree-serve keys`.\nIs it the right one (yes/no)? ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return key if sys.stdin.readline().strip().lower() == "yes" else None


if __name__ == "__main__":
    sys.exit(main())
