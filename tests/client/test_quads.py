"""Pieces to vertices, and textures without GL: pure arithmetic."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.scene import plane_level

from octree_client.camera import Camera
from octree_client.cover import Piece
from octree_client.texture import TextureError, atlas_grid, texture_kind, to_texels
from octree_client.visuals.quads import NO_DATA, VERTEX, LevelArrays, build_quads, triangle_indices
from octree_protocol.keys import CellStatus

CAMERA = Camera((50.0, 60.0), 1.0, (100, 80))


def build(pieces, resident=None, levels=None, camera=CAMERA, ideal=0, neighbours=True):
    levels = levels or [plane_level((1000, 900), (32, 48))]
    return build_quads(
        pieces, resident or {}, LevelArrays(levels), ideal, camera, (64, 64), atlas_columns=5, neighbours=neighbours
    ).reshape(len(pieces), 4)


def test_no_pieces_are_no_vertices() -> None:
    assert build_quads([], {}, LevelArrays([plane_level((9, 9), (4, 4))]), 0, CAMERA, (4, 4), 3).shape == (0,)


def test_a_piece_becomes_its_corners() -> None:
    piece = Piece((0, 1, 1), (32 - 0.5, 48 - 0.5, 64 - 0.5, 96 - 0.5), 7, CellStatus.FINAL)
    quad = build([piece])[0]
    x0, x1 = (47.5 - 60) / 50, (95.5 - 60) / 50
    y0, y1 = -(31.5 - 50) / 40, -(63.5 - 50) / 40
    np.testing.assert_allclose(
        quad["a_corner"], [(x0, y0, 0, 0), (x1, y0, 48, 0), (x0, y1, 0, 32), (x1, y1, 48, 32)], atol=1e-6
    )
    assert (quad["a_tile"] == (2 * 64, 1 * 64, 2 * 48, 2 * 32)).all()  # tile 7 of 5 columns
    assert (quad["a_state"] == (48, 32, 0, CellStatus.FINAL)).all()


def test_a_chunk_that_the_edge_cuts_is_as_large_as_its_data() -> None:
    level = plane_level((40, 50), (32, 48))
    piece = Piece((0, 1, 1), (31.5, 47.5, 39.5, 49.5), 0, CellStatus.FINAL)
    quad = build([piece], levels=[level], camera=Camera((36, 48), 1, (10, 10)))[0]
    assert (quad["a_tile"][:, 2:] == (2, 8)).all()
    assert (quad["a_state"][:, :2] == (48, 32)).all()


def test_neighbours_are_those_of_the_pieces_own_level_and_missing_ones_count() -> None:
    resident = {(1, r, c): 10 * r + c for r in range(1, 4) for c in range(1, 4)} | {(0, 1, 2): 99}
    del resident[1, 3, 3]
    missing = Piece((1, 3, 3), (0, 0, 1, 1), 77, CellStatus.MISSING)
    piece = Piece((1, 2, 2), (0, 0, 1, 1), 22, CellStatus.PROVISIONAL)
    levels = [plane_level((999, 999), (32, 32)), plane_level((500, 500), (32, 32), (2.0, 2.0), (0.5, 0.5))]
    quads = build([piece, missing], resident, levels, ideal=0)
    assert (quads[0]["a_sides"] == (12, 21, 23, 32)).all()
    assert (quads[0]["a_corners"] == (11, 13, 31, 77)).all()
    assert (quads[0]["a_state"][:, 2] == 1).all()
    assert (quads[1]["a_sides"] == (23, 32, -1, -1)).all()
    assert (build([piece], resident, levels, neighbours=False)[0]["a_sides"] == -1).all()


def test_a_piece_without_a_tile_says_so_and_has_no_neighbours() -> None:
    resident = {(0, r, c): 1 for r in range(3) for c in range(3)}
    quads = build(
        [
            Piece((0, 1, 1), (0, 0, 9, 9), -1, CellStatus.EMPTY),
            Piece((0, 1, 1), (0, 0, 9, 9), -1, CellStatus.FAILED),
            Piece((0, 1, 1), (0, 0, 9, 9), 1, CellStatus.FAILED),
        ],
        resident,
    )
    assert quads["a_state"][:, 0, 3].tolist() == [CellStatus.EMPTY + NO_DATA, CellStatus.FAILED + NO_DATA, 3]


@settings(deadline=None, max_examples=60)
@given(
    st.floats(-1e9, 1e9),
    st.floats(1e-4, 1e4),
    st.lists(st.floats(-3, 3), min_size=2, max_size=12, unique=True),
    st.integers(1, 4000),
)
def test_pieces_that_share_an_edge_in_the_world_share_it_in_the_picture(
    center: float, pixel_size: float, cuts: list[float], width: int
) -> None:
    """Bit for bit, in order, and within the canvas; however far from the origin and however large the pieces are."""
    camera = Camera((center, -center), pixel_size, (width, width))
    edges = sorted(center + cut * width * pixel_size / 2 for cut in cuts)
    pieces = [Piece((0, 0, 0), (a, -center - 1, b, -center + 1), 0, CellStatus.FINAL) for a, b in pairwise(edges)]
    quads = build(pieces, camera=camera)["a_corner"]
    for upper, lower in pairwise(quads):
        assert upper[2, 1].tobytes() == lower[0, 1].tobytes()
        assert upper[3, 1].tobytes() == lower[1, 1].tobytes()
    assert (quads[:, 0, 1] >= quads[:, 2, 1]).all()
    rounding = 4 * np.spacing(abs(center)) / (pixel_size * width / 2)
    assert np.abs(quads[:, :, :2]).max() <= 1 + 1e-6 + rounding


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 1 << 40),
    st.floats(1e-3, 1e2),
    st.integers(1, 512),
    st.tuples(st.floats(0.01, 100), st.floats(-1e6, 1e6)),
)
def test_voxels_count_from_the_own_chunk_however_far_it_is(
    index: int, zoom: float, chunk: int, place: tuple[float, float]
) -> None:
    """The exact position is computed with integers of Python's: what float64 and float32 lose is below 1/100 voxel."""
    scale, translation = place
    level = plane_level(((index + 2) * chunk,) * 2, (chunk, chunk), (scale, scale), (translation, translation))
    middle = translation + (index * chunk + chunk / 2 - 0.5) * scale
    camera = Camera((middle, middle), scale / zoom, (640, 640))
    rect = tuple(translation + ((index + d) * chunk - 0.5) * scale for d in (0, 0, 1, 1))
    quad = build([Piece((0, index, index), rect, 0, CellStatus.FINAL)], levels=[level], camera=camera)[0]  # type: ignore[arg-type]
    half = min(chunk / 2, 320 / zoom)
    ulp = np.spacing(abs(middle) + abs(translation)) / scale + np.spacing(float((index + 2) * chunk))
    tolerance = 8 * ulp + chunk * 1e-6
    for voxel, low in ((quad["a_corner"][0], True), (quad["a_corner"][3], False)):
        expected = chunk / 2 - half if low else chunk / 2 + half
        np.testing.assert_allclose(voxel[2:], expected, atol=tolerance)


