"""Canvases: the same behaviour with and without a window, the same pixels, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest
from tests.client.scene import Scene, coarser, plane_level
from vispy import gloo
from vispy.gloo import gl
from vispy.gloo.context import get_current_canvas

from octree_client import canvas as canvas_module
from octree_client.camera import Camera
from octree_client.canvas import Canvas, CanvasError, Handlers, KeyEvent, MouseEvent, draws_in_software
from octree_client.canvas_opening import open_canvas
from octree_client.texture import AtlasTexture, texture_kind

pytestmark = pytest.mark.gl
BACKENDS = ["egl", pytest.param("qt", marks=pytest.mark.qt)]
SIZE = (96, 64)
CAMERA = Camera((31.7, 47.6), 0.83, SIZE)


@pytest.fixture
def open_any(request: pytest.FixtureRequest, open_test_canvas: Callable[..., Any]) -> Callable[..., Canvas]:
    """Opens canvases of either backend; a display is started for Qt alone."""

    def open_one(backend: str, **options: Any) -> Canvas:
        if backend == "qt":
            request.getfixturevalue("display")
        canvas: Canvas = open_test_canvas(options.pop("size", SIZE), backend=backend, **options)
        return canvas

    return open_one


def paint(colour: tuple[float, float, float]) -> Callable[[], None]:
    return lambda: get_current_canvas().context.clear(color=(*colour, 1.0), depth=False)


def scene(seed: int = 1) -> Scene:
    array = np.random.default_rng(seed).integers(0, 65536, (70, 100)).astype("u2")
    fine = plane_level(array.shape, (16, 24))
    coarse, data = coarser(fine, array, 3, (16, 16))
    made = Scene([fine, coarse], [lambda y, x: array[y, x], lambda y, x: data[y, x]])
    made.image.interpolation = "linear"
    return made


def show(made: Scene, canvas: Canvas) -> np.ndarray:
    return made.render(canvas, CAMERA, made.pieces(CAMERA, 0, lambda r, c: (r + c) % 2))


def process_events_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    from qtpy.QtWidgets import QApplication

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        QApplication.instance().processEvents()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_frame_is_read_back_with_its_top_row_first(open_any: Any, backend: str) -> None:
    canvas = open_any(backend, background=(0.0, 0.0, 1.0))

    def draw() -> None:
        context = get_current_canvas().context
        context.set_state(scissor_test=True)
        context.set_scissor(0, 48, 96, 16)  # GL counts from below
        context.clear(color=(1.0, 0.5, 0.0, 1.0), depth=False)

    canvas.handlers.on_draw = draw
    for _ in range(2):
        drawn = canvas.frames  # a widget has had one when it was shown
        picture = canvas.render()
        assert canvas.frames == drawn + 1
        assert picture.shape == (64, 96, 4)
        assert picture.dtype == np.uint8
        assert np.unique(picture[:16].reshape(-1, 4), axis=0).tolist() == [[255, 128, 0, 255]]
        assert np.unique(picture[16:].reshape(-1, 4), axis=0).tolist() == [[0, 0, 255, 255]]
    canvas.draw_now(finish=True)
    assert canvas.frames == drawn + 2


@pytest.mark.qt
def test_both_backends_render_identical_pixels(open_any: Any) -> None:
    canvases, scenes = [open_any("egl"), open_any("qt")], [scene(), scene()]
    a, b = (show(made, canvas) for made, canvas in zip(scenes, canvases, strict=True))
    assert a[..., :3].std() > 20
    assert (a == b).all()
    for made in scenes:
        made.image.overlay, made.image.gamma = True, 0.6
    c, d = (show(made, canvas) for made, canvas in zip(scenes, canvases, strict=True))
    assert (c == d).all()
    assert (a != c).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_draw_handler_raises_is_raised_by_render(open_any: Any, backend: str) -> None:
    canvas = open_any(backend)
    canvas.handlers.on_draw = lambda: 1 // 0
    with pytest.raises(ZeroDivisionError):
        canvas.render()
    with pytest.raises(ZeroDivisionError):
        canvas.draw_now()
    canvas.handlers.on_draw = paint((0.0, 1.0, 0.0))
    assert (canvas.render() == (0, 255, 0, 255)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_gl_refuses_is_raised(open_any: Any, backend: str) -> None:
    canvas = open_any(backend)
    canvas.handlers.on_draw = lambda: gl.glEnable(0x7FFF)
    with pytest.raises(CanvasError, match="0x500"):
        canvas.render()
    canvas.handlers.on_draw = None
    canvas.render()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_shader_that_does_not_compile_is_raised(open_any: Any, backend: str) -> None:
    canvas = open_any(backend)

    def draw() -> None:
        program = gloo.Program("attribute vec2 a; void main() { gl_Position = vec4(a, 0.0, 1.0); }", "nonsense")
        program["a"] = np.zeros((3, 2), np.float32)
        program.draw()

    canvas.handlers.on_draw = draw
    with pytest.raises(RuntimeError, match="compilation"):
        canvas.render()
    canvas.handlers.on_draw = paint((0.0, 1.0, 0.0))
    assert (canvas.render() == (0, 255, 0, 255)).all()


def test_a_frame_within_a_frame_is_refused(canvas: Canvas) -> None:
    canvas.handlers.on_draw = lambda: canvas.render()
    with pytest.raises(CanvasError, match="while one was being drawn"):
        canvas.render()


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_canvases_live_and_die_side_by_side(open_any: Any, backend: str) -> None:
    """Whatever is closed, the others still draw, upload and make new objects in their own context."""
    canvases = [open_any(backend) for _ in range(3)] + [open_any("egl")]
    scenes = [scene(seed) for seed in range(4)]
    before = [show(made, canvas) for made, canvas in zip(scenes, canvases, strict=True)]
    assert len({picture.tobytes() for picture in before}) == 4
    for closed in (1, 3):
        scenes[closed].image.close()
        canvases[closed].close()
        canvases[closed].close()
        with pytest.raises(CanvasError, match="closed"):
            canvases[closed].render()
        for alive in (0, 2):
            made = scene(alive)
            assert (show(scenes[alive], canvases[alive]) == before[alive]).all()
            assert (show(made, canvases[alive]) == before[alive]).all()
            made.image.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_frees_what_lives_in_the_context(open_any: Any, backend: str) -> None:
    """llvmpipe's textures are memory of the process: 24 times 32 MB would be seen."""
    size = []
    for _ in range(24):
        canvas = open_any(backend)
        atlas = AtlasTexture((256, 256), texture_kind("u2"), (16, 16))
        data = np.ones((256, 256), "u2")
        for tile in range(256):
            atlas.upload(tile, data)

        def flush(atlas: AtlasTexture = atlas) -> None:
            atlas.send(get_current_canvas().context)

        canvas.handlers.on_draw = flush
        canvas.draw_now(finish=True)
        size.append(psutil.Process().memory_info().rss)
        canvas.close()
    assert size[0] > 32 << 20
    assert size[-1] - size[3] < 100 << 20


