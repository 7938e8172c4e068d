"""Windows come and go and leave nothing; they live in whatever event loop there is; and with PyQt6 as with PyQt5."""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import octree_client
from octree_client.canvas import CanvasError
from octree_client.remembered import Remembered

pytestmark = [pytest.mark.gl, pytest.mark.qt]

#: What is left after the first few windows may grow by so much until the last: what allocators keep. Bytes.
_ROOM = 24 << 20


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("life")
    y, x = np.mgrid[:200, :260]
    arrays = {"plane": (y * x % 977).astype("u2"), "labels": ((y // 20) * 16 + x // 20).astype("u4")}
    arrays["stack"] = np.stack([arrays["plane"] + n for n in range(6)])
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return {name: str(folder / f"{name}.npy") for name in arrays}


def _opened_and_closed(session: octree_client.Session, qtbot: Any, times: int, warm: int) -> tuple[Any, Any]:
    """What there is after `warm` windows, and after `times`."""
    from qtpy.QtCore import QCoreApplication, QEvent, QObject
    from qtpy.QtWidgets import QApplication
    from vispy.gloo.globject import GLObject

    from octree_client.gui.window import ViewerWindow

    process = psutil.Process()

    def counted() -> dict[str, int]:
        gc.collect()
        kinds = Counter("qt" if isinstance(each, QObject) else "gl" for each in gc.get_objects()
                        if isinstance(each, (QObject, GLObject)))  # fmt: skip
        return {
            "memory": process.memory_info().rss,
            "descriptors": process.num_fds(),
            "threads": threading.active_count(),
            "widgets": len(QApplication.allWidgets()),
            "qt": kinds["qt"],
            "gl": kinds["gl"],
            "views": len(session.connection._inboxes),
        }

    found = []
    for number in range(times):
        window = ViewerWindow(session.dataset(session.datasets()[number % 3]), (960, 640), None, Remembered())
        window.show()
        qtbot.waitUntil(lambda window=window: window.viewer is not None and window.viewer.is_final(), timeout=20000)
        window.close()
        window.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.DeferredDelete)
        QApplication.processEvents()
        del window
        if number + 1 in (warm, times):
            found.append(counted())
    return found[0], found[1]


def _check(before: dict[str, int], after: dict[str, int]) -> None:
    assert after["views"] == before["views"] == 0
    assert after["widgets"] <= before["widgets"]
    assert after["threads"] <= before["threads"] + 1
    assert after["descriptors"] <= before["descriptors"] + 2
    assert after["qt"] <= before["qt"] + 40, "Qt's objects pile up"
    assert after["gl"] <= before["gl"] + 8, "OpenGL's objects pile up"
    assert after["memory"] <= before["memory"] + _ROOM


def test_windows_that_were_closed_leave_nothing(sources: dict[str, str], qtbot: Any) -> None:
    with octree_client.open(datasets=sources, settings={"memory": {"arena_bytes": "64MiB"}}) as session:
        _check(*_opened_and_closed(session, qtbot, 15, 6))


@pytest.mark.soak
def test_two_hundred_windows_leave_nothing(sources: dict[str, str], qtbot: Any) -> None:
    with octree_client.open(datasets=sources, settings={"memory": {"arena_bytes": "64MiB"}}) as session:
        _check(*_opened_and_closed(session, qtbot, 200, 30))


def _run(code: str, *arguments: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_script_shows_a_window_and_goes_on(display: str, sources: dict[str, str]) -> None:
    assert display
    said = _run(
        """
        import sys, octree_client
        from qtpy.QtCore import QTimer
        with octree_client.open(sys.argv[1]) as session:
            window = octree_client.show(session)
            viewer = window.viewer
            viewer.wait_until_final(20)
            changed = []
            viewer.layers.events.changed.connect(lambda layer, name, value: changed.append(name))
            viewer.layers[0].colormap = "magma"
            viewer.dims.set_index("z" if "z" in viewer.dims.axes else viewer.dims.hidden[0], 1)
            viewer.wait_until_final(20)
            print("colormap" in changed, viewer.render()[..., 0].std() > 5)
            QTimer.singleShot(0, window.close)
            octree_client.run()
            print("over", window.viewer.canvas.closed)
        octree_client.run()
        """,
        sources["stack"],
    )
    assert said.split() == ["True", "True", "over", "True"]


def test_in_an_event_loop_that_is_there_the_window_lives_in_that(display: str, sources: dict[str, str]) -> None:
    """As in IPython: an application of somebody else, whose loop is entered between two commands."""
    assert display
    said = _run(
        """
        import sys, time
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QApplication
        application = QApplication([])
        import octree_client

        def between_commands(done, seconds=20):
            until = time.monotonic() + seconds
            while not done() and time.monotonic() < until:
                QTimer.singleShot(10, application.exit)  # in Qt 6, `quit` closes the windows
                application.exec_()
            assert done()

        window = octree_client.show(sys.argv[1])
        between_commands(lambda: len(window.viewer.layers) == 1 and window.viewer.is_final())
        QTimer.singleShot(0, lambda: (octree_client.run(), print("run returned")))
        between_commands(lambda: window.viewer.canvas.frames > 0, 5)
        window.viewer.layers[0].gamma = 2.0
        between_commands(window.viewer.is_final)
        print(window.panel.controls.gamma.value())
        window.close()
        """,
        sources["plane"],
    )
    assert said.splitlines() == ["run returned", "2.0"]


def test_a_qt_that_we_do_not_know_is_refused_in_words(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert display
    monkeypatch.setattr("qtpy.API_NAME", "PySide6")
    with pytest.raises(CanvasError, match="PySide6 in this process, and a window needs PyQt5 or PyQt6: set QT_API"):
        octree_client.show()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["test_window", "test_window_controls", "test_window_layers"])
def test_the_window_with_pyqt6(display: str, tmp_path: Path, name: str) -> None:
    """All tests of the window once more, with the other Qt, in a process of its own."""
    if importlib.util.find_spec("PyQt6") is None:  # not imported here: two Qts are one too many for a process
        pytest.skip("PyQt6 is not installed")
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-o", "qt_api=pyqt6", "-p", "no:cacheprovider"),
            str(Path(__file__).with_name(f"{name}.py")),
        ],
        env=os.environ | {"QT_API": "pyqt6", "XDG_CACHE_HOME": str(tmp_path)},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert display
    assert " passed" in ran.stdout
