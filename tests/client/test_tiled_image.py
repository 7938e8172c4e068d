"""The settled picture is numpy's own, to a grey level; while loading, each pixel is painted exactly once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.client import reference
from tests.client.scene import Scene, chunk_rect, coarser, plane_level

from octree_client.camera import Camera
from octree_client.canvas import Canvas
from octree_client.cover import FILL_TILE, Piece, cover
from octree_client.texture import TextureError
from octree_protocol.keys import CellStatus

pytestmark = pytest.mark.gl

CANVAS = (192, 144)
RNG = np.random.default_rng(5)


def random_image(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return RNG.random(shape) < 0.5
    if kind.kind == "f":
        return (RNG.random(shape) * 200 - 100).astype(kind)
    if kind.kind == "c":
        return (RNG.random(shape) + 1j * RNG.random(shape)).astype(kind)
    info = np.iinfo(kind)
    return RNG.integers(max(info.min, -40000), min(info.max, 70000), shape, endpoint=True).astype(kind)


def smooth_image(shape: tuple[int, int]) -> np.ndarray:
    """uint16 whose neighbours differ by at most a few grey levels of 256."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return ((np.sin(x / 9.0) * np.cos(y / 7.0) + 1) * 32000).astype("u2")


def settled(
    canvas: Canvas,
    array: np.ndarray,
    chunk: tuple[int, int],
    camera: Camera,
    interpolation: str,
    limits: tuple[float, float],
    *,
    scale: tuple[float, float] = (1.0, 1.0),
    translation: tuple[float, float] = (0.0, 0.0),
    samples: int = 1,
    tolerance: float = 1.0,
) -> Scene:
    """Draw a level settled and compare with numpy. Pixels whose centre is a border to 1/128 pixel are not."""
    level = plane_level(array.shape[:2], chunk, scale, translation)
    scene = Scene([level], [lambda y, x: array[y, x]], array.dtype.str, samples, grid=(16, 16))
    scene.image.interpolation = interpolation
    scene.image.contrast_limits = limits
    picture = scene.render(canvas, camera, scene.pieces(camera))
    compare(picture, level, lambda y, x: array[y, x], camera, interpolation, limits, tolerance)
    return scene


def compare(picture, level, voxels, camera, interpolation, limits, tolerance=1.0, gamma=1.0, table=None) -> None:
    values = reference.resample(voxels, level, camera, interpolation)
    if np.iscomplexobj(values):
        values = np.abs(values)
    expected = reference.over(
        np.zeros(3), reference.colours(values, limits, gamma, table), 1.0, reference.inside(level, camera)
    )
    py, px = reference.voxel_positions(level, camera)
    rows = reference.clear_of(py, camera.pixel_size / level.scale[0] / 128)
    columns = reference.clear_of(px, camera.pixel_size / level.scale[1] / 128)
    if interpolation == "linear":  # has no jumps between voxels, only at the image's end
        rows |= (py > 1) & (py < level.shape[0] - 1)
        columns |= (px > 1) & (px < level.shape[1] - 1)
    assert rows.mean() > 0.9
    assert columns.mean() > 0.9
    error = np.abs(picture[..., :3] - expected)[rows][:, columns]
    assert error.max() <= tolerance, f"{(error > tolerance).any(-1).mean():.2%} of the pixels, worst {error.max()}"
    assert len(np.unique(expected)) > 1  # there was something to be seen


VIEWS = {
    "1:1": Camera((200.3, 260.8), 1.0, CANVAS),
    "1:1, exactly on the voxels": Camera((199.5, 259.5), 1.0, CANVAS),
    "in 3.7": Camera((200.3, 260.8), 1 / 3.7, CANVAS),
    "in 30": Camera((128.3, 95.8), 1 / 30, CANVAS),
    "in 900": Camera((127.5003, 95.5004), 1 / 900, CANVAS),
    "out 1.9": Camera((200.3, 260.8), 1.9, CANVAS),
    "upper left corner": Camera((10.2, 20.3), 0.7, CANVAS),
    "over the lower right end": Camera((390.2, 515.3), 0.6131, CANVAS),
    "all of it and more": Camera((200.3, 260.8), 4.13, CANVAS),
}


