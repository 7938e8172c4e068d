"""Pictures larger than the screen: their pieces fit together, and show the world as a canvas of their size would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import octree_client
from octree_client.camera import Camera
from octree_client.enlarging import picture_pieces, piece_camera

edges = st.integers(1, 60)


@given(edges, edges, edges, edges)
def test_every_pixel_is_in_one_piece(width: int, height: int, across: int, down: int) -> None:
    seen = np.zeros((height, width), int)
    for top, left in picture_pieces((width, height), (across, down)):
        seen[top : top + down, left : left + across] += 1
    assert (seen == 1).all()


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), st.sampled_from([0.5, 1.0, 2.0, 3.0]))
def test_pieces_lie_where_the_picture_has_them(y: float, x: float, pixel: float, factor: float) -> None:
    camera = Camera((y, x), pixel, (100, 80))
    size = round(100 * factor), round(80 * factor)
    y0, x0, _, _ = camera.view()
    for piece in picture_pieces(size, (64, 48)):
        found = piece_camera(camera, size, piece, (64, 48))
        assert found.pixel_size == pytest.approx(pixel / factor)
        top, left, bottom, right = found.view()
        assert top == pytest.approx(y0 + piece.top * pixel / factor, abs=1e-6 * abs(y) + 1e-6)
        assert left == pytest.approx(x0 + piece.left * pixel / factor, abs=1e-6 * abs(x) + 1e-6)
        assert (bottom - top, right - left) == pytest.approx((48 * pixel / factor, 64 * pixel / factor), abs=1e-6)


@pytest.mark.gl
def test_it_is_what_a_larger_canvas_would_show() -> None:
    y, x = np.mgrid[:600, :700]
    plane = (20000 + 15000 * np.sin(np.hypot(y - 200, x - 300) / 15) + 5 * y).astype("u2")
    stack = np.stack([plane, plane[::-1], plane[:, ::-1]])
    with octree_client.open(stack, axes="zyx", settings={"memory": {"arena_bytes": "64MiB"}}) as session:

        def shown(size: tuple[int, int]) -> octree_client.Viewer:
            viewer = octree_client.Viewer(session.dataset(), size, visible=False)
            viewer.layers[0].contrast_limits = (5000, 36000)
            viewer.layers[0].interpolation = "nearest"
            viewer.add(session.dataset(), name="over", colormap="magma", contrast_limits=(0, 40000))
            viewer.layers["over"].opacity = 0.4
            viewer.add(session.dataset(), name="hidden")
            viewer.layers["hidden"].visible = False
            viewer.dims.set_index("z", 1)
            return viewer

        with shown((170, 130)) as viewer, shown((510, 390)) as larger:
            viewer.set_view((300.0, 350.0), 1.5)
            camera = viewer.camera
            picture = viewer.render_enlarged(3, 30.0)
            assert viewer.camera == camera
            larger.set_view((300.0, 350.0), 0.5)
            larger.wait_until_final(20)
            expected = larger.render()
            assert picture.shape == expected.shape
            # The last bit of a float32 may fall to the other side of a voxel's edge, here and there.
            off = np.abs(picture.astype(int) - expected).max(axis=-1)
            assert (off > 1).mean() < 0.002
            assert viewer.render_enlarged(0.5, 30.0).shape == (65, 85, 4)
        with pytest.raises(ValueError, match="along an edge"):
            viewer.render_enlarged(1000)
