"""What the command ``octree-view`` does without a window: pictures, exports, a list of daemons. No display, no Qt."""

from __future__ import annotations

import argparse
import sys
import time

from octree_client.exit_codes import EXIT_NOT_WRITTEN, EXIT_TIMEOUT, EXIT_UNREADABLE, EXIT_USAGE, CommandError
from octree_client.first_view import ViewOptions
from octree_client.opening import Opened, Opening

#: Picture of ``--screenshot``, if no size is given.
_PICTURE_SIZE = (1280, 860)


def list_daemons() -> int:
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


def export(opening: Opening, options: argparse.Namespace) -> int:
    """Read a region and write it. Returns the exit status."""
    from octree_client.export import Look, NotExported, run_export
    from octree_client.export_plan import plan_export

    opened = _opened(opening, options.timeout)
    if not opened.images:
        raise CommandError("there is no image to export: name a SOURCE", EXIT_UNREADABLE)
    image = opened.images[0]
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
        written = run_export(image, plan, options.export, look=look, overwrite=options.overwrite, progress=progress)
    except NotExported as error:
        raise CommandError(str(error), EXIT_NOT_WRITTEN) from None
    if written.holes:
        raise CommandError(f"{written.path} is written, but {written.problem}", EXIT_UNREADABLE)
    return 0


def take_screenshot(opening: Opening, options: argparse.Namespace, view: ViewOptions) -> int:
    """Draw what was opened, wait until all is there, write the file. Returns the exit status."""
    from octree_client.picture_file import PictureNotWritten, write_picture
    from octree_client.viewer import Viewer

    until = time.monotonic() + options.timeout
    opened = _opened(opening, options.timeout)
    if opened.problems:
        raise CommandError(f"{'; '.join(opened.problems)}; nothing was written", EXIT_UNREADABLE)
    if not opened.images:
        raise CommandError("there is no image to take a picture of: name a SOURCE", EXIT_UNREADABLE)
    with Viewer(size=options.size or _PICTURE_SIZE, visible=False) as viewer:
        view.show(viewer, opened)
        try:
            viewer.wait_until_final(max(0.1, until - time.monotonic()))
        except TimeoutError:
            status = viewer.status()
            waiting = status.provisional + status.empty
            total = waiting + status.final + status.missing + status.failed
            problem = "; ".join(sorted({session.connection.problem for session in viewer.sessions} - {""}))
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


def _opened(opening: Opening, timeout: float) -> Opened:
    try:
        return opening.wait(timeout)
    except TimeoutError as error:
        raise CommandError(f"{error}; --timeout S waits longer", EXIT_TIMEOUT) from None
