"""What a layer may be drawn with next is compiled while nothing else is to be done: no frame waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.scene import Scene, plane_level

import octree_client
from octree_client.camera import Camera
from octree_client.canvas import Canvas
from octree_client.fading import FadingPiece
from octree_client.looks import BLENDINGS
from octree_client.texture import texture_kind
from octree_client.visuals.tiled_image import TiledImage
from octree_client.visuals.variants import Switches, likely
from octree_client.warming import PAUSE_S, QUIET_S, WarmingPacer
from octree_protocol.keys import CellStatus

CAMERA = Camera((31.5, 47.5), 0.6, (192, 144))


def scene_of(labels: bool) -> Scene:
    array = np.arange(64 * 96, dtype="u2").reshape(64, 96) * 9
    scene = Scene([plane_level(array.shape, (32, 32))], [lambda y, x: array[y, x]])
    if labels:
        scene.image = TiledImage(scene.levels, (32, 32), texture_kind("u2", labels=True), (6, 6))
    return scene


def set_contour(image: TiledImage, pixels: int) -> None:
    image.show_labels(pixels, None)


CHANGES: dict[str, Callable[[TiledImage], None]] = {
    "linear": lambda image: setattr(image, "interpolation", "linear"),
    "gamma": lambda image: setattr(image, "gamma", 0.7),
    "overlay": lambda image: setattr(image, "overlay", True),
    "contour": lambda image: set_contour(image, 2),
    **{name: lambda image, name=name: setattr(image, "blending", name) for name in BLENDINGS},  # type: ignore[misc]
}


@pytest.mark.gl
@pytest.mark.parametrize("lowest", [True, False])
@pytest.mark.parametrize("labels", [False, True])
def test_after_the_warm_up_no_change_of_a_look_compiles_anything(canvas: Canvas, labels: bool, lowest: bool) -> None:
    for change in CHANGES if not labels else [name for name in CHANGES if name not in ("linear", "gamma")]:
        if change == "contour" and not labels:
            continue
        scene = scene_of(labels)
        image = scene.image
        pieces = scene.pieces(CAMERA)
        bare = pieces[0]._replace(tile=-1, status=CellStatus.EMPTY)
        fading = [FadingPiece(pieces[-1], None, 0.5)]
        image.set_frame([bare, *pieces[1:-1]], scene.resident, 0, CAMERA, fading)
        canvas.handlers.on_draw = lambda image=image: image.draw(lowest)
        before = canvas.render()
        while cold := image.cold(lowest, True):
            canvas.between_frames(lambda image=image, one=cold[0]: image.warm(one))
        assert (canvas.render() == before).all(), "what compiles draws nothing"
        compiled = image.compiled
        CHANGES[change](image)
        image.set_frame([bare, *pieces[1:-1]], scene.resident, 0, CAMERA, () if image.overlay else fading)
        canvas.render()
        assert image.compiled == compiled, change
        image.close()


@settings(deadline=None, max_examples=100)
@given(
    st.builds(
        Switches, *[st.booleans()] * 4, blending=st.sampled_from(BLENDINGS), lowest=st.booleans(), fades=st.booleans()
    )
)
def test_what_is_likely_begins_with_what_is_and_is_not_much(now: Switches) -> None:
    for labels in (False, True):
        found = likely(now, labels)
        assert found[0] == now.drawn("settled")
        assert len(set(found)) == len(found) <= 20
        if not now.fades:
            assert all(one.variant.part != "fading" for one in found)


def test_one_thing_is_compiled_at_a_time_and_only_in_peace() -> None:
    pacer = WarmingPacer()
    assert pacer.next_at() is None
    pacer.frame_drawn(1.0, final=False)
    assert pacer.next_at() is None
    pacer.frame_drawn(2.0, final=True)
    assert pacer.next_at() == 2.0 + QUIET_S
    pacer.warmed(3.0, more=True)
    assert pacer.next_at() == 3.0 + PAUSE_S
    assert not pacer.is_warm
    pacer.frame_drawn(3.05, final=True)
    assert pacer.next_at() == 3.05 + QUIET_S
    pacer.warmed(4.0, more=False)
    assert pacer.next_at() is None
    assert pacer.is_warm
    pacer.frame_drawn(5.0, final=True)
    assert pacer.next_at() == 5.0 + QUIET_S


@pytest.mark.gl
@pytest.mark.qt
def test_in_a_window_the_frame_after_a_change_compiles_nothing(
    make_window: Callable[..., Any], qtbot: Any, tmp_path: Any
) -> None:
    array = np.random.default_rng(1).integers(0, 60000, (256, 256)).astype("u2")
    np.save(tmp_path / "noise.npy", array)
    with octree_client.open(tmp_path / "noise.npy") as session:
        window = make_window(session.dataset())
        assert_no_frame_compiles(window.viewer, qtbot)
        window.close()


def assert_no_frame_compiles(viewer: Any, qtbot: Any) -> None:
    (layer,) = viewer.layers
    qtbot.waitUntil(lambda: viewer._loop.is_warm, timeout=20000)
    frames = len(viewer.frame_statistics.frames)
    visual = layer.pager.atlas.visual
    compiled = visual.compiled
    assert compiled[1] > 5
    seen: list[tuple[int, int]] = []
    viewer.on_frame.append(lambda: seen.append(visual.compiled))
    for name, value in (("gamma", 0.6), ("interpolation", "nearest"), ("overlay", True), ("blending", "additive")):
        before = getattr(layer, name)
        seen.clear()
        compiled = visual.compiled
        setattr(layer, name, value)
        qtbot.waitUntil(lambda: bool(seen), timeout=5000)
        assert seen[0] == compiled, name
        setattr(layer, name, before)
        qtbot.waitUntil(lambda: viewer.is_final(), timeout=5000)
    assert len(viewer.frame_statistics.frames) < frames + 30, "what is compiled is no frame"
