"""Every control of the window by keyboard and by mouse, with real events; none without a name, a place in Tab's order,
and a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tests.client.window_kit import DEFAULTS, grab, press, send_mouse, send_wheel

import octree_client
from octree_client.first_view import ViewOptions
from octree_client.look_steps import cut_of
from octree_client.looks import Look
from octree_loader.demo.pyramid import write_pyramid

pytestmark = [pytest.mark.gl, pytest.mark.qt]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[octree_client.Session]:
    folder = tmp_path_factory.mktemp("controls")
    y, x = np.mgrid[:128, :160]
    stack = np.stack([(200 * (z + 1) + 17 * y + 11 * x) % 60000 for z in range(6)]).astype("u2")
    write_pyramid(folder / "stack.zarr", stack, axes="zyx", chunk=64)
    np.save(folder / "labels.npy", ((y // 32) * 5 + x // 32 + 1).astype("u4"))
    np.save(folder / "channels.npy", stack[:2])
    np.save(folder / "fractions.npy", (y / 128).astype("f4"))
    sources: dict[str, Any] = {
        "stack": str(folder / "stack.zarr"),
        "labels": {"source": str(folder / "labels.npy"), "kind": "labels"},
        "channels": {"source": str(folder / "channels.npy"), "axes": "cyx"},
        "fractions": str(folder / "fractions.npy"),
    }
    with octree_client.open(datasets=sources, settings={"memory": {"arena_bytes": "32MiB"}}) as session:
        yield session


@pytest.fixture(scope="module")
def shared(display: str, qapp: Any, session: octree_client.Session) -> Iterator[Any]:
    """One window for all tests."""
    from octree_client.gui.window import ViewerWindow

    assert display
    window = ViewerWindow(session.dataset("stack"), (940, 620), ViewOptions(), DEFAULTS)
    window.show()
    yield window
    window.close()
    window.deleteLater()
    qapp.processEvents()


@pytest.fixture
def window(shared: Any, session: octree_client.Session, qtbot: Any, qapp: Any) -> Any:
    """As `reset` leaves it."""
    qapp.setActiveWindow(shared)
    qtbot.waitUntil(lambda: shared.viewer is not None, timeout=20000)
    shared.session = session
    reset(shared, qtbot)
    return shared


def reset(window: Any, qtbot: Any) -> None:
    """Two channels, labels and a stack, from the bottom to the top; the stack is active, the picture has the keys."""
    viewer = window.viewer
    kinds = [(layer.image.name, layer.kind, layer.channel) for layer in viewer.layers]
    if kinds != [
        ("channels", "image", 0),
        ("channels", "image", 1),
        ("labels", "labels", None),
        ("stack", "image", None),
    ]:
        viewer.layers.clear()
        for name in ("channels", "labels", "stack"):
            viewer.add(window.session.dataset(name))
        qtbot.waitUntil(lambda: viewer.is_final() and viewer.layers[-1].contrast.limits is not None, timeout=20000)
    for layer in viewer.layers:
        layer.look = Look(interpolation=layer.interpolation, contrast_limits=layer.contrast.limits or (0, 1))
    viewer.layers[-1].name = "stack"
    viewer.layers.active = viewer.layers[-1]
    viewer.dims.set_index("z", 2)
    viewer.stop_playing()
    window.gestures.unmark()
    if window.showing.theme.name != "dark":
        window.showing.choose_theme("dark")  # costs a tenth of a second
    window.panel.failures.hide()
    window.system.setFloating(False)
    window.system.hide()
    if not window.panel.isVisible():
        window.showing.toggle_panel()
    window.canvas.native.setFocus()
    window.refresh()


# --- what there is --------------------------------------------------------------------------------------------------


class Control(NamedTuple):
    """What a control changes, as something that is read before and after, and what must be before that."""

    effect: Callable[[Any], Any]
    before: Callable[[Any], object] = lambda _: None


def active(name: str) -> Callable[[Any], Any]:
    """A property of the active layer."""
    return lambda w: getattr(w.viewer.layers.active, name)


def choose(name: str) -> Callable[[Any], object]:
    """Make a layer the active one; it is shown."""

    def chosen(w: Any) -> None:
        w.viewer.layers.active = w.viewer.layers[name]
        w.refresh()

    return chosen


def of_labels(name: str) -> Control:
    return Control(active(name), choose("labels"))


def _merged(w: Any) -> None:
    channels = [layer for layer in w.viewer.layers if layer.image.name == "channels"]
    if len(channels) > 1:
        w.viewer.merge_channels(channels)
    choose("channels")(w)


def _split(w: Any) -> None:
    _merged(w)
    w.viewer.split_channels(w.viewer.layers["channels"])
    w.refresh()


def _failed(w: Any) -> None:
    w.panel.failures.show()
    w.asked.clear()


def _empty(w: Any) -> None:
    w.viewer.layers.clear()
    w.asked.clear()


def _system_shown(w: Any) -> None:
    w.system.setFloating(False)
    w.system.show()


def _system_low(w: Any) -> None:
    from qtpy.QtCore import Qt

    _system_shown(w)
    w.resizeDocks([w.system], [120], Qt.Vertical)


def names(w: Any) -> list[str]:
    return [layer.name for layer in w.viewer.layers]


#: Every control of the window, by its name.
CONTROLS: dict[str, Control] = {
    "Fit the whole image": Control(lambda w: w.viewer.camera, lambda w: w.viewer.set_view((3.0, 4.0), 0.1)),
    "One voxel a pixel": Control(lambda w: w.viewer.camera.pixel_size, lambda w: w.viewer.set_view((3.0, 4.0), 0.1)),
    "Zoom to a rectangle": Control(lambda w: w.gestures.navigation.marking),
    "Levels and status of cells": Control(lambda w: [layer.overlay for layer in w.viewer.layers]),
    "Map": Control(lambda w: w.stage.minimap.isVisible()),
    "Save a picture": Control(lambda w: list(w.asked)),
    "Copy a link to this view": Control(lambda w: list(w.asked)),
    "Play along z": Control(lambda w: w.viewer.playing is not None),
    "Place on z, slider": Control(lambda w: w.viewer.dims.index("z"), lambda w: w.viewer.dims.set_index("z", 2)),
    "Place on z": Control(lambda w: w.viewer.dims.index("z"), lambda w: w.viewer.dims.set_index("z", 2)),
    "Frames a second while playing": Control(lambda w: w.showing.remembered.fps),
    "What happens at the end of a play": Control(lambda w: w.showing.remembered.play_mode),
    "Show or hide the panel": Control(
        lambda w: w.panel.isVisible(), lambda w: w.panel.isVisible() or w.showing.toggle_panel()
    ),
    "Open another image": Control(lambda w: list(w.asked)),
    "Merge the channels of an image into one layer": Control(names, lambda w: _split(w)),
    "Split an image into a layer for each channel": Control(names, _merged),
    "Remove the layer": Control(names),
    "Layers, the topmost first": Control(lambda w: w.viewer.layers.active.name),
    "Read again what failed": Control(lambda w: list(w.asked), _failed),
    "Contrast limits": Control(
        active("contrast_limits"), lambda w: setattr(w.viewer.layers.active, "contrast_limits", (2000, 3000))
    ),
    "Lower contrast limit": Control(active("contrast_limits")),
    "Automatic contrast": Control(active("auto_contrast")),
    "Full range of the type": Control(
        active("contrast_limits"), lambda w: setattr(w.viewer.layers.active, "contrast_limits", (2000, 3000))
    ),
    "Upper contrast limit": Control(active("contrast_limits")),
    "Darkest part that automatic contrast cuts": Control(active("auto_quantiles")),
    "Brightest part that automatic contrast cuts": Control(active("auto_quantiles")),
    "Chosen label": of_labels("selected_label"),
    "Only the chosen label": of_labels("show_selected_only"),
    "Contour": of_labels("contour"),
    "Other colours of labels": of_labels("seed"),
    "Opacity": Control(active("opacity"), lambda w: setattr(w.viewer.layers.active, "opacity", 0.5)),
    "Blending": Control(active("blending")),
    "Colour map": Control(active("colormap")),
    "Gamma": Control(active("gamma"), lambda w: setattr(w.viewer.layers.active, "gamma", 2.0)),
    "Interpolation": Control(active("interpolation")),
    "Level": Control(active("level_lock")),
    "Quality": Control(active("quality"), lambda w: setattr(w.viewer.layers.active, "quality", 0.0)),
    "Levels and status": Control(active("overlay")),
    "Side panel": Control(lambda w: w.panel._scroll.verticalScrollBar().value()),
    "Open a file": Control(lambda w: list(w.asked), _empty),
    "Open a folder (Zarr, planes)": Control(lambda w: list(w.asked), _empty),
    "Open a path, URL or link": Control(lambda w: list(w.asked), _empty),
    "Add from a daemon": Control(lambda w: list(w.asked), _empty),
    "Float": Control(lambda w: w.system.isFloating(), _system_shown),
    "Close": Control(lambda w: w.system.isVisible(), _system_shown),
    "Figures of the system": Control(lambda w: w.system.scroll.verticalScrollBar().value(), _system_low),
}


def operable(window: Any) -> list[Any]:
    """Every widget of the window that can be operated, but for the parts of one."""
    from qtpy import QtWidgets as q

    kinds = (q.QAbstractButton, q.QAbstractSlider, q.QComboBox, q.QAbstractSpinBox, q.QLineEdit, q.QAbstractItemView,
             q.QScrollArea)  # fmt: skip

    def is_part(widget: Any) -> bool:
        while (widget := widget.parentWidget()) is not None and widget is not window:
            if isinstance(widget, kinds) and not isinstance(widget, q.QScrollArea):
                return True
        return False

    found = [w for w in window.findChildren(q.QWidget) if isinstance(w, kinds) and w.window() is window]
    bars = (q.QScrollBar,)  # those of what is scrolled with arrows
    return [
        w for w in found if not isinstance(w, bars) and not is_part(w) and w.objectName() != "qt_menubar_ext_button"
    ]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, window: Any) -> list[str]:
    """What the window asked for, instead of a dialog; what it copied, or was to read again."""
    from qtpy.QtWidgets import QApplication, QFileDialog

    from octree_client.gui.open_dialog import OpenDialog
    from octree_client.gui.served_dialog import ServedDialog

    asked: list[str] = []
    window.asked = asked

    def ask(name: str) -> Callable[..., tuple[str, str]]:
        return lambda *_, **__: (asked.append(name) or "", "")  # type: ignore[func-returns-value]

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask("save"))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", ask("open"))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: asked.append("folder") or "")
    monkeypatch.setattr(OpenDialog, "exec_", lambda _: asked.append("address") or 0)
    monkeypatch.setattr(ServedDialog, "exec_", lambda _: asked.append("served") or 0)
    monkeypatch.setattr(window.viewer, "retry", lambda: asked.append("retry"))
    QApplication.clipboard().dataChanged.connect(note := lambda: asked.append("copied"))
    yield asked
    QApplication.clipboard().dataChanged.disconnect(note)
    del window.asked


def prepared(window: Any, name: str) -> Any:
    """The control of a name, as it can be operated: shown, with the keys."""
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication

    CONTROLS[name].before(window)
    window.refresh()
    QApplication.processEvents()
    (control,) = (each for each in operable(window) if each.accessibleName() == name)
    assert control.isVisible(), f"{name} is not shown"
    assert control.isEnabled(), f"{name} cannot be used"
    control.setFocus(Qt.TabFocusReason)
    return control


def test_every_control_has_a_name_and_a_test(window: Any) -> None:
    found = [
        control.accessibleName() or f"{type(control).__name__} {control.objectName()}" for control in operable(window)
    ]
    assert sorted(found) == sorted(CONTROLS)


# --- by keyboard ----------------------------------------------------------------------------------------------------


def by_key(control: Any, qtbot: Any, other_way: bool) -> None:
    """Operate a control by the keys that its kind has; `other_way` where it may be at an end."""
    from qtpy import QtWidgets as q
    from qtpy.QtCore import Qt

    if isinstance(control, q.QAbstractButton):
        qtbot.keyClick(control, Qt.Key_Return if other_way else Qt.Key_Space)
    elif isinstance(control, q.QLineEdit):
        control.selectAll()
        low = control.accessibleName().startswith("Lower")
        qtbot.keyClicks(control, ("12" if low else "543") + ("34" if other_way else "43"))
        qtbot.keyClick(control, Qt.Key_Return)
    elif isinstance(control, q.QAbstractSlider):
        qtbot.keyClick(control, Qt.Key_Left if other_way else Qt.Key_Right)
    else:
        qtbot.keyClick(control, Qt.Key_Up if other_way else Qt.Key_Down)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_by_keyboard(window: Any, asked: list[str], qtbot: Any, name: str) -> None:
    from qtpy.QtWidgets import QAbstractButton

    for other_way in (False, True):
        if other_way:
            reset(window, qtbot)
        control = prepared(window, name)
        assert control.hasFocus(), "Tab cannot reach it"
        before, was = CONTROLS[name].effect(window), window.viewer.camera
        by_key(control, qtbot, other_way)
        if CONTROLS[name].effect(window) == before:  # it may have been at an end
            by_key(control, qtbot, not other_way)
        assert CONTROLS[name].effect(window) != before, f"no key operates {name}"
        if name not in ("Fit the whole image", "One voxel a pixel"):
            assert window.viewer.camera == was, "its keys have moved the picture"
        if not isinstance(control, QAbstractButton):
            break  # buttons are pressed by return, too
    assert asked is window.asked


# --- by mouse -------------------------------------------------------------------------------------------------------


def by_mouse(control: Any, qtbot: Any, other_way: bool) -> None:
    """Operate a control by the mouse; what is typed into, by the wheel."""
    from qtpy import QtWidgets as q
    from qtpy.QtCore import QPoint, Qt

    if isinstance(control, q.QAbstractButton):
        qtbot.mouseClick(control, Qt.LeftButton)
    elif isinstance(control, q.QLineEdit):
        qtbot.mouseDClick(control, Qt.LeftButton)
        assert control.hasSelectedText()
        qtbot.keyClicks(control, "2345" if control.accessibleName().startswith("Lower") else "50000")
        qtbot.keyClick(control, Qt.Key_Return)
    elif hasattr(control, "chosen") and hasattr(control, "_handleRect"):
        at = control._handleRect(0).center()
        qtbot.mousePress(control, Qt.LeftButton, pos=at)
        for step in range(1, 9):
            send_mouse(None, "move", (at.x() - 5 * step, at.y()), held=True, to=control)
        qtbot.mouseRelease(control, Qt.LeftButton, pos=at - QPoint(40, 0))
    elif isinstance(control, q.QAbstractSlider):
        line = getattr(control, "_slider", control)
        at = QPoint(line.width() // 8 if other_way else line.width() * 7 // 8, line.height() // 2)
        qtbot.mouseClick(line, Qt.LeftButton, pos=at)
    elif isinstance(control, q.QComboBox):
        row = (control.currentIndex() + 1) % 2
        qtbot.mouseClick(control, Qt.LeftButton, pos=QPoint(control.width() - 8, control.height() // 2))
        view = control.view()
        assert view.isVisible()
        at = view.visualRect(control.model().index(row, control.modelColumn())).center()
        send_mouse(None, "move", (at.x(), at.y()), to=view.viewport())
        qtbot.mouseClick(view.viewport(), Qt.LeftButton, pos=at)
        qtbot.waitUntil(lambda: not view.isVisible(), timeout=2000)
    elif isinstance(control, q.QAbstractItemView):
        row = 1 if control.currentIndex().row() == 0 else 0
        rect = control.visualRect(control.model().index(row, 0))
        qtbot.mouseClick(control.viewport(), Qt.LeftButton, pos=rect.center())
    else:
        to = control.viewport() if isinstance(control, q.QScrollArea) else control
        send_wheel(None, (10, 10), 1.0 if other_way else -1.0, to=to)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_by_mouse(window: Any, asked: list[str], qtbot: Any, name: str) -> None:
    control = prepared(window, name)
    before = CONTROLS[name].effect(window)
    by_mouse(control, qtbot, False)
    if CONTROLS[name].effect(window) == before:  # it may have been at an end
        by_mouse(control, qtbot, True)
    assert CONTROLS[name].effect(window) != before, f"the mouse does not operate {name}"
    assert asked is window.asked


# --- where the keys are ---------------------------------------------------------------------------------------------


def focused(qapp: Any) -> Any:
    return qapp.focusWidget()


def test_tab_goes_round_all_that_is_shown_with_a_mark(window: Any, qtbot: Any, qapp: Any) -> None:
    from qtpy.QtCore import Qt

    from octree_client.gui.focus import tab_stops

    picture, mark = window.canvas.native, window.focus_mark
    for theme, layer in (("dark", "stack"), ("light", "labels")):
        window.showing.choose_theme(theme)
        choose(layer)(window)
        picture.setFocus()
        there = [c for c in operable(window) if c.isVisible() and c.isEnabled()]
        went = []
        while True:
            qtbot.keyClick(focused(qapp), Qt.Key_Tab)
            control = focused(qapp)
            if control is picture:
                break
            went.append(control)
            assert len(went) <= len(there), "Tab does not come back to the picture"
            assert mark.marked is control
            assert mark.isVisible(), control.accessibleName()
            ring = control.rect().translated(control.mapTo(window, control.rect().topLeft()))
            if control is not window.panel._scroll:
                assert mark.geometry().contains(ring.adjusted(2, 2, -2, -2) & window.rect())
            edge = mark.grab().toImage().pixelColor(mark.width() // 2, 1)
            accent = int(window.showing.theme.accent[1:], 16)
            assert (edge.red(), edge.green(), edge.blue()) == (accent >> 16, accent >> 8 & 255, accent & 255)
        assert {c.accessibleName() for c in went} == {c.accessibleName() for c in there}
        assert went == list(tab_stops(window))[1:]
        qtbot.keyClick(picture, Qt.Key_Backtab, Qt.ShiftModifier)
        assert focused(qapp) is went[-1], "and backwards"
        picture.setFocus()
        assert not mark.isVisible()
    window.panel.controls.opacity.setFocus()
    grab(window, "focus")


def test_the_panel_is_read_from_the_top_to_the_bottom(window: Any) -> None:
    controls = [c for c in window.panel.controls_in_order() if c.isVisible() and c is not window.panel._scroll]
    tops = [c.mapTo(window, c.rect().center()).y() for c in controls]
    assert len(tops) > 15
    assert all(below > above - 6 for above, below in pairwise(tops)), "those of one line differ by a few pixels"


def test_escape_gives_the_keys_back_and_arrows_are_whose_they_are(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    opacity = window.panel.controls.opacity
    opacity.setFocus(Qt.TabFocusReason)
    camera = window.viewer.camera
    qtbot.keyClick(opacity, Qt.Key_Left)
    assert window.viewer.layers.active.opacity == pytest.approx(0.95)
    assert window.viewer.camera == camera
    qtbot.keyClick(opacity, Qt.Key_Home)
    assert window.viewer.layers.active.opacity == 0.0
    qtbot.keyClick(opacity, Qt.Key_PageUp)
    assert window.viewer.layers.active.opacity == pytest.approx(0.5)
    qtbot.keyClick(opacity, Qt.Key_V)  # letters go to the window from everywhere
    assert not window.viewer.layers.active.visible
    qtbot.keyClick(opacity, Qt.Key_Escape)
    assert window.canvas.native.hasFocus()
    press(window, qtbot, "Left")
    assert window.viewer.camera != camera
    assert window.viewer.layers.active.opacity == pytest.approx(0.5)


def test_a_click_leaves_the_keys_with_the_picture(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    controls = window.panel.controls
    for widget in (controls.contrast.auto, controls.overlay, controls.opacity._slider, controls.contrast.slider):
        qtbot.mouseClick(widget, Qt.LeftButton)
        assert window.canvas.native.hasFocus()
    qtbot.mouseClick(window.dims_bar.rows["z"].slider, Qt.LeftButton)
    assert window.canvas.native.hasFocus()


def test_both_limits_are_set_by_arrows(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    layer, slider = window.viewer.layers.active, window.panel.controls.contrast.slider
    layer.contrast_limits = (10000, 20000)
    slider.setFocus(Qt.TabFocusReason)
    qtbot.keyClick(slider, Qt.Key_Right)
    low, high = layer.contrast_limits
    assert 10000 < low < high == 20000
    qtbot.keyClick(slider, Qt.Key_Space)
    qtbot.keyClick(slider, Qt.Key_PageDown)
    assert layer.contrast_limits[0] == low
    assert low < layer.contrast_limits[1] < high
    for _ in range(60):
        qtbot.keyClick(slider, Qt.Key_Left)
    assert layer.contrast_limits[0] == low < layer.contrast_limits[1], "it stops at the other one"
    qtbot.keyClick(slider, Qt.Key_Space)


def test_the_number_beside_a_slider_can_be_typed(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    number = window.panel.controls.gamma._label
    qtbot.mouseClick(number, Qt.LeftButton)
    number.selectAll()
    qtbot.keyClicks(number, "1.75")
    qtbot.keyClick(number, Qt.Key_Return)
    assert window.viewer.layers.active.gamma == 1.75


# --- what automatic contrast cuts -----------------------------------------------------------------------------------


def test_what_is_cut_is_typed_stepped_and_told(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    contrast, layer = window.panel.controls.contrast, window.viewer.layers.active
    assert (contrast.dark.text(), contrast.bright.text()) == ("0.1 % dark", "0.1 % bright")
    layer.contrast_limits = (5, 6)
    for field, text in ((contrast.dark, "2.5"), (contrast.bright, "10")):
        field.setFocus(Qt.TabFocusReason)
        field.selectAll()
        qtbot.keyClicks(field, text)
        qtbot.keyClick(field, Qt.Key_Return)
    assert cut_of(layer.auto_quantiles) == (2.5, 10.0)
    assert layer.auto_contrast, "who says what it cuts wants it"
    assert contrast.auto.isChecked()
    assert "without the darkest 2.5 % and the brightest 10 %" in contrast.auto.toolTip()
    window.canvas.native.setFocus()
    narrow = layer.contrast_limits
    press(window, qtbot, "Ctrl+Shift+A")
    assert cut_of(layer.auto_quantiles) == (5.0, 5.0)
    assert "darkest 5 %" in window.stage.notice.text()
    for _ in range(8):
        press(window, qtbot, "Ctrl+Shift+A")
    assert cut_of(layer.auto_quantiles) == (0.0, 0.0)
    low, high = layer.contrast_limits
    assert low < narrow[0] < narrow[1] < high
    assert window.viewer.layers["labels"].auto_quantiles == (0.001, 0.999), "each layer has its own"
    window.refresh()
    assert contrast.dark.text() == "0 % dark"


# --- labels ---------------------------------------------------------------------------------------------------------


def test_keys_of_labels(window: Any, session: octree_client.Session, qtbot: Any) -> None:
    choose("labels")(window)
    labels, notice = window.viewer.layers["labels"], window.stage.notice
    press(window, qtbot, "W")
    press(window, qtbot, "W")
    assert labels.contour == window.panel.controls.labels.contour.value() == 2
    assert "contour: 2 pixels" in notice.text()
    press(window, qtbot, "Shift+W")
    press(window, qtbot, "Shift+W")
    assert labels.contour == 0
    assert "labels filled" in notice.text()
    press(window, qtbot, "E")
    assert labels.show_selected_only
    assert window.panel.controls.labels.only.isChecked()
    press(window, qtbot, "E")
    seed = labels.seed
    press(window, qtbot, "Shift+E")
    assert labels.seed == seed + 1
    press(window, qtbot, "D")
    press(window, qtbot, "J")
    assert labels.gamma == 1.0
    assert "labels: it has no contrast limits" in notice.text()
    press(window, qtbot, "Shift+L")
    assert window.viewer.layers["labels"].kind == "image"
    assert window.panel.controls.contrast.isVisible()
    press(window, qtbot, "W")
    assert "it has no contour" in notice.text()
    press(window, qtbot, "Shift+L")
    assert window.viewer.layers["labels"].kind == "labels"
    window.viewer.add(session.dataset("fractions"))
    press(window, qtbot, "Shift+L")
    assert "labels are whole numbers" in notice.text()
    assert window.viewer.layers.active.kind == "image"


def test_a_layer_is_renamed_by_key(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QLineEdit

    press(window, qtbot, "F2")
    (field,) = window.panel.rows.findChildren(QLineEdit)
    assert field.isVisible()
    field.selectAll()
    qtbot.keyClicks(field, "nuclei v")
    qtbot.keyClick(field, Qt.Key_Return)
    qtbot.waitUntil(lambda: window.viewer.layers[-1].name == "nuclei v", timeout=2000)
    assert window.viewer.layers[-1].visible, "what is typed are no commands"


# --- narrow windows -------------------------------------------------------------------------------------------------


def test_the_figures_of_the_system_are_never_scrolled_sideways(window: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    window.system.show()
    qtbot.waitUntil(lambda: window.system.status is not None, timeout=10000)
    window.system.refresh()
    parts = list(window.system._columns)
    size = window.width(), window.height()
    try:
        for width, across in ((1500, 4), (940, 2)):
            window.resize(width, 760)
            qtbot.waitUntil(lambda width=width: window.system.scroll.width() == width, timeout=5000)
            _assert_columns(window, parts, across, qtbot)
            grab(window, f"system-{width}")
        window.addDockWidget(Qt.LeftDockWidgetArea, window.system)
        window.resizeDocks([window.system], [100], Qt.Horizontal)
        _assert_columns(window, parts, 1, qtbot)
    finally:
        window.addDockWidget(Qt.BottomDockWidgetArea, window.system)
        window.resize(*size)


def _assert_columns(window: Any, parts: list[Any], across: int, qtbot: Any) -> None:
    body, view = window.system.scroll.widget(), window.system.scroll.viewport()
    qtbot.waitUntil(lambda: len({part.x() for part in parts}) == across, timeout=5000)
    qtbot.waitUntil(lambda: body.width() == view.width(), timeout=5000)  # nothing is beside what is seen
    assert body.minimumSizeHint().width() <= view.width(), (
        f"of {body.minimumSizeHint().width()} pixels some are cut off"
    )
    for part in parts:
        assert body.rect().contains(part.geometry())
        assert part.width() >= part.minimumSizeHint().width(), "texts are cut off"


# --- what is opened as labels ---------------------------------------------------------------------------------------


def test_an_image_is_opened_as_labels(
    make_window: Callable[..., Any],
    session: octree_client.Session,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QFileDialog

    from octree_client.gui.open_dialog import FILTERS, OpenDialog
    from octree_client.gui.served_dialog import ServedDialog

    numbers = np.kron(np.arange(1, 65, dtype="u2").reshape(8, 8), np.ones((150, 150), "u2"))
    np.save(tmp_path / "numbers.npy", numbers)
    window = make_window(session.dataset("stack"))  # of its own: its daemons end with it
    viewer = window.viewer

    def opened(count: int) -> Any:
        qtbot.waitUntil(lambda: len(viewer.layers) == count, timeout=20000)
        return viewer.layers[-1]

    def fill(dialog: Any) -> bool:
        dialog.show()
        assert not dialog.open.isEnabled()
        qtbot.keyClicks(dialog.field, str(tmp_path / "numbers.npy"))
        dialog.choice.setFocus()
        qtbot.keyClick(dialog.choice, Qt.Key_End)
        dialog.accept()
        return bool(dialog.result())

    monkeypatch.setattr(OpenDialog, "exec_", fill)
    press(window, qtbot, "Ctrl+L")
    layer = opened(2)
    assert layer.kind == "labels"
    assert layer.image.dataset.kind == "labels", "the daemon knows it, too"
    coarse = layer.image.levels[-1]
    assert len(layer.image.levels) > 1
    assert set(np.unique(coarse[:, :])) <= set(range(1, 65)), "no mixtures of numbers"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "numbers.npy"), FILTERS[1]))
    press(window, qtbot, "Ctrl+O")
    assert opened(3).kind == "image"

    def choose_served(dialog: Any) -> bool:
        (item,) = dialog.list.findItems("channels", Qt.MatchExactly)
        item.setSelected(True)
        dialog.kind.setCurrentText("labels")
        return True

    monkeypatch.setattr(ServedDialog, "exec_", choose_served)
    press(window, qtbot, "Ctrl+D")
    assert opened(5).kind == "labels"
