"""The Python API as it is promised: sessions, levels as arrays, viewers; and several sessions at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.system.daemons import environment, wait_for
from tests.system.obedience import Obedience

import octree_client
from octree_loader.demo.pyramid import write_pyramid

SMALL: dict[str, Any] = {"memory": {"arena_bytes": "64MiB"}, "octree": {"tile_size": 64}}


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    """Three axes, no edge a multiple of a chunk's."""
    return np.random.default_rng(5).integers(0, 60_000, (5, 210, 331)).astype(np.uint16)


@pytest.fixture(scope="module")
def session(module_folder: Path, voxels: np.ndarray) -> Iterator[octree_client.Session]:
    path = write_pyramid(module_folder / "image.zarr", voxels, axes="zyx", chunk=(2, 100, 100), scale=0.5)
    with octree_client.open(path, settings=SMALL) as session:
        yield session


def test_the_example_of_the_documentation(session: octree_client.Session, voxels: np.ndarray) -> None:
    image = session.dataset()
    assert session.datasets() == ("image",)
    assert session.dataset("image") is image
    assert image.name == "image"
    assert image.axes == ("z", "y", "x")
    assert image.dtype == np.uint16
    assert [level.shape for level in image.levels[:3]] == [(5, 210, 331), (5, 105, 166), (5, 53, 83)]
    assert image.levels[1].scale == (0.5, 1.0, 1.0)
    assert image.levels[1].translation == (0.0, 0.25, 0.25)
    corner = image.levels[1][:, 20:90, ::2]
    assert corner.shape == (5, 70, 83)
    assert corner.dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(image.levels[0]), voxels)
    with octree_client.Viewer(image, size=(320, 240), visible=False) as viewer:
        viewer.set_view(center=(50.0, 80.0), pixel_size=0.5)
        assert viewer.render().shape == (240, 320, 4)
        viewer.wait_until_final(timeout=20)
        picture = viewer.render()
        assert picture.dtype == np.uint8
        status = viewer.status()
        assert status.final > 0
        assert (status.provisional, status.missing, status.failed, status.empty) == (0, 0, 0, 0)
        statistics = viewer.statistics()
        assert statistics["frames"] == len(statistics["per_frame"])
        assert statistics["chunks"] > 0
        assert statistics["bytes"] > 0
        for name in ("plan", "upload", "submit", "draw", "own"):
            assert statistics[name].p99 >= statistics[name].p50 >= 0
        assert {"plan", "upload", "submit", "draw", "uploads", "nbytes"} <= set(
            type(statistics["per_frame"][0]).__slots__
        )


def _slices(size: int) -> st.SearchStrategy[Any]:
    bound = st.none() | st.integers(-size - 3, size + 3)
    step = st.none() | st.integers(-5, 5).filter(bool)
    return st.builds(slice, bound, bound, step) | st.integers(-size, size - 1)


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_a_level_is_sliced_as_numpy_slices(
    session: octree_client.Session, voxels: np.ndarray, data: st.DataObject
) -> None:
    whole: list[Any] = [data.draw(_slices(size)) for size in voxels.shape]
    whole = whole[: data.draw(st.integers(0, 3))]
    if len(whole) < 3 or data.draw(st.booleans()):
        whole.insert(data.draw(st.integers(0, len(whole))), Ellipsis)
    selection = tuple(whole)
    expected = voxels[selection]
    got = session.dataset().levels[0][selection]
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "selection",
    [(0, 0, 0, 0), 5, (slice(None), 210), (..., ...), [0, 1], True, None, 1.5, np.zeros(5, bool)],
    ids=str,
)
def test_what_is_no_selection_is_an_index_error(session: octree_client.Session, selection: Any) -> None:
    with pytest.raises(IndexError):
        session.dataset().levels[0][selection]


def test_status_tells_what_the_daemon_does(session: octree_client.Session) -> None:
    session.dataset().levels[0][0]
    status = session.status()
    assert status.pid == session.daemon_pid
    assert status.arena.nbytes >= 60 << 20
    assert status.datasets[0].name == "image"
    assert status.datasets[0].chunks > 0
    assert [pool.relative_level for pool in status.pools] == [0, 2]


def test_what_is_read_is_let_go_again(session: octree_client.Session) -> None:
    session.dataset().levels[0][...]
    wait_for(lambda: session.status().arena.wanted == 0, 5.0)
    assert not len(session.connection._wants)
    (client,) = session.status().clients
    assert (client.views, client.wanted) == (0, 0)


def test_the_names_of_the_package() -> None:
    """What stands here is promised to everybody."""
    assert octree_client.__all__ == [
        "ChunkUnreadable", "ConnectionFailed", "DaemonDied", "DatasetUnavailable",
        "Image", "LevelArray", "NotTrusted", "Session", "Viewer", "connect", "open", "run", "show",
    ]  # fmt: skip
    with pytest.raises(AttributeError):
        octree_client.nothing_of_that_name  # noqa: B018


