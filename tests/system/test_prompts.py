"""The window at a prompt of IPython, and in a kernel of Jupyter: real ones, on a real display."""

from __future__ import annotations

import base64
import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image as PillowImage

pytestmark = [pytest.mark.gl, pytest.mark.qt]

#: Everything that is waited for comes within so many seconds, on a busy machine.
_SECONDS = 40.0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "cells.npy"
    y, x = np.mgrid[:200, :260]
    np.save(path, np.stack([(y * x % 977 + 100 * n).astype("u2") for n in range(4)]))
    return path


def _environment(display: str, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("QT_API", "PYTHONSTARTUP")}
    own = {"DISPLAY": display, "IPYTHONDIR": str(folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    return kept | own | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "JUPYTER_PLATFORM_DIRS": "1"}


def _assert_gone(pid: int) -> None:
    """The daemon ends with whoever started it."""
    try:
        psutil.Process(pid).wait(_SECONDS)
    except psutil.NoSuchProcess:
        pass


class Prompt:
    """IPython in a terminal of its own."""

    def __init__(self, environment: dict[str, str], *options: str) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 220, 0, 0))
        self._terminal, self._heard = ours, ""
        command = [sys.executable, "-m", "IPython", "--no-banner", "--no-confirm-exit", "--colors=nocolor", *options]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)

    def type(self, line: str) -> None:
        os.write(self._terminal, line.encode() + b"\r")

    def heard(self, pattern: str) -> str:
        """What comes before long: the first group. Nothing is typed meanwhile."""
        until = time.monotonic() + _SECONDS
        while (found := re.search(pattern, self._heard)) is None:
            assert time.monotonic() < until, f"no {pattern!r} in {self._heard[-3000:]!r}"
            if select.select([self._terminal], [], [], 0.2)[0]:
                self._heard += os.read(self._terminal, 65536).decode(errors="replace")
        self._heard = self._heard[found.end() :]
        return found[1]

    def left(self) -> int:
        """Says goodbye; the exit status."""
        self.type("exit")
        until = time.monotonic() + _SECONDS
        while self.process.poll() is None and time.monotonic() < until:
            if select.select([self._terminal], [], [], 0.1)[0]:  # who is not listened to cannot end
                try:
                    os.read(self._terminal, 65536)
                except OSError:
                    break
        return self.process.wait(5.0)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._terminal)


@pytest.fixture
def prompt(display: str, tmp_path: Path) -> Iterator[Prompt]:
    prompt = Prompt(_environment(display, tmp_path), "--gui=qt")
    yield prompt
    prompt.close()


def test_prompt_and_window_live_side_by_side(prompt: Prompt, image: Path) -> None:
    prompt.heard(r"In \[.{0,20}(1)")
    prompt.type(f"import octree_client; window = octree_client.show({str(image)!r}); viewer = window.viewer")
    prompt.type("from qtpy.QtCore import QTimer; print('op' + 'en', len(viewer.layers))")
    assert prompt.heard(r"open (\d)\s") == "1"
    prompt.type("watch = QTimer(); is_drawn = lambda: viewer.is_final() and viewer.canvas.frames > frames")
    prompt.type("watch.timeout.connect(lambda: is_drawn() and (watch.stop() or print('dra' + 'wn')))")
    prompt.type("viewer.layers[0].colormap = 'magma'; frames = viewer.canvas.frames; watch.start(20)")
    assert prompt.heard(r"(drawn)"), "nobody types, and the window draws"
    prompt.type("octree_client.run(); print('ret' + 'urned', viewer.layers)")
    assert prompt.heard(r"returned ([^\r\n]+)\r") == "[<layer cells: image>]"
    prompt.type("window.close(); print('sti' + 'll', 6 * 7)")
    assert prompt.heard(r"still (\d+)\s") == "42"
    prompt.type("import numpy; window = octree_client.show(numpy.eye(64, dtype='u1'))")
    prompt.type("print('pi' + 'd', window.viewer.sessions[0].daemon_pid)")
    pid = int(prompt.heard(r"pid (\d+)\s"))
    assert psutil.pid_exists(pid)
    assert prompt.left() == 0
    _assert_gone(pid)


