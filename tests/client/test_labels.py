"""Labels: the colour of every number is what numpy says, whatever the dtype, the tile and the zoom."""

from __future__ import annotations

import numpy as np
import pytest
from tests.client import reference
from tests.client.scene import Scene, plane_level

from octree_client.camera import Camera
from octree_client.canvas import Canvas
from octree_client.colormaps import LABEL_COLOURS, label_table
from octree_client.texture import folded_labels, texture_kind
from octree_client.visuals.tiled_image import TiledImage

pytestmark = pytest.mark.gl

SHAPE = (90, 110)


def labels(dtype: str) -> np.ndarray:
    """Patches of 5 x 7 voxels, with all that the dtype can be."""
    kind = np.dtype(dtype)
    patches = (18, 16)
    chance = np.random.default_rng(2)
    if kind.kind == "b":
        small = chance.random(patches) < 0.5
    else:
        info = np.iinfo(kind)
        small = chance.integers(info.min, info.max, patches, dtype=kind.newbyteorder("="), endpoint=True)
        small[chance.random(patches) < 0.3] = 0
        small = small.astype(kind)
        small[0, :4] = info.min, info.max, info.max - 1, 1
    return np.kron(small, np.ones((5, 7), kind)).astype(kind)[: SHAPE[0], : SHAPE[1]]


def scene_of(array: np.ndarray, chunk: tuple[int, int] = (32, 32)) -> Scene:
    scene = Scene([plane_level(array.shape, chunk)], [lambda y, x: array[y, x]], array.dtype.str)
    scene.image = TiledImage(scene.levels, chunk, texture_kind(array.dtype, labels=True), (6, 6))
    scene.image.colormap = label_table(7)
    return scene


