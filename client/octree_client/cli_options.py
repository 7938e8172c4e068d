"""What the command ``octree-view`` was told: read, and checked for what cannot be meant."""

from __future__ import annotations

import argparse
import math
from importlib.metadata import version
from pathlib import Path

from octree_client.exit_codes import EXIT_NOT_WRITTEN, EXIT_USAGE, CommandError
from octree_client.export_plan import format_of
from octree_client.keys import terminal_table
from octree_client.links import is_link, read_link
from octree_protocol.addresses import parse_address
from octree_protocol.errors import OctreeError

#: A picture is at most so large along an edge: what every OpenGL can do.
_LARGEST = 16384

_EPILOG = f"""\
examples:
  octree-view embryo.zarr                        look at an image; a daemon of its own ends with the window
  octree-view https://host/slide.ome.zarr        the same over HTTP
  octree-view membranes.zarr nuclei.tif          several over each other, as layers
  octree-view                                    what this user's running octree-serve serves, else an empty window
  octree-view embryo.zarr --export part.tif --region 100,200,500,800 --level 1
  octree-view 'octree://view#...'                what somebody else looked at, and how
  octree-view --dataset day2 --connect ipc:///run/user/1000/octree-serve/default.sock
  octree-view tcp://labserver:5570 --server-key 'K...'   a daemon on another machine, the first time
  octree-view embryo.zarr --screenshot whole.png --size 1920x1080
  octree-view embryo.zarr --center 5000,7200 --pixel-size 0.5 --colormap viridis --screenshot part.png

keys and mouse of the window (F1 shows them there):
{terminal_table()}

exit status:
  0 ended in good order     2 usage              66 an image, or part of what was written, cannot be read
  69 no daemon, no display  73 no shared memory, or the picture cannot be written
  75 a screenshot was not complete in time       77 a daemon's key, or ours, is not known or has changed
  78 a mistake in the configuration
"""


def read_options(arguments: list[str]) -> argparse.Namespace:
    """The options; `link` is the link of a SOURCE that is one, and `sources` is empty then.

    Raises
    ------
    CommandError
        For what cannot be meant together.
    SystemExit
        For what cannot be understood, and when all was said (``--help``).
    """
    options = _parser().parse_args(_with_signs(arguments))
    if not options.list:
        _check(options)
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="octree-view",
        description="Look at an image too large to load. Nothing ever waits: what is not there yet is shown coarser.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="path, URL or module:factory of an image; several lie over each other. Or a link (octree://...) that a "
        "window has copied. Without it, a running daemon's first image is shown; if none runs, the window is empty",
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
    if any(is_link(source) for source in options.sources):
        _take_link(options)
    elif len(options.sources) == 1 and options.sources[0].startswith(("ipc://", "tcp://")):
        options.connect, options.sources = options.connect or options.sources[0], []
    if options.connect is not None:
        if options.sources:
            raise CommandError("give a SOURCE, or --connect to a daemon that serves one, not both", EXIT_USAGE)
        if options.config is not None:
            raise CommandError("--config is for a daemon of its own; the one of --connect has its own", EXIT_USAGE)
        try:
            parse_address(options.connect)
        except OctreeError as error:
            raise CommandError(f"--connect: {error}", EXIT_USAGE) from None
    elif options.server_key is not None or options.insecure:
        raise CommandError("--server-key and --insecure are for --connect tcp://host:port", EXIT_USAGE)
    if options.dataset is not None and len(options.sources) > 1:
        raise CommandError("--dataset chooses one of a daemon's images: name one SOURCE", EXIT_USAGE)
    _check_look(options)
    _check_files(options)


def _check_look(options: argparse.Namespace) -> None:
    if options.colormap is None:
        return
    from octree_client.colormaps import UnknownColormap, colormap_table

    try:
        colormap_table(options.colormap)
    except UnknownColormap as error:
        raise CommandError(f"--colormap: {error}", EXIT_USAGE) from None


def _check_files(options: argparse.Namespace) -> None:
    if options.export is not None:
        if options.screenshot is not None:
            raise CommandError("--export writes voxels, --screenshot a picture: one at a time", EXIT_USAGE)
        linked = options.link.layers if options.link is not None else ()
        if len(options.sources) > 1 or len({(each.source, each.address, each.dataset) for each in linked}) > 1:
            raise CommandError("--export writes one image: name one SOURCE", EXIT_USAGE)
        format_of(options.export.name)
        if not options.export.absolute().parent.is_dir():
            raise CommandError(f"--export: there is no folder {options.export.absolute().parent}", EXIT_NOT_WRITTEN)
    if options.screenshot is not None and not options.screenshot.absolute().parent.is_dir():
        raise CommandError(f"--screenshot: there is no folder {options.screenshot.absolute().parent}", EXIT_NOT_WRITTEN)


def _take_link(options: argparse.Namespace) -> None:
    """Put what a link says where nothing else was said."""
    if len(options.sources) > 1:
        raise CommandError("a link stands alone: it says itself which images", EXIT_USAGE)
    if options.connect is not None or options.dataset is not None or options.config is not None:
        raise CommandError(
            "a link says itself where its images are: leave --connect, --dataset, --config out", EXIT_USAGE
        )
    try:
        options.link = read_link(options.sources[0])
        for layer in options.link.layers:
            if layer.address:
                parse_address(layer.address)
    except OctreeError as error:
        raise CommandError(str(error), EXIT_USAGE) from None
    options.sources = []
    options.center = options.center or options.link.center
    options.pixel_size = options.pixel_size or options.link.pixel_size
