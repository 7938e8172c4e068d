"""The demo's images: the same voxels wherever they are asked for, and pyramids that are whole or not there."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_loader.demo.fractal import ITERATIONS, WIDTH, mandelbrot
from octree_loader.demo.pyramid import main, write_pyramid
from octree_loader.demo.pyramid_blocks import halved
from octree_loader.demo.tissue import Tissue
from octree_loader.demo.unfinished import PyramidError


def test_fractal_has_levels_down_to_one_chunk() -> None:
    levels = mandelbrot().levels
    assert levels[0].shape == (1 << 20, 1 << 20)
    assert levels[-1].shape == (256, 256)
    assert len(levels) == 13
    for n, level in enumerate(levels):
        assert level.scale == (2.0**n, 2.0**n)
        # The outer edge of the image is the same at every level.
        assert level.translation[0] - level.scale[0] / 2 == -0.5


@pytest.mark.parametrize("edge", [0, 100, 255, 1000, 1 << 25])
def test_fractal_refuses_an_edge_that_it_cannot_halve(edge: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        mandelbrot(edge)


def test_fractal_is_what_the_definition_says() -> None:
    level = mandelbrot(1 << 12).levels[0]
    middle = level.shape[0] // 2
    voxels = level[middle : middle + 24, middle - 12 : middle + 12]
    for row, column in ((0, 0), (5, 17), (23, 23)):
        y = 0.131825904205330 + (row + 0.5) * WIDTH / level.shape[0]
        x = -0.743643887037151 + (column - 12 + 0.5) * WIDTH / level.shape[1]
        c, z, n = complex(x, y), 0j, 0
        while abs(z) <= 4 and n < ITERATIONS:
            z, n = z * z + c, n + 1
        assert (voxels[row, column] == 0) == (n == ITERATIONS)


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 900), st.integers(0, 900), st.integers(1, 90), st.integers(1, 90))
def test_fractal_is_the_same_however_it_is_cut(y: int, x: int, height: int, width: int) -> None:
    """A chunk inside the set is filled without being computed; that must not show at its edges."""
    level = mandelbrot(1 << 20).levels[0]
    top, left = level.shape[0] // 2 - 512 + y, level.shape[1] // 2 - 512 + x
    whole = level[top : top + height, left : left + width]
    assert whole.shape == (height, width)
    alone = level[top + height // 2, left + width // 2]
    assert alone.shape == ()
    assert whole[height // 2, width // 2] == alone
    np.testing.assert_array_equal(level[top : top + 1, left : left + width], whole[:1])


def test_fractal_reads_like_numpy() -> None:
    level = mandelbrot(256).levels[0]
    whole = level[:, :]
    assert whole.dtype == level.dtype == np.uint16
    np.testing.assert_array_equal(level[10:20:3, 250:300], whole[10:20:3, 250:300])
    np.testing.assert_array_equal(level[7], whole[7])
    assert level[300:310, :].shape == (0, 256)
    with pytest.raises(IndexError):
        level[0, 0, 0]


def test_tissue_is_the_same_however_it_is_cut() -> None:
    tissue = Tissue(4096, seed=3)
    whole = tissue(((1000, 1600), (1500, 2100)))
    assert whole.shape == (600, 600)
    assert whole.dtype == tissue.dtype
    np.testing.assert_array_equal(tissue(((1100, 1101), (1536, 1700))), whole[100:101, 36:200])
    assert not np.array_equal(Tissue(4096, seed=4)(((1000, 1600), (1500, 2100))), whole)


def test_tissue_has_no_seams_between_tiles() -> None:
    tissue = Tissue()
    left, right = tissue._signal(8192, 8192), tissue._signal(8192, 8704)
    across = np.abs(left[:, -1] - right[:, 0]).mean()
    within = np.abs(np.diff(left[:, -8:], axis=1)).mean()
    assert across < 1.5 * within


def _reference(voxels: np.ndarray) -> np.ndarray:
    """The mean of 2 x 2, by reshaping in float64; an odd edge counts twice."""
    odd = [(0, 0)] * (voxels.ndim - 2) + [(0, n % 2) for n in voxels.shape[-2:]]
    wide = np.pad(voxels, odd, mode="edge").astype(np.float64)
    *lead, height, width = wide.shape
    mean = wide.reshape(*lead, height // 2, 2, width // 2, 2).mean(axis=(-3, -1))
    return (np.floor(mean + 0.5) if voxels.dtype.kind in "iu" else mean).astype(voxels.dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", ">u2"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 8), (3, 7, 9)])
def test_halved_is_the_mean(dtype: str, shape: tuple[int, ...]) -> None:
    voxels = (np.random.default_rng(5).uniform(-1, 1, shape) * 100 + 100).astype(dtype)
    assert halved(voxels).dtype == voxels.dtype
    np.testing.assert_allclose(halved(voxels), _reference(voxels), rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"zarr_format": 2, "codec": "zstd"},
        {"codec": "default"},
        {"shards": 512, "codec": "zstd"},
        {"shards": (1, 512, 1024), "chunk": (1, 128, 256), "workers": 2},
        {"codec": "none", "levels": 2},
    ],
    ids=["v3", "v2", "default-codec", "shards", "two-workers", "two-levels"],
)
def test_every_level_of_a_pyramid_is_the_mean_of_the_one_before(tmp_path: Path, options: dict[str, Any]) -> None:
    image = np.random.default_rng(0).integers(0, 65535, (2, 300, 4301), dtype="u2")
    path = write_pyramid(tmp_path / "new" / "image.zarr", image, scale=0.5, **options)
    group = zarr.open_group(str(path), mode="r")
    two = options.get("zarr_format") == 2
    multiscale = (group.attrs["multiscales"] if two else group.attrs["ome"]["multiscales"])[0]
    assert [axis["name"] for axis in multiscale["axes"]] == ["z", "y", "x"]
    assert len(multiscale["datasets"]) == options.get("levels", 6)
    expected = image
    for n, dataset in enumerate(multiscale["datasets"]):
        np.testing.assert_array_equal(group[dataset["path"]][...], expected)
        scale, translation = dataset["coordinateTransformations"]
        assert scale["scale"] == [0.5, 0.5 * 2**n, 0.5 * 2**n]
        assert translation["translation"] == [0, 0.25 * (2**n - 1), 0.25 * (2**n - 1)]
        expected = _reference(expected)
    assert [entry.name for entry in path.parent.iterdir()] == ["image.zarr"]


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "image.zarr").write_text("mine")
    with pytest.raises(PyramidError, match="is there already"):
        write_pyramid(tmp_path / "image.zarr", np.zeros((4, 4)))
    assert (tmp_path / "image.zarr").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"codec": "jpeg"}, "lz4, zstd, default or none"),
        ({"zarr_format": 4}, "2 or 3"),
        ({"zarr_format": 2, "shards": 512}, "zarr_format=3"),
        ({"shards": 300}, "whole multiples"),
        ({"axes": "zyx"}, "do not fit"),
        ({"axes": "ab"}, "do not fit"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        write_pyramid(tmp_path / "image.zarr", np.zeros((4, 4)), **options)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_pyramid_is_not_there_and_is_taken_up_again(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 999, (2048 * 2 + 7, 2048), dtype="u2")
    computed = []

    def tile(box: tuple[tuple[int, int], ...]) -> np.ndarray:
        if len(computed) == 2 and box not in computed:
            computed.append(box)
            raise KeyboardInterrupt
        computed.append(box)
        return image[tuple(slice(*edge) for edge in box)]

    path = tmp_path / "image.zarr"
    with pytest.raises(KeyboardInterrupt):
        write_pyramid(path, tile, image.shape, image.dtype, identity="one")
    assert not path.exists()
    write_pyramid(path, tile, image.shape, image.dtype, identity="one")
    assert computed == [((0, 2048), (0, 2048)), ((2048, 4096), (0, 2048)), *[((4096, 4103), (0, 2048))] * 2]
    np.testing.assert_array_equal(zarr.open_group(str(path), mode="r")["0"][...], image)
    np.testing.assert_array_equal(zarr.open_group(str(path), mode="r")["1"][...], _reference(image))


def test_an_interrupted_pyramid_of_another_name_is_begun_anew(tmp_path: Path) -> None:
    path, image = tmp_path / "image.zarr", np.ones((2048, 4096), "u1")

    def failing(box: tuple[tuple[int, int], ...]) -> np.ndarray:
        if box[1][0]:
            raise KeyboardInterrupt
        return np.zeros((2048, 2048), "u1")

    with pytest.raises(KeyboardInterrupt):
        write_pyramid(path, failing, image.shape, image.dtype, identity="one")
    write_pyramid(path, image, identity="other")
    assert zarr.open_group(str(path), mode="r")["0"][...].all()


class _Dies:
    """An image whose second block kills the process that computes it."""

    shape, dtype = (2048, 4096), np.dtype("u1")

    def __call__(self, box: tuple[tuple[int, int], ...]) -> np.ndarray:
        if box[1][0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros((2048, 2048), "u1")


class _Raises(_Dies):
    """An image whose second block cannot be computed."""

    def __call__(self, box: tuple[tuple[int, int], ...]) -> np.ndarray:
        if box[1][0]:
            raise ZeroDivisionError("no such number")
        return np.zeros((2048, 2048), "u1")


@pytest.mark.parametrize(("image", "reason"), [(_Dies(), "process died"), (_Raises(), "no such number")])
def test_a_worker_that_fails_ends_the_writing_with_the_reason(tmp_path: Path, image: _Dies, reason: str) -> None:
    with pytest.raises(PyramidError, match=reason):
        write_pyramid(tmp_path / "image.zarr", image, workers=2)
    assert not (tmp_path / "image.zarr").exists()


def test_command_writes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tissue.zarr"
    arguments = [str(path), "--edge", "600", "--workers", "1", "--codec", "zstd"]
    assert main(arguments) == 0
    np.testing.assert_array_equal(zarr.open_group(str(path), mode="r")["0"][...], Tissue(600)(((0, 600), (0, 600))))
    assert main(arguments) == 0
    assert "is there already" in capsys.readouterr().out
