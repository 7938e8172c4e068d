"""``make demo``: two large images, one computed where you look and one written to disk, in the viewer.

With a display it opens the window. Without one the same viewer flies a tour off the screen, and leaves a picture and a
table of what its frames cost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image as Picture
from rich.console import Console
from rich.table import Table

import octree_client
from octree_client.statistics import FrameRecord, spread
from octree_client.tour import Station, fly
from octree_client.viewer import Viewer

_FRACTAL = "octree_loader.demo.fractal:mandelbrot"

#: Where the tours go: center (down, across) in shares of the image, voxels of level 0 a pixel, seconds of flight. Down
#: into the fractal, until a screen is a millionth of the image; across the tissue at full resolution, and back out.
_TOURS = {
    "fractal": ((0.5, 0.5, 180.0, 1.5), (0.5, 0.5, 26.0, 1.5), (0.5, 0.5, 1.0, 2.5)),
    "tissue": ((0.31, 0.42, 1.0, 1.5), (0.36, 0.55, 1.0, 1.5), (0.5, 0.5, 5.0, 1.5)),
}

#: Stations that go into the picture.
_PICTURED = (("fractal", 1), ("fractal", 2), ("tissue", 2), ("tissue", 1))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns its exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("demo-data"), help="where the written image is kept")
    parser.add_argument("--edge", type=int, default=16384, help="voxels along each side of the written image")
    parser.add_argument("--picture", type=Path, default=Path("demo.png"), help="what the tour leaves")
    parser.add_argument("--off-screen", action="store_true", help="fly the tour even if there is a display")
    options = parser.parse_args(arguments)
    tissue = options.data / f"tissue-{options.edge}.zarr"
    if not tissue.exists():
        writing = [sys.executable, "-m", "octree_loader.demo.pyramid", str(tissue), "--edge", str(options.edge)]
        if status := subprocess.run(writing, check=False).returncode:
            return status
    config = options.data / "octree.json"
    config.write_text(json.dumps({"datasets": {"fractal": _FRACTAL, "tissue": str(tissue.absolute())}}, indent=2))
    if not options.off_screen and has_display():
        from octree_client.cli import main as view

        return view(["--config", str(config), "--colormap", "twilight_shifted"])
    return _tour(config, options.picture)


def has_display() -> bool:
    """Whether a window could be shown."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _tour(config: Path, picture: Path) -> int:
    console = Console()
    if not console.is_terminal:
        console.width = 160  # into a file or a pipe, lines may be as long as they are
    console.print("no display: the tour is flown off the screen")
    began = time.monotonic()
    pictures: dict[tuple[str, int], Picture.Image] = {}
    rows: list[tuple[str, list[FrameRecord]]] = []
    with octree_client.open(config=config) as session:
        for name, colormap in (("fractal", "twilight_shifted"), ("tissue", "magma")):
            with Viewer(session.dataset(name), (1024, 768), visible=False) as viewer:
                viewer.layers[0].colormap = colormap
                viewer.wait_until_final(30.0)
                if not rows:
                    console.print(f"first picture after {time.monotonic() - began:.1f} s")

                def keep(number: int, viewer: Viewer = viewer, name: str = name) -> None:
                    if (name, number) in _PICTURED:
                        pictures[name, number] = Picture.fromarray(viewer.render()).convert("RGB")

                viewer.frame_statistics.reset()
                fly(viewer, _stations(viewer, name), keep)
                rows.append((name, list(viewer.frame_statistics.frames)))
        status = session.status()
    _save([pictures[one] for one in _PICTURED], picture)
    console.print(_table(rows))
    loaded = ", ".join(
        f"{d.name}: {d.chunks:,} chunks, {d.nbytes / 2**20:,.0f} MiB, {d.load_ms:.1f} ms each" for d in status.datasets
    )
    console.print(
        f"the daemon loaded {loaded}; {status.requests_forgotten:,} requests were forgotten before they began"
    )
    console.print(f"picture: {picture}")
    return 0


def _stations(viewer: Viewer, name: str) -> list[Station]:
    y0, x0, y1, x1 = viewer.layers[0].extent
    voxel = viewer.layers[0].levels[0].scale[0]
    return [
        Station((y0 + y * (y1 - y0), x0 + x * (x1 - x0)), size * voxel, seconds) for y, x, size, seconds in _TOURS[name]
    ]


def _save(pictures: list[Picture.Image], path: Path) -> None:
    """Four stations of the tour in one picture."""
    width, height = pictures[0].size
    gap = 8
    sheet = Picture.new("RGB", (2 * width + gap, 2 * height + gap), (27, 29, 33))
    for number, one in enumerate(pictures):
        sheet.paste(one, ((number % 2) * (width + gap), (number // 2) * (height + gap)))
    sheet.save(path)


def _table(rows: list[tuple[str, list[FrameRecord]]]) -> Table:
    table = Table(title="frames of the tour, ms: median / 99th percentile / most", title_justify="left", box=None)
    columns = (
        "image",
        "frames",
        "plan",
        "upload",
        "submit",
        "own work",
        "draw",
        "chunks",
        "MiB",
        "ideal share",
        "blank",
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for name, frames in rows:
        cells = max(1, sum(frame.cells for frame in frames))
        table.add_row(
            name,
            f"{len(frames):,}",
            *(_spread(frames, part) for part in ("plan", "upload", "submit", "own", "draw")),
            f"{sum(frame.uploads for frame in frames):,}",
            f"{sum(frame.nbytes for frame in frames) / 2**20:,.1f}",
            f"{100 * sum(frame.final for frame in frames) / cells:.1f} %",
            f"{100 * sum(frame.empty for frame in frames) / cells:.1f} %",
        )
    return table


def _spread(frames: list[FrameRecord], part: str) -> str:
    found = spread([getattr(frame, part) for frame in frames])
    return f"{found.p50:.2f} / {found.p99:.2f} / {found.most:.2f}"


if __name__ == "__main__":
    sys.exit(main())
