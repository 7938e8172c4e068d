"""Exports: what was written is read again by other libraries, and what ended early leaves nothing."""

from __future__ import annotations

import os
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
from octree_client import export_plan
from octree_client.cli import main
from octree_client.colormaps import colormap_table
from octree_client.exit_codes import EXIT_NOT_WRITTEN, EXIT_USAGE
from octree_client.export import ExportCancelled, Look, NotExported, run_export
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
    }


@pytest.fixture(scope="module")
def session(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Iterator[octree_client.Session]:
    folder = tmp_path_factory.mktemp("export")
    write_pyramid(folder / "stack.zarr", arrays["stack"], axes="zyx", scale=0.5, chunk=128)
    sources = {"stack": str(folder / "stack.zarr")}
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
    assert (tifffile.imread(tmp_path / "cut.tif").squeeze() == arrays["stack"][:, 100]).all()


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
        if name == "a.zarr":
            continue  # zarr makes the folders on the way
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
