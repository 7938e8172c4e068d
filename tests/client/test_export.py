"""Exports: what was written is read again by other libraries, and what ended early leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image as PillowImage

import octree_client
from octree_client import export_plan, reading
from octree_client.cli import main
from octree_client.colormaps import colormap_table
from octree_client.exit_codes import EXIT_NOT_WRITTEN, EXIT_UNREADABLE, EXIT_USAGE
from octree_client.export import ExportCancelled, Look, NotExported, run_export
from octree_client.export_metadata import ome_attributes
from octree_client.export_plan import plan_export
from octree_client.thumbnail import coloured
from octree_loader.demo.pyramid import write_pyramid


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    y, x = np.mgrid[:700, :1300]
    plane = (20000 + 15000 * np.sin(np.hypot(y - 300, x - 600) / 15) + 3 * y).astype("u2")
    return {
        "stack": np.stack([plane + 50 * z for z in range(3)]),
        "colour": np.stack([plane >> 8, y // 4, x // 8], axis=-1).astype("u1"),
        "float": (plane / 1000.0 - 20.0).astype("f4"),
        "mask": plane > 20000,
        "cells": np.stack([np.stack([plane[:90, :70] + 9 * t + c for c in range(2)]) for t in range(3)]),
    }


def write_cells(path: Path, cells: np.ndarray) -> None:
    """Times and channels, with names, colours, windows and units."""
    group = zarr.create_group(str(path), zarr_format=3)
    array = group.create_array("0", shape=cells.shape, chunks=(1, 1, 64, 64), dtype=cells.dtype)
    array[...] = cells
    units = (("t", "time", "second"), ("c", "channel", ""), ("y", "space", "micrometer"), ("x", "space", "micrometer"))
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": n, "type": kind} | ({"unit": unit} if unit else {}) for n, kind, unit in units],
                "datasets": [
                    {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.5, 1.0, 0.3, 0.4]}]}
                ],
            }
        ],
        "omero": {
            "channels": [
                {"label": "DNA", "color": "FF0000", "window": {"start": 100, "end": 9000, "min": 0, "max": 65535}},
                {"label": "actin", "color": "00FF00", "window": {"start": 7, "end": 80, "min": 0, "max": 65535}},
            ]
        },
    }


@pytest.fixture(scope="module")
def session(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Iterator[octree_client.Session]:
    folder = tmp_path_factory.mktemp("export")
    write_pyramid(folder / "stack.zarr", arrays["stack"], axes="zyx", scale=0.5, chunk=128)
    write_cells(folder / "cells.zarr", arrays["cells"])
    sources = {"stack": str(folder / "stack.zarr"), "cells": str(folder / "cells.zarr")}
    for name in ("colour", "float", "mask"):
        np.save(folder / f"{name}.npy", arrays[name])
        sources[name] = str(folder / f"{name}.npy")
    with octree_client.open(datasets=sources, settings={"memory": {"arena_bytes": "64MiB"}}) as session:
        yield session


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that even small images are many."""
    real = export_plan.pieces
    monkeypatch.setattr("octree_client.export.pieces", lambda *arguments: real(*arguments, 300_000))


