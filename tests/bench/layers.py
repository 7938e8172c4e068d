"""Three layers in one viewer of 1024 x 768: what a frame costs us while one pans, zooms out, jumps, plays, goes back.

A small image beside vispy's own visual, and slices of a flat array without levels.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.bench.data import EDGE, FOLDER, pyramid, warm
from tests.bench.figures import Measurements, percentile
from tests.bench.flight import SIZE, STEP, fly, places, run_until
from tests.bench.sections import Options

import octree_client
from octree_client.statistics import FrameRecord
from octree_client.viewer import Viewer

_COLOURS = ("#ff0000", "#00ff00", "#0000ff")

#: What is played: time points, channels, edges.
_FILM = (100, 3, 768, 1024)

#: The flat array: two slices of level 0 alone.
_FLAT = (2, EDGE, EDGE)


def measure(options: Options) -> Measurements:
    """Each scene once a repetition; the small image in turn with vispy's visual, so that noise meets both."""
    found = Measurements()
    path = pyramid("lz4")
    warm(path)
    for repetition in range(options.repeat):
        with _three(path) as viewer:
            _pan(found, viewer, 1500.0 + 2000.0 * repetition)
            _jump(found, viewer, repetition)
            _zoom_out(found, viewer, repetition)
            _go_back(found, viewer, repetition)
        for fps in (10.0, 25.0):
            with octree_client.open(_film(), axes="tcyx") as session, _viewer() as viewer:
                viewer.add(session.dataset(), channel="split", contrast_limits=(0, 255))
                _play(found, viewer, fps)
        _small(found)
        with octree_client.open(_flat()) as session, _viewer() as viewer:
            _slices(found, viewer, session)
    return found


@contextmanager
def _viewer() -> Iterator[Viewer]:
    viewer = Viewer(size=SIZE, visible=False, vram_bytes=256 << 20)
    try:
        yield viewer
    finally:
        viewer.close()


@contextmanager
def _three(path: Path) -> Iterator[Viewer]:
    """Three images, each with loads of its own."""
    with octree_client.open(datasets={name: str(path) for name in "rgb"}) as session, _viewer() as viewer:
        for name, colour in zip("rgb", _COLOURS, strict=True):
            viewer.add(session.dataset(name), colormap=colour, blending="additive")
        viewer.wait_until_final(60)
        yield viewer


def _costs(found: Measurements, what: str, viewer: Viewer, bound: float | None = 4.0) -> list[FrameRecord]:
    """What the frames cost, and what was uploaded between them: each at once, but not in one piece of work."""
    frames, between = list(viewer.frame_statistics.frames), list(viewer.frame_statistics.between)
    own, cpu = [frame.own for frame in frames], [frame.cpu for frame in frames]
    uploads = sum(frame.uploads for frame in frames)
    note = f"{len(frames)} frames, {uploads} chunks; p50 {percentile(own, 0.5):.2f} ms"
    found.add(f"{what}: own work a frame, p99", "ms", percentile(own, 0.99), bound, note=note)
    note = f"of processor time p99 {percentile(cpu, 0.99):.2f}, most {max(cpu):.2f} ms"
    found.add(f"{what}: own work a frame, most", "ms", max(own), 16.7, note=note)
    if between:
        turns = [one.own for one in between]
        note = f"{len(between)} times, {sum(one.uploads for one in between)} chunks; most {max(turns):.2f} ms"
        found.add(f"{what}: uploads between frames at a time, p99", "ms", percentile(turns, 0.99), bound, note=note)
    return frames


def _pan(found: Measurements, viewer: Viewer, y: float) -> None:
    viewer.set_view((y, 700.0), 1.0)
    viewer.wait_until_final(60)
    viewer.frame_statistics.reset()
    fly(viewer, ((y + 0.25 * step * 40.0 % 900, 700.0 + step * 40.0) for step in range(1, 250)))
    frames = _costs(found, "pan", viewer)
    share = 100.0 * sum(frame.final / max(frame.cells, 1) for frame in frames) / len(frames)
    found.add("pan: ideal share of the view, mean", "%", share, note=f"blank cells {sum(f.empty for f in frames)}")


def _jump(found: Measurements, viewer: Viewer, seed: int) -> None:
    viewer.frame_statistics.reset()
    times = []
    found_places = places(seed)
    # So many that one frame in a hundred is not simply the worst; the others are flown to later.
    for center in found_places[:20] + found_places[34:]:
        began = time.perf_counter()
        viewer.set_view(center, 1.0)
        assert run_until(viewer, time.monotonic() + 60, viewer.is_final), viewer.status()
        times.append((time.perf_counter() - began) * 1e3)
        run_until(viewer, time.monotonic() + 0.15)
    _costs(found, "jump", viewer)
    found.add("jump: all ideal chunks of three layers drawn, median", "ms", percentile(times, 0.5))