def picture_of(array: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Colours that numpy gives the labels under the pixels, and which pixels stand on no voxel's border."""
    level = plane_level(array.shape, (32, 32))
    py, px = reference.voxel_positions(level, camera)
    rows, columns = (np.clip(np.floor(p), 0, n - 1).astype(int) for p, n in zip((py, px), array.shape, strict=True))
    shown = folded_labels(array)[rows[:, None], columns[None, :]]
    colours = label_table(7)[shown % LABEL_COLOURS][..., :3].copy()
    colours[shown == 0] = 0
    colours[~reference.inside(level, camera)] = 0
    clear = [reference.clear_of(p, camera.pixel_size / 64) for p in (py, px)]
    return colours, clear[0][:, None] & clear[1][None, :]


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?", ">u4", ">i8"])
def test_every_label_has_its_colour_at_any_zoom(canvas: Canvas, dtype: str) -> None:
    array = labels(dtype)
    scene = scene_of(array)
    for pixel_size in (0.11, 1.0, 0.617):
        camera = Camera((44.3, 55.1), pixel_size, canvas.size)
        picture = scene.render(canvas, camera, scene.pieces(camera))
        expected, clear = picture_of(array, camera)
        assert clear.mean() > 0.5
        assert (picture[..., :3] == expected)[clear].all()


def test_numbers_fold_exactly() -> None:
    for dtype in ("u1", "u2", "u4"):
        every = np.array([0, 1, 2, np.iinfo(dtype).max], dtype)
        assert (folded_labels(every) == every).all()
    wide = np.array([0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1], "u8")
    folded = folded_labels(wide)
    assert list(folded[:3]) == [0, 1, 2**32 - 1]
    assert (folded[1:] != 0).all()
    assert len(set(folded)) == len(wide)
    assert folded_labels(np.array([-1], "i2"))[0] == 2**32 - 1
    many = np.random.default_rng(0).integers(0, 2**64, 200_000, dtype="u8")
    assert len(np.unique(folded_labels(many))) > 199_900  # as many collisions as chance makes


def test_a_selected_label_alone(canvas: Canvas) -> None:
    array = labels("u4")
    number = int(array[40, 50]) or int(array[array > 0][0])
    scene = scene_of(array)
    scene.image.show_labels(0, int(folded_labels(np.array([number], "u4"))[0]))
    camera = Camera((44.3, 55.1), 0.5, canvas.size)
    picture = scene.render(canvas, camera, scene.pieces(camera))
    expected, clear = picture_of(np.where(array == number, array, 0), camera)
    assert (picture[..., :3] == expected)[clear].all()
    assert picture[..., :3].any()


def outlined(array: np.ndarray, camera: Camera, contour: float) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels another label lies nearer to than `contour` pixels, and for which float32 may say so or not.

    By brute force: all voxels around each pixel if voxels are larger than pixels, else all pixels around it.
    """
    level, pixel = plane_level(array.shape, (32, 32)), camera.pixel_size
    py, px = reference.voxel_positions(level, camera)
    small = pixel > 1
    count = int(np.ceil(contour if small else contour * pixel))

    def boxes(p: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Indices of the voxels of the n-th box beside each position, the box' distance in pixels, and what is sure."""
        if small:
            away = np.full(p.shape, max(abs(n) - 0.5, 0.0))
            return np.floor(p + n * pixel), away, reference.clear_of(p + n * pixel, 0.01)
        index = np.floor(p) + n
        return index, np.maximum(np.maximum(index - p, p - index - 1), 0) / pixel, reference.clear_of(p, 0.01)

    def labels_at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        rows, columns = (np.clip(i, 0, n - 1).astype(int) for i, n in zip((rows, columns), array.shape, strict=True))
        return array[rows[:, None], columns[None, :]]

    own = labels_at(np.floor(py), np.floor(px))
    border, clear = np.zeros(own.shape, bool), np.ones(own.shape, bool)
    for dy in range(-count, count + 1):
        rows, down, sure = boxes(py, dy)
        clear &= sure[:, None]
        for dx in range(-count, count + 1):
            columns, across, sure = boxes(px, dx)
            clear &= sure[None, :]
            away = np.hypot(down[:, None], across[None, :])
            border |= (labels_at(rows, columns) != own) & (away < contour)
            clear &= np.abs(away - contour) > 1e-3
    return border, clear


def threads(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Labels with one-voxel threads of others in all directions in them, and single voxels."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    array = ((y // 37) * 5 + x // 41 + 1).astype("u4")
    array[np.abs(x - y) == 13] = 90
    array[(2 * y + x) % 61 == 0] = 91
    array[(y % 19 == 4) & (x % 23 == 6)] = 92
    array[(x // 20 + y // 20) % 7 == 3] = 0
    return array


@pytest.mark.parametrize("contour", [1, 2, 3, 4])
@pytest.mark.parametrize("pixel_size", [0.13, 0.61, 1.7])
def test_contours_are_pixels_wide_and_nothing_slips_through_them(
    canvas: Canvas, contour: int, pixel_size: float
) -> None:
    array = threads()
    scene = scene_of(array)
    scene.image.show_labels(contour, None)
    camera = Camera((44.3, 55.1), pixel_size, canvas.size)
    picture = scene.render(canvas, camera, scene.pieces(camera))
    border, sure = outlined(array, camera, contour)
    expected, clear = picture_of(array, camera)
    expected = np.where(border[..., None], expected, 0)
    clear &= sure
    assert clear.mean() > 0.3
    assert (picture[..., :3] == expected)[clear].all()
    assert expected.any()
    assert not (border | (picture_of(array, camera)[0].max(axis=-1) == 0)).all()


def test_a_contour_sees_no_further_than_the_image(canvas: Canvas) -> None:
    """The last chunks are narrower than the contour; what the rest of their tiles holds is older, or nothing."""
    array = np.full((66, 97), 7, "u4")
    scene = scene_of(array)
    for tile in range(scene.image.atlas.tiles):
        scene.image.upload(tile, np.full((32, 32), 9, "u4"))
    scene.image.show_labels(4, None)
    camera = Camera((33.3, 48.1), 0.9, canvas.size)
    picture = scene.render(canvas, camera, scene.pieces(camera))
    assert not picture[..., :3].any()


def test_contours_are_as_thick_on_every_screen(canvas: Canvas) -> None:
    """Twice as many physical pixels where there are two to a logical one."""
    array = threads()
    scene = scene_of(array)
    camera = Camera((44.3, 55.1), 0.13, canvas.size)
    pictures = []
    for ratio, contour in ((1.0, 4), (2.0, 2)):
        scene.image.pixel_ratio = ratio
        scene.image.show_labels(contour, None)
        pictures.append(scene.render(canvas, camera, scene.pieces(camera)))
    assert (pictures[0] == pictures[1]).all()
    scene.image.pixel_ratio = 1.0
    assert (scene.render(canvas, camera, scene.pieces(camera)) != pictures[1]).any()


def test_colours_differ_and_the_seed_changes_them() -> None:
    table = label_table(0).astype(int)
    near = np.abs(np.diff(table[:, :3], axis=0)).max(axis=1)
    assert near.min() > 40, "labels that follow each other look different"
    assert (label_table(0) != label_table(1)).any()
