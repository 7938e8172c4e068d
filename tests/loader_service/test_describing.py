"""Datasets looked at: files here, factories in a process of their own; and what a factory's module tells beforehand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest

from octree_loader.describing import look_apart, look_here
from octree_loader.sources.base import SourceError, SourceSpec
from octree_loader.sources.foreseen import foreseen_imports

AHEAD = ("octree_loader.sources.dask_ahead",)

MODULE = """
import os, sys
import numpy

def array(edge):
    return {"levels": [numpy.zeros((edge, edge), "u1")], "kind": "labels", "scale": [2, 3]}

def fails():
    raise KeyError("no such thing")

def dies():
    os._exit(3)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def fork_server() -> Iterator[None]:
    """Ends with the test, as a daemon's ends with the daemon."""
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("fork_server")
def test_a_factory_is_called_in_a_process_of_its_own(folder: Path) -> None:
    (folder / "made_apart.py").write_text(MODULE)
    look = look_apart(SourceSpec("a", "made_apart:array", {"edge": 300}))
    assert "made_apart" not in sys.modules
    assert look == look_here(SourceSpec("a", "made_apart:array", {"edge": 300}))
    assert look.described.levels[0].shape == (300, 300)
    assert (look.described.kind, look.described.levels[0].scale) == ("labels", (2.0, 3.0))
    del sys.modules["made_apart"]
    with pytest.raises(SourceError, match=r"made_apart:fails failed.*KeyError: 'no such thing'"):
        look_apart(SourceSpec("a", "made_apart:fails"))
    with pytest.raises(SourceError, match=r"dataset 'a': the process that opened made_apart:dies died \(exit status 3"):
        look_apart(SourceSpec("a", "made_apart:dies"))


def test_a_file_is_opened_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(folder / "a.npy", np.zeros((30, 20), np.uint16))
    monkeypatch.setattr("octree_loader.describing.fork_context", lambda: pytest.fail("a process is started"))
    spec = SourceSpec("a", str(folder / "a.npy"))
    assert look_apart(spec) == look_here(spec)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def f():\n    import dask.array as da\n", AHEAD),
        ("from dask import array", AHEAD),
        ("import numpy  # as dask", ()),
        ("import daskish", ()),
    ],
)
def test_the_text_of_a_module_tells_what_it_imports(folder: Path, text: str, found: tuple[str, ...]) -> None:
    (folder / "foreseen_outer").mkdir()
    (folder / "foreseen_outer" / "__init__.py").write_text("raise SystemExit('it was run')")
    (folder / "foreseen_outer" / "inner.py").write_text(f"raise SystemExit('it was run')\n{text}\n")
    assert foreseen_imports("foreseen_outer.inner:f") == found
    (folder / "foreseen_bare" / "inner").mkdir(parents=True)
    (folder / "foreseen_bare" / "inner" / "most.py").write_text(text)
    assert foreseen_imports("foreseen_bare.inner.most:f") == found
    assert foreseen_imports("foreseen_outer:f") == ()


@pytest.mark.parametrize("location", ["no_such_module.at.all:f", "sys:f", "json.no_such:f", "/a/b.zarr", "s3://a/b"])
def test_nothing_is_foreseen_where_there_is_no_text(location: str) -> None:
    assert foreseen_imports(location) == ()
