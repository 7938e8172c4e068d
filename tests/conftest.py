"""Shared by all tests."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Test modules import what they share as `tests.client.scene`, however pytest was started.
if (root := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.insert(0, root)

pytest_plugins = ["tests.leaks"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Levels that daemons make, and what viewers remember, are kept in folders of the tests' own."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """A display of our own, for tests with windows: ``DISPLAY`` is set to it for the rest of the session.

    The X server chooses a free number itself and tells when it is ready (``-displayfd``), so that sessions side by side
    never meet. It ends with its last client (``-terminate``), which is this process, however this process ends: Qt ends
    the process with status 1 when the server goes first.
    """
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed (apt install xvfb)")
    read, write = os.pipe()
    server = subprocess.Popen(
        [program, "-displayfd", str(write), "-screen", "0", "1600x1200x24", "-nolisten", "tcp", "-terminate"],
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()  # the end of the file, and so "", if the server ends instead
    assert number, "Xvfb did not start"
    before = {name: os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    os.environ["DISPLAY"] = f":{number}"
    os.environ.pop("WAYLAND_DISPLAY", None)
    os.environ.pop("QT_QPA_PLATFORM", None)
    xcb = ctypes.CDLL("libxcb.so.1")
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connect(None, None)  # never closed: subprocesses of the tests are not the server's last clients
    yield os.environ["DISPLAY"]
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    server.returncode = 0  # nobody waits for it: a Popen that is dropped while its process runs would say so
