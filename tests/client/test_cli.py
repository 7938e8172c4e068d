"""The command ``octree-view``: pictures without a display, one sentence for each mistake, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image as PillowImage

import octree_client
from octree_client import cli_options
from octree_client.cli import main
from octree_client.exit_codes import EXIT_USAGE
from octree_client.keys import all_bindings
from octree_client.picture_file import PictureNotWritten, write_picture
from octree_client.transport.discovery import answers
from octree_loader.demo.pyramid import write_pyramid

NO_DISPLAY = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    y, x = np.mgrid[:512, :640]
    image = (20000 + 15000 * np.sin(np.hypot(y - 200, x - 300) / 15) + 5 * y).astype("u2")
    return write_pyramid(tmp_path_factory.mktemp("cli") / "rings.zarr", image, scale=0.5, chunk=128)


@pytest.fixture(scope="module")
def session(pyramid: Path) -> Iterator[octree_client.Session]:
    with octree_client.open(str(pyramid), settings={"memory": {"arena_bytes": "64MiB"}}) as session:
        yield session


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """The command sets SIGTERM's handler for its process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def environment(**changes: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NO_DISPLAY} | changes


def read(path: Path) -> np.ndarray:
    with PillowImage.open(path) as picture:
        return np.asarray(picture)


def said(capsys: Any) -> str:
    """The one sentence that the command wrote."""
    lines: list[str] = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("octree-view: ")
    assert "Traceback" not in lines[0]
    return lines[0]


@pytest.mark.gl
def test_a_link_shows_what_somebody_else_saw(session: octree_client.Session, tmp_path: Path) -> None:
    from octree_client.links import write_link
    from octree_client.view_link import link_of

    with (
        octree_client.connect(session.connection.address) as other,
        octree_client.Viewer(other.dataset(), (300, 200), visible=False) as viewer,
    ):
        viewer.layers[0].colormap = "magma"
        viewer.set_view((100, 150), 0.7)
        viewer.layers[0].gamma = 1.5  # and the limits as they follow from the data
        viewer.wait_until_final(20)
        expected, text = viewer.render(), write_link(link_of(viewer))
    path = tmp_path / "shot.png"
    assert main([text, "--size", "300x200", "--screenshot", str(path)]) == 0
    assert (read(path) == expected[..., :3]).all()


