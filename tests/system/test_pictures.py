"""The settled picture, through the whole chain, against numpy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.client.reference import clear_of, colours, inside, over, resample, voxel_positions

import octree_client
from octree_client.viewer import BACKGROUND
from octree_loader.demo.pyramid import write_pyramid

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"

SMALL: dict[str, Any] = {"memory": {"arena_bytes": "64MiB"}, "octree": {"tile_size": 64}}

LIMITS = (0.0, 4000.0)


@pytest.fixture(scope="module")
def voxels() -> np.ndarray:
    rows, columns = np.mgrid[0:700, 0:900]
    smooth = 2000 + 1500 * np.sin(rows / 37) * np.cos(columns / 23)
    return (smooth + np.random.default_rng(1).integers(0, 400, smooth.shape)).astype(np.uint16)


@pytest.fixture(scope="module")
def session(module_folder: Path, voxels: np.ndarray) -> Iterator[octree_client.Session]:
    path = write_pyramid(module_folder / "image.zarr", voxels, chunk=100)
    # A chunk that was never written, in the midst of the image.
    (path / "0" / "c" / "3" / "4").unlink()
    with octree_client.open(path, settings=SMALL) as session:
        yield session


@pytest.fixture(scope="module")
def viewer(session: octree_client.Session) -> Iterator[octree_client.Viewer]:
    with octree_client.Viewer(session.dataset(), size=(400, 300), visible=False) as viewer:
        viewer.layers[0].contrast_limits = LIMITS
        yield viewer


def compare(
    viewer: octree_client.Viewer, interpolation: str, opacity: float = 1.0, array: np.ndarray | None = None
) -> np.ndarray:
    """Settle, and compare with numpy's resampling of the level that is shown, or of `array`; returns the picture."""
    viewer.layers[0].interpolation = interpolation
    viewer.layers[0].opacity = opacity
    viewer.wait_until_final(30)
    number = viewer.layers[0].level
    assert number is not None
    voxels = viewer.layers[0].image.levels[number][...] if array is None else array
    level, camera = viewer.layers[0].levels[number], viewer.camera
    values = resample(lambda rows, columns: voxels[rows, columns], level, camera, interpolation)
    background = np.broadcast_to(np.rint(np.array(BACKGROUND) * 255), (*values.shape[:2], 3))
    expected = over(background, colours(values, viewer.layers[0].contrast_limits), opacity, inside(level, camera))
    picture = viewer.render()
    difference = np.abs(picture[..., :3] - expected).max(axis=-1)
    if interpolation == "nearest":
        # A pixel on the border between two voxels may fall to either side.
        rows, columns = voxel_positions(level, camera)
        difference = difference[np.ix_(clear_of(rows, 1e-3), clear_of(columns, 1e-3))]
        assert difference.size > 0.7 * picture[..., 0].size
    assert difference.max() <= 1.01
    return picture


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("center", "pixel_size", "level"),
    [
        ((149.5, 199.5), 1.0, 0),
        ((150.2, 210.7), 0.37, 0),
        ((350.0, 450.0), 2.0, 1),
        ((340.0, 460.0), 3.3, None),
        ((689.5, 879.5), 1.0, 0),
        ((0.0, 0.0), 1.5, None),
        ((350.0, 450.0), 9.0, None),
        ((-4999.5, 8999.5), 1.0, None),
    ],
    ids=["1:1", "zoomed in", "half", "between", "over the far edge", "over the near edge", "all of it", "beside it"],
)
def test_the_settled_picture_is_numpys(
    viewer: octree_client.Viewer, interpolation: str, center: tuple[float, float], pixel_size: float, level: int | None
) -> None:
    viewer.set_view(center=center, pixel_size=pixel_size)
    compare(viewer, interpolation)
    if level is not None:
        assert viewer.layers[0].level == level
    assert viewer.status().failed == 0