@pytest.mark.parametrize("view", VIEWS)
def test_nearest_shows_numpys_picture(canvas: Canvas, view: str) -> None:
    settled(canvas, random_image((400, 520), "u2"), (64, 64), VIEWS[view], "nearest", (0, 65535))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("chunk", [(64, 64), (40, 96), (1, 7)], ids=str)
def test_linear_across_tile_borders_equals_one_big_texture(canvas: Canvas, view: str, chunk: tuple[int, int]) -> None:
    camera = VIEWS[view]
    if chunk == (1, 7):
        shape, camera = (15, 17), replace(camera, center=(6.7, 8.9), pixel_size=camera.pixel_size / 16)
        array = random_image(shape, "u2") if camera.pixel_size < 0.02 else smooth_image(shape)
    else:
        # Noise shows the slightest slip, but between voxels that differ by everything a slip of 1/256 pixel, which GL
        # grants to vertices, is a grey level: noise where a voxel is large, waves elsewhere.
        array = random_image((400, 520), "u2") if camera.pixel_size <= 0.3 else smooth_image((400, 520))
    settled(canvas, array, chunk, camera, "linear", (0, 65535))


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("dtype", "limits"),
    [
        ("u1", (0, 255)),
        ("u1", (50, 60)),
        ("?", (0, 1)),
        ("u2", (30000, 30300)),
        (">u2", (1000, 60000)),
        ("i1", (-128, 127)),
        ("i2", (-30000, 20000)),
        ("i4", (-30000, 70000)),
        ("u4", (0, 70000)),
        ("i8", (-30000, 70000)),
        ("f2", (-100, 100)),
        ("f4", (-90, 80)),
        (">f4", (80, -90)),
        ("f8", (-90, 80)),
        ("c8", (0, 1.4)),
    ],
)
def test_every_dtype_and_its_contrast_limits(
    canvas: Canvas, dtype: str, limits: tuple[float, float], interpolation: str
) -> None:
    array = random_image((90, 100), dtype)
    if dtype == "c8":
        level = plane_level(array.shape, (32, 32))
        scene = Scene([level], [lambda y, x: array[y, x]], dtype)
        scene.image.contrast_limits, scene.image.interpolation = limits, interpolation
        camera = Camera((40.3, 50.2), 1 / 6.1, CANVAS)
        picture = scene.render(canvas, camera, scene.pieces(camera))
        compare(picture, level, lambda y, x: np.abs(array[y, x]), camera, interpolation, limits)
        return
    # In a narrow window neighbouring voxels differ by hundreds of its widths: a slip of 1/256 pixel is seen.
    narrow = abs(limits[1] - limits[0]) < 1000 and dtype == "u2"
    settled(
        canvas,
        array // 100 + 29900 if narrow else array,
        (32, 32),
        Camera((40.3, 50.2), 1 / 12.1, CANVAS),
        interpolation,
        limits,
    )


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colours(canvas: Canvas, samples: int, interpolation: str) -> None:
    array = random_image((90, 100, samples), "u1")
    if samples == 4:
        array[..., 3] |= 128
    # A transparent colour is rounded twice: GL blends in 8 bits.
    settled(
        canvas,
        array,
        (31, 17),
        Camera((40.3, 50.2), 1 / 9.3, CANVAS),
        interpolation,
        (20, 240),
        samples=samples,
        tolerance=1.0 if samples == 3 else 1.5,
    )