def test_vertices_are_small_and_triangles_cover_the_quad() -> None:
    assert VERTEX.itemsize == 80
    indices = triangle_indices(3)
    assert indices.shape == (18,)
    assert indices.reshape(3, 6).min(1).tolist() == [0, 4, 8]
    corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)])[indices[:6] % 4].reshape(2, 3, 2)
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    assert area.tolist() == [0.5, 0.5]


# --- textures ---


@pytest.mark.parametrize(
    ("dtype", "name"),
    [("u1", "r8"), ("?", "r8"), ("u2", "r16"), (">u2", "r16"), ("f4", "r32f"), ("i1", "r32f"), ("i2", "r32f"),
     ("u4", "r32f"), ("i4", "r32f"), ("u8", "r32f"), ("i8", "r32f"), ("f2", "r32f"), (">f8", "r32f"), ("c8", "r32f")],
)  # fmt: skip
def test_each_dtype_has_its_texture_and_keeps_its_values(dtype: str, name: str) -> None:
    kind = texture_kind(dtype)
    assert kind.name == name
    data = np.arange(12).reshape(3, 4).astype(dtype)
    texels = to_texels(data, kind)
    assert texels.dtype == np.dtype(kind.texels)
    assert texels.dtype.isnative
    assert texels.flags.c_contiguous
    assert texels.astype("f8").tolist() == np.abs(data).astype("f8").tolist()


@pytest.mark.parametrize("dtype", ["u1", "?", "u2", "f4"])
def test_what_is_texels_already_is_not_copied(dtype: str) -> None:
    buffer = bytes(4 * 6 * np.dtype(dtype).itemsize)
    data = np.frombuffer(buffer, dtype).reshape(4, 6)
    assert np.shares_memory(to_texels(data, texture_kind(dtype)), data)
    assert to_texels(data[:, 1:3], texture_kind(dtype)).flags.c_contiguous


def test_colours_are_scaled_to_8_bits() -> None:
    for dtype, values, expected in (
        ("u1", [0, 7, 255], [0, 7, 255]),
        ("u2", [0, 128 * 257, 65535], [0, 128, 255]),
        ("i1", [-128, 0, 127], [0, 128, 255]),
        ("f4", [-1.0, 0.5, np.nan], [0, 128, 0]),
    ):
        kind = texture_kind(dtype, 3)
        assert kind.name == "rgb8"
        assert to_texels(np.array([[values]], dtype), kind).tolist() == [[expected]]
    assert texture_kind("u1", 4).bytes_per_texel == texture_kind("u1", 3).bytes_per_texel == 4


def test_contrast_limits_become_texel_units() -> None:
    assert texture_kind("u2").to_texel_units(65535) == 1
    assert texture_kind("u1").to_texel_units(51) == pytest.approx(0.2)
    assert texture_kind("i2").to_texel_units(-7) == -7
    assert texture_kind("i2", 3).to_texel_units(-32768) == 0


@pytest.mark.parametrize(("dtype", "samples"), [("U3", 1), ("O", 1), ("M8[s]", 1), ("u1", 2), ("u1", 5)])
def test_what_cannot_be_drawn_is_refused(dtype: str, samples: int) -> None:
    with pytest.raises(TextureError):
        texture_kind(dtype, samples)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 2048), st.integers(1, 2048), st.integers(1, 8), st.integers(1, 1 << 33), st.integers(2048, 32768))
def test_an_atlas_keeps_its_budget_and_wastes_little_of_it(
    height: int, width: int, texel: int, budget: int, most: int
) -> None:
    rows, columns = atlas_grid((height, width), texel, budget, most)
    assert 1 <= rows <= 255
    assert 1 <= columns <= 255
    assert rows * height <= most
    assert columns * width <= most
    tile = height * width * texel
    assert rows * columns * tile <= budget or (rows, columns) == (1, 1)
    ceiling = min(max(1, budget // tile), min(255, most // height) * min(255, most // width))
    assert rows * columns > 0.9 * ceiling - 2


def test_a_tile_larger_than_any_texture_is_refused() -> None:
    with pytest.raises(TextureError, match=r"smaller octree\.tile_size"):
        atlas_grid((4096, 1), 1, 1 << 30, 2048)