class Notebook:
    """A kernel, as a notebook speaks to it."""

    def __init__(self, environment: dict[str, str]) -> None:
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager()
        self.manager.start_kernel(env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=_SECONDS)
        self.pid = int(self.cell("import os; os.getpid()")["text/plain"])

    def cell(self, code: str, interrupt: bool = False) -> dict[str, Any]:
        """Run a cell; what it printed, and the last thing that it showed, by MIME type; ``error`` is one's name."""
        number = self.client.execute(code)
        found: dict[str, Any] = {"said": ""}
        until = time.monotonic() + _SECONDS
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=0.5)
            except Empty:
                assert time.monotonic() < until, f"no end of {code!r}"
                # With Qt's loop on, ipykernel may overlook a request that comes as a cell ends, until the next comes.
                self.client.kernel_info()
                continue
            if message["parent_header"].get("msg_id") != number:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                found["said"] += content["text"]
            elif kind == "execute_result":
                found |= content["data"]
            elif kind == "error":
                found["error"] = content["ename"]
            elif interrupt and content.get("execution_state") == "busy":
                # Once: the second would interrupt the report about the first.
                threading.Timer(1.0, os.kill, (self.pid, signal.SIGINT)).start()
            elif kind == "status" and content["execution_state"] == "idle":
                return found

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        self.client.context.destroy()


@pytest.fixture(scope="module")
def notebook(display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    notebook = Notebook(_environment(display, tmp_path_factory.mktemp("kernel")))
    yield notebook
    notebook.close()


def _picture(found: dict[str, Any]) -> np.ndarray:
    with PillowImage.open(io.BytesIO(base64.b64decode(found["image/png"]))) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_notebook_shows_pictures_without_a_window(notebook: Notebook, image: Path) -> None:
    found = notebook.cell(
        f"import octree_client; session = octree_client.open({str(image)!r})\n"
        "viewer = octree_client.Viewer(session.dataset(), size=(300, 200), visible=False)\nviewer"
    )
    picture = _picture(found)
    assert picture.shape == (200, 300, 3)
    assert picture.std() > 20, "the image, and no empty canvas"
    assert found["text/plain"] == "<viewer of 300 x 200 pixels: cells>"
    layer = notebook.cell("viewer.layers[0]")["text/html"]
    assert "gray" in layer
    assert _picture({"image/png": layer.partition("base64,")[2].partition('"')[0]}).std() > 20
    assert "200 × 260 voxels" in notebook.cell("session.dataset()")["text/html"]
    assert notebook.cell("viewer.layers._ipython_key_completions_()")["text/plain"] == "['cells']"
    assert notebook.cell("'Viewer' in dir(octree_client)")["text/plain"] == "True"
    assert notebook.cell("viewer.close(); session.close(); viewer")["text/plain"] == "<viewer, closed>"


def test_a_window_lives_between_cells(notebook: Notebook, image: Path) -> None:
    """Nobody has said %gui: `show` switches Qt's event loop on."""
    opened = notebook.cell(f"import octree_client; window = octree_client.show({str(image)!r}); viewer = window.viewer")
    assert "error" not in opened
    pid = int(notebook.cell("viewer.sessions[0].daemon_pid")["text/plain"])
    notebook.cell("viewer.layers[0].colormap = 'magma'; frames = viewer.canvas.frames")
    until = time.monotonic() + _SECONDS
    while notebook.cell("viewer.is_final() and viewer.canvas.frames > frames")["text/plain"] != "True":
        assert time.monotonic() < until, "nothing is drawn between cells"
    assert notebook.cell("octree_client.run(); viewer.dims")["text/plain"].startswith("<dims z y x, displayed y x: z=")
    assert _picture(notebook.cell("window")).shape[0] >= 600
    assert notebook.cell("viewer.wait(1000)", interrupt=True)["error"] == "KeyboardInterrupt"
    assert notebook.cell("(viewer.is_final(), window)")["text/plain"] == "(True, <window 'cells – octree-view'>)"
    failed = notebook.cell("octree_client.show('/nowhere.npy')")
    assert failed["error"] == "DatasetUnavailable"
    assert psutil.pid_exists(pid)
    assert notebook.cell("window.close(); window")["text/plain"] == "<window 'cells – octree-view', closed>"
    _assert_gone(pid)