def test_an_image_that_is_closed_frees_its_texture_while_the_canvas_lives(canvas: Canvas) -> None:
    canvas.handlers.on_draw = None
    canvas.render()
    objects = canvas._vispy.context.shared.parser._objects
    before = len(objects)
    made = scene()
    show(made, canvas)
    assert len(objects) > before
    made.image.close()
    canvas.handlers.on_draw = None
    canvas.render()
    canvas.render()
    assert len(objects) == before


@pytest.mark.qt
@pytest.mark.usefixtures("display")
def test_without_egl_a_hidden_widget_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import octree_client.canvas_egl as egl

    def refuse(*_: object) -> None:
        raise CanvasError("EGL does not work here: no libEGL")

    monkeypatch.setattr(egl, "open_egl_canvas", refuse)
    with open_canvas(SIZE) as canvas:
        assert canvas.native is not None
        assert not canvas.native.windowHandle() or not canvas.native.windowHandle().isExposed()
        canvas.handlers.on_draw = paint((1.0, 0.0, 0.0))
        assert (canvas.render() == (255, 0, 0, 255)).all()


def test_without_anything_the_reason_and_the_cure_are_told() -> None:
    code = """
        import octree_client.canvas_egl as egl
        from octree_client.canvas import CanvasError
        from octree_client.canvas_opening import open_canvas
        def refuse(*_):
            raise CanvasError("EGL does not work here: no libEGL")
        egl.open_egl_canvas = refuse
        for visible in (False, True):
            try:
                open_canvas((10, 10), visible)
            except CanvasError as error:
                print(error)
    """
    for number, expected in ((None, "DISPLAY is not set"), (":987654", "display :987654 cannot be reached")):
        environment = {
            k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
        }
        if number is not None:
            environment["DISPLAY"] = number
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        hidden, window = done.stdout.splitlines()
        assert "no libEGL" in hidden
        assert "apt install libegl1" in hidden
        assert expected in hidden
        assert expected in window