def test_colours_of_16_bits_are_scaled_to_8(canvas: Canvas) -> None:
    array = random_image((40, 50, 3), "u2")
    settled(canvas, array, (32, 32), Camera((20.3, 25.2), 1 / 5.3, CANVAS), "nearest", (0, 65535), samples=3)


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_anisotropic_scales_and_translations(canvas: Canvas, interpolation: str) -> None:
    camera = Camera((-3000 + 0.37 * 101.3, 77.7 + 5.5 * 60.2), 0.21, CANVAS)
    settled(
        canvas,
        random_image((300, 200), "u2"),
        (48, 20),
        camera,
        interpolation,
        (0, 65535),
        scale=(0.37, 5.5),
        translation=(-3000, 77.7),
    )


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("zoom", [30, 3.7, 1])
def test_a_million_voxels_from_the_origin(canvas: Canvas, interpolation: str, zoom: float) -> None:
    def voxels(y, x):
        if zoom == 1 and interpolation == "linear":  # waves: noise would show the 1/256 pixel that GL grants a vertex
            return ((np.sin(x / 9.0) * np.cos(y / 7.0) + 1) * 32000).astype("u2")
        y, x = np.asarray(y, np.uint64), np.asarray(x, np.uint64)
        return ((y * np.uint64(2654435761) + x * np.uint64(40503) * y + x) % 65521).astype("u2")

    level = plane_level((1 << 21, 1 << 21), (256, 256))
    scene = Scene([level], [voxels], "u2", grid=(4, 4))
    scene.image.interpolation = interpolation
    scene.image.contrast_limits = (0, 65535)
    camera = Camera(((1 << 20) + 0.37, (1 << 20) - 0.21), 1 / zoom, CANVAS)
    picture = scene.render(canvas, camera, scene.pieces(camera))
    compare(picture, level, voxels, camera, interpolation, (0, 65535))


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_a_coarser_level_whose_chunks_lie_askew(canvas: Canvas, interpolation: str, factor: int) -> None:
    """Each cell of level 0 drawn from level 1: what is seen is all of level 1, as if it were one texture."""
    array = random_image((300, 400), "u2")
    fine = plane_level(array.shape, (32, 48))
    coarse, data = coarser(fine, array, factor, (20, 28))
    scene = Scene([fine, coarse], [lambda y, x: array[y, x], lambda y, x: data[y, x]])
    scene.image.interpolation = interpolation
    camera = Camera((140.3, 190.8), 1 / 2.9, CANVAS)
    picture = scene.render(canvas, camera, scene.pieces(camera, 0, lambda *_: 1))
    compare(picture, coarse, lambda y, x: data[y, x], camera, interpolation, (0, 65535))


def mixed_scene() -> tuple[Scene, np.ndarray]:
    array = random_image((300, 400), "u2")
    levels, arrays = [plane_level(array.shape, (32, 48))], [array]
    for factor, chunk in ((3, (20, 28)), (2, (16, 16))):
        level, data = coarser(levels[-1], arrays[-1], factor, chunk)
        levels.append(level)
        arrays.append(data)
    return Scene(levels, [lambda y, x, a=a: a[y, x] for a in arrays]), array


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize(
    "camera",
    [
        Camera((140.3, 190.8), 1.0, CANVAS),
        Camera((140.0, 190.0), 1.0, CANVAS),
        Camera((139.5, 189.5), 1.0, CANVAS),  # every edge goes through pixel centres
        Camera((140.3, 190.8), 0.31, CANVAS),
        Camera((140.3, 190.8), 1.7, CANVAS),
    ],
    ids=str,
)
def test_with_mixed_levels_each_pixel_is_painted_exactly_once(
    open_test_canvas, camera: Camera, interpolation: str
) -> None:
    """At opacity 0.5 over white with black data, a pixel painted twice is darker, one left out brighter."""
    canvas = open_test_canvas(CANVAS, backend="egl", background=(1.0, 1.0, 1.0))
    scene, _ = mixed_scene()
    scene.image.interpolation = interpolation
    scene.image.opacity = 0.5
    scene.image.contrast_limits = (100000, 100001)
    picture = scene.render(canvas, camera, scene.pieces(camera, 0, lambda r, c: (r * 5 + c * 3) % 3))
    painted = reference.inside(scene.levels[0], camera)
    assert set(np.unique(picture[painted][:, :3])) <= {127, 128}
    assert (picture[~painted][:, :3] == 255).all()
    assert (picture[..., 3] == 255).all()


