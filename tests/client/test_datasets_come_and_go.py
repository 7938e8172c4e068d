"""Two hundred datasets, one after the other, in one window and of one daemon: what they took is given back."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import octree_client

pytestmark = [pytest.mark.gl, pytest.mark.qt]

#: How many; and after how many of them everything is there that is made once and kept.
_DATASETS, _WARM = 200, 80

#: So many are open at a time.
_AT_ONCE = 4

#: What allocators may keep between the two. Bytes, of the viewer, and of the daemon.
_ROOM, _ROOM_DAEMON = 12 << 20, 12 << 20


def _held(window: Any, session: octree_client.Session) -> dict[str, int]:
    """What the viewer holds, and what its daemon does."""
    from qtpy.QtCore import QCoreApplication, QEvent, QObject
    from qtpy.QtWidgets import QApplication
    from vispy.gloo.globject import GLObject

    from octree_client.layer import ImageLayer
    from octree_client.pager import LayerPager

    QCoreApplication.sendPostedEvents(None, QEvent.DeferredDelete)
    gc.collect()
    found: Counter[str] = Counter()
    for each in gc.get_objects():
        for name, kind in (("layers", ImageLayer), ("pagers", LayerPager), ("gl", GLObject), ("qt", QObject)):
            found[name] += isinstance(each, kind)
    process = psutil.Process()
    assert session.daemon_pid is not None
    daemon = psutil.Process(session.daemon_pid)
    return dict(found) | {
        "memory": process.memory_info().rss,
        "descriptors": process.num_fds(),
        "threads": threading.active_count(),
        "widgets": len(QApplication.allWidgets()),
        "views": len(session.connection._inboxes),
        "video memory": window.viewer.video_memory()[2],
        "daemon: memory": daemon.memory_info().rss,
        "daemon: descriptors": daemon.num_fds(),
        "daemon: threads": daemon.num_threads(),
    }


def test_two_hundred_datasets_leave_nothing(make_window: Callable[..., Any], tmp_path: Path) -> None:
    plane = (np.indices((150, 170)).sum(0) * 37 % 4001).astype("u2")
    names = [f"plane-{number}" for number in range(_DATASETS)]
    for number, name in enumerate(names):
        np.save(tmp_path / f"{name}.npy", plane + number)
    settings = {"memory": {"arena_bytes": "64MiB"}}
    sources = {name: str(tmp_path / f"{name}.npy") for name in names}
    with octree_client.open(datasets=sources, settings=settings) as session:
        window = make_window(None, wait=False, size=(940, 600))
        window.show()
        viewer = _viewer_of(window)
        held = {}
        for first in range(0, _DATASETS, _AT_ONCE):
            for name in names[first : first + _AT_ONCE]:
                viewer.add(session.dataset(name))
            viewer.wait_until_final(20)
            values = [layer.value_at(3.0, 5.0) for layer in viewer.layers]
            assert values == [plane[3, 5] + number for number in range(first, first + _AT_ONCE)]
            viewer.layers.clear()
            if first + _AT_ONCE in (_WARM, _DATASETS):
                viewer.wait(0.3)  # the list of layers and the map are brought up to date a little later
                held[first + _AT_ONCE] = _held(window, session)
        before, after = held[_WARM], held[_DATASETS]
        room = {
            "memory": _ROOM,
            "daemon: memory": _ROOM_DAEMON,
            "daemon: descriptors": 4,
            "qt": 8,
        }
        more = {name: after[name] - before[name] for name in after if after[name] > before[name] + room.get(name, 0)}
        assert not more, f"more than after {_WARM} datasets: {more}"
        assert after["views"] == after["video memory"] == 0
        assert after["layers"] <= 1, "the last one may still be spoken of"
        window.close()


def _viewer_of(window: Any) -> octree_client.Viewer:
    from qtpy.QtWidgets import QApplication

    while window.viewer is None:  # bounded by the test's own limit
        QApplication.processEvents()
    viewer: octree_client.Viewer = window.viewer
    return viewer
