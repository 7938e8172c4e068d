"""The command ``octree-view``: what it was told, checked, and what it ends with. Imports Qt for a window alone."""

from __future__ import annotations

import argparse
import logging
import math
import signal
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from octree_client.export_plan import ExportRefused, format_of
from octree_client.keys import terminal_table
from octree_client.links import BadLink, is_link, read_link
from octree_protocol.addresses import default_address, parse_address
from octree_protocol.errors import OctreeError

if TYPE_CHECKING:
    from octree_client.opening import Opening
    from octree_client.session import Image, Session

# After sysexits.h.
EXIT_USAGE = 2
EXIT_UNREADABLE = 66
EXIT_UNAVAILABLE = 69
EXIT_NOT_WRITTEN = 73
EXIT_TIMEOUT = 75
EXIT_INTERRUPTED = 130

#: Picture of ``--screenshot``, if no size is given.
_PICTURE_SIZE = (1280, 860)

#: A picture is at most so large along an edge: what every OpenGL can do.
_LARGEST = 16384

_EPILOG = f"""\
examples:
  octree-view embryo.zarr                        look at an image; a daemon of its own ends with the window
  octree-view https://host/slide.ome.zarr        the same over HTTP
  octree-view                                    what this user's running octree-serve serves
  octree-view embryo.zarr --export part.tif --region 100,200,500,800 --level 1
  octree-view 'octree://view#...'                what somebody else looked at, and how
  octree-view --dataset day2 --connect ipc:///run/user/1000/octree-serve/default.sock
  octree-view tcp://labserver:5570 --server-key 'K...'   a daemon on another machine, the first time
  octree-view embryo.zarr --screenshot whole.png --size 1920x1080
  octree-view embryo.zarr --center 5000,7200 --pixel-size 0.5 --colormap viridis --screenshot part.png

keys and mouse of the window (F1 shows them there):
{terminal_table()}

exit status:
  0 ended in good order     2 usage              66 the image, or part of a screenshot, cannot be read
  69 no daemon, no display  73 no shared memory, or the picture cannot be written
  75 a screenshot was not complete in time       77 a daemon's key, or ours, is not known or has changed
  78 a mistake in the configuration
"""


class CommandError(OctreeError):
    """Something that ends the command, with its exit status."""

    def __init__(self, reason: str, exit_code: int) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="octree-view",
        description="Look at an image too large to load. Nothing ever waits: what is not there yet is shown coarser.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="path, URL or module:factory of an image, or a link (octree://...) that a window has copied; without it, "
        "a running daemon's images are shown",
    )
    parser.add_argument("--dataset", metavar="NAME", help="which of a daemon's images; its first if left out")
    parser.add_argument("--connect", metavar="ADDRESS", help="of a running daemon; this user's own if left out")
    parser.add_argument("--list", action="store_true", help="say which daemons there are, here and on the network")
    parser.add_argument("--server-key", metavar="KEY", help="public key of a daemon on another machine, the first time")
    parser.add_argument("--insecure", action="store_true", help="speak in the clear with a daemon on another machine")
    parser.add_argument("--config", type=Path, metavar="FILE", help="octree.json for a daemon of its own")
    look = parser.add_argument_group("what is shown first")
    look.add_argument("--size", type=_size, metavar="WxH", help="of the window, or of the screenshot, in pixels")
    look.add_argument("--center", type=_pair, metavar="Y,X", help="world coordinates of the middle")
    look.add_argument("--pixel-size", type=_positive, metavar="S", help="world units a screen pixel")
    look.add_argument("--colormap", metavar="NAME", help="e.g. gray, viridis, magma; any of the cmap catalogue")
    look.add_argument("--contrast", type=_limits, metavar="LOW,HIGH", help="data values; automatic if left out")
    look.add_argument("--interpolation", choices=("nearest", "linear"), help="between voxels; linear if left out")
    out = parser.add_argument_group("voxels to a file, without a window")
    out.add_argument(
        "--export", type=Path, metavar="FILE", help="ends in .zarr (OME-Zarr), .tif or .png; never all in memory"
    )
    out.add_argument("--region", type=_region, metavar="Y0,X0,Y1,X1", help="world coordinates; everything if left out")
    out.add_argument("--level", type=int, default=0, metavar="N", help="0 is full resolution")
    out.add_argument(
        "--at", type=_place, action="append", metavar="AXIS=S", help="world position on another axis, e.g. z=3.5"
    )
    out.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_argument("--screenshot", type=Path, metavar="FILE", help="no window: write a PNG once all is loaded")
    parser.add_argument(
        "--timeout", type=_positive, default=60.0, metavar="S", help="seconds that a screenshot may take (60)"
    )
    parser.add_argument("--version", action="version", version=f"octree-view {version('octree-serve')}")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(_with_signs(given))
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="octree-view: %(message)s")
    try:
        if options.list:
            return _list()
        _check(options)
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


# --- what was told ---------------------------------------------------------------------------------------------------


