"""Pieces that fade in: in every moment, old and new mixed as light, and only then blended with what lies below."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client import reference
from tests.client.scene import Scene, chunk_rect, coarser, plane_level

from octree_client.camera import Camera
from octree_client.colormaps import label_table
from octree_client.cover import Piece, cover
from octree_client.fading import Fading, FadingPiece, split, without
from octree_client.looks import BLENDINGS
from octree_client.texture import texture_kind
from octree_client.visuals.tiled_image import TiledImage
from octree_protocol.keys import CellStatus

CANVAS = (192, 144)
RNG = np.random.default_rng(8)
BELOW = (0.2, 0.6, 0.4)
SHARE = 0.3


def pyramid(dtype: str = "u2") -> Scene:
    array = RNG.integers(0, 65535, (96, 128)).astype(dtype)
    fine = plane_level(array.shape, (32, 32))
    coarse, data = coarser(fine, array, 2, (24, 40))
    return Scene([fine, coarse], [lambda y, x: array[y, x], lambda y, x: data[y, x]], dtype)


def halves(scene: Scene, camera: Camera) -> tuple[list[Piece], list[Piece]]:
    """The view's pieces of the fine level, and what the coarse one shows in their place."""
    return scene.pieces(camera, 0), scene.pieces(camera, 0, lambda *_: 1)


def draw(canvas: Any, scene: Scene, camera: Camera, pieces: Any, fading: Any = (), lowest: bool = False) -> np.ndarray:
    canvas.resize(camera.canvas)
    scene.image.set_frame(pieces, scene.resident, 0, camera, fading)
    canvas.handlers.on_draw = lambda: scene.image.draw(lowest)
    picture = canvas.render()
    return picture[..., :3].astype(float)


def expected(values: list[np.ndarray], blending: str, opacity: float, lowest: bool) -> np.ndarray:
    """What numpy makes of (h, w, 4) colours of 0 .. 1, mixed by SHARE, over what is below."""
    below = np.array(BELOW)
    alphas = [(v[..., 3:] > 0).astype(float) if blending == "opaque" else v[..., 3:] * opacity for v in values]
    weights = [alphas[0] * (1 - SHARE), alphas[1] * SHARE]
    light = sum(v[..., :3] * w for v, w in zip(values, weights, strict=True))
    alpha = weights[0] + weights[1]
    if blending == "additive":
        return np.clip(light if lowest else light + below, 0, 1)
    if blending == "minimum":
        return light + (1 - alpha) if lowest else np.minimum(light + (1 - alpha), below)
    return light + (1 - alpha) * below


@pytest.mark.gl
@pytest.mark.parametrize("lowest", [True, False])
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("blending", BLENDINGS)
def test_in_the_middle_of_a_fade_the_picture_is_numpys(
    open_test_canvas: Any, blending: str, interpolation: str, lowest: bool
) -> None:
    canvas = open_test_canvas(CANVAS, backend="egl", background=BELOW)
    scene = pyramid()
    table = np.stack([np.linspace(0, 1, 256), np.linspace(1, 0, 256), np.full(256, 0.3), np.linspace(0.2, 1, 256)], 1)
    scene.image.colormap = table
    scene.image.contrast_limits = (0, 65535)
    scene.image.blending, scene.image.opacity, scene.image.interpolation = blending, 0.7, interpolation
    camera = Camera((47.3, 63.2), 0.31, CANVAS)
    new, old = halves(scene, camera)
    settled, fading = split(new, old, {piece.chunk: SHARE for piece in new})
    assert not settled
    picture = draw(canvas, scene, camera, settled, fading, lowest)
    shown = []
    clear = np.ones(picture.shape[:2], bool)
    for number in (1, 0):
        level = scene.levels[number]
        values = reference.resample(scene.voxels[number], level, camera, interpolation)
        shown.append(reference.colours(values, (0, 65535), table=np.rint(table * 255)) / 255)
        py, px = reference.voxel_positions(level, camera)
        clear &= reference.clear_of(py, 0.02)[:, None] & reference.clear_of(px, 0.02)[None, :]
    error = np.abs(picture - 255 * expected(shown, blending, 0.7, lowest))[clear]
    assert clear.mean() > 0.8
    # GL blends in 8 bits. Linear: between voxels that differ by everything, a slip of 1/256 pixel is seen.
    assert error.max() <= (1.5 if interpolation == "nearest" else 2.0)
    assert np.ptp(picture) > 40


