"""A screen with two, or one and a half, physical pixels a logical one: the picture has them all, and the mouse is where
it seems to be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.gl, pytest.mark.qt]


@pytest.mark.parametrize(("scale", "policy"), [("2", "Round"), ("1.5", "PassThrough")])
def test_window_on_a_screen_that_is_scaled(display: str, tmp_path: Path, scale: str, policy: str) -> None:
    rows, columns = np.mgrid[:480, :640]
    np.save(tmp_path / "plane.npy", (rows * 7 % 500 + columns * 3 % 500).astype("u2"))
    scaled = {
        "QT_SCALE_FACTOR": scale,
        "QT_ENABLE_HIGHDPI_SCALING": "1",
        "QT_SCALE_FACTOR_ROUNDING_POLICY": policy,
    }
    ran = subprocess.run(
        [sys.executable, "-m", "tests.client.hidpi", str(tmp_path / "plane.npy")],
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | scaled | {"DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout)
    ratio = found["ratio"]
    assert ratio == pytest.approx(float(scale), rel=0.1), "with what the screen's own resolution adds, where it is let"
    assert found["canvas"] == found["camera"] == pytest.approx([ratio * size for size in found["widget"]], abs=1)
    assert found["picture"] == found["canvas"][::-1]
    assert found["saved"] == pytest.approx([ratio * size for size in found["window"]], abs=2)
    # Shown whole, the image has more physical pixels than voxels: the finest level. Of logical ones it has fewer.
    pixel_size, level = found["fitted"]
    assert (pixel_size < 1.0, level) == (True, 0)
    assert found["text"] >= 12, "letters are measured in logical pixels"
    assert found["judged"] > 100_000
    assert found["wrong"] <= 1.0
    said, value = found["value"]
    assert str(value) in re.sub(r"<[^>]*>", " ", said).replace(",", "").split(), said
    taken, under = found["held"]
    assert under == pytest.approx(taken, abs=1e-6), "the image follows the hand"
    factor, anchor = found["zoomed"]
    assert factor > 1.05
    assert found["anchor"] == pytest.approx(anchor, abs=1e-6), "what is under the cursor stays there"
    center, target = found["minimap"]
    assert center == pytest.approx(target, abs=3.0)