def test_a_missing_chunk_is_drawn_in_the_fill_value(
    viewer: octree_client.Viewer, session: octree_client.Session
) -> None:
    viewer.set_view(center=(349.5, 449.5), pixel_size=1.0)
    picture = compare(viewer, "nearest")
    assert viewer.status().missing >= 1
    assert viewer.status().is_final
    # Chunk (3, 4) has its corner at voxel (300, 400); the canvas begins at voxel (200, 250).
    assert (picture[110:180, 160:230, :3] == 0).all()
    assert picture[50, 50, 0] > 0
    assert (session.dataset().levels[0][300:400, 400:500] == 0).all()


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_with_half_opacity_each_pixel_is_painted_once(viewer: octree_client.Viewer, interpolation: str) -> None:
    try:
        for center, pixel_size in (((149.5, 199.5), 1.0), ((690.3, 880.2), 2.7)):
            viewer.set_view(center=center, pixel_size=pixel_size)
            compare(viewer, interpolation, opacity=0.5)
    finally:
        viewer.layers[0].opacity = 1.0


def test_mixed_levels_at_half_opacity_are_painted_once(session: octree_client.Session, module_folder: Path) -> None:
    """While chunks are still to come: nothing is drawn on top of anything else."""
    with (
        octree_client.open(module_folder / "image.zarr", settings=SMALL, delay_ms=30) as slow,
        octree_client.Viewer(slow.dataset(), size=(400, 300), visible=False) as viewer,
    ):
        viewer.layers[0].contrast_limits = (0.0, 1.0)  # everything that is drawn is white, but for the missing chunk
        viewer.layers[0].opacity = 0.5
        viewer.wait_until_final(30)
        viewer.set_view(center=(149.5, 199.5), pixel_size=1.0)
        half = np.rint((np.rint(np.array(BACKGROUND) * 255) + 255) / 2)
        mixed = 0
        while not viewer.is_final():
            drawn = viewer.statistics()["chunks"]
            viewer._driver.wait(lambda before=drawn: viewer.statistics()["chunks"] > before, 5.0)
            picture = viewer.render()[..., :3].astype(float)
            status = viewer.status()
            mixed += 0 < status.final < status.final + status.provisional
            assert status.empty == 0
            assert np.abs(picture - half).max() <= 1.01
        assert mixed > 0, "all came at once, so nothing was seen"
    assert session.connection.problem == ""


def test_the_value_under_the_cursor(viewer: octree_client.Viewer, voxels: np.ndarray) -> None:
    viewer.set_view(center=(150.0, 200.0), pixel_size=1.0)
    viewer.wait_until_final(30)
    found = viewer.layers[0].chunk_at(123.0, 77.0)
    assert found is not None
    assert found[0].chunk[0] == 0
    assert found[1] == (123, 77)
    value = viewer.layers[0].value_at(123.0, 77.0)
    assert value in (None, int(voxels[123, 77]))
    assert viewer.layers[0].chunk_at(-10.0, 0.0) is None


# --- files that no one here wrote ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ome-zarr-0.4", "ome-zarr-0.5"])
def test_samples_show_the_right_pixels(name: str) -> None:
    import zarr

    path = SAMPLES / name
    if not path.exists():
        pytest.skip("the samples are not beside the project")
    group = zarr.open_group(path, mode="r")
    if name.endswith("0.4"):
        said = json.loads((path / ".zattrs").read_text())["multiscales"][0]
    else:
        said = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    with octree_client.open(path, settings=SMALL) as session:
        image = session.dataset()
        assert len(image.levels) == len(said["datasets"])
        assert image.axes == tuple(axis["name"] for axis in said["axes"])
        for level, entry in zip(image.levels, said["datasets"], strict=True):
            array = group[entry["path"]]
            np.testing.assert_array_equal(level[...], array[...])
            assert level.scale == tuple(
                next(t["scale"] for t in entry["coordinateTransformations"] if t["type"] == "scale")
            )
        finest = np.asarray(group[said["datasets"][0]["path"]])
        with octree_client.Viewer(image, size=(160, 120), visible=False) as viewer:
            plane = finest[tuple(n // 2 for n in finest.shape[:-2])]
            viewer.layers[0].contrast_limits = (float(plane.min()), float(plane.max()))
            level = viewer.layers[0].levels[0]
            center = (level.voxel_to_world(0, level.shape[0] / 2), level.voxel_to_world(1, level.shape[1] / 2))
            # 1:1 and then closer, a little off the middle, so that no pixel stands on a border.
            for times in (1.0, 0.13):
                size = min(level.scale) * times
                viewer.set_view(center=(center[0] + 0.21 * size, center[1] + 0.23 * size), pixel_size=size)
                compare(viewer, "nearest", array=plane)
                assert viewer.layers[0].level == 0