def _zoom_out(found: Measurements, viewer: Viewer, seed: int) -> None:
    """From full resolution to the whole, finer data in VRAM: never blank, never coarser than what was there."""
    viewer.set_view(places(seed)[20], 1.0)
    viewer.wait_until_final(60)
    run_until(viewer, time.monotonic() + 0.3)
    viewer.frame_statistics.reset()
    coarser = blank = 0

    def look() -> None:
        nonlocal coarser, blank
        for layer in viewer.layers:
            blank += layer.status().empty
            # The cell in the middle of the view was there in full resolution from the beginning.
            at = layer.chunk_at(*viewer.camera.center)
            if at is not None and viewer.camera.pixel_size < 3.0:
                coarser += at[0].chunk[0] > (layer.level or 0)

    viewer.on_frame.append(look)
    for step in range(1, 91):
        viewer.move(replace(viewer.camera, pixel_size=2.0 ** (step / 20.0)))
        run_until(viewer, time.monotonic() + STEP)
    viewer.on_frame.remove(look)
    _costs(found, "zoom out", viewer)
    found.add("zoom out: blank cells", "", blank, 0.0)
    found.add("zoom out: middle drawn coarser than what was there", "frames", coarser, 0.0)


def _go_back(found: Measurements, viewer: Viewer, seed: int) -> None:
    """Places that were seen: what is asked for, and what the next frame shows."""
    seen = places(seed)[30:33]

    def settled() -> bool:
        return viewer.is_final() and not any(layer.pager.said.entries for layer in viewer.layers)

    for center in seen:
        viewer.set_view(center, 1.0)
        run_until(viewer, time.monotonic() + 30, settled)
    requests = viewer.statistics()["requests"]
    unfinished = 0
    for center in seen:
        viewer.set_view(center, 1.0)
        viewer.canvas.draw_now(finish=True)
        unfinished += not viewer.status().is_final
    run_until(viewer, time.monotonic() + 0.2)
    found.add("going back: requests", "", viewer.statistics()["requests"] - requests, 0.0)
    found.add("going back: pictures not final in the next frame", "", unfinished, 0.0)


def _play(found: Measurements, viewer: Viewer, fps: float) -> None:
    """A hundred time points of three channels; 10 a second is what is played unless one chooses otherwise."""
    viewer.dims.set_index("t", 0)
    viewer.set_view((_FILM[2] / 2, _FILM[3] / 2), 1.0)
    viewer.wait_until_final(60)
    viewer.frame_statistics.reset()
    viewer.play("t", fps=fps, mode="once")
    run_until(viewer, time.monotonic() + 60, lambda: viewer.playing is None)
    what = f"play {fps:g} a second"
    frames = _costs(found, what, viewer)
    share = 100.0 * sum(frame.final / max(frame.cells, 1) for frame in frames) / len(frames)
    found.add(f"{what}: ideal share of the view, mean", "%", share, note=f"blank cells {sum(f.empty for f in frames)}")


def _film() -> Path:
    path = FOLDER / f"film-{'x'.join(map(str, _FILM))}.npy"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        film = np.lib.format.open_memmap(path, "w+", np.uint8, _FILM)
        y, x = np.mgrid[: _FILM[2], : _FILM[3]].astype(np.float32)
        for t in range(_FILM[0]):
            for c in range(_FILM[1]):
                film[t, c] = 127 + 120 * np.sin((x + 7 * t) / (20 + 9 * c)) * np.cos((y - 5 * t) / (30 - 5 * c))
        film.flush()
    path.read_bytes()
    return path.absolute()


# --- a small image ----------------------------------------------------------------------------------------------------


