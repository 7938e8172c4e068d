"""Flies a camera along stations, and keeps a record of what the frames cost. For the demo, and for looking at jank.

The path is a pure function of time; only `fly` runs a viewer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from octree_client.camera import Camera
from octree_client.viewer import Viewer

#: Frames a second that the tour asks for.
_RATE = 60.0


@dataclass(frozen=True, slots=True)
class Station:
    """Somewhere to fly to: world center (y, x), world units a pixel, and how long the flight there takes."""

    center: tuple[float, float]
    pixel_size: float
    seconds: float


def on_the_way(start: Station, end: Station, share: float) -> tuple[tuple[float, float], float]:
    """Center and pixel size after `share` (0 .. 1) of a flight.

    The zoom is exponential in time and the centre moves with the scale, so that the picture flows evenly (van Wijk and
    Nuij, Smooth and efficient zooming and panning, 2003, for the case of a path that only zooms); it starts and ends
    gently.
    """
    eased = share * share * (3.0 - 2.0 * share)
    ratio = end.pixel_size / start.pixel_size
    pixel_size = start.pixel_size * ratio**eased
    moved = eased if abs(ratio - 1.0) < 1e-9 else (1.0 - ratio**eased) / (1.0 - ratio)
    center = tuple(a + (b - a) * moved for a, b in zip(start.center, end.center, strict=True))
    return (center[0], center[1]), pixel_size


def fly(viewer: Viewer, stations: Sequence[Station], arrived: Callable[[int], None] = lambda _: None) -> None:
    """Fly a viewer from where it is along the stations; `arrived` is told when the picture of each is final.

    Raises
    ------
    TimeoutError
        If a station's picture does not become final.
    """
    camera = viewer.camera
    here = Station(camera.center, camera.pixel_size, 0.0)
    for number, station in enumerate(stations):
        began = time.monotonic()
        while (passed := time.monotonic() - began) < station.seconds:
            center, pixel_size = on_the_way(here, station, passed / station.seconds)
            viewer.move(Camera(center, pixel_size, viewer.camera.canvas))
            viewer.wait(1.0 / _RATE)
        viewer.move(Camera(station.center, station.pixel_size, viewer.camera.canvas))
        viewer.wait_until_final(30.0)
        arrived(number)
        here = station
