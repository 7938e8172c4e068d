"""The window: a real daemon, a real pyramid, a real display. Every key and control has its effect; pictures of the main
states are left in ``build/screenshots``."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image as PillowImage
from tests.client.window_kit import (
    BARE,
    assert_nothing_is_cut_off,
    grab,
    press,
    press_enter,
    send_mouse,
    send_wheel,
    settle,
)

import octree_client
from octree_client.keys import (
    BINDINGS,
    CONTROL_KEYS,
    GESTURES,
    all_bindings,
    card_rows,
    rich_table,
    terminal_table,
)
from octree_client.links import read_link
from octree_client.navigation import WHEEL_FACTOR
from octree_client.opening import Keep, Opened, Opening
from octree_client.remembered import Remembered
from octree_client.remembered_file import recall
from octree_loader.demo.pyramid import write_pyramid

pytestmark = [pytest.mark.gl, pytest.mark.qt]

#: What an action does, as something that is read before and after it.
EFFECTS: dict[str, Callable[[Any], Any]] = {
    "home": lambda w: w.viewer.camera,
    "one_to_one": lambda w: w.viewer.camera.pixel_size == 0.5,
    "zoom_in": lambda w: w.gestures.navigation.gliding,
    "zoom_out": lambda w: w.gestures.navigation.gliding,
    "pan_left": lambda w: w.viewer.camera.center[1],
    "pan_right": lambda w: w.viewer.camera.center[1],
    "pan_up": lambda w: w.viewer.camera.center[0],
    "pan_down": lambda w: w.viewer.camera.center[0],
    "previous_slice": lambda w: w.viewer.layers[0].pager.position,
    "next_slice": lambda w: w.viewer.layers[0].pager.position,
    "auto_contrast": lambda w: (w.viewer.layers[0].auto_contrast, w.panel.controls.contrast.auto.isChecked()),
    "more_cut": lambda w: (w.viewer.layers[0].auto_quantiles, w.panel.controls.contrast.bright.value()),
    "less_cut": lambda w: (w.viewer.layers[0].auto_quantiles, w.panel.controls.contrast.dark.value()),
    "raise_low": lambda w: w.viewer.layers[0].contrast_limits[0],
    "lower_low": lambda w: w.viewer.layers[0].contrast_limits[0],
    "raise_high": lambda w: w.viewer.layers[0].contrast_limits[1],
    "lower_high": lambda w: w.viewer.layers[0].contrast_limits[1],
    "more_gamma": lambda w: (w.viewer.layers[0].gamma, w.panel.controls.gamma.value()),
    "less_gamma": lambda w: (w.viewer.layers[0].gamma, w.panel.controls.gamma.value()),
    "next_colormap": lambda w: w.panel.controls.colormap.currentColormap().name,
    "previous_colormap": lambda w: w.panel.controls.colormap.currentColormap().name,
    "less_opacity": lambda w: (w.viewer.layers[0].opacity, w.panel.controls.opacity.value()),
    "more_opacity": lambda w: (w.viewer.layers[0].opacity, w.panel.controls.opacity.value()),
    "next_blending": lambda w: (w.viewer.layers[0].blending, w.panel.controls.blending.currentText()),
    "previous_blending": lambda w: (w.viewer.layers[0].blending, w.panel.controls.blending.currentText()),
    "more_quality": lambda w: (w.viewer.layers[0].quality, w.panel.controls.quality.value()),
    "less_quality": lambda w: (w.viewer.layers[0].quality, w.panel.controls.quality.value()),
    "play_faster": lambda w: (w.showing.remembered.fps, w.dims_bar.fps.value()),
    "play_slower": lambda w: (w.showing.remembered.fps, w.dims_bar.fps.value()),
    "next_play_mode": lambda w: (w.showing.remembered.play_mode, w.dims_bar.mode.currentText()),
    "switch_labels": lambda w: (w.viewer.layers[0].kind, w.panel.controls.labels.isVisible()),
    "toggle_interpolation": lambda w: (w.viewer.layers[0].interpolation, w.panel.controls.interpolation.currentText()),
    "toggle_overlay": lambda w: (
        w.viewer.layers[0].overlay,
        w.panel.controls.overlay.isChecked(),
        w.panel.legend.isVisible(),
    ),
    "toggle_statistics": lambda w: w.stage.figures.isVisible(),
    "toggle_panel": lambda w: w.panel.isVisible(),
    "zoom_rectangle": lambda w: (w.gestures.navigation.marking, w.stage.tools.buttons["zoom_rectangle"].isChecked()),
    "toggle_scale_bar": lambda w: w.stage.scale_bar.isVisible(),
    "toggle_minimap": lambda w: (w.stage.minimap.isVisible(), w.stage.tools.buttons["toggle_minimap"].isChecked()),
    "toggle_axes": lambda w: w.stage.axes.isVisible(),
    "toggle_theme": lambda w: (w.showing.theme.name, w.palette().window().color().name()),
    "toggle_full_screen": lambda w: w.isFullScreen(),
    "toggle_keys": lambda w: w.key_card.isVisible(),
    "toggle_fade": lambda w: w.viewer.fade_ms,
    "toggle_system": lambda w: (w.system.isVisible(), w.system.is_working),
    "toggle_visible": lambda w: w.viewer.layers[0].visible,
    "full_range": lambda w: w.viewer.layers[0].contrast_limits,
    "finer_level": lambda w: w.viewer.layers[0].level_lock,
    "coarser_level": lambda w: w.viewer.layers[0].level_lock,
    "toggle_level_lock": lambda w: w.viewer.layers[0].level_lock,
    "swap_axes": lambda w: w.viewer.dims.displayed,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pyramids: one flat, one with axes that are not displayed, one of which a chunk is truncated; and colours."""
    folder = tmp_path_factory.mktemp("window")
    y, x = np.mgrid[:1024, :1280]
    rings = (20000 + 15000 * np.sin(np.hypot(y - 500, x - 600) / 15) + 5 * y + 3 * x).astype("u2")
    write_pyramid(folder / "rings.zarr", rings, scale=0.5, chunk=128)
    stack = np.stack([[np.roll(rings[:300, :400], 10 * z + 50 * t, 1) for z in range(4)] for t in range(3)])
    write_pyramid(folder / "stack.zarr", stack, axes="tzyx", chunk=128)
    write_pyramid(folder / "broken.zarr", rings[:400, :400], scale=0.5, chunk=128)
    chunk = folder / "broken.zarr" / "0" / "c" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:40])
    np.save(folder / "colour.npy", np.stack([rings >> 8, y // 4, x // 5], axis=-1).astype("u1"))
    return folder


@pytest.fixture(scope="module")
def session(folder: Path) -> Iterator[octree_client.Session]:
    sources = {name: str(folder / f"{name}.zarr") for name in ("rings", "stack", "broken")}
    sources["colour"] = str(folder / "colour.npy")
    with octree_client.open(datasets=sources, settings={"memory": {"arena_bytes": "64MiB"}}) as session:
        yield session


@pytest.fixture
def window(make_window: Callable[..., Any], session: octree_client.Session) -> Any:
    return make_window(session.dataset("rings"))


# --- keys -----------------------------------------------------------------------------------------------------------


def test_every_key_has_its_effect(window: Any, qtbot: Any) -> None:
    """Of all keys but those that need a dialog, a failure, slices or the window's end: they have tests of their own."""
    left_out = {"save_screenshot", "retry", "close", "dismiss", "previous_slice", "next_slice"}
    left_out |= {"copy_link", "copy_picture", "export_region", "previous_place", "next_place", "play"}
    left_out |= {"open_file", "open_folder", "open_address", "add_served", "paste", "show_xy", "show_xz", "show_yz"}
    left_out |= {
        "merge_channels",
        "split_channels",
        "layer_above",
        "layer_below",
        "raise_layer",
        "lower_layer",
        "remove_layer",
        "rename_layer",
    }
    left_out |= {"toggle_alone", "more_contour", "less_contour", "other_colours"}  # of labels
    for binding in all_bindings():
        if binding.action in left_out:
            continue
        for key in binding.keys:
            window.viewer.set_view((300.0, 200.0), 1.25)
            window.gestures.navigation.stop()
            window.viewer.layers[0].level_lock = None
            window.viewer.layers[0].contrast_limits = (1000.0, 20000.0)
            window.viewer.layers[0].opacity = 0.5
            window.panel.refresh()
            before = EFFECTS[binding.action](window)
            press(window, qtbot, key)
            assert EFFECTS[binding.action](window) != before, f"{key} does not {binding.action}"
            if binding.action.startswith("toggle_"):
                press(window, qtbot, key)
                assert EFFECTS[binding.action](window) == before, f"{key} does not toggle back"
            elif binding.action == "switch_labels":
                settle(window, qtbot)
                press(window, qtbot, key)
                assert window.viewer.layers[0].kind == "image"
    assert window.canvas.error is None


@pytest.mark.parametrize(
    ("key", "direction"), [("Left", (0, -1)), ("Right", (0, 1)), ("Up", (-1, 0)), ("Down", (1, 0))]
)
def test_arrows_move_an_eighth_of_the_picture(window: Any, qtbot: Any, key: str, direction: tuple[int, int]) -> None:
    window.viewer.set_view((300.0, 200.0), 1.25)
    width, height = window.canvas.size
    press(window, qtbot, key)
    y, x = window.viewer.camera.center
    expected = 300 + direction[0] * round(height / 8) * 1.25, 200 + direction[1] * round(width / 8) * 1.25
    assert (y, x) == pytest.approx(expected)


def test_slices(make_window: Callable[..., Any], session: octree_client.Session, qtbot: Any) -> None:
    window = make_window(session.dataset("stack"))
    rows = window.dims_bar.rows
    assert {axis: row.slider.maximum() for axis, row in rows.items()} == {"t": 2, "z": 3}
    assert window.viewer.layers[0].pager.position == (1, 2)
    before = window.viewer.render()
    press(window, qtbot, "PgDown")
    assert window.viewer.layers[0].pager.position == (1, 3)
    assert rows["z"].slider.value() == rows["z"].number.value() == 3
    press(window, qtbot, "PgDown")
    assert window.viewer.layers[0].pager.position == (1, 3)
    press(window, qtbot, "PgUp")
    send_wheel(window, (200, 200), 1.0, shift=True)
    assert window.viewer.layers[0].pager.position == (1, 1)
    rows["t"].slider.setValue(2)
    assert window.viewer.layers[0].pager.position == (2, 1)
    settle(window, qtbot)
    assert (window.viewer.render() != before).any()
    grab(window, "slices")


def test_the_list_of_keys_is_complete(window: Any, qtbot: Any) -> None:
    window.resize(100, 100)  # it takes what it needs
    qtbot.waitUntil(lambda: window.width() < 980, timeout=5000)
    press(window, qtbot, "F1")
    text = window.key_card.text()
    for title in (*BINDINGS, "Controls", "Mouse"):
        rows = card_rows(title)
        assert all(escape(shown) in text and escape(effect) in text for shown, effect in rows)
        bindings = [binding for binding in BINDINGS.get(title, ()) if binding is not None]
        told = [key.rpartition("⇧")[2].rpartition("+")[2] or "+" for shown, _ in rows for key in shown.split()]
        if bindings:
            keys = [key for binding in bindings for key in binding.shown.split()]
            assert told == [key.rpartition("+")[2] or "+" for key in keys], "each key is on the card, in its place"
    for binding in all_bindings():
        assert callable(window.command(binding.action))
        assert len(window.actions_by_name[binding.action].shortcuts()) == len(binding.keys)
        assert binding.shown in terminal_table()
    assert_nothing_is_cut_off(window, qtbot)
    assert len(card_rows("Mouse")) == len(GESTURES)
    assert len(card_rows("Controls")) == len(CONTROL_KEYS)
    theme = window.showing.theme
    assert text == rich_table(theme.ink, theme.quiet, theme.accent)
    room, card = window.rect(), window.key_card.geometry()
    assert room.contains(card)
    assert card.size() == window.key_card.sizeHint(), "the list is cut off"
    picture = grab(window, "keys")
    assert picture.std() > 10
    press(window, qtbot, "Escape")
    assert not window.key_card.isVisible()
    keys = [key for binding in all_bindings() for key in binding.keys]
    assert len(keys) == len(set(keys)), "two actions have the same key"


def test_keys_can_be_typed_into_fields(window: Any, qtbot: Any) -> None:
    window.panel.controls.contrast.low.setFocus()
    window.panel.controls.contrast.low.selectAll()
    before = window.viewer.camera
    qtbot.keyClicks(window.panel.controls.contrast.low, "1")
    qtbot.keyClicks(window.panel.controls.contrast.low, "200")
    assert window.panel.controls.contrast.low.text() == "1200"
    assert window.viewer.camera == before
    press_enter(window.panel.controls.contrast.low, qtbot)
    assert window.viewer.layers[0].contrast_limits[0] == 1200.0
    assert not window.viewer.layers[0].auto_contrast


# --- mouse ----------------------------------------------------------------------------------------------------------


def test_a_drag_moves_the_picture_by_exactly_so_many_pixels(window: Any, qtbot: Any) -> None:
    window.viewer.set_view((260.1, 310.1), 0.5)  # no pixel's centre on a voxel's edge
    window.viewer.layers[0].interpolation = "nearest"
    settle(window, qtbot)
    before = window.viewer.render()
    send_mouse(window, "press", (300, 200), held=True)
    for step in range(1, 8):
        send_mouse(window, "move", (300 + 5 * step, 200 - 3 * step), held=True)
    send_mouse(window, "release", (335, 179))
    send_mouse(window, "move", (400, 400))
    settle(window, qtbot)
    after = window.viewer.render()
    assert (after[: -21 - 1, 36:] == before[21:-1, 1:-35]).all()
    assert (after != before).any()


def test_the_wheel_zooms_at_the_cursor(window: Any, qtbot: Any) -> None:
    window.viewer.set_view((260.0, 310.0), 1.0)
    anchor = window.viewer.camera.world_at((500.0, 100.0))
    send_wheel(window, (500, 100), 2.0)
    sizes = [window.viewer.camera.pixel_size]
    window.viewer.on_frame.append(lambda: sizes.append(window.viewer.camera.pixel_size))
    settle(window, qtbot)
    assert window.viewer.camera.pixel_size == pytest.approx(1.0 / WHEEL_FACTOR**2)
    assert window.viewer.camera.world_at((500.0, 100.0)) == pytest.approx(anchor)
    assert len(set(sizes)) > 2, "it jumped"
    send_mouse(window, "double", (500, 100), held=True)
    send_mouse(window, "release", (500, 100))
    settle(window, qtbot)
    assert window.viewer.camera.world_at((500.0, 100.0)) == pytest.approx(anchor)
    assert window.viewer.camera.pixel_size == pytest.approx(0.25)


def test_a_drag_with_control_zooms_to_a_rectangle(window: Any, qtbot: Any) -> None:
    for key, control in (("", True), ("Z", False)):
        window.viewer.set_view((260.0, 310.0), 1.0)
        corners = [window.viewer.camera.world_at(place) for place in ((200.0, 150.0), (360.0, 270.0))]
        if key:
            press(window, qtbot, key)
            assert window.stage.tools.buttons["zoom_rectangle"].isChecked()
        send_mouse(window, "press", (200, 150), held=True, control=control)
        send_mouse(window, "move", (300, 220), held=True, control=control)
        send_mouse(window, "move", (360, 270), held=True, control=control)
        assert window.stage.marked.isVisible()
        assert window.stage.marked.size().width() == 160
        grab(window, "marking")
        send_mouse(window, "release", (360, 270), control=control)
        assert not window.stage.marked.isVisible()
        settle(window, qtbot)
        width, height = window.canvas.size
        camera = window.viewer.camera
        assert camera.center == pytest.approx(tuple(np.mean(corners, axis=0)))
        assert camera.pixel_size == pytest.approx(max(160 / width, 120 / height))
        assert not window.stage.tools.buttons["zoom_rectangle"].isChecked()
    press(window, qtbot, "Z")
    press(window, qtbot, "Escape")
    assert not window.gestures.navigation.marking
    before = window.viewer.camera
    send_mouse(window, "press", (200, 150), held=True, control=True)
    send_mouse(window, "release", (201, 151), control=True)
    assert window.viewer.camera == before  # a click


def test_the_map_leads_the_view(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import QPoint, Qt

    window.viewer.set_view((256.0, 320.0), 0.25)
    settle(window, qtbot)
    small = window.stage.minimap
    qtbot.waitUntil(lambda: small.picture is not None, timeout=5000)
    picture = small.picture
    grey = [picture.pixelColor(x, picture.height() // 2).red() for x in range(0, picture.width(), 4)]
    assert np.std(grey) > 20, "the map is blank"
    grab(window, "map")
    at = QPoint(small.width() * 3 // 4, small.height() // 4)
    qtbot.mouseClick(small, Qt.LeftButton, pos=at)
    y, x = window.viewer.camera.center
    assert (y, x) == pytest.approx((128.0, 480.0), abs=6.0)
    # Held where it is, the rectangle follows the hand.
    send_mouse(window, "press", (at.x(), at.y()), held=True, to=small)
    send_mouse(window, "move", (at.x() - 40, at.y() + 30), held=True, to=small)
    send_mouse(window, "release", (at.x() - 40, at.y() + 30), to=small)
    send_mouse(window, "move", (5, 5), to=small)
    moved = window.viewer.camera.center
    assert moved[0] - y == pytest.approx(30 / small.map.size[1] * 512, abs=4.0)
    assert moved[1] - x == pytest.approx(-40 / small.map.size[0] * 640, abs=4.0)
    before = small.picture
    window.viewer.layers[0].colormap = "magma"
    qtbot.waitUntil(lambda: small.picture is not before, timeout=5000)


def test_the_scale_bar_follows_the_zoom(window: Any) -> None:
    for pixel_size, text in ((0.5, "50 µm"), (0.004, "500 nm"), (8.0, "1 mm")):
        window.viewer.set_view((260.0, 310.0), pixel_size)
        window.refresh()
        assert window.stage.scale_bar.bar.text == text
        assert window.stage.rect().contains(window.stage.scale_bar.geometry())


def test_a_link_and_a_picture_go_to_the_clipboard(window: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QApplication

    window.viewer.set_view((100.0, 120.0), 0.25)
    window.viewer.layers[0].contrast_limits = (10.0, 30000.0)
    press(window, qtbot, "Ctrl+C")
    view = read_link(QApplication.clipboard().text())
    assert view.center == (100.0, 120.0)
    assert view.pixel_size == 0.25
    assert view.layers[0].contrast == (10.0, 30000.0)
    assert view.layers[0].source.endswith("rings.zarr")
    settle(window, qtbot)
    press(window, qtbot, "Ctrl+Shift+C")
    image = QApplication.clipboard().image()
    rendered = window.viewer.render()
    assert (image.height(), image.width()) == rendered.shape[:2]
    colour = image.pixelColor(200, 100)
    assert (colour.red(), colour.green(), colour.blue()) == tuple(int(v) for v in rendered[100, 200, :3])


def test_both_themes_and_what_is_remembered(
    make_window: Callable[..., Any], session: octree_client.Session, qtbot: Any
) -> None:
    window = make_window(session.dataset("rings"), remembered=Remembered(theme="light"))
    qtbot.waitUntil(lambda: window.stage.minimap.picture is not None, timeout=5000)
    window.layer_commands.toggle_overlay()
    settle(window, qtbot)
    window.refresh()
    light = grab(window, "light")
    assert light[:, -40:].mean() > 200
    press(window, qtbot, "T")
    settle(window, qtbot)
    assert grab(window, "dark")[:, -40:].mean() < 60
    press(window, qtbot, "M")
    window.resize(1100, 720)
    qtbot.waitUntil(lambda: window.width() == 1100, timeout=5000)
    window._writes_down = True
    window.close()
    written = recall()
    assert (written.theme, written.minimap, written.size) == ("dark", False, (1100, 720))
    again = make_window(session.dataset("rings"), size=None, remembered=None)
    assert (again.width(), again.height()) == (1100, 720)
    assert not again.stage.minimap.isVisible()


# --- words ----------------------------------------------------------------------------------------------------------


def test_the_status_line_tells_what_is_under_the_cursor(
    window: Any, session: octree_client.Session, qtbot: Any
) -> None:
    window.viewer.set_view((250.1, 300.1), 0.5)
    send_mouse(window, "move", (123, 77))
    settle(window, qtbot)
    bar = window.status_bar
    y, x = window.viewer.camera.world_at((123.0, 77.0))
    # The centre of voxel i lies at translation + i * scale; OME-Zarr's own image has none on level 0.
    voxel = tuple(round(v / 0.5) for v in (y, x))
    image = session.dataset("rings")
    expected = int(image.levels[0][voxel[0] : voxel[0] + 1, voxel[1] : voxel[1] + 1][0, 0])
    assert f"= {expected:,} " in bar.value.text()
    assert "at level 0" in bar.value.text()
    assert bar.position.text().replace("&nbsp;", " ").split() == ["y", f"{y:.1f}", "x", f"{x:.1f}", "µm"]
    assert bar.zoom.text() == "100 %"
    assert bar.level.text() == f"level 0 of {len(image.levels)}"
    assert bar.loading.text().endswith("final")
    assert bar.connection.text().endswith("connected")
    window.viewer.home()
    settle(window, qtbot)
    assert bar.level.text() == f"level {window.viewer.layers[0].level} of {len(image.levels)}"
    send_mouse(window, "move", (1, 1))  # beside the image
    window.refresh()
    assert bar.value.text() == ""
    assert window.panel.facts["Shape"].text() == "1,024 × 1,280"
    assert window.panel.facts["Type"].text() == "uint16"
    assert window.panel.facts["Voxel"].text() == "0.5 × 0.5 µm"
    grab(window, "final")


def test_frames_are_measured_to_the_screen(window: Any, qtbot: Any) -> None:
    window.viewer.frame_statistics.reset()
    window.showing.toggle_statistics()
    for n in range(5):
        window.viewer.set_view((100.0 + n, 150.0), 0.5)
        frames = window.viewer.frame_statistics.count
        qtbot.waitUntil(lambda frames=frames: window.viewer.frame_statistics.count > frames, timeout=5000)
    settle(window, qtbot)
    qtbot.waitUntil(lambda: window.viewer.statistics()["draw"].p50 > 0.0, timeout=5000)
    window.showing.toggle_statistics()
    window.showing.toggle_statistics()
    text = window.stage.figures.text()
    assert all(name in text for name in ("plan", "upload", "submit", "own", "draw", "chunks", "tiles"))
    window.layer_commands.toggle_overlay()
    settle(window, qtbot)
    grab(window, "overlay-and-figures")
    window.stage.figures.tell("")


def test_words_are_brought_up_to_date_at_a_readable_pace(window: Any, qtbot: Any) -> None:
    settle(window, qtbot)
    told: list[float] = []
    real = window.status_bar.tell_zoom
    window.status_bar.tell_zoom = lambda text: (told.append(time.monotonic()), real(text))
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        window.viewer.set_view((100.0 + len(told), 150.0), 0.5)
        qtbot.wait(1)
    assert 2 <= len(told) <= 0.5 / 0.066 + 2


# --- panel ----------------------------------------------------------------------------------------------------------


def test_every_control_has_its_effect(window: Any, qtbot: Any) -> None:
    panel, viewer = window.panel.controls, window.viewer
    pictures = [viewer.render().tobytes()]

    def changed() -> bool:
        pictures.append(viewer.render().tobytes())
        return pictures[-1] != pictures[-2]

    assert panel.contrast.auto.isChecked()
    panel.contrast.slider.setValue((12000, 30000))
    assert viewer.layers[0].contrast_limits == (12000, 30000)
    assert not viewer.layers[0].auto_contrast
    assert not panel.contrast.auto.isChecked()
    assert (panel.contrast.low.text(), panel.contrast.high.text()) == ("12000", "30000")
    assert changed()
    panel.gamma.setValue(2.0)
    assert viewer.layers[0].gamma == 2.0
    assert changed()
    panel.opacity.setValue(0.5)
    assert viewer.layers[0].opacity == 0.5
    assert changed()
    panel.colormap.setCurrentColormap("viridis")
    assert viewer.layers[0].colormap == "viridis"
    assert changed()
    panel.interpolation.setCurrentText("nearest")
    assert viewer.layers[0].interpolation == "nearest"
    assert changed()
    panel.overlay.click()
    assert viewer.layers[0].overlay
    assert changed()
    panel.contrast.auto.click()
    assert viewer.layers[0].auto_contrast
    assert changed()
    panel.contrast.auto.click()
    assert not viewer.layers[0].auto_contrast
    panel.contrast.high.setText("50000")
    panel.contrast.high.editingFinished.emit()
    assert viewer.layers[0].contrast_limits[1] == 50000
    assert panel.contrast.slider.value()[1] == pytest.approx(50000)
    window.handle.click()
    assert not window.panel.isVisible()
    width = window.canvas.size[0]
    qtbot.waitUntil(lambda: window.canvas.size[0] >= width, timeout=5000)
    settle(window, qtbot)
    grab(window, "panel-hidden")
    window.handle.click()
    assert window.panel.isVisible()


def test_what_failed_is_told_with_its_reason_and_read_again(
    make_window: Callable[..., Any], session: octree_client.Session, folder: Path, qtbot: Any
) -> None:
    window = make_window(session.dataset("broken"), wait=False)
    qtbot.waitUntil(lambda: window.viewer is not None and window.viewer.status().failed > 0, timeout=20000)
    settle(window, qtbot)
    assert "1 failed" in window.status_bar.loading.text()
    assert window.panel.failures.isVisible()
    assert "1 chunk could not be read" in window.panel.failures_title.text()
    assert "truncated" in window.panel.failures_text.text()
    assert "broken.zarr" in window.panel.failures.toolTip()
    text = window.panel.failures_text
    qtbot.waitUntil(lambda: text.height() >= text.heightForWidth(text.width()), timeout=5000)  # nothing is cut off
    assert_nothing_is_cut_off(window, qtbot)
    grab(window, "failed")
    chunk = folder / "broken.zarr" / "0" / "c" / "1" / "1"
    broken = chunk.read_bytes()
    try:
        chunk.write_bytes((folder / "broken.zarr" / "0" / "c" / "1" / "0").read_bytes())
        press(window, qtbot, "R")
        qtbot.waitUntil(lambda: window.viewer.is_final() and window.viewer.status().failed == 0, timeout=10000)
    finally:
        chunk.write_bytes(broken)
    settle(window, qtbot)
    assert not window.panel.failures.isVisible()
    assert window.status_bar.loading.text().endswith("final")


# --- pictures -------------------------------------------------------------------------------------------------------


def test_the_screen_shows_what_the_viewer_renders(
    make_window: Callable[..., Any], session: octree_client.Session, qtbot: Any
) -> None:
    window = make_window(session.dataset("rings"), remembered=BARE)
    window.viewer.set_view((250.0, 300.0), 0.5)
    settle(window, qtbot)
    window.viewer.canvas.request_frame()
    frames = window.canvas.frames
    qtbot.waitUntil(lambda: window.canvas.frames > frames, timeout=5000)
    screen = grab(window, "one-to-one")
    rendered = window.viewer.render()[..., :3]
    height, width = rendered.shape[:2]
    top = window.stage.mapTo(window, window.stage.rect().topLeft()).y()
    right_of_tools = window.stage.tools.geometry().right() + 1
    shown = screen[top : top + height, right_of_tools:width].astype(int)
    assert np.abs(shown - rendered[:, right_of_tools:]).max() <= 1
    assert rendered.std() > 20


def test_a_screenshot_is_what_the_viewer_renders(
    window: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtWidgets import QFileDialog

    path = tmp_path / "shot.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path.with_suffix("")), ""))
    press(window, qtbot, "S")
    qtbot.waitUntil(lambda: "Saved to" in window.stage.notice.text(), timeout=5000)
    with PillowImage.open(path) as picture:
        assert (np.asarray(picture) == window.viewer.render()[..., :3]).all()
    window.files.save_to(tmp_path / "nowhere" / "shot.png")
    qtbot.waitUntil(lambda: "Not saved" in window.stage.notice.text(), timeout=5000)
    assert os.listdir(tmp_path) == ["shot.png"]


def test_a_picture_may_be_larger_than_the_screen(window: Any, qtbot: Any, tmp_path: Path) -> None:
    window.viewer.set_view((256.0, 320.0), 1.0)
    settle(window, qtbot)
    small = window.viewer.render()
    window.files.save_as(tmp_path / "large.png", 2)
    # Whoever looks on goes somewhere else meanwhile; the picture is of what was seen when it was asked for.
    window.viewer.set_view((100.0, 100.0), 0.3)
    window.files.save_as(tmp_path / "other.png", 2)
    assert "being made already" in window.stage.notice.text()
    frames = window.canvas.frames
    job = window.files.job
    qtbot.waitUntil(lambda: job.is_over and (tmp_path / "large.png").exists(), timeout=30000)
    assert window.canvas.frames > frames, "the window stood still"
    assert (window.viewer.camera.center, window.viewer.camera.pixel_size) == ((100.0, 100.0), 0.3)
    with PillowImage.open(tmp_path / "large.png") as picture:
        large = np.asarray(picture).astype(float)
    assert large.shape[:2] == (2 * small.shape[0], 2 * small.shape[1])
    halved = (large[::2, ::2] + large[1::2, ::2] + large[::2, 1::2] + large[1::2, 1::2]) / 4
    assert np.abs(halved - small[..., :3]).mean() < 8, "another part of the world"
    assert np.abs(np.diff(large[400:800, 400:800, 0], axis=1)).mean() > 0
    settle(window, qtbot)
    window.files.save_as(tmp_path / "window.png", 0)
    qtbot.waitUntil(lambda: (tmp_path / "window.png").exists(), timeout=20000)
    with PillowImage.open(tmp_path / "window.png") as picture:
        whole = np.asarray(picture)
    assert whole.shape[:2] == (window.height(), window.width())
    assert whole[100:, :600].std() > 20, "the picture is not in it"
    window.files.save_as(tmp_path / "huge.png", 100)
    assert "along an edge" in window.stage.notice.text()


def test_a_large_picture_is_given_up_when_one_likes(
    window: Any, session: octree_client.Session, qtbot: Any, tmp_path: Path
) -> None:
    pid, inboxes = session.daemon_pid, session.connection._inboxes
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # so that it lasts
    try:
        window.files.save_as(tmp_path / "never.png", 4)
        job = window.files.job
        qtbot.waitUntil(job.dialog.isVisible, timeout=10000)
        theirs = {layer.pager.wanting._inbox.number for layer in job._enlarging.twin.layers}
        grab(window, "picture-under-way")
        job.dialog.canceled.emit()
        assert job.is_over
        assert "cancelled" in window.stage.notice.text()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert theirs
    assert not theirs & set(inboxes), "the daemon goes on for nobody"
    settle(window, qtbot)
    assert os.listdir(tmp_path) == []


def test_colours_have_no_colour_map(make_window: Callable[..., Any], session: octree_client.Session) -> None:
    window = make_window(session.dataset("colour"))
    assert not window.panel.controls.colormap.isVisible()
    assert not window.panel.controls.contrast.auto.isVisible()
    assert (window.panel.controls.contrast.low.text(), window.panel.controls.contrast.high.text()) == ("0", "255")
    assert window.panel.facts["Type"].text() == "uint8, colour"
    window.layer_commands.auto_contrast()
    send_mouse(window, "move", (350, 300))
    window.refresh()
    assert window.status_bar.value.text().count(",") == 2
    picture = grab(window, "colours")[200:400, 200:400].astype(int)
    assert np.abs(picture[..., 0] - picture[..., 2]).max() > 30


# --- life -----------------------------------------------------------------------------------------------------------


def test_a_killed_daemon_is_told_and_the_picture_stays(
    make_window: Callable[..., Any], folder: Path, qtbot: Any
) -> None:
    with octree_client.open(str(folder / "rings.zarr")) as own:
        window = make_window(own.dataset())
        window.viewer.set_view((250.0, 300.0), 0.5)
        settle(window, qtbot)
        before = window.viewer.render()
        pid = own.daemon_pid
        assert pid is not None
        told: list[str] = []
        real = window.stage.banner.tell
        window.stage.banner.tell = lambda text: (told.append(text), real(text))
        psutil.Process(pid).send_signal(signal.SIGKILL)
        qtbot.waitUntil(lambda: any("trying to reach it again" in text for text in told), timeout=10000)
        assert (window.viewer.render() == before).all()
        if window.stage.banner.isVisible():
            assert "daemon lost" in window.status_bar.connection.text()
            grab(window, "daemon-lost")
        qtbot.waitUntil(lambda: told[-1] == "" and not window.stage.banner.isVisible(), timeout=15000)
        assert own.daemon_pid != pid
        window.viewer.set_view((150.0, 100.0), 0.5)
        settle(window, qtbot)
        assert window.status_bar.connection.text().endswith("connected")
        assert window.viewer.status().failed == 0
        window.close()


def test_the_window_waits_for_nobody(window: Any, session: octree_client.Session, qtbot: Any) -> None:
    """With a daemon that stands still, the picture still follows the hand, and the words say what is to come."""
    pid = session.daemon_pid
    assert pid is not None
    window.layer_commands.toggle_overlay()
    os.kill(pid, signal.SIGSTOP)
    try:
        window.viewer.set_view((250.0, 300.0), 0.5)
        frames = window.canvas.frames
        send_mouse(window, "press", (300, 200), held=True)
        for step in range(1, 20):
            began = time.perf_counter()
            send_mouse(window, "move", (300 + 5 * step, 200 - 3 * step), held=True)
            assert time.perf_counter() - began < 0.25
        send_mouse(window, "release", (395, 143))
        qtbot.waitUntil(lambda: window.canvas.frames > frames, timeout=5000)
        window.refresh()
        assert not window.viewer.is_final()
        assert "loading " in window.status_bar.loading.text()
        assert "→ 0" in window.status_bar.level.text()
        grab(window, "loading")
    finally:
        os.kill(pid, signal.SIGCONT)
    settle(window, qtbot)
    assert window.status_bar.loading.text().endswith("final")
    assert window.viewer.camera.center == pytest.approx((250.0 + 57 * 0.5, 300.0 - 95 * 0.5))


def test_the_window_is_there_before_the_image(
    make_window: Callable[..., Any], session: octree_client.Session, qtbot: Any
) -> None:
    answer = threading.Event()

    def slowly(keep: Keep) -> Opened:
        own = keep(octree_client.connect(session.connection.address))
        answer.wait(20)
        return Opened((own.dataset("rings"),))

    opening = Opening("rings.zarr", slowly)
    window = make_window(opening, wait=False)
    qtbot.waitExposed(window)
    assert window.viewer is None
    assert "Opening rings.zarr" in window.stage.waiting.text()
    assert "connecting" in window.status_bar.connection.text()
    for binding in all_bindings():  # keys harm nobody meanwhile
        if binding.action != "close" and not binding.action.startswith("toggle_"):
            window.command(binding.action)()
    send_mouse(window, "move", (50, 50))
    grab(window, "opening")
    answer.set()
    qtbot.waitUntil(lambda: window.viewer is not None and window.viewer.is_final(), timeout=10000)
    assert not window.stage.waiting.isVisible()
    window.close()
    opening.close()


def test_an_image_that_cannot_be_opened(make_window: Callable[..., Any], qtbot: Any) -> None:
    def refuse(_: Keep) -> Opened:
        raise octree_client.DatasetUnavailable("no such thing")

    window = make_window(Opening("x", refuse), wait=False)
    qtbot.waitUntil(lambda: window.opening_error is not None, timeout=5000)
    assert isinstance(window.opening_error, octree_client.DatasetUnavailable)
    assert "no such thing" in window.stage.waiting.text()


def test_an_opening_that_nobody_waits_for_closes_its_session() -> None:
    go, closed = threading.Event(), threading.Event()

    class Fake:
        def close(self) -> None:
            closed.set()

    def slowly(keep: Keep) -> Opened:
        go.wait(10)
        keep(Fake())  # type: ignore[arg-type]
        return Opened()

    opening = Opening("x", slowly)
    opening.close()
    go.set()
    assert closed.wait(10)


def test_closing_leaves_nothing(make_window: Callable[..., Any], session: octree_client.Session, qtbot: Any) -> None:
    """The leak guard looks at threads, processes and descriptors; here are the timers and the viewer."""
    window = make_window(session.dataset("rings"))
    viewer = window.viewer
    views = len(session.connection._inboxes)
    press(window, qtbot, "Q")
    assert not window.isVisible()
    assert len(session.connection._inboxes) == views - 1
    assert not any(t.isActive() for t in (*window.refreshing.timers, window.gestures.timer))
    assert viewer.canvas.closed
    window.refresh()
    window.close()


def test_what_was_asked_for_is_shown(make_window: Callable[..., Any], session: octree_client.Session) -> None:
    window = make_window(
        session.dataset("rings"),
        center=(100.0, 120.0),
        pixel_size=0.25,
        colormap="magma",
        contrast=(5000.0, 30000.0),
        interpolation="nearest",
    )
    viewer = window.viewer
    assert viewer.camera.center == (100.0, 120.0)
    assert viewer.camera.pixel_size == 0.25
    assert (viewer.layers[0].colormap, viewer.layers[0].interpolation, viewer.layers[0].contrast_limits) == (
        "magma",
        "nearest",
        (5000.0, 30000.0),
    )
    panel = window.panel.controls
    assert panel.colormap.currentColormap().name.endswith("magma")
    assert panel.interpolation.currentText() == "nearest"
    assert not panel.contrast.auto.isChecked()
    assert tuple(panel.contrast.slider.value()) == pytest.approx((5000.0, 30000.0))
    grab(window, "magma")
