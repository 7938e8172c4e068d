"""Shared by the tests of the whole system."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.daemons import ROOT, Daemon, merged


@pytest.fixture(scope="session", autouse=True)
def _factories_are_importable() -> Iterator[None]:
    """Daemons that sessions start import the factories of the tests."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before]))
    yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def module_folder() -> Iterator[Path]:
    """A folder with a short path (that of a socket has at most 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="octest-") as folder:
        yield Path(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, for one test."""
    with tempfile.TemporaryDirectory(prefix="octest-") as name:
        yield Path(name)


@pytest.fixture
def shm() -> Iterator[Path]:
    """A folder of shared memory that is nobody else's."""
    place = Path(tempfile.mkdtemp(prefix="octest-", dir="/dev/shm"))
    yield place
    shutil.rmtree(place)


@pytest.fixture
def start_daemon(folder: Path, shm: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons with a small arena in a folder of their own; they end with the test."""
    yield from _starter(folder, shm)


@pytest.fixture(scope="module")
def start_module_daemon(module_folder: Path) -> Iterator[Callable[..., Daemon]]:
    """The same for a whole module."""
    place = Path(tempfile.mkdtemp(prefix="octest-", dir="/dev/shm"))
    yield from _starter(module_folder, place)
    shutil.rmtree(place)


def _starter(folder: Path, shm: Path) -> Iterator[Callable[..., Daemon]]:
    daemons: list[Daemon] = []

    def start(config: dict[str, Any], address: str | list[str] | None = None, name: str = "d") -> Daemon:
        place = folder / name
        place.mkdir(exist_ok=True)
        memory = {"memory": {"arena_bytes": "64MiB", "directory": str(shm)}}
        daemons.append(Daemon(place, merged(memory, config), address))
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.end()