def _with_signs(arguments: list[str]) -> list[str]:
    """``--center -5,3`` as ``--center=-5,3``: argparse takes what begins with a minus for an option."""
    joined: list[str] = []
    for argument in arguments:
        if (
            joined
            and joined[-1] in ("--center", "--contrast", "--region")
            and argument[:1] == "-"
            and argument[1:2].isdigit()
        ):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _numbers(text: str, separator: str, what: str) -> tuple[float, float]:
    parts = text.lower().split(separator)
    try:
        first, second = (float(part) for part in parts)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
    if not (math.isfinite(first) and math.isfinite(second)):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return first, second


def _size(text: str) -> tuple[int, int]:
    width, height = _numbers(text, "x", "a size: give width and height, e.g. 1280x860")
    whole = width.is_integer() and height.is_integer()
    if not (whole and min(width, height) >= 16 and max(width, height) <= _LARGEST):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: whole numbers from 16 to {_LARGEST} are")
    return int(width), int(height)


def _pair(text: str) -> tuple[float, float]:
    return _numbers(text, ",", "a place: give y and x in world units, e.g. 5000,7200")


def _limits(text: str) -> tuple[float, float]:
    low, high = _numbers(text, ",", "a pair of limits: give two data values, e.g. 100,4000")
    if not low < high:
        raise argparse.ArgumentTypeError(f"{text!r} is upside down: LOW is less than HIGH")
    return low, high


def _region(text: str) -> tuple[float, float, float, float]:
    try:
        y0, x0, y1, x1 = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a region: give two corners in world units, e.g. 100,200,500,800"
        ) from None
    return y0, x0, y1, x1


def _place(text: str) -> tuple[str, float]:
    axis, equals, number = text.partition("=")
    try:
        found = axis.strip(), float(number)
    except ValueError:
        found = "", 0.0
    if not (equals and found[0] and math.isfinite(found[1])):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a place on an axis: give its name and world units, e.g. z=3.5"
        )
    return found


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _check(options: argparse.Namespace) -> None:
    """Raise `CommandError` for what cannot be meant together."""
    options.link = None
    if options.source is not None and is_link(options.source):
        _take_link(options)
    if options.source is not None and options.source.startswith(("ipc://", "tcp://")):
        options.connect, options.source = options.connect or options.source, None
    if options.connect is not None:
        if options.source is not None:
            raise CommandError("give a SOURCE, or --connect to a daemon that serves one, not both", EXIT_USAGE)
        if options.config is not None:
            raise CommandError("--config is for a daemon of its own; the one of --connect has its own", EXIT_USAGE)
        try:
            parse_address(options.connect)
        except OctreeError as error:
            raise CommandError(f"--connect: {error}", EXIT_USAGE) from None
    elif options.server_key is not None or options.insecure:
        raise CommandError("--server-key and --insecure are for --connect tcp://host:port", EXIT_USAGE)
    if options.colormap is not None:
        from octree_client.colormaps import UnknownColormap, colormap_table

        try:
            colormap_table(options.colormap)
        except UnknownColormap as error:
            raise CommandError(f"--colormap: {error}", EXIT_USAGE) from None
    if options.export is not None:
        if options.screenshot is not None:
            raise CommandError("--export writes voxels, --screenshot a picture: one at a time", EXIT_USAGE)
        format_of(options.export.name)
        if not options.export.absolute().parent.is_dir():
            raise CommandError(f"--export: there is no folder {options.export.absolute().parent}", EXIT_NOT_WRITTEN)
    if options.screenshot is not None and not options.screenshot.absolute().parent.is_dir():
        raise CommandError(f"--screenshot: there is no folder {options.screenshot.absolute().parent}", EXIT_NOT_WRITTEN)


def _take_link(options: argparse.Namespace) -> None:
    """Put what a link says where nothing else was said."""
    if options.connect is not None or options.dataset is not None or options.config is not None:
        raise CommandError(
            "a link says itself where its images are: leave --connect, --dataset, --config out", EXIT_USAGE
        )
    try:
        options.link = read_link(options.source)
    except BadLink as error:
        raise CommandError(str(error), EXIT_USAGE) from None
    layer = options.link.layers[0]
    options.source, options.connect = layer.source or None, layer.address or None
    options.dataset = layer.dataset if layer.address else None
    options.center = options.center or options.link.center
    options.pixel_size = options.pixel_size or options.link.pixel_size


# --- what is done ----------------------------------------------------------------------------------------------------


def _show(options: argparse.Namespace) -> int:
    from octree_client.gui.desktop import show_window, signals_noted
    from octree_client.opening import Opening, ViewOptions

    if options.screenshot is not None or options.export is not None:
        # SIGTERM ends like Ctrl-C, in good order: nothing of a daemon of our own stays behind.
        signal.signal(signal.SIGTERM, _terminated)
    # The daemon starts while Qt is being imported: together they take half as long.
    opening = Opening(_name_of(options), _session_opener(options), _chooser(options))
    view = ViewOptions(
        options.center, options.pixel_size, options.colormap, options.contrast, options.interpolation, options.link
    )
    try:
        if options.export is not None:
            return _export(opening, options)
        if options.screenshot is not None:
            return _take_screenshot(opening, options, view)
        with signals_noted() as asked:
            return show_window(opening, options.size, view, asked)
    finally:
        opening.close()