def test_with_mixed_levels_each_cell_shows_its_level_blended_once(open_test_canvas) -> None:
    canvas = open_test_canvas(CANVAS, backend="egl", background=(0.2, 0.4, 0.6))
    scene, _ = mixed_scene()
    scene.image.opacity = 0.5
    camera = Camera((140.3, 190.8), 0.9, CANVAS)
    choose = lambda r, c: (r * 5 + c * 3) % 3  # noqa: E731
    picture = scene.render(canvas, camera, scene.pieces(camera, 0, choose))
    py, px = reference.voxel_positions(scene.levels[0], camera)
    cell_row, cell_column = (py // 32).astype(int)[:, None], (px // 48).astype(int)[None, :]
    expected = np.full((*picture.shape[:2], 3), np.round(np.array([0.2, 0.4, 0.6]) * 255))
    clear = np.ones(picture.shape[:2], bool)
    for number, level in enumerate(scene.levels):
        values = reference.resample(scene.voxels[number], level, camera, "nearest")
        blended = reference.over(expected, reference.colours(values, (0, 65535)), 0.5, np.ones_like(clear))
        here = choose(cell_row, cell_column) == number
        expected = np.where(here[..., None], blended, expected)
        ly, lx = reference.voxel_positions(level, camera)
        clear &= reference.clear_of(ly, 0.02)[:, None] & reference.clear_of(lx, 0.02)[None, :]
    assert clear.mean() > 0.7
    assert np.abs(picture[..., :3] - expected)[clear].max() <= 1.01


def test_a_neighbour_that_is_not_resident_is_not_looked_into(canvas: Canvas) -> None:
    array = np.zeros((64, 64), "u2")
    array[:, 32:] = 65535
    level = plane_level(array.shape, (32, 32))
    scene = Scene([level], [lambda y, x: array[y, x]])
    scene.image.interpolation = "linear"
    camera = Camera((31.5, 31.5), 1 / 8, CANVAS)
    pieces = [p for p in scene.pieces(camera) if p.chunk[2] == 0]
    whole = scene.render(canvas, camera, pieces)
    scene.resident = {chunk: tile for chunk, tile in scene.resident.items() if chunk[2] == 0}
    alone = scene.render(canvas, camera, pieces)
    assert whole[:, 95, 0].max() > 100  # half way to its bright neighbour
    assert alone.max(axis=2).max() == 255  # alpha
    assert alone[..., :3].max() == 0


def test_gamma_and_colour_map(canvas: Canvas) -> None:
    array = random_image((90, 100), "u2")
    level = plane_level(array.shape, (32, 32))
    scene = Scene([level], [lambda y, x: array[y, x]])
    camera = Camera((40.3, 50.2), 1 / 6.1, CANVAS)
    pieces = scene.pieces(camera)
    table = RNG.integers(0, 256, (1000, 4), endpoint=False)
    table[:, 3] = 255
    ramp = np.stack([np.linspace(0, 255, 300), np.linspace(255, 0, 300), np.full(300, 90), np.full(300, 255)], 1)
    for limits, gamma, entries in (
        ((0, 65535), 1.0, None),
        ((0, 65535), 0.4, None),
        ((5000, 50000), 2.2, ramp.round().astype("u1")),
        ((0, 65535), 1.0, table.astype("u1")),
        ((0, 65535), 1.0, table[:2].astype("u1")),
    ):
        scene.image.contrast_limits, scene.image.gamma = limits, gamma
        scene.image.colormap = reference.GREY if entries is None else entries
        picture = scene.render(canvas, camera, pieces)
        if entries is not None and len(entries) == 1000:  # neighbours share nothing: only where entries are not at odds
            shown = np.clip(reference.resample(scene.voxels[0], level, camera, "nearest") / 65535, 0, 1) * 999
            certain = np.abs(shown - np.floor(shown) - 0.5) > 0.01
            expected = table[np.floor(shown + 0.5).astype(int)][..., :3]
            py, px = reference.voxel_positions(level, camera)
            certain &= reference.clear_of(py, 0.01)[:, None] & reference.clear_of(px, 0.01)[None, :]
            assert certain.mean() > 0.8
            assert np.abs(picture[..., :3].astype(int) - expected)[certain].max() == 0
        else:
            compare(picture, level, scene.voxels[0], camera, "nearest", limits, 1.0, gamma, entries)


def test_a_colour_map_of_floats_is_rounded_to_grey_levels() -> None:
    scene = Scene([plane_level((8, 8), (8, 8))], [lambda y, x: (y * 8 + x).astype("u1")], "u1")
    scene.image.colormap = np.array([[0.0, 0.5, 1.0, 1.0], [1.0, 0.25, 0.0, 1.0]])
    assert scene.image.colormap.tolist() == [[0, 128, 255, 255], [255, 64, 0, 255]]


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_nan_is_transparent_and_infinity_is_the_last_colour(open_test_canvas, interpolation: str) -> None:
    canvas = open_test_canvas(CANVAS, backend="egl", background=(0.0, 0.0, 1.0))
    array = np.full((40, 40), 0.5, "f4")
    array[10:20, 10:20] = np.nan
    array[25:30, 25:30] = np.inf
    array[30:35, 30:35] = -np.inf
    level = plane_level(array.shape, (16, 16))
    scene = Scene([level], [lambda y, x: array[y, x]], "f4")
    scene.image.contrast_limits = (0, 1)
    scene.image.interpolation = interpolation
    camera = Camera((20.1, 20.1), 1 / 4, CANVAS)
    picture = scene.render(canvas, camera, scene.pieces(camera))
    py, px = reference.voxel_positions(level, camera)
    iy, ix = np.floor(py).astype(int)[:, None], np.floor(px).astype(int)[None, :]
    on = reference.inside(level, camera)
    nearest = np.where(on, array[np.clip(iy, 0, 39), np.clip(ix, 0, 39)], 0)
    assert (picture[on & np.isnan(nearest)][:, :3] == (0, 0, 255)).all()
    assert (picture[on & ~np.isnan(nearest)][:, 0] == picture[on & ~np.isnan(nearest)][:, 2]).all()  # grey
    centre = {v: (np.abs(py - v) < 0.2)[:, None] & (np.abs(px - v) < 0.2)[None, :] for v in (27.5, 32.5, 5.5)}
    assert (picture[centre[27.5]][:, :3] == 255).all()
    assert (picture[centre[32.5]][:, :3] == 0).all()
    assert np.isin(picture[centre[5.5]][:, :3], (127, 128)).all()


def test_a_tile_is_replaced_in_place(canvas: Canvas) -> None:
    """The same tile, another chunk; and what was uploaded before the first draw is there, in the order of uploads."""
    level = plane_level((64, 64), (32, 32))
    first, second = random_image((64, 64), "u2"), random_image((64, 64), "u2")
    scene = Scene([level], [lambda y, x: first[y, x]])
    camera = Camera((31.7, 31.8), 1 / 3, CANVAS)
    pieces = scene.pieces(camera)
    compare(scene.render(canvas, camera, pieces), level, lambda y, x: first[y, x], camera, "nearest", (0, 65535))
    shown = first.copy()
    shown[:32, 32:] = second[:32, 32:]
    scene.image.upload(scene.resident[0, 0, 1], np.ascontiguousarray(first[32:, :32]))
    scene.image.upload(scene.resident[0, 0, 1], np.ascontiguousarray(second[:32, 32:]))
    compare(scene.render(canvas, camera, pieces), level, lambda y, x: shown[y, x], camera, "nearest", (0, 65535))


def test_what_is_uploaded_is_held_until_the_flush_and_no_longer(canvas: Canvas) -> None:
    level = plane_level((32, 32), (32, 32))
    scene = Scene([level], [lambda y, x: (y + x).astype("u2")])
    scene.image.upload(0, np.zeros((32, 32), "u2"))
    scene.image.upload(1, np.zeros((32, 32), "u2"))
    assert scene.image.atlas.pending == 2
    canvas.handlers.on_draw = scene.image.draw  # nothing to draw yet: the uploads go all the same
    canvas.render()
    assert scene.image.atlas.pending == 0
    assert not any(command[0] == "DATA" for command in scene.image.atlas.texture.glir._shared._commands)


def test_programs_and_textures_stay_when_tiles_come_and_go(canvas: Canvas) -> None:
    array = random_image((400, 520), "u2")
    scene = Scene([plane_level(array.shape, (16, 16))], [lambda y, x: array[y, x]], grid=(40, 40))
    scene.image.interpolation = "linear"
    small = Camera((100.3, 100.8), 1 / 10, CANVAS)
    scene.render(canvas, small, scene.pieces(small))

    def objects() -> list[tuple[str, int]]:
        held = canvas._vispy.context.shared.parser._objects.values()
        return sorted((type(v).__name__, v.id) for v in held if "Buffer" not in type(v).__name__)

    before = objects()
    for center in ((200.3, 200.1), (210.3, 250.8)):
        camera = Camera(center, 0.9, CANVAS)
        scene.render(canvas, camera, scene.pieces(camera))
    scene.image.contrast_limits, scene.image.opacity = (10, 5000), 0.7
    scene.render(canvas, camera, scene.pieces(camera))
    assert objects() == before


def test_empty_and_failed_pieces_say_so(canvas: Canvas) -> None:
    level = plane_level((64, 96), (32, 32))
    scene = Scene([level], [lambda y, x: (y + x).astype("u2")])
    camera = Camera((15.5, 47.5), 1 / 2, CANVAS)
    rects = [chunk_rect(level, 0, c) for c in range(3)]
    fill = np.full((32, 32), 65535, "u2")
    scene.image.upload(7, fill)
    pieces = [
        Piece((0, 0, 0), rects[0], -1, CellStatus.EMPTY),
        Piece((0, 0, 1), rects[1], -1, CellStatus.FAILED),
        Piece((0, 0, 2), rects[2], 7, CellStatus.MISSING),
    ]
    for interpolation in ("nearest", "linear"):
        scene.image.interpolation = interpolation
        picture = scene.render(canvas, camera, pieces)[40:104].astype(int)
        empty, failed, missing = picture[:, 2:62], picture[:, 66:126], picture[:, 130:190]
        assert 20 < empty[..., :3].max() < 60
        assert (np.ptp(empty[..., :3], axis=-1) <= 2).all()  # grey
        assert len(np.unique(empty[..., 0])) == 2  # and hatched
        assert (failed[..., 0] > failed[..., 2] * 2).all()
        assert len(np.unique(failed[..., 0])) == 3
        assert (missing[..., :3] == 255).all()


def test_the_overlay_shows_levels_and_outlines_and_leaves_again(canvas: Canvas) -> None:
    scene, _ = mixed_scene()
    camera = Camera((140.3, 190.8), 0.9, CANVAS)
    pieces = scene.pieces(camera, 0, lambda r, c: (r * 5 + c * 3) % 3)
    plain = scene.render(canvas, camera, pieces)
    scene.image.overlay = True
    tinted = scene.render(canvas, camera, pieces).astype(int)
    scene.image.overlay = False
    assert (scene.render(canvas, camera, pieces) == plain).all()
    assert (np.ptp(plain[..., :3], axis=-1) == 0).all()
    coarse = np.zeros(tinted.shape[:2], bool)
    py, px = reference.voxel_positions(scene.levels[0], camera)
    coarse = ((py // 32).astype(int)[:, None] * 5 + (px // 48).astype(int)[None, :] * 3) % 3 > 0
    warmth = tinted[..., 0] - tinted[..., 2]
    assert np.median(warmth[coarse]) > 20
    assert np.median(warmth[~coarse]) <= 5


@pytest.mark.parametrize("ratio", [1.0, 2.0, 3.0])
def test_lines_and_hatches_are_as_thick_on_every_screen(canvas: Canvas, ratio: float) -> None:
    level = plane_level((64, 96), (32, 32))
    scene = Scene([level], [lambda y, x: np.zeros(np.broadcast_shapes(y.shape, x.shape), "u2")])
    scene.image.overlay, scene.image.pixel_ratio = True, ratio
    camera = Camera((31.5, 47.5), 1 / 2, CANVAS)
    pieces = scene.pieces(camera)
    row = scene.render(canvas, camera, pieces)[30].astype(int).sum(axis=-1)
    bright = np.flatnonzero(row > row.min() + 60)
    assert bright.tolist() == [edge + n for edge in (0, 64, 128) for n in range(int(ratio))]
    scene.image.overlay = False
    empty = [piece._replace(tile=-1, status=CellStatus.EMPTY) for piece in pieces]
    hatch = scene.render(canvas, camera, empty)[30, :, 0] > 35
    starts = np.flatnonzero(hatch[1:] & ~hatch[:-1])
    assert (np.diff(starts) == 12 * ratio).all()


def test_bad_settings_are_refused() -> None:
    scene = Scene([plane_level((32, 32), (32, 32))], [lambda y, x: (y + x).astype("u2")])
    image = scene.image
    for name, value in (
        ("gamma", 0.0),
        ("gamma", float("nan")),
        ("opacity", 1.1),
        ("interpolation", "cubic"),
        ("contrast_limits", (0.0, float("inf"))),
        ("colormap", np.zeros((1, 4))),
        ("colormap", np.zeros((5, 3))),
    ):
        with pytest.raises(ValueError, match=r"."):
            setattr(image, name, value)
    with pytest.raises(TextureError, match="tile 144 of an atlas of 144"):
        image.upload(144, np.zeros((32, 32), "u2"))
    with pytest.raises(TextureError, match="in a tile of"):
        image.upload(0, np.zeros((33, 32), "u2"))
    with pytest.raises(TextureError, match="do not fit"):
        image.upload(0, np.zeros((3, 3, 3), "u2"))


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("seed", range(4))
def test_whatever_cover_cuts_is_painted_exactly_once(open_test_canvas, interpolation: str, seed: int) -> None:
    """With any chunks resident, missing and failed, on levels of factors 3 and 2 whose chunks lie askew."""
    random = np.random.default_rng(seed)
    canvas = open_test_canvas(CANVAS, backend="egl", background=(1.0, 1.0, 1.0))
    scene, _ = mixed_scene()
    ideal = seed % 3
    camera = Camera((140.3, 190.8), (0.31, 1.7, 2.9)[ideal] * (1 + 0.1 * seed), CANVAS)
    chunks = [(n, r, c) for n, v in enumerate(scene.levels) for r in range(v.grid[0]) for c in range(v.grid[1])]
    random.shuffle(chunks)
    scene.image.upload(FILL_TILE, np.zeros(scene.image.atlas.tile_shape, "u2"))
    scene.resident[-1, 0, 0] = FILL_TILE
    for chunk in chunks[:70]:
        scene.tile(chunk)
    others = chunks[70:150]
    scene.image.interpolation, scene.image.opacity = interpolation, 0.5
    scene.image.contrast_limits = (100000, 100001)
    pieces = cover(scene.levels, ideal, camera.view(), scene.resident, set(others[::2]), set(others[1::2]))
    assert len({(piece.chunk[0], piece.status) for piece in pieces}) >= 3  # levels and statuses are mixed
    picture = scene.render(canvas, camera, pieces, ideal)
    # What is drawn from data is black, and so exactly half white; hatches are dark, and so a little more than half.
    painted = reference.inside(scene.levels[ideal], camera)
    assert picture[painted][:, :3].min() >= 127
    assert picture[painted][:, 1:3].max() <= 127 + 45
    assert picture[painted][:, 0].max() <= 127 + 105  # the red of what failed
    assert (picture[~painted & ~reference.inside(scene.levels[0], camera)][:, :3] == 255).all()