def _small(found: Measurements) -> None:
    """1024 x 1024 of u2 in 1024 x 768: our frame and that of one plain `Image` visual, in turn."""
    array = (np.random.default_rng(0).random((1024, 1024)) * 4000).astype(np.uint16)
    with octree_client.open(array) as session, _viewer() as viewer:
        (layer,) = viewer.add(session.dataset(), contrast_limits=(0, 4000))
        layer.interpolation = "nearest"
        viewer.set_view((511.5, 511.5), 1.0)
        viewer.wait_until_final(60)
        run_until(viewer, time.monotonic() + 0.5)
        plain = _PlainImage(array)
        plain.draw((511.5, 511.5))
        same = np.abs(plain.picture().astype(int) - viewer.render()).max()
        assert same <= 1, "both draw the same picture"
        ours, theirs = [], []
        gc.collect()
        for step in range(60):
            center = 511.5 + step % 7, 511.5 - step % 5
            began = time.perf_counter()
            viewer.move(replace(viewer.camera, center=center))
            viewer.canvas.draw_now(finish=True)
            middle = time.perf_counter()
            plain.draw(center)
            ours.append((middle - began) * 1e3)
            theirs.append((time.perf_counter() - middle) * 1e3)
        plain.close()
    mine, other = percentile(ours[5:], 0.5), percentile(theirs[5:], 0.5)
    note = f"{mine:.2f} ms with the drawing, vispy's Image {other:.2f} ms"
    found.add("small image: frame, against vispy's Image visual", "times", mine / other, 1.1, note=note)


class _PlainImage:
    """One vispy `Image` visual over a canvas of the same size, drawn off the screen as ours is."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        from vispy.visuals import ImageVisual
        from vispy.visuals.transforms import STTransform

        from octree_client.canvas_opening import open_canvas

        self._canvas = open_canvas(SIZE, False, backend="egl")
        self._canvas.handlers.on_draw = self._draw
        self._image = ImageVisual(
            array, cmap="grays", clim=(0, 4000), interpolation="nearest", texture_format=np.uint16
        )
        self._image.transform = self._transform = STTransform()
        self._configured = False

    def _draw(self) -> None:
        if not self._configured:
            from vispy.visuals.transforms import NullTransform, STTransform

            # From pixels of the picture to clip coordinates, whatever size vispy takes its canvas for.
            transforms = self._image.transforms
            transforms.configure(canvas=self._canvas._vispy, viewport=(0, 0, *SIZE), fbo_size=SIZE)
            transforms.document_transform = transforms.canvas_transform = NullTransform()
            transforms.framebuffer_transform = STTransform(scale=(2 / SIZE[0], -2 / SIZE[1]), translate=(-1, 1))
            self._configured = True
        self._image.draw()

    def draw(self, center: tuple[float, float]) -> None:
        """A frame with this place in the middle."""
        self._transform.translate = SIZE[0] / 2 - center[1] - 0.5, SIZE[1] / 2 - center[0] - 0.5
        self._canvas.draw_now(finish=True)

    def picture(self) -> np.ndarray[Any, Any]:
        """What it draws."""
        return self._canvas.render()

    def close(self) -> None:
        """Free it."""
        self._canvas.close()


# --- a flat array -----------------------------------------------------------------------------------------------------


def _flat() -> Path:
    path = Path("/dev/shm") / f"octree-bench-flat-{EDGE}.npy"
    if not path.exists():
        flat = np.lib.format.open_memmap(path, "w+", np.uint8, _FLAT)
        row = (127 + 120 * np.sin(np.arange(EDGE) / 300)).astype(np.uint8)
        for z in range(_FLAT[0]):
            for y in range(0, EDGE, 1024):
                flat[z, y : y + 1024] = np.roll(row, 13 * y + 500 * z)
        flat.flush()
    return path


def _slices(found: Measurements, viewer: Viewer, session: octree_client.Session) -> None:
    """The whole of a slice of 16384 x 16384 on the screen, then the other one."""
    try:
        viewer.add(session.dataset(), contrast_limits=(0, 255))
        viewer.dims.set_index("z", 0)
        viewer.wait_until_final(120)
        viewer.frame_statistics.reset()
        began, marks = time.perf_counter(), {}

        def look() -> None:
            if viewer.status().cells and not viewer.status().empty:
                marks.setdefault("covered", (time.perf_counter() - began) * 1e3)

        viewer.on_frame.append(look)
        began = time.perf_counter()
        viewer.dims.set_index("z", 1)
        viewer.wait_until_final(120)
        final = (time.perf_counter() - began) * 1e3
        frames = list(viewer.frame_statistics.frames)
        found.add("flat 16384 x 16384, another slice: first coverage", "ms", marks["covered"], 50.0)
        most = max(frame.own for frame in frames)
        found.add("flat 16384 x 16384, another slice: own work a frame, most", "ms", most, 16.7)
        found.add("flat 16384 x 16384, another slice: final", "ms", final, note=f"{len(frames)} frames")
    finally:
        _flat().unlink()