def test_a_tiff(session: octree_client.Session, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    image = session.dataset("stack")
    seen: list[tuple[int, int]] = []
    path = tmp_path / "out.ome.tif"
    run_export(
        image,
        plan_export(image.dataset, path.name, 0, (20.0, 30.0, 320.0, 600.0)),
        path,
        progress=lambda done, total: seen.append((done, total)),
    )
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert file.series[0].axes == "ZYX"
        assert 'PhysicalSizeX="0.5"' in str(file.ome_metadata)
        assert (file.series[0].asarray() == arrays["stack"][:, 40:641, 60:1201]).all()
    assert seen == [(n + 1, len(seen)) for n in range(len(seen))]
    assert len(seen) > 5
    assert os.listdir(tmp_path) == ["out.ome.tif"]


def test_a_tiff_of_a_cut(session: octree_client.Session, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    image = session.dataset("stack")
    plan = plan_export(image.dataset, "cut.tif", 0, None, displayed=(0, 2), point={"y": 50.0})
    run_export(image, plan, tmp_path / "cut.tif")
    with tifffile.TiffFile(tmp_path / "cut.tif") as file:
        assert (file.asarray().squeeze() == arrays["stack"][:, 100]).all()
        assert file.is_ome, "a cut is one, too, and says what is its Y"
        assert "Y is z, X is x" in str(file.ome_metadata)


def test_channels_and_times_are_in_an_ome_tiff(
    session: octree_client.Session, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    image = session.dataset("cells")
    run_export(image, plan_export(image.dataset, "a.tif", 0, None), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert (file.asarray() == arrays["cells"]).all()
        assert file.series[0].axes == "TCYX"
        said = str(file.ome_metadata)
    for words in ('Name="DNA"', 'Name="actin"', 'Color="-16776961"', 'Color="16711935"', 'PhysicalSizeXUnit="µm"',
                  'TimeIncrement="1.5"', 'TimeIncrementUnit="s"'):  # fmt: skip
        assert words in said, said
    run_export(image, plan_export(image.dataset, "b.tif", 0, None, point={"c": 1.0}), tmp_path / "b.tif")
    said = str(tifffile.tiffcomment(tmp_path / "b.tif"))
    assert ('Name="actin"' in said, 'Name="DNA"' in said) == (True, False)


def test_a_tiff_of_colours_and_of_truths(
    session: octree_client.Session, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    for name in ("colour", "mask", "float"):
        image = session.dataset(name)
        run_export(image, plan_export(image.dataset, "a.tif", 0, None), tmp_path / f"{name}.tif")
        assert (tifffile.imread(tmp_path / f"{name}.tif") == arrays[name]).all()


def test_an_ome_zarr_is_opened_again(
    session: octree_client.Session, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    image = session.dataset("stack")
    path = tmp_path / "out.ome.zarr"
    run_export(image, plan_export(image.dataset, path.name, 0, (20.0, 30.0, 320.0, 600.0)), path)
    expected = arrays["stack"][:, 40:641, 60:1201]
    group = zarr.open_group(path, mode="r")
    assert (np.asarray(group["0"]) == expected).all()
    with octree_client.open(str(path)) as other:
        again = other.dataset()
        assert again.axes == image.axes
        assert (again.levels[0][:] == expected).all()
        assert len(again.levels) == len(image.levels)
        for level, (mine, theirs) in enumerate(zip(again.levels, image.levels, strict=True)):
            assert mine.scale == pytest.approx(theirs.scale)
            # The same voxel lies at the same place of the world.
            start = [
                round((a - b) / s) for a, b, s in zip(mine.translation, theirs.translation, mine.scale, strict=True)
            ]
            if level == 1:
                part = theirs[tuple(slice(at, at + size) for at, size in zip(start, mine.shape, strict=True))]
                assert (mine[:] == part).all()


def test_an_ome_zarr_keeps_channels_and_places(
    session: octree_client.Session, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    image = session.dataset("cells")
    plan = plan_export(image.dataset, "a.zarr", 0, (6.0, 8.0, 12.0, 20.0), point={"t": 3.0})
    run_export(image, plan, tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert (np.asarray(group["0"]) == arrays["cells"][2:3, :, 20:41, 20:51]).all()
    ome: Any = group.attrs["ome"]
    assert [(c["label"], c["color"], c["window"]["start"], c["window"]["end"]) for c in ome["omero"]["channels"]] == [
        ("DNA", "FF0000", 100, 9000),
        ("actin", "00FF00", 7, 80),
    ]
    scale, translation = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [1.5, 1.0, 0.3, 0.4]}
    assert translation["translation"] == pytest.approx([3.0, 0.0, 6.0, 8.0])
    with octree_client.open(str(tmp_path / "a.zarr"), settings={"memory": {"arena_bytes": "16MiB"}}) as other:
        assert other.dataset().dataset.channels == image.dataset.channels
        assert other.dataset().axis_details == image.axis_details
    one = plan_export(image.dataset, "b.zarr", 0, None, point={"c": 1.0})
    assert [c["label"] for c in ome_attributes(image.dataset, one)["omero"]["channels"]] == ["actin"]


# --- what cannot be read --------------------------------------------------------------------------------------------


@pytest.fixture
def broken(arrays: dict[str, np.ndarray], tmp_path: Path) -> Iterator[tuple[octree_client.Image, list[Path]]]:
    """An image of 6 x 11 chunks of which two are spoilt, and their files."""
    path = write_pyramid(tmp_path / "data" / "broken.zarr", arrays["stack"][0], scale=0.5, chunk=128)
    files = [path / "0" / "c" / where for where in ("1/2", "5/10")]
    for file in files:
        file.with_name(f"{file.name}.whole").write_bytes(file.read_bytes())
        file.write_bytes(file.read_bytes()[:30])
    settings = {"memory": {"arena_bytes": "32MiB"}, "octree": {"tile_size": 128}}
    with octree_client.open(str(path), settings=settings) as own:
        yield own.dataset(), files


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.zarr"])
def test_what_cannot_be_read_is_filled_and_told(
    broken: tuple[octree_client.Image, list[Path]], arrays: dict[str, np.ndarray], tmp_path: Path, name: str
) -> None:
    image, _ = broken
    done = run_export(image, plan_export(image.dataset, name, 0, None), tmp_path / name)
    expected = arrays["stack"][0].copy()
    expected[128:256, 256:384] = expected[640:, 1280:] = 0
    if name == "a.png":
        with PillowImage.open(tmp_path / name) as picture:
            found = np.asarray(picture)
    else:
        found = (
            tifffile.imread(tmp_path / name) if name == "a.tif" else np.asarray(zarr.open_group(tmp_path / name)["0"])
        )
    assert (found == expected).all()
    holes = [hole for hole in done.holes if hole.level == 0]
    assert [hole.box for hole in holes] == [((128, 256), (256, 384)), ((640, 700), (1280, 1300))]
    assert "2 chunks could not be read and hold 0: level 0, y 128–255, x 256–383; level 0, y 640–699, x" in done.problem
    assert "truncated" in done.problem


def test_what_cannot_be_read_is_asked_for_once_more(
    broken: tuple[octree_client.Image, list[Path]],
    arrays: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, files = broken
    real = reading.read_box

    def then_mended(*arguments: Any, **options: Any) -> Any:
        found = real(*arguments, **options)
        for file in files:
            file.write_bytes(file.with_name(f"{file.name}.whole").read_bytes())
        return found

    monkeypatch.setattr(reading, "read_box", then_mended)
    whole = plan_export(image.dataset, "a.png", 0, (64.0, 128.0, 127.5, 191.5))
    assert run_export(image, whole, tmp_path / "a.png").problem == ""
    with PillowImage.open(tmp_path / "a.png") as picture:
        assert (np.asarray(picture) == arrays["stack"][0][128:256, 256:384]).all()


def test_where_nothing_can_be_read_nothing_is_written(
    broken: tuple[octree_client.Image, list[Path]], tmp_path: Path, capsys: Any
) -> None:
    image, _ = broken
    inside = (70.0, 140.0, 100.0, 180.0)
    with pytest.raises(NotExported, match="nothing of broken could be read"):
        run_export(image, plan_export(image.dataset, "a.tif", 0, inside), tmp_path / "a.tif")
    assert not (tmp_path / "a.tif").exists()
    arguments = ["--connect", image.session.connection.address, "--export", str(tmp_path / "b.tif")]
    assert main([*arguments, "--region", "70,140,200,180"]) == EXIT_UNREADABLE
    assert "b.tif is written, but a chunk could not be read and holds 0" in capsys.readouterr().err
    assert (tmp_path / "b.tif").exists()


def test_pngs(session: octree_client.Session, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    def written(name: str, look: Look | None = None, **options: Any) -> np.ndarray:
        image = session.dataset(name)
        path = tmp_path / f"{name}.png"
        run_export(image, plan_export(image.dataset, path.name, 0, None, **options), path, look=look, overwrite=True)
        with PillowImage.open(path) as picture:
            return np.asarray(picture)

    assert (written("stack", point={"z": 0.5}) == arrays["stack"][1]).all()
    assert (written("colour") == arrays["colour"]).all()
    assert (written("mask") == arrays["mask"] * 255).all()
    table = colormap_table("viridis")
    shown = written("float", Look((0.0, 10.0), 1.5, table))
    assert (shown == coloured(arrays["float"], (0.0, 10.0), 1.5, table)[..., :3]).all()
    with pytest.raises(NotExported, match="contrast limits"):
        written("float")
    assert sorted(os.listdir(tmp_path)) == ["colour.png", "float.png", "mask.png", "stack.png"]


@pytest.mark.parametrize("name", ["a.zarr", "a.tif", "a.png"])
def test_what_was_cancelled_leaves_nothing(session: octree_client.Session, tmp_path: Path, name: str) -> None:
    image, cancelled = session.dataset("stack"), threading.Event()
    plan = plan_export(image.dataset, name, 0, None, point={"z": 0.0})
    (tmp_path / "a.tif").write_text("what was there")

    def progress(done: int, _total: int) -> None:
        if done == 2:
            cancelled.set()

    with pytest.raises(ExportCancelled):
        run_export(image, plan, tmp_path / name, overwrite=True, progress=progress, cancelled=cancelled)
    assert os.listdir(tmp_path) == ["a.tif"]
    assert (tmp_path / "a.tif").read_text() == "what was there"


def test_what_is_there_is_replaced_only_when_told(session: octree_client.Session, tmp_path: Path) -> None:
    image = session.dataset("stack")
    for name in ("a.tif", "b.zarr"):
        path = tmp_path / name
        plan = plan_export(image.dataset, name, 2, None)
        run_export(image, plan, path)
        before = path.stat().st_ino
        with pytest.raises(NotExported, match="there already"):
            run_export(image, plan, path)
        assert path.stat().st_ino == before
        run_export(image, plan, path, overwrite=True)
        assert path.stat().st_ino != before
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "c.zarr" / "thesis.tex").write_text("mine")
    with pytest.raises(NotExported, match="not an OME-Zarr"):
        run_export(image, plan, tmp_path / "c.zarr", overwrite=True)
    assert (tmp_path / "c.zarr" / "thesis.tex").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["a.tif", "b.zarr", "c.zarr"]


def test_a_folder_that_is_not_there_is_said(session: octree_client.Session, tmp_path: Path) -> None:
    image = session.dataset("stack")
    for name in ("a.tif", "a.png", "a.zarr"):
        plan = plan_export(image.dataset, name, 3, None, point={"z": 0.0})
        path = tmp_path / "nowhere" / name
        with pytest.raises(NotExported, match="nowhere"):
            run_export(image, plan, path)


def test_the_command_line(
    session: octree_client.Session, arrays: dict[str, np.ndarray], tmp_path: Path, capsys: Any
) -> None:
    command = ["--connect", session.connection.address, "--dataset", "stack"]
    path = tmp_path / "out.tif"
    arguments = [*command, "--export", str(path), "--region", "20,30,320,600", "--level", "0", "--at", "z=0.5"]
    assert main(arguments) == 0
    assert (tifffile.imread(path).squeeze() == arrays["stack"][1, 40:641, 60:1201]).all()
    assert main(arguments) == EXIT_NOT_WRITTEN
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    for wrong in (["--level", "99"], ["--at", "q=1"], ["--region", "0,-50,1,-40"], ["--export", "x.jpg"]):
        assert main([*arguments, "--overwrite", *wrong]) == EXIT_USAGE
        error = capsys.readouterr().err
        assert error.startswith("octree-view: ")
    picture = tmp_path / "out.png"
    command[-1] = "float"
    assert main([*command, "--export", str(picture), "--colormap", "magma", "--contrast", "0,10"]) == 0
    with PillowImage.open(picture) as shown:
        expected = coloured(arrays["float"], (0.0, 10.0), 1.0, colormap_table("magma"))
        assert (np.asarray(shown) == expected[..., :3]).all()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_export_that_is_interrupted_leaves_nothing(tmp_path: Path, number: int, status: int) -> None:
    """Of an image without end; it is interrupted when the file has begun to grow."""
    folder = tmp_path / "out"
    folder.mkdir()
    code = f"""
        import signal, sys
        from octree_client import export
        from octree_client.cli import main
        # A shell starts what runs in the background, these tests perhaps among it, with Ctrl-C ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        real = export.run_export
        def told(*arguments, progress, **options):
            return real(*arguments, progress=lambda done, total: print(done, flush=True), **options)
        export.run_export = told
        sys.exit(main(["octree_loader.demo.fractal:mandelbrot", "--export", {str(folder / "a.tif")!r}]))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "1"
        assert len(os.listdir(folder)) == 1
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (status, "")
    assert os.listdir(folder) == []
