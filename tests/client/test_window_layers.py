"""Several layers in the window: the list, the controls, values under the cursor, other planes, what is added."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.client.window_kit import grab, press, send_mouse, settle

import octree_client
from octree_client.export import Export, Hole
from octree_client.links import read_link
from octree_client.remembered import Remembered
from octree_loader.demo.pyramid import write_pyramid
from octree_loader.demo.tissue import Tissue

pytestmark = [pytest.mark.gl, pytest.mark.qt]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three channels, a stack, labels, and an image of which a chunk is truncated."""
    folder = tmp_path_factory.mktemp("layers")
    y, x = np.mgrid[:384, :512]
    planes = [np.hypot(y - 190, x - 100 * n - 150) for n in range(3)]
    channels = np.stack([40000 * np.exp(-((plane / 90) ** 2)) + 300 for plane in planes]).astype("u2")
    write_pyramid(folder / "cells.zarr", channels, axes="cyx", scale=0.5, chunk=128)
    z = np.arange(48)[:, None, None]
    stack = (30000 + 15000 * np.sin(np.hypot(y[:256, :320] - 128, x[:256, :320] - 160) / 12 + z / 4)).astype("u2")
    write_pyramid(folder / "stack.zarr", stack, axes="zyx", scale=0.5, chunk=64)
    np.save(folder / "labels.npy", ((y // 48) * 16 + x // 64 + 1).astype("u4"))
    write_pyramid(folder / "broken.zarr", channels[0], scale=0.5, chunk=128)
    chunk = folder / "broken.zarr" / "0" / "c" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:40])
    return folder


@pytest.fixture(scope="module")
def session(folder: Path) -> Iterator[octree_client.Session]:
    sources = {name: str(folder / f"{name}.zarr") for name in ("cells", "stack", "broken")}
    sources["labels"] = str(folder / "labels.npy")
    with octree_client.open(datasets=sources, settings={"memory": {"arena_bytes": "64MiB"}}) as session:
        yield session


@pytest.fixture
def window(make_window: Callable[..., Any], session: octree_client.Session) -> Any:
    return make_window(session.dataset("cells"), size=(1100, 760))


def names(window: Any) -> list[str]:
    return [layer.name for layer in window.viewer.layers]


def row_rect(window: Any, row: int) -> Any:
    rows = window.panel.rows
    return rows.visualRect(rows.model().index(row, 0))


def test_the_window_as_the_readme_shows_it(make_window: Callable[..., Any], qtbot: Any, tmp_path: Path) -> None:
    """A tissue, its look, and what is under the cursor; `docs/images/window.jpg` is this picture."""
    edge = 2560
    write_pyramid(tmp_path / "tissue.zarr", Tissue(edge), (edge, edge), "u2", scale=0.25, workers=2)
    with octree_client.open(tmp_path / "tissue.zarr") as session:
        window = make_window(session.dataset(), size=(1280, 860))
        viewer = window.viewer
        viewer.layers[0].colormap = "magma"
        viewer.set_view((330.0, 330.0), 0.25 * 1.3)
        settle(window, qtbot)
        at = (500.0, 300.0)
        send_mouse(window, "move", at)
        world = viewer.camera.world_at(at)
        row, column = (round(one / 0.25) for one in world)
        value = int(Tissue(edge)(((row, row + 1), (column, column + 1)))[0, 0])
        qtbot.waitUntil(lambda: f"{value:,}" in window.status_bar.value.text(), timeout=5000)
        qtbot.waitUntil(lambda: window.stage.minimap.picture is not None, timeout=5000)
        qtbot.waitUntil(lambda: len(window.panel.rows._delegate.pictures) == 1, timeout=5000)
        picture = grab(window, "readme")
        assert picture[100:700, 100:700].std() > 30
        window.close()


# --- the list -------------------------------------------------------------------------------------------------------


def test_channels_are_layers_with_pictures(window: Any, qtbot: Any) -> None:
    rows = window.panel.rows
    assert rows.model().rowCount() == 3
    assert rows.model().data(rows.model().index(0, 0)) == names(window)[-1], "the topmost comes first"
    qtbot.waitUntil(lambda: len(rows._delegate.pictures) == 3, timeout=5000)
    picture = rows._delegate.pictures[id(window.viewer.layers[0])]
    assert picture.pixelColor(picture.width() // 4, picture.height() // 2).green() > 100
    qtbot.waitUntil(lambda: window.stage.minimap.picture is not None, timeout=5000)
    whole = window.stage.minimap.picture
    middle = whole.pixelColor(whole.width() // 2, whole.height() // 2)
    assert min(middle.red(), middle.blue()) > 100, "added up"
    grab(window, "channels")


def test_the_eye_hides_a_layer(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import QPoint, Qt

    before = window.viewer.render()
    rows, layer = window.panel.rows, window.viewer.layers[2]
    at = row_rect(window, 0).topLeft() + QPoint(18, 24)
    qtbot.mouseClick(rows.viewport(), Qt.LeftButton, pos=at)
    assert not layer.visible
    settle(window, qtbot)
    assert (window.viewer.render() != before).any()
    qtbot.mouseClick(rows.viewport(), Qt.LeftButton, pos=at)
    assert layer.visible
    rows.setCurrentIndex(rows.model().index(1, 0))
    qtbot.keyClick(rows, Qt.Key_Space)
    assert not window.viewer.layers[1].visible
    press(window, qtbot, "V")
    assert window.viewer.layers[1].visible


def test_a_row_chooses_the_active_layer(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    layers = window.viewer.layers
    qtbot.mouseClick(window.panel.rows.viewport(), Qt.LeftButton, pos=row_rect(window, 2).center())
    assert layers.active is layers[0]
    assert window.panel.controls.colormap.currentColormap().name == layers[0].colormap
    press(window, qtbot, "]")
    assert layers.active is layers[1]
    assert window.panel.rows.currentIndex().row() == 1
    press(window, qtbot, "[")
    press(window, qtbot, "[")
    assert layers.active is layers[0]
    layers.active = layers[2]
    assert window.panel.rows.currentIndex().row() == 0


def test_layers_are_moved_by_keys_and_by_drag(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import QModelIndex, Qt

    first, second, third = names(window)
    window.viewer.layers.active = window.viewer.layers[0]
    press(window, qtbot, "Alt+PgUp")
    assert names(window) == [second, first, third]
    press(window, qtbot, "Alt+PgDown")
    assert names(window) == [first, second, third]
    model = window.panel.rows.model()
    # The topmost row is dropped below the last one.
    data = model.mimeData([model.index(0, 0)])
    assert not model.dropMimeData(data, Qt.MoveAction, 3, 0, QModelIndex())
    assert names(window) == [third, first, second]
    data = model.mimeData([model.index(2, 0)])
    model.dropMimeData(data, Qt.MoveAction, 0, 0, QModelIndex())
    assert names(window) == [first, second, third]
    window.viewer.layers.active = window.viewer.layers[third]
    qtbot.keyClick(window.panel.rows, Qt.Key_Down, Qt.AltModifier)
    assert window.viewer.layers.active.name == third
    assert names(window) == [first, third, second]


def test_a_layer_is_renamed_and_removed(window: Any, qtbot: Any) -> None:
    rows = window.panel.rows
    model = rows.model()
    assert model.setData(model.index(0, 0), "nuclei")
    assert names(window)[-1] == "nuclei"
    assert not model.setData(model.index(0, 0), "   ")
    press(window, qtbot, "Del")
    assert "nuclei" not in names(window)
    assert model.rowCount() == 2
    press(window, qtbot, "Del")
    press(window, qtbot, "Del")
    press(window, qtbot, "Del")
    assert names(window) == []
    assert window.stage.welcome.isVisible()
    assert not window.panel.details.isVisible()
    for name in window.actions_by_name:  # nothing needs a layer
        if not name.startswith(("open_", "add_", "save_", "close", "paste", "toggle_full")):  # dialogs, and the end
            window.command(name)()
    send_mouse(window, "move", (50, 50))
    window.refresh()
    assert window.canvas.error is None
    grab(window, "empty")


def test_channels_are_merged_and_split(window: Any, qtbot: Any) -> None:
    settle(window, qtbot)
    assert window.panel.buttons["merge_channels"].isEnabled()
    assert not window.panel.buttons["split_channels"].isEnabled()
    window.panel.buttons["merge_channels"].click()
    assert len(names(window)) == 1
    settle(window, qtbot)
    assert list(window.dims_bar.rows) == ["c"]
    assert window.panel.buttons["split_channels"].isEnabled()
    press(window, qtbot, "Ctrl+Shift+M")
    assert len(names(window)) == 3
    assert not window.dims_bar.isVisible()


# --- controls -------------------------------------------------------------------------------------------------------


def test_each_layer_has_its_own_look(window: Any, qtbot: Any) -> None:
    layers, controls = window.viewer.layers, window.panel.controls
    for number, colormap in enumerate(("magma", "viridis", "cyan")):
        layers.active = layers[number]
        controls.colormap.setCurrentColormap(colormap)
        controls.opacity.setValue(0.25 * (number + 1))
        controls.blending.setCurrentText(("translucent", "minimum", "additive")[number])
    assert [layer.colormap for layer in layers] == ["magma", "viridis", "cyan"]
    assert [layer.opacity for layer in layers] == [0.25, 0.5, 0.75]
    assert [layer.blending for layer in layers] == ["translucent", "minimum", "additive"]
    layers.active = layers[0]
    assert controls.opacity.value() == 0.25
    assert controls.colormap.currentColormap().name.endswith("magma")
    layers[0].gamma = 2.5  # from a script
    assert controls.gamma.value() == 2.5
    controls.quality.setValue(1.0)
    assert layers[0].quality == 1.0
    controls.level.setCurrentIndex(2)
    assert layers[0].level_lock == 1
    settle(window, qtbot)
    assert layers[0].level == 1
    window.refresh()
    assert "(kept)" in window.status_bar.level.text()
    controls.level.setCurrentIndex(0)
    assert layers[0].level_lock is None
    controls.contrast.full.click()
    assert layers[0].contrast_limits == (0.0, 65535.0)
    controls.contrast.auto.click()
    assert layers[0].auto_contrast
    counts, edges = layers[0].histogram()
    for _ in range(5):
        controls.refresh()
    assert np.array_equal(controls.contrast.histogram._counts, counts)
    assert np.array_equal(controls.contrast.histogram._edges, edges)


def test_labels_have_controls_of_their_own(
    make_window: Callable[..., Any], session: octree_client.Session, qtbot: Any
) -> None:
    window = make_window(session.dataset("labels"))
    window.viewer.layers.clear()
    (layer,) = window.viewer.add(session.dataset("labels"), kind="labels")
    settle(window, qtbot)
    controls = window.panel.controls
    assert controls.labels.isVisible()
    assert not controls.contrast.isVisible()
    pictures = [window.viewer.render().tobytes()]

    def changed() -> bool:
        settle(window, qtbot)
        pictures.append(window.viewer.render().tobytes())
        return pictures[-1] != pictures[-2]

    controls.labels.shuffle.click()
    assert changed()
    controls.labels.contour.setValue(2)
    assert layer.contour == 2
    assert changed()
    y, x = 100, 300
    at = pixel_of(window, float(y), float(x))
    send_mouse(window, "press", at, held=True, alt=True)
    send_mouse(window, "release", at, alt=True)
    expected = (y // 48) * 16 + x // 64 + 1
    assert layer.selected_label == controls.labels.selected.value() == expected
    controls.labels.only.click()
    assert layer.show_selected_only
    assert changed()
    send_mouse(window, "move", at)
    window.refresh()
    assert f"= {expected}" in window.status_bar.value.text()
    grab(window, "labels")


def pixel_of(window: Any, y: float, x: float) -> tuple[float, float]:
    camera = window.viewer.camera
    (cy, cx), (width, height) = camera.center, camera.canvas
    return (x - cx) / camera.pixel_size + width / 2, (y - cy) / camera.pixel_size + height / 2


def test_values_of_all_layers_are_told(window: Any, session: octree_client.Session, qtbot: Any) -> None:
    settle(window, qtbot)
    window.viewer.set_view((95.0, 125.0), 0.5)
    settle(window, qtbot)
    at = pixel_of(window, 95.0, 125.0)
    send_mouse(window, "move", at)
    window.refresh()
    image = session.dataset("cells")
    values = [int(image.levels[0][c, 190, 250]) for c in range(3)]
    text = window.status_bar.value.text()
    assert all(f"{value:,}" in text for value in values), text
    assert text.count("●") == 3
    told = window.status_bar.value.toolTip().splitlines()
    assert len(told) == 3
    assert all(line.endswith("at level 0") for line in told)


def test_why_a_cell_failed_is_told_beside_the_mouse(
    make_window: Callable[..., Any], session: octree_client.Session, qtbot: Any
) -> None:
    window = make_window(session.dataset("broken"), wait=False)
    qtbot.waitUntil(lambda: window.viewer is not None and window.viewer.status().failed > 0, timeout=20000)
    settle(window, qtbot)
    send_mouse(window, "move", pixel_of(window, 96.0, 96.0))
    window.refresh()
    assert window.stage.tip.isVisible()
    assert "truncated" in window.stage.tip.text()
    assert "R reads it again" in window.stage.tip.text()
    assert window.stage.rect().contains(window.stage.tip.geometry())
    grab(window, "failed-tip")
    send_mouse(window, "move", pixel_of(window, 10.0, 150.0))
    window.refresh()
    assert not window.stage.tip.isVisible()


# --- other axes -----------------------------------------------------------------------------------------------------


def test_sliders_and_planes(make_window: Callable[..., Any], session: octree_client.Session, qtbot: Any) -> None:
    window = make_window(session.dataset("stack"))
    bar, dims = window.dims_bar, window.viewer.dims
    row = bar.rows["z"]
    assert row.slider.maximum() == dims.count("z") - 1
    row.slider.setValue(5)
    assert dims.index("z") == 5
    assert row.number.value() == 5
    low, _, step = dims.ranges["z"]
    assert row.value.text().startswith(f"{low + 5 * step:g}")
    assert row.value.text().endswith("µm")
    row.number.setValue(7)
    assert dims.index("z") == row.slider.value() == 7
    dims.set_index("z", 3)  # from a script
    assert row.slider.value() == 3
    press(window, qtbot, "PgDown")
    assert row.slider.value() == 4
    settle(window, qtbot)
    before = window.viewer.render()
    press(window, qtbot, "Ctrl+2")
    assert dims.displayed == ("z", "x")
    assert list(bar.rows) == ["y"]
    settle(window, qtbot)
    window.refresh()
    assert window.stage.axes.names == ("z", "x")
    assert (window.viewer.render() != before).any()
    grab(window, "xz")
    press(window, qtbot, "Ctrl+T")
    assert dims.displayed == ("x", "z")
    press(window, qtbot, "Ctrl+3")
    assert dims.displayed == ("y", "z")
    press(window, qtbot, "Ctrl+1")
    assert dims.displayed == ("y", "x")
    settle(window, qtbot)


def test_an_axis_is_played(make_window: Callable[..., Any], session: octree_client.Session, qtbot: Any) -> None:
    window = make_window(session.dataset("stack"))
    bar, viewer = window.dims_bar, window.viewer
    seen: set[int] = set()
    viewer.dims.events.point_changed.connect(lambda *_: seen.add(viewer.dims.index("z")))
    bar.fps.setValue(60)
    bar.mode.setCurrentText("back and forth")
    assert (window.showing.remembered.fps, window.showing.remembered.play_mode) == (60.0, "back-and-forth")
    bar.rows["z"].play.click()
    assert viewer.playing.axis == "z"
    qtbot.waitUntil(lambda: len(seen) > 4, timeout=10000)
    window.refresh()
    assert bar.rows["z"].play.isChecked()
    bar.fps.setValue(30)
    assert viewer.playing.fps == 30.0
    press(window, qtbot, "P")
    assert viewer.playing is None
    assert not bar.rows["z"].play.isChecked()
    settle(window, qtbot)
    window.refreshing._loaded_at = 0.0
    window.refresh()
    whole = [span for span in bar.rows["z"].strip.told if span[2]]
    assert any(first <= viewer.dims.index("z") < last for first, last, _ in whole), "where one is, it is loaded"
    grab(window, "played")


# --- adding ---------------------------------------------------------------------------------------------------------


class Dropped:
    """What Qt hands over when something is dropped."""

    def __init__(self, *paths: Path, text: str = "") -> None:
        from qtpy.QtCore import QMimeData, QUrl

        self.data = QMimeData()
        if paths:
            self.data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        if text:
            self.data.setText(text)
        self.accepted = False

    def mimeData(self) -> Any:
        return self.data

    def acceptProposedAction(self) -> None:
        self.accepted = True


def test_what_is_dropped_is_added(window: Any, folder: Path, qtbot: Any) -> None:
    event = Dropped(folder / "labels.npy")
    window.dragEnterEvent(event)
    assert event.accepted
    window.dropEvent(event)
    qtbot.waitUntil(lambda: len(window.viewer.layers) == 4, timeout=20000)
    assert names(window)[-1] == "labels"
    assert window.showing.remembered.recent == (str(folder / "labels.npy"),)
    settle(window, qtbot)
    menu = window.menus["File"].actions()
    recent = next(action.menu() for action in menu if action.text() == "Open recent")
    recent.aboutToShow.emit()
    assert [action.text() for action in recent.actions()] == [str(folder / "labels.npy")] or recent.actions()
    window.dropEvent(Dropped(text=str(folder / "nothing.zarr")))
    qtbot.waitUntil(lambda: "cannot be opened" in window.stage.notice.text(), timeout=20000)
    assert len(window.viewer.layers) == 4
    grab(window, "not-opened")
    # Several share a daemon, and one that is not there holds none of them back.
    told: list[str] = []
    say = window.stage.notice.say
    window.stage.notice.say = lambda message: (told.append(message.text), say(message))
    window.dropEvent(Dropped(folder / "stack.zarr", folder / "nothing.zarr", folder / "labels.npy"))
    qtbot.waitUntil(lambda: window.adding.under_way == 0, timeout=20000)
    added = list(window.viewer.layers)[4:]
    trouble = next(at for at, text in enumerate(told) if "nothing.zarr cannot be opened" in text)
    assert "" not in told[trouble:], "what came after has wiped it away"
    assert {layer.image.name for layer in added} == {"stack", "labels"}
    assert len({layer.image.session for layer in added}) == 1


def test_a_window_without_an_image_waits_for_one(make_window: Callable[..., Any], folder: Path, qtbot: Any) -> None:
    """It offers what opens one, and what was open before."""
    from qtpy.QtCore import Qt

    before = (str(folder / "labels.npy"), "https://host/" + 30 * "far/" + "away.zarr")
    window = make_window(None, wait=False, remembered=Remembered(recent=before))
    qtbot.waitUntil(lambda: window.viewer is not None, timeout=5000)
    welcome = window.stage.welcome
    assert welcome.isVisible()
    assert list(welcome.recent) == list(before)
    assert window.stage.rect().contains(welcome.geometry())
    asked: list[str] = []
    for name in welcome.buttons:
        window.actions_by_name[name].triggered.disconnect()
        window.actions_by_name[name].triggered.connect(lambda _=False, name=name: asked.append(name))
        qtbot.mouseClick(welcome.buttons[name], Qt.LeftButton)
    assert asked == ["open_file", "open_folder", "open_address", "add_served"]
    grab(window, "welcome")
    window.showing.choose_theme("light")
    grab(window, "welcome-light")
    qtbot.mouseClick(welcome.recent[before[0]], Qt.LeftButton)
    qtbot.waitUntil(lambda: len(window.viewer.layers) == 1 and window.viewer.is_final(), timeout=20000)
    settle(window, qtbot)
    assert not window.stage.welcome.isVisible()
    assert window.windowTitle().startswith("labels")
    assert window.viewer.render()[..., :3].std() > 20


def test_what_a_daemon_serves_can_be_chosen(
    window: Any, session: octree_client.Session, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from octree_client.gui.served_dialog import ServedDialog

    def choose(dialog: Any) -> bool:
        assert dialog.list.count() == 4
        dialog.list.item(next(n for n in range(4) if dialog.list.item(n).text() == "stack")).setSelected(True)
        dialog.field.setText(session.connection.address)
        dialog.ask.click()
        qtbot.waitUntil(lambda: dialog.list.count() == 8, timeout=5000)
        dialog.field.setText("ipc:///nowhere/at.all")
        return True

    monkeypatch.setattr(ServedDialog, "exec_", choose)
    press(window, qtbot, "Ctrl+D")
    qtbot.waitUntil(lambda: len(window.viewer.layers) == 4, timeout=10000)
    assert names(window)[-1] == "stack"


def test_a_link_with_several_images(
    window: Any, session: octree_client.Session, folder: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtWidgets import QApplication, QMessageBox

    window.viewer.add(session.dataset("stack"), name="other")
    layers = window.viewer.layers
    layers[0].colormap, layers[1].visible, layers[2].opacity = "magma", False, 0.5
    layers["other"].blending, layers["other"].auto_quantiles = "minimum", (0.02, 0.9)
    window.viewer.dims.set_index("z", 3)
    window.viewer.set_view((60.0, 70.0), 0.4)
    press(window, qtbot, "Ctrl+C")
    text = QApplication.clipboard().text()
    assert [layer.source.rpartition("/")[2] for layer in read_link(text).layers] == ["cells.zarr"] * 3 + ["stack.zarr"]
    expected = [(layer.name, layer.look) for layer in layers]
    layers.clear()
    asked: list[str] = []

    def refuse(_parent: Any, _title: str, question: str, *_: Any) -> Any:
        asked.append(question)
        return QMessageBox.Cancel

    monkeypatch.setattr(QMessageBox, "question", refuse)
    press(window, qtbot, "Ctrl+V")
    assert str(folder / "cells.zarr") in asked[0]
    assert window.adding.under_way == 0, "nothing is opened that was not confirmed"
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.Open)
    press(window, qtbot, "Ctrl+V")
    qtbot.waitUntil(lambda: len(layers) == 4, timeout=20000)
    settle(window, qtbot)
    assert [layer.name for layer in layers] == [name for name, _ in expected]
    for layer, (_, look) in zip(layers, expected, strict=True):
        for part in ("visible", "opacity", "blending", "colormap", "gamma", "auto_quantiles"):
            assert getattr(layer.look, part) == getattr(look, part)
    assert window.viewer.camera.center == pytest.approx((60.0, 70.0))
    assert window.viewer.camera.pixel_size == pytest.approx(0.4)
    assert window.viewer.dims.index("z") == 3
    grab(window, "link")


# --- the system -----------------------------------------------------------------------------------------------------


def test_the_panel_of_the_system_works_only_while_it_is_seen(window: Any, qtbot: Any) -> None:
    system = window.system
    assert not system.is_working
    press(window, qtbot, "Y")
    qtbot.waitUntil(lambda: system.status is not None and system.is_working, timeout=10000)
    settle(window, qtbot)
    system.refresh()
    assert "cells" in system.datasets.texts()
    assert "tiles" in system.tiles.bar.text
    assert "of 64.0 MiB" in system.arena.bar.text
    used = window.viewer.video_memory()[0]
    assert system.tiles.bar.text.startswith(f"{used} of")
    assert system._curves["own"].getData()[1].size > 0
    grab(window, "system")
    press(window, qtbot, "Y")
    assert not system.is_working


def test_a_region_is_exported(window: Any, tmp_path: Path, qtbot: Any) -> None:
    import tifffile

    press(window, qtbot, "Ctrl+E")
    dialog = window.files.dialog
    dialog.region.setCurrentText("everything")
    dialog.level.setCurrentIndex(1)
    dialog.path.setText(str(tmp_path / "out.ome.tif"))
    assert "192 × 256" in dialog.note.text()
    grab(window, "export")
    dialog.begin.click()
    qtbot.waitUntil(lambda: "Written to" in dialog.note.text(), timeout=15000)
    image = window.viewer.layers.active.image
    assert (tifffile.imread(tmp_path / "out.ome.tif").squeeze() == image.levels[1][2]).all()
    dialog.format.setCurrentText("PNG, as shown")
    assert dialog.path.text().endswith("out.png")
    dialog.path.setText(str(tmp_path / "nowhere" / "out.png"))
    dialog.begin.click()
    qtbot.waitUntil(lambda: "not written" in dialog.note.text(), timeout=15000)
    dialog.path.setText(str(tmp_path / "out.jpg"))
    assert not dialog.begin.isEnabled()
    hole = Hole(1, ((2, 3), (0, 64), (64, 128)), "cells.zarr/1/c/0/1 is truncated")
    dialog._ended.emit(Export(tmp_path / "out.ome.tif", (hole,), ("z", "y", "x")))
    qtbot.waitUntil(lambda: "could not be read" in dialog.note.text(), timeout=5000)
    for words in ("out.ome.tif, but a chunk", "holds 0", "level 1, z 2, y 0–63, x 64–127", "is truncated"):
        assert words in dialog.note.text()
    grab(window, "export-with-a-hole")
    dialog.cancel.click()


def test_a_window_that_closes_leaves_no_half_export(
    window: Any, session: octree_client.Session, tmp_path: Path, qtbot: Any
) -> None:
    """Also when the daemon says nothing any more: the read is given up with the rest."""
    press(window, qtbot, "Ctrl+E")
    dialog = window.files.dialog
    dialog.region.setCurrentText("everything")
    dialog.path.setText(str(tmp_path / "out.ome.tif"))
    assert session.daemon_pid is not None
    os.kill(session.daemon_pid, signal.SIGSTOP)
    try:
        dialog.begin.click()
        qtbot.waitUntil(lambda: len(os.listdir(tmp_path)) == 1, timeout=10000)
        window.close()
        assert os.listdir(tmp_path) == []
        assert not any(thread.name.startswith("octree-export") for thread in threading.enumerate())
    finally:
        os.kill(session.daemon_pid, signal.SIGCONT)