@pytest.mark.gl
def test_a_link_from_a_configuration_shows_the_same_in_another_process(pyramid: Path, tmp_path: Path) -> None:
    """Two images, one with options, two layers of one of them, each with a look of its own."""
    from octree_client.links import write_link
    from octree_client.view_link import link_of

    y, x = np.mgrid[:100, :150]
    labels = np.stack([(y // 20) * 8 + x // 20, y // 30 + x // 30]).astype("u4").transpose(1, 2, 0)
    np.save(tmp_path / "cells.npy", labels)  # the axis of depth comes last
    cells = {
        "source": "cells.npy",
        "axes": "yxz",
        "scale": [2.0, 2.0, 5.0],
        "kind": "labels",
        "make_levels": "on-demand",
    }
    config = tmp_path / "octree.json"
    config.write_text(
        json.dumps({"datasets": {"rings": str(pyramid), "cells": cells}, "memory": {"arena_bytes": "64MiB"}})
    )
    with (
        octree_client.open(config=config) as own,
        octree_client.Viewer(own.dataset("rings"), (300, 200), visible=False) as viewer,
    ):
        viewer.layers[0].colormap, viewer.layers[0].contrast_limits = "magma", (30000, 5000)
        (cells_layer,) = viewer.add(own.dataset("cells"))
        cells_layer.opacity, cells_layer.contour, cells_layer.seed = 0.6, 2, 5
        (again,) = viewer.add(own.dataset("rings"), name="again")
        again.blending, again.quality, again.auto_quantiles = "additive", -2.0, (0.2, 0.7)
        viewer.dims.set_point("z", 5.0)
        viewer.set_view((90, 110), 0.6)
        viewer.wait_until_final(20)
        expected, text = viewer.render(), write_link(link_of(viewer))
    assert "octree.json" not in text
    path = tmp_path / "shot.png"
    done = subprocess.run(
        [sys.executable, "-m", "octree_client.cli", text, "--size", "300x200", "--screenshot", str(path)],
        env=environment(XDG_RUNTIME_DIR=str(tmp_path)), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (read(path) == expected[..., :3]).all()
    assert (read(path)[..., 0] != read(path)[..., 1]).any()


def test_where_there_can_be_no_link_it_is_said_why(pyramid: Path, tmp_path: Path) -> None:
    from octree_client.links import BadLink, LayerLink, ViewLink, write_link
    from octree_client.places import place_of_image

    signed = "https://host/a.zarr?X-Amz-Signature=5ecret"
    datasets = {
        "computed": "octree_loader.demo.fractal:fractal",
        "far": {"source": "s3://bucket/a.zarr", "profile": "work"},
        "inner": str(pyramid),
    }
    (tmp_path / "octree.json").write_text(json.dumps({"datasets": datasets, "memory": {"arena_bytes": "16MiB"}}))
    with octree_client.open(config=tmp_path / "octree.json") as own:
        image = own.dataset("inner")
        for name, words in (("computed", "may not call.*octree-serve"), ("far", "'profile'.*octree-serve")):
            image.name = name
            with pytest.raises(BadLink, match=words):
                place_of_image(image)
        image.name = "inner/labels/nuclei"
        assert place_of_image(image)[::4] == (str(pyramid), "labels/nuclei")
    small = {"memory": {"arena_bytes": "16MiB"}}
    with octree_client.open(np.zeros((30, 30)), settings=small) as own, pytest.raises(BadLink, match="in memory only"):
        place_of_image(own.dataset())
    for secret in (signed, "https://me:5ecret@host/a.zarr"):
        with pytest.raises(BadLink, match="may be secret") as refused:
            write_link(ViewLink((LayerLink(source=secret, dataset="a"),)))
        assert "5ecret" not in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["octree://view#{}"],
        ["octree://nothing"],
        ['octree://view#{"layers":[{"source":"os:system"}]}'],
        ['octree://view#{"layers":[{"source":"/a"}]}', "--dataset", "b"],
        ['octree://view#{"layers":[{"address":"ipc://","dataset":"a"}]}'],
    ],
)
def test_a_bad_link_is_refused(arguments: list[str], capsys: Any) -> None:
    assert main(arguments) == EXIT_USAGE
    assert said(capsys)


# --- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.gl
def test_a_screenshot_is_what_the_viewer_renders(session: octree_client.Session, tmp_path: Path) -> None:
    address, path = session.connection.address, tmp_path / "shot.png"
    options = ["--size", "300x200", "--center", "100,150", "--pixel-size", "0.7"]
    options += ["--colormap", "viridis", "--contrast", "5000,30000"]
    assert main(["--connect", address, *options, "--interpolation", "nearest", "--screenshot", str(path)]) == 0
    with octree_client.Viewer(session.dataset(), (300, 200), visible=False) as viewer:
        viewer.layers[0].colormap = "viridis"
        viewer.layers[0].interpolation = "nearest"
        viewer.layers[0].contrast_limits = (5000, 30000)
        viewer.set_view((100, 150), 0.7)
        viewer.wait_until_final()
        assert (read(path) == viewer.render()[..., :3]).all()
    assert main([address, "--dataset", "rings", "--screenshot", str(path)]) == 0
    assert read(path).shape == (860, 1280, 3)
    assert os.listdir(tmp_path) == ["shot.png"]


@pytest.mark.gl
def test_a_screenshot_of_several_sources_has_all_of_them(pyramid: Path, tmp_path: Path) -> None:
    y, x = np.mgrid[:300, :200]
    (tmp_path / "other").mkdir()
    for folder, values in ((tmp_path, x), (tmp_path / "other", y)):
        np.save(folder / "ramp.npy", values.astype("u1"))  # of one name
    sources = [str(pyramid), str(tmp_path / "ramp.npy"), str(tmp_path / "other" / "ramp.npy")]
    path = tmp_path / "shot.png"
    options = ["--size", "300x200", "--contrast", "0,300", "--screenshot", str(path)]
    assert main([*sources, *options]) == 0
    with octree_client.Viewer(size=(300, 200), visible=False) as viewer:
        for source in sources:
            viewer.open(source, settings={"memory": {"arena_bytes": "16MiB"}})
        for layer in viewer.layers:
            layer.contrast_limits = (0, 300)
        viewer.home()
        viewer.wait_until_final(20)
        assert (read(path) == viewer.render()[..., :3]).all()
    missing = tmp_path / "nothing.npy"
    assert main([str(pyramid), str(missing), "--screenshot", str(tmp_path / "no.png")]) == 66
    assert not (tmp_path / "no.png").exists()


@pytest.mark.gl
def test_a_screenshot_needs_neither_display_nor_qt(pyramid: Path, tmp_path: Path) -> None:
    path = tmp_path / "whole.png"
    code = f"""
        import sys
        from octree_client.cli import main
        status = main([{str(pyramid)!r}, "--screenshot", {str(path)!r}, "--size", "200x160"])
        assert not any(name.startswith(("PyQt", "PySide", "qtpy", "superqt")) for name in sys.modules)
        sys.exit(status)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    picture = read(path)
    assert picture.shape == (160, 200, 3)
    assert picture.std() > 20


@pytest.mark.gl
def test_a_screenshot_with_holes_is_written_and_told(pyramid: Path, tmp_path: Path, capsys: Any) -> None:
    import shutil

    broken, path = tmp_path / "broken.zarr", tmp_path / "holes.png"
    shutil.copytree(pyramid, broken)
    for name in ("0", "1"):
        chunk = broken / "0" / "c" / "1" / name
        chunk.write_bytes(chunk.read_bytes()[:30])
    arguments = [str(broken), "--center", "100,100", "--pixel-size", "0.5", "--size", "256x256"]
    assert main([*arguments, "--screenshot", str(path)]) == 66
    sentence = said(capsys)
    assert "is written, but" in sentence
    assert "truncated" in sentence
    assert read(path).shape == (256, 256, 3)


def test_pictures_are_there_whole_or_not_at_all(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 4)).astype("u1")
    write_picture(picture, tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == picture[..., :3]).all()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PictureNotWritten, match="cannot be written"):
        write_picture(picture, tmp_path / "folder.png")
    assert sorted(os.listdir(tmp_path)) == ["a.png", "folder.png"]


# --- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "12", "a.zarr"],
        ["--size", "8x8", "a.zarr"],
        ["--size", "1e9x100", "a.zarr"],
        ["--center", "5", "a.zarr"],
        ["--center", "nan,5", "a.zarr"],
        ["--pixel-size", "0", "a.zarr"],
        ["--pixel-size", "-1", "a.zarr"],
        ["--contrast", "5,1", "a.zarr"],
        ["--interpolation", "cubic", "a.zarr"],
        ["--timeout", "soon", "a.zarr"],
        ["--nonsense"],
    ],
    ids=" ".join,
)
def test_usage(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "octree-view: error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["a.zarr", "--connect", "ipc:///tmp/x.sock"], 2, "not both"),
        (["--connect", "http://x"], 2, "is not an address"),
        (["--connect", "ipc:///tmp/x.sock", "--config", "octree.json"], 2, "--config"),
        (["a.zarr", "b.zarr", "--export", "x.tif"], 2, "one SOURCE"),
        (["a.zarr", "b.zarr", "--dataset", "a"], 2, "one SOURCE"),
        (["a.zarr", 'octree://view#{"layers":[{"source":"/a"}]}'], 2, "stands alone"),
        (["a.zarr", "--colormap", "plaid"], 2, "there is no colour map named 'plaid'"),
        (["a.zarr", "--screenshot", "/nonexistent/shot.png"], 73, "there is no folder"),
    ],
)
def test_what_cannot_be_meant_together(arguments: list[str], status: int, words: str, capsys: Any) -> None:
    assert main(arguments) == status
    assert words in said(capsys)


def test_a_source_that_is_not_there(tmp_path: Path, capsys: Any) -> None:
    assert main([str(tmp_path / "nothing.zarr"), "--screenshot", str(tmp_path / "shot.png")]) == 66
    assert "nothing.zarr" in said(capsys)
    assert os.listdir(tmp_path) == []


def test_whether_a_daemon_is_there_is_known_at_once(session: octree_client.Session, tmp_path: Path) -> None:
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(stale))
    assert stale.exists()
    assert answers(session.connection.address)
    for nobody in (stale, tmp_path / "none.sock", tmp_path / ("long" * 50)):
        assert not answers(f"ipc://{nobody}")


def test_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    real = octree_client.session.connect
    monkeypatch.setattr(octree_client.session, "connect", lambda address, **options: real(address, 0.2, **options))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert main(["--screenshot", str(tmp_path / "shot.png")]) == 69
    sentence = said(capsys)
    assert "no daemon of this user answers" in sentence
    assert "octree-serve" in sentence
    assert main(["--connect", f"ipc://{tmp_path}/x.sock", "--screenshot", str(tmp_path / "shot.png")]) == 69
    assert "octree-serve" in said(capsys)


@pytest.mark.gl
def test_a_dataset_that_the_daemon_does_not_have(session: octree_client.Session, tmp_path: Path, capsys: Any) -> None:
    arguments = ["--connect", session.connection.address, "--dataset", "stars", "--screenshot", str(tmp_path / "s.png")]
    assert main(arguments) == 66
    assert "'stars'" in (sentence := said(capsys))
    assert "it serves rings" in sentence


def test_a_mistake_in_the_configuration(tmp_path: Path, capsys: Any) -> None:
    config = tmp_path / "octree.json"
    config.write_text('{"octree": {"tile_size": "large"}}')
    assert main(["--config", str(config), "--screenshot", str(tmp_path / "shot.png")]) == 78
    told = capsys.readouterr().err
    assert told.startswith("octree-view: ")
    assert "tile_size" in told
    assert "Traceback" not in told


@pytest.mark.gl
def test_a_screenshot_that_is_not_complete_in_time(
    session: octree_client.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from octree_client.transport.heard import Heard, News

    monkeypatch.setattr(Heard, "take", lambda *_: News())  # nothing ever comes
    path = tmp_path / "shot.png"
    assert main(["--connect", session.connection.address, "--screenshot", str(path), "--timeout", "0.3"]) == 75
    sentence = said(capsys)
    assert "cells are still missing after 0.3 s" in sentence
    assert not path.exists()


@pytest.mark.qt
@pytest.mark.parametrize("display_name", [None, ":987654"])
def test_no_display(pyramid: Path, display_name: str | None) -> None:
    changes = {} if display_name is None else {"DISPLAY": display_name}
    done = subprocess.run(
        [sys.executable, "-m", "octree_client.cli", str(pyramid)],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 69
    assert len(done.stderr.strip().splitlines()) == 1
    assert "display" in done.stderr
    assert "--screenshot" in done.stderr


# --- words ----------------------------------------------------------------------------------------------------------


def test_help_helps(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    for binding in all_bindings():
        assert binding.text[1:].replace("…", "") in text
    for code in (66, 69, 73, 75, 78):
        assert f"{code} " in text
    assert max(map(len, text.splitlines())) <= 120


def test_version(capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("octree-view ")


def test_numbers_below_zero_need_no_equals_sign() -> None:
    options = cli_options.read_options(["a", "--center", "-5,-3.5", "--contrast", "-1,2"])
    assert options.center == (-5.0, -3.5)
    assert options.contrast == (-1.0, 2.0)


# --- life -----------------------------------------------------------------------------------------------------------


@pytest.mark.gl
@pytest.mark.qt
@pytest.mark.usefixtures("display")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_window_and_ends_the_daemon(pyramid: Path, number: int) -> None:
    """The window says when it shows the image, in the middle of a frame: that is when the signal comes."""
    code = f"""
        import sys
        from octree_client.gui import window
        from octree_client.cli import main
        real = window.ViewerWindow.__init__
        def tell(self, *arguments):
            real(self, *arguments)
            def opened():
                self.viewer.on_frame.append(look)
            def look():
                if self.viewer.is_final() and not told:
                    told.append(print(self.viewer.sessions[0].daemon_pid, flush=True))
            told = []
            self.opened.connect(opened)
        window.ViewerWindow.__init__ = tell
        sys.exit(main([{str(pyramid)!r}, "--size", "800x600", "--pixel-size", "0.5"]))
    """
    viewer = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert viewer.stdout is not None
    daemon = psutil.Process(int(viewer.stdout.readline()))
    workers = daemon.children(recursive=True)
    viewer.send_signal(number)
    _, told = viewer.communicate(timeout=20)
    assert viewer.returncode == 0, told
    assert told.replace("QStandardPaths: XDG_RUNTIME_DIR not set", "").count("\n") <= 1, told
    assert "Traceback" not in told
    assert psutil.wait_procs([daemon, *workers], timeout=5)[1] == []


def test_a_signal_while_it_is_being_opened_leaves_nothing(pyramid: Path, tmp_path: Path) -> None:
    """The daemon has just been started, and its folder made; nobody has heard of it yet."""
    code = f"""
        import sys
        from octree_client.transport import embedded
        from octree_client.cli import main
        real = embedded.EmbeddedDaemon.start
        def start(self):
            real(self)
            print(self.pid, flush=True)
        embedded.EmbeddedDaemon.start = start
        sys.exit(main([{str(pyramid)!r}, "--screenshot", {str(tmp_path / "shot.png")!r}]))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(TMPDIR=str(tmp_path)),
    ) as viewer:
        assert viewer.stdout is not None
        daemon = psutil.Process(int(viewer.stdout.readline()))
        viewer.terminate()
        _, told = viewer.communicate(timeout=20)
        assert (viewer.returncode, told) == (143, "")
        assert psutil.wait_procs([daemon], timeout=10)[1] == []
    assert os.listdir(tmp_path) == []


@pytest.mark.gl
@pytest.mark.qt
@pytest.mark.usefixtures("display")
def test_a_window_on_what_cannot_be_opened_ends_with_the_reason(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "octree_client.cli", str(tmp_path / "nothing.zarr")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert done.returncode == 66
    assert "nothing.zarr" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.gl
@pytest.mark.qt
@pytest.mark.usefixtures("display")
def test_without_a_daemon_the_window_is_empty_and_starts_one_for_the_first_image(pyramid: Path, tmp_path: Path) -> None:
    code = f"""
        import sys
        from octree_client.gui import window
        from octree_client.cli import main
        real = window.ViewerWindow.__init__
        def tell(self, *arguments):
            real(self, *arguments)
            def opened():
                print(len(self.viewer.layers), self.stage.welcome.isVisible(), flush=True)
                self.viewer.on_frame.append(look)
                self.adding.add({str(pyramid)!r})
            def look():
                if len(self.viewer.layers) and self.viewer.is_final() and not told:
                    told.append(print(self.viewer.sessions[0].daemon_pid, self.stage.welcome.isVisible(), flush=True))
            told = []
            self.opened.connect(opened)
        window.ViewerWindow.__init__ = tell
        sys.exit(main([]))
    """
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
    ) as viewer:
        assert viewer.stdout is not None
        assert viewer.stdout.readline().split() == ["0", "True"]
        pid, welcome = viewer.stdout.readline().split()
        assert welcome == "False"
        daemon = psutil.Process(int(pid))
        viewer.terminate()
        _, told = viewer.communicate(timeout=20)
        assert viewer.returncode == 0, told
        assert "Traceback" not in told
        assert psutil.wait_procs([daemon], timeout=5)[1] == []