def _list() -> int:
    """This user's daemons, and those that the network tells of."""
    from octree_client.transport.discovery import describe_found, find_daemons, local_sockets

    for address in local_sockets():
        print(f"yours  {address}")
    lines = describe_found(find_daemons())
    for line in lines:
        print(line)
    if not lines:
        print("nobody on the network announces a daemon (serve.announce)")
    return 0


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


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _name_of(options: argparse.Namespace) -> str:
    """How people call what is being opened."""
    if options.source is not None:
        return Path(options.source.rstrip("/")).name or str(options.source)
    return str(options.dataset or options.connect or options.config or "the daemon")


def _session_opener(options: argparse.Namespace) -> Callable[[], Session]:
    def start() -> Session:
        from octree_client import session

        if options.source is not None or options.config is not None:
            return session.open(options.source, config=options.config)
        address = options.connect or default_address()
        try:
            return session.connect(
                address, server_key=options.server_key, insecure=options.insecure, learn=_ask_about_key
            )
        except OctreeError as error:
            if options.connect is not None:
                raise
            raise CommandError(
                f"no daemon of this user answers at {address}: name a SOURCE to look at, or start octree-serve",
                EXIT_UNAVAILABLE,
            ) from error

    return start


def _chooser(options: argparse.Namespace) -> Callable[[Session], Image]:
    wanted = options.dataset

    def choose(session: Session) -> Image:
        names = session.datasets()
        if wanted is not None and wanted not in names:
            known = f"it serves {', '.join(names)}" if names else "it serves nothing"
            raise CommandError(f"the daemon has no dataset {wanted!r}: {known}", EXIT_UNREADABLE)
        if not names:
            raise CommandError("the daemon serves no dataset: name a SOURCE, or start it with one", EXIT_UNREADABLE)
        # A source that was named beside a configuration's datasets comes after them.
        return session.dataset(wanted if wanted is not None else names[-1 if options.source is not None else 0])

    return choose


def _export(opening: Opening, options: argparse.Namespace) -> int:
    """Read a region and write it, without display and Qt."""
    from octree_client.export import Look, NotExported, run_export
    from octree_client.export_plan import plan_export

    try:
        image = opening.wait(options.timeout)
    except TimeoutError as error:
        raise CommandError(f"{error}; --timeout S waits longer", EXIT_TIMEOUT) from None
    plan = plan_export(image.dataset, options.export.name, options.level, options.region, point=dict(options.at or ()))
    look = None
    if plan.format == "png" and not image.rgb and (options.colormap is not None or options.contrast is not None):
        from octree_client.colormaps import colormap_table

        if options.contrast is None:
            raise CommandError("--colormap for a PNG needs --contrast LOW,HIGH: values of its ends", EXIT_USAGE)
        look = Look(options.contrast, 1.0, colormap_table(options.colormap or "gray"))
    if options.export.exists() and not options.overwrite:
        raise CommandError(f"{options.export} is there already; --overwrite replaces it", EXIT_NOT_WRITTEN)

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{100 * done // total} %", end="\n" if done == total else "", file=sys.stderr, flush=True)

    try:
        run_export(image, plan, options.export, look=look, overwrite=options.overwrite, progress=progress)
    except NotExported as error:
        raise CommandError(str(error), EXIT_NOT_WRITTEN) from None
    return 0


def _take_screenshot(opening: Opening, options: argparse.Namespace, view: object) -> int:
    """Draw without display and Qt, wait until all is there, write the file."""
    import time

    from octree_client.opening import ViewOptions
    from octree_client.picture_file import PictureNotWritten, write_picture
    from octree_client.viewer import Viewer

    assert isinstance(view, ViewOptions)
    until = time.monotonic() + options.timeout
    try:
        image = opening.wait(options.timeout)
    except TimeoutError as error:
        raise CommandError(f"{error}; --timeout S waits longer", EXIT_TIMEOUT) from None
    with Viewer(image, size=options.size or _PICTURE_SIZE, visible=False) as viewer:
        view.apply(viewer)
        try:
            viewer.wait_until_final(max(0.1, until - time.monotonic()))
        except TimeoutError:
            status = viewer.status()
            waiting = status.provisional + status.empty
            total = waiting + status.final + status.missing + status.failed
            problem = image.session.connection.problem
            raise CommandError(
                f"{waiting} of {total} cells are still missing after {options.timeout:g} s"
                f"{f' ({problem})' if problem else ''}; nothing was written; --timeout S waits longer",
                EXIT_TIMEOUT,
            ) from None
        picture, status = viewer.render(), viewer.status()
        reasons = [reason for layer in viewer.layers for reason in layer.failures.values()]
    try:
        write_picture(picture, options.screenshot)
    except PictureNotWritten as error:
        raise CommandError(str(error), EXIT_NOT_WRITTEN) from None
    if status.failed:
        reason = reasons[0] if reasons else "no reason given"
        raise CommandError(
            f"{options.screenshot} is written, but {status.failed} of its cells could not be read: {reason}",
            EXIT_UNREADABLE,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