def test_scripts_import_neither_qt_nor_gl_nor_the_daemon(session: octree_client.Session) -> None:
    script = """if True:
        import sys, octree_client
        with octree_client.connect(sys.argv[1]) as session:
            assert session.dataset().levels[0][0, :5, :5].shape == (5, 5)
            session.status()
        names = {name.partition(".")[0] for name in sys.modules}
        print(sorted(names & {"PyQt5", "PyQt6", "PySide6", "qtpy", "superqt", "vispy", "OpenGL", "octree_loader"}))
    """
    ended = subprocess.run(
        [sys.executable, "-c", script, session.connection.address],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.stderr == ""
    assert ended.stdout == "[]\n"


def test_a_viewer_without_a_window_imports_no_qt(session: octree_client.Session) -> None:
    script = """if True:
        import sys, octree_client
        with octree_client.connect(sys.argv[1]) as session:
            with octree_client.Viewer(session.dataset(), size=(64, 64), visible=False) as viewer:
                viewer.wait_until_final(30)
        names = {name.partition(".")[0] for name in sys.modules}
        print(sorted(names & {"PyQt5", "PyQt6", "PySide6", "qtpy", "superqt"}))
    """
    ended = subprocess.run(
        [sys.executable, "-c", script, session.connection.address],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.stdout == "[]\n", ended.stderr


def test_a_numpy_array_is_a_source(voxels: np.ndarray) -> None:
    with octree_client.open(voxels[0], settings=SMALL) as session:
        image = session.dataset()
        assert image.axes == ("y", "x")
        np.testing.assert_array_equal(image.levels[0][::-1, 5], voxels[0][::-1, 5])
        folder = session._folder
        assert folder is not None
        assert Path(folder.name).exists()
    assert not Path(folder.name).exists()


def test_several_sources_with_options(folder: Path, voxels: np.ndarray) -> None:
    np.save(folder / "a.npy", voxels[:3])
    np.save(folder / "b.npy", voxels[3])
    sources = {"a": {"source": str(folder / "a.npy"), "axes": "tyx", "scale": [1, 2, 3]}, "b": str(folder / "b.npy")}
    with octree_client.open(datasets=sources, settings=SMALL) as session:
        assert session.datasets() == ("a", "b")
        assert session.dataset("a").axes == ("t", "y", "x")
        assert session.dataset("a").levels[0].scale == (1.0, 2.0, 3.0)
        assert session.dataset("b").axes == ("y", "x")
        np.testing.assert_array_equal(session.dataset("b").levels[0][...], voxels[3])


def test_a_daemon_that_cannot_start_says_why() -> None:
    with pytest.raises(octree_client.DaemonDied, match=r"octree\.tile_size"):
        octree_client.open(np.zeros((4, 4)), settings={"octree": {"tile_size": -1}})


def test_opening_from_a_configuration(folder: Path, voxels: np.ndarray) -> None:
    np.save(folder / "a.npy", voxels[0])
    (folder / "octree.json").write_text(
        '{"memory": {"arena_bytes": "16MiB"}, "octree": {"tile_size": 32}, "datasets": {"a": "a.npy"}}'
    )
    with octree_client.open(config=folder / "octree.json") as session:
        assert session.datasets() == ("a",)
        assert session.dataset().levels[0].chunk_shape == (32, 32)


# --- several at once -------------------------------------------------------------------------------------------------


def test_four_sessions_read_at_once_and_each_gets_numpys_result(
    session: octree_client.Session, voxels: np.ndarray
) -> None:
    """The same regions and different ones, a few times over, through an arena that is much used."""
    address = session.connection.address
    wrong: list[str] = []

    def read(number: int) -> None:
        rng = np.random.default_rng(number)
        with octree_client.connect(address) as mine:
            level = mine.dataset().levels[0]
            for turn in range(12):
                low = [int(rng.integers(0, size - 1)) for size in voxels.shape]
                box = tuple(slice(a, int(rng.integers(a + 1, size + 1))) for a, size in zip(low, voxels.shape))  # noqa: B905
                selection: Any = ... if turn % 4 == 0 else box
                if not np.array_equal(level[selection], voxels[selection]):
                    wrong.append(f"session {number}, {selection}")

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
        assert not thread.is_alive()
    assert not wrong


def test_a_small_read_is_not_held_up_by_a_large_one(folder: Path) -> None:
    """Turn by turn: who wants little has it long before who wants much has all."""
    image = Obedience(folder / "image", edge=1024, chunk=32, delay_ms=3)
    options = {"octree": {"tile_size": 32, "loaders": {}}, "loader_defaults": {"delay_queue_ms": 0, "num_workers": 1}}
    with (
        octree_client.open(datasets={"image": image.source}, settings={**SMALL, **options}) as greedy,
        octree_client.connect(greedy.connection.address) as modest,
    ):
        level = greedy.dataset().levels[0]
        little = modest.dataset().levels[0]
        reading = threading.Thread(target=lambda: level[...])
        reading.start()
        wait_for(lambda: len(image.reads()) > 50, 20.0)
        before = len(image.reads())
        little[:32, 960:]  # two chunks, of 1024
        between = len(image.reads()) - before
        reading.join(60.0)
        # Not behind the 64 that the greedy one has asked for.
        assert between < 40
        assert len(image.reads()) >= 1024