def test_opening_without_a_window_imports_no_qt_and_leaves_the_environment() -> None:
    code = """
        import os, sys
        before = dict(os.environ)
        from octree_client.canvas_opening import open_canvas
        with open_canvas((8, 6)) as canvas:
            assert canvas.render().shape == (6, 8, 4)
            assert canvas.native is None and canvas.pixel_ratio == 1.0
        assert dict(os.environ) == before
        assert not any(name.startswith(("PyQt", "PySide", "qtpy")) for name in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_resizing_without_a_window(canvas: Canvas) -> None:
    sizes = []
    canvas.handlers.on_resize = sizes.append
    canvas.resize((50, 40))
    canvas.resize((50, 40))
    assert sizes == [(50, 40)]
    assert canvas.render().shape == (40, 50, 4)


def test_events_are_delivered(canvas: Canvas) -> None:
    seen: list[object] = []
    canvas.handlers = Handlers(on_mouse=seen.append, on_key=seen.append)
    events = [MouseEvent("wheel", (3.0, 4.0), delta=(0.0, 1.0)), KeyEvent("press", "home")]
    for event in events:
        canvas.deliver(event)
    assert seen == events
    canvas.request_frame()
    assert canvas.frame_requested
    canvas.render()
    assert not canvas.frame_requested


@pytest.mark.qt
def test_a_window_draws_what_is_requested_and_keeps_what_is_raised(open_any: Any) -> None:
    told: list[BaseException] = []
    sizes: list[tuple[int, int]] = []
    canvas = open_any("qt", visible=True, handlers=Handlers(on_draw=paint((0.0, 1.0, 0.0)), on_error=told.append))
    process_events_until(lambda: canvas.frames > 0)
    grabbed = canvas.native.grabFramebuffer().pixelColor(5, 5)
    assert (grabbed.red(), grabbed.green(), grabbed.blue()) == (0, 255, 0)

    drawn = canvas.frames
    canvas.request_frame()
    process_events_until(lambda: canvas.frames > drawn)
    canvas.handlers.on_resize = sizes.append
    canvas.resize((140, 90))
    process_events_until(lambda: canvas.size == (140, 90))
    assert sizes[-1] == (140, 90)
    assert canvas.render().shape == (90, 140, 4)

    canvas.handlers.on_draw = lambda: 1 // 0
    canvas.request_frame()
    process_events_until(lambda: canvas.error is not None)
    assert isinstance(told[0], ZeroDivisionError)
    canvas.handlers.on_draw = paint((0.0, 1.0, 0.0))
    with pytest.raises(ZeroDivisionError):
        canvas.request_frame()
    drawn = canvas.frames
    canvas.request_frame()
    process_events_until(lambda: canvas.frames > drawn)


@pytest.mark.qt
def test_mouse_and_keys_of_a_window(open_any: Any) -> None:
    from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
    from qtpy.QtGui import QKeyEvent, QMouseEvent, QWheelEvent
    from qtpy.QtWidgets import QApplication

    mouse: list[MouseEvent] = []
    keys: list[KeyEvent] = []
    canvas = open_any("qt", visible=True, handlers=Handlers(on_mouse=mouse.append, on_key=keys.append))
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    plain, shift = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier

    def send(event: object) -> None:
        QApplication.sendEvent(canvas.native, event)

    mouse.clear()
    send(QMouseEvent(QEvent.Type.MouseButtonPress, QPointF(10, 20), left, left, shift))
    for x in range(11, 31):  # much faster than one every 10 ms: none may be dropped
        send(QMouseEvent(QEvent.Type.MouseMove, QPointF(x, 20), none, left, plain))
    send(QMouseEvent(QEvent.Type.MouseButtonRelease, QPointF(30, 20), left, none, plain))
    send(
        QWheelEvent(
            QPointF(7, 8),
            QPointF(7, 8),
            QPoint(0, 0),
            QPoint(0, -240),
            none,
            plain,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
    )
    assert mouse[0] == MouseEvent("press", (10, 20), "left", frozenset({"left"}), (0.0, 0.0), frozenset({"shift"}))
    assert [e.position[0] for e in mouse if e.kind == "move"] == list(range(11, 31))
    assert mouse[-2] == MouseEvent("release", (30, 20), "left")
    assert mouse[-1] == MouseEvent("wheel", (7, 8), delta=(0.0, -2.0))
    send(QKeyEvent(QEvent.Type.KeyPress, int(Qt.Key.Key_Home), plain))
    send(QKeyEvent(QEvent.Type.KeyPress, int(Qt.Key.Key_O), shift, "O"))
    send(QKeyEvent(QEvent.Type.KeyRelease, int(Qt.Key.Key_Plus), plain, "+"))
    assert [(e.kind, e.key) for e in keys] == [("press", "home"), ("press", "o"), ("release", "+")]


@pytest.mark.qt
@pytest.mark.usefixtures("display")
def test_embedded_in_a_window() -> None:
    from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

    application = QApplication.instance() or QApplication([])
    window = QWidget()
    layout = QVBoxLayout(window)
    with open_canvas(SIZE, visible=True, parent=window) as canvas:
        with pytest.raises(CanvasError, match="show the window"):
            canvas.render()
        layout.addWidget(canvas.native)
        window.resize(300, 200)
        window.show()
        process_events_until(canvas.native.isValid)
        process_events_until(lambda: canvas.frames > 0)
        canvas.handlers.on_draw = paint((1.0, 1.0, 0.0))
        assert (canvas.render() == (255, 255, 0, 255)).all()
        assert canvas.size[0] > 200
    window.close()
    window.deleteLater()
    application.processEvents()


@pytest.mark.qt
@pytest.mark.usefixtures("display")
def test_a_canvas_that_was_never_shown_closes() -> None:
    from qtpy.QtWidgets import QApplication, QWidget

    application = QApplication.instance() or QApplication([])
    window = QWidget()
    canvas = open_canvas(SIZE, visible=True, parent=window)
    canvas.close()
    window.deleteLater()
    application.processEvents()


@pytest.mark.qt
@pytest.mark.usefixtures("display")
def test_sizes_are_physical_pixels_on_a_screen_that_scales() -> None:
    code = """
        from octree_client.canvas import Handlers
        from octree_client.canvas_opening import open_canvas
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication
        seen = []
        with open_canvas((200, 120), visible=True, handlers=Handlers(on_mouse=seen.append)) as canvas:
            assert canvas.pixel_ratio == 2.0, canvas.pixel_ratio
            assert canvas.size == (200, 120), canvas.size
            assert canvas.render().shape == (120, 200, 4)
            none = Qt.MouseButton.NoButton
            event = QMouseEvent(QEvent.Type.MouseMove, QPointF(10.5, 20), none, none, Qt.KeyboardModifier.NoModifier)
            QApplication.sendEvent(canvas.native, event)
            assert seen[-1].position == (21.0, 40.0), seen
    """
    environment = {**os.environ, "QT_SCALE_FACTOR": "2", "QT_ENABLE_HIGHDPI_SCALING": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_canvas_module_names_gl_alone() -> None:
    """The interface is importable without any toolkit; toolkits stand in their own files."""
    assert not any(name in vars(canvas_module) for name in ("qtpy", "QtCore", "egl"))


@pytest.mark.parametrize(
    ("renderer", "software"),
    [
        ("llvmpipe (LLVM 15.0.6, 256 bits)", True),
        ("Software Rasterizer", True),
        ("Google SwiftShader", True),
        ("GDI Generic", True),
        ("NVIDIA H200/PCIe/SSE2", False),
        ("AMD Radeon RX 6600 (navi23, LLVM 15.0.7, DRM 3.49)", False),
        ("Mesa Intel(R) UHD Graphics 620 (KBL GT2)", False),
        ("Apple M2", False),
    ],
)
def test_who_draws(renderer: str, software: bool) -> None:
    assert draws_in_software(renderer) == software