@pytest.mark.gl
def test_labels_and_what_is_not_a_number_fade_by_their_alpha(open_test_canvas: Any) -> None:
    canvas = open_test_canvas(CANVAS, backend="egl", background=BELOW)
    scene = pyramid("u4")
    scene.image = TiledImage(scene.levels, (32, 40), texture_kind("u4", labels=True), (12, 12))
    scene.image.colormap = label_table(7)
    keep = scene.voxels
    scene.voxels = tuple(lambda y, x, v=v: v(y, x) * (v(y, x) % 2) for v in keep)  # every other one is no label
    camera = Camera((47.3, 63.2), 0.31, CANVAS)
    new, old = halves(scene, camera)
    _, fading = split(new, old, {piece.chunk: SHARE for piece in new})
    picture = draw(canvas, scene, camera, [], fading)
    shown = []
    clear = np.ones(picture.shape[:2], bool)
    for number in (1, 0):
        level = scene.levels[number]
        found = reference.resample(scene.voxels[number], level, camera, "nearest").astype(int)
        shown.append(np.where((found > 0)[..., None], label_table(7)[found % 1021] / 255, 0.0))
        py, px = reference.voxel_positions(level, camera)
        clear &= reference.clear_of(py, 0.02)[:, None] & reference.clear_of(px, 0.02)[None, :]
    assert np.abs(picture - 255 * expected(shown, "translucent", 1.0, False))[clear].max() <= 1.5


@pytest.mark.gl
def test_a_fade_begins_with_what_stood_there_and_ends_with_what_comes(canvas: Any) -> None:
    """Also where nothing stood, where something failed, and beside pieces that do not fade."""
    scene = pyramid()
    camera = Camera((47.3, 63.2), 0.5, CANVAS)
    new, _ = halves(scene, camera)
    before = [
        piece._replace(chunk=n.chunk, tile=-1, status=status)
        for piece, n, status in ((new[0], new[0], CellStatus.EMPTY), (new[1], new[1], CellStatus.FAILED))
    ]
    first, second = new[0], new[1]
    for share, left, right in ((0.0, before[0], before[1]), (1.0, first, second)):
        fading = [FadingPiece(first, before[0], share), FadingPiece(second, before[1], share)]
        mixed = draw(canvas, scene, camera, new[2:], fading)
        alone = draw(canvas, scene, camera, [*new[2:], left, right])
        assert np.abs(mixed - alone).max() <= 1
    nothing = draw(canvas, scene, camera, new[2:], [FadingPiece(first, None, 0.5)])
    whole = draw(canvas, scene, camera, [*new[2:], first])
    y, x = int(144 / 2 + (16 - 47.3) / 0.5), int(192 / 2 + (16 - 63.2) / 0.5)
    assert np.abs(nothing[y : y + 8, x : x + 8] - 0.5 * whole[y : y + 8, x : x + 8]).max() <= 1


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_settled_and_fading_pieces_tile_what_the_cover_does(data: st.DataObject) -> None:
    levels = tuple(
        plane_level((96 // 2**n, 128 // 2**n), (16, 24), (2.0**n, 2.0**n), ((2.0**n - 1) / 2, (2.0**n - 1) / 2))
        for n in range(3)
    )
    every = [(n, r, c) for n, level in enumerate(levels) for r in range(level.grid[0]) for c in range(level.grid[1])]
    chosen = data.draw(st.lists(st.sampled_from(every), unique=True, max_size=len(every)))
    resident = {chunk: number + 1 for number, chunk in enumerate(chosen)}
    failed = data.draw(st.frozensets(st.sampled_from(every), max_size=4)) - set(chosen)
    ideal = data.draw(st.integers(0, 2))
    mine = [chunk for chunk in chosen if chunk[0] == ideal]
    factors = {chunk: 0.25 for chunk in mine if data.draw(st.booleans())}
    view = (-5.0, -5.0, 100.0, 130.0)
    pieces = cover(levels, ideal, view, resident, frozenset(), failed)
    before = cover(levels, ideal, view, without(resident, factors), frozenset(), failed)
    settled, fading = split(pieces, before, factors)
    assert {piece.chunk for piece in pieces if piece.chunk in factors and piece.tile >= 0} == {
        one.piece.chunk for one in fading
    }
    area = {}
    for piece in [*settled, *(one.piece for one in fading)]:
        y0, x0, y1, x1 = piece.rect
        area[piece.chunk] = area.get(piece.chunk, 0.0) + (y1 - y0) * (x1 - x0)
    whole = {}
    for piece in pieces:
        y0, x0, y1, x1 = piece.rect
        whole[piece.chunk] = whole.get(piece.chunk, 0.0) + (y1 - y0) * (x1 - x0)
    assert area == pytest.approx(whole)
    assert all(one.before is not None and one.before.rect == one.piece.rect for one in fading)
    assert all(one.before.chunk not in factors or one.before.tile < 0 for one in fading)


def test_a_chunk_fades_for_its_time_and_is_forgotten() -> None:
    fading = Fading(2.0)
    piece = Piece((0, 1, 1), chunk_rect(plane_level((96, 96), (32, 32)), 1, 1), 3, CellStatus.FINAL)
    fading.came([piece.chunk], 10.0)
    assert fading.factors([piece], 10.0) == {piece.chunk: 0.0}
    assert fading.factors([piece], 11.0) == {piece.chunk: 0.5}
    assert fading.factors([piece._replace(status=CellStatus.PROVISIONAL)], 11.0) == {}
    assert fading.factors([piece], 12.0) == {}
    assert fading.factors([piece], 11.0) == {}
