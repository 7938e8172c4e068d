"""A window on a screen that Qt scales, in a process of its own: ``python -m tests.client.hidpi IMAGE.npy`` prints, as
JSON, what mouse, camera and pictures come to. `test_hidpi` judges it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tests.client.reference import clear_of, inside, resample, voxel_positions
from tests.client.window_kit import DEFAULTS, send_mouse, send_wheel

import octree_client


def look(path: str) -> dict[str, Any]:
    """Open the image in a window, use it, and tell what came of it."""
    from octree_client.gui.application import qt_application
    from octree_client.gui.window import ViewerWindow

    application = qt_application()
    voxels = np.load(path)

    def until(done: Callable[[], bool]) -> None:
        end = time.monotonic() + 30.0
        while not done():
            assert time.monotonic() < end
            application.processEvents()

    with octree_client.open(path, settings={"octree": {"tile_size": 64}}) as session:
        window = ViewerWindow(session.dataset(), (1000, 700), None, DEFAULTS)
        window.show()
        until(lambda: window.viewer is not None)
        viewer, widget = window.viewer, window.canvas.native
        layer = viewer.layers[0]
        layer.interpolation, layer.contrast_limits = "nearest", (0, 1000)
        until(lambda: viewer.is_final() and window.gestures.navigation is not None)
        found: dict[str, Any] = {
            "ratio": window.canvas.pixel_ratio,
            "widget": (widget.width(), widget.height()),
            "canvas": window.canvas.size,
            "camera": viewer.camera.canvas,
            "fitted": (viewer.camera.pixel_size, layer.level),
            "text": window.status_bar.value.fontMetrics().height(),
        }
        viewer.set_view((200.0, 300.0), 0.5)
        viewer.wait_until_final(20)
        camera, picture = viewer.camera, viewer.render()
        plane = layer.levels[0]
        expected = np.floor(
            np.clip(resample(lambda y, x: voxels[y, x], plane, camera, "nearest") / 1000, 0, 1) * 255 + 0.5
        )
        rows, columns = voxel_positions(plane, camera)
        judged = inside(plane, camera) & clear_of(rows, 0.02)[:, None] & clear_of(columns, 0.02)[None, :]
        found["picture"] = picture.shape[:2]
        found["judged"] = int(judged.sum())
        found["wrong"] = float(np.abs(picture[..., 0] - expected)[judged].max())

        at = (0.25 * widget.width(), 0.4 * widget.height())
        send_mouse(window, "move", at)
        window.refresh()
        under = camera.world_at((at[0] * found["ratio"], at[1] * found["ratio"]))
        found["value"] = (window.status_bar.value.text(), int(voxels[round(under[0]), round(under[1])]))

        send_mouse(window, "press", (100.0, 120.0))
        send_mouse(window, "move", (140.0, 150.0), held=True)
        before = viewer.camera
        send_mouse(window, "release", (140.0, 150.0))
        # Where the hand took hold is under it again.
        found["held"] = (_world(camera, found, (100.0, 120.0)), _world(before, found, (140.0, 150.0)))

        window.gestures.navigation.stop()
        viewer.set_view((200.0, 300.0), 0.5)
        before = viewer.camera
        send_wheel(window, at, 1.0)
        until(lambda: not window.gestures.timer.isActive())
        found["zoomed"] = (before.pixel_size / viewer.camera.pixel_size, _world(before, found, at))
        found["anchor"] = _world(viewer.camera, found, at)

        viewer.set_view((200.0, 300.0), 0.2)
        until(viewer.is_final)
        window.refresh()
        minimap = window.stage.minimap
        left, top, width, height = minimap.map.rectangle(minimap.view)
        middle = (left + width / 2 + 1, top + height / 2 + 1)
        target = minimap.map.world_at((middle[0] + 19.0, middle[1] + 9.0))
        send_mouse(window, "press", middle, to=minimap)
        send_mouse(window, "move", (middle[0] + 20.0, middle[1] + 10.0), held=True, to=minimap)
        send_mouse(window, "release", (middle[0] + 20.0, middle[1] + 10.0), to=minimap)
        found["minimap"] = (viewer.camera.center, target)
        found["saved"] = window.files.grab_window().shape[:2]
        found["window"] = (window.height(), window.width())
        window.close()
    return found


def _world(camera: Any, found: dict[str, Any], logical: tuple[float, float]) -> tuple[float, float]:
    place: tuple[float, float] = camera.world_at((logical[0] * found["ratio"], logical[1] * found["ratio"]))
    return place


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1])))
