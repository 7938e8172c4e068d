"""Whatever the window can do, Python can: every line of the table is carried out, without a window where that makes
sense, and has an effect."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from inspect import isdatadescriptor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import octree_client
from octree_client.gui.showing import Showing
from octree_client.keys import GESTURES, all_bindings
from octree_client.python_calls import CALLS, CONTROL_CALLS, GESTURE_CALLS, markdown_table

ROOT = Path(__file__).resolve().parents[2]

#: All calls, each once, as it is named in a test: an action, a gesture, or words.
ALL_CALLS = {call: name for name, call in (*CONTROL_CALLS, *GESTURE_CALLS.items(), *CALLS.items())}

#: What is about the window itself.
OF_THE_WINDOW = {call: name for call, name in ALL_CALLS.items() if call.startswith("window.")}

#: How things must stand for a call to change something.
BEFORE: dict[str, Callable[[octree_client.Viewer], object]] = {
    "viewer.home()": lambda v: v.set_view((3.0, 4.0), 7.0),
    'viewer.dims.set_displayed("y", "x")': lambda v: v.dims.set_displayed("z", "x"),
    "viewer.open_link(link)": lambda v: v.set_view((3.0, 4.0), 7.0),
    "layer.auto_contrast = True": lambda v: setattr(v.layers[-1], "contrast_limits", (1, 2)),
    "viewer.stop_playing()": lambda v: v.play("z"),
    "viewer.layers.active = viewer.layers[1]": lambda v: setattr(v.layers, "active", v.layers[0]),
    "viewer.split_channels(layer)": lambda v: v.add(v.layers[0].image, channel="merged"),
    "viewer.fade_ms = 150": lambda v: setattr(v, "fade_ms", 0.0),
}

#: Which layer is the active one; else an image.
OF_LABELS = ("layer.selected_label", "layer.show_selected_only", "layer.contour", "layer.seed")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[octree_client.Session]:
    folder = tmp_path_factory.mktemp("calls")
    rng = np.random.default_rng(0)
    np.save(folder / "cells.npy", rng.integers(0, 4000, (3, 2, 5, 120, 160), "u2"))
    np.save(folder / "labels.npy", (np.indices((120, 160)).sum(0) // 20 + 1).astype("u4"))
    sources = {
        "cells": {"source": str(folder / "cells.npy"), "axes": "tczyx"},
        "labels": {"source": str(folder / "labels.npy"), "kind": "labels"},
    }
    settings = {"octree": {"tile_size": 64}, "memory": {"arena_bytes": "64MiB"}}
    # As it is with a daemon that runs anyway: links name its address, and are opened without another daemon.
    with (
        octree_client.open(datasets=sources, settings=settings) as own,
        octree_client.connect(own.connection.address) as session,
    ):
        yield session


def _reset(viewer: octree_client.Viewer, session: octree_client.Session, call: str) -> None:
    """Two channels and labels below them, somewhere; the topmost channel is the active layer."""
    viewer.stop_playing()
    viewer.fade_ms, viewer.vram_bytes = 0.0, 64 << 20
    viewer.layers.clear()
    viewer.add(session.dataset("cells"), channel="split")
    labels = viewer.add(session.dataset("labels"), kind="labels")[0]
    viewer.layers.move(2, 2 if call.startswith(OF_LABELS) else 0)
    viewer.layers.active = labels if call.startswith(OF_LABELS) else viewer.layers[-1]
    if "layers[:2]" in call:
        viewer.layers.move(0, 2)
    viewer.dims.set_displayed("y", "x")
    for axis in ("t", "z"):
        viewer.dims.set_index(axis, 1)
    viewer.home()
    if call in BEFORE:
        BEFORE[call](viewer)
    if "layer.level" in call or "value" in call:
        viewer.wait_until_final(20)


def _state(viewer: octree_client.Viewer) -> tuple[Any, ...]:
    layers = viewer.layers
    return (
        viewer.camera,
        (viewer.dims.point, viewer.dims.displayed),
        [(layer.name, layer.look, layer.channel) for layer in layers],
        layers.active.name if layers.active is not None else None,
        (viewer.playing, viewer.fade_ms, viewer.vram_bytes),
        sorted(Path().iterdir()),
    )


def _carry_out(call: str, names: dict[str, Any]) -> Any:
    """Carry a line out; what it comes to, or what it gave a name to."""
    (statement,) = ast.parse(call).body
    if isinstance(statement, ast.Expr):
        return eval(call, names)
    before = dict(names)
    exec(call, names)
    return {name: value for name, value in names.items() if name not in before} or None


def test_every_command_has_a_call() -> None:
    assert list(CALLS) == [binding.action for binding in all_bindings()], "in the order of `keys`"
    assert list(GESTURE_CALLS) == [gesture for gesture, _ in GESTURES]


def test_the_documentation_has_the_table() -> None:
    assert markdown_table() in (ROOT / "docs" / "scripting.md").read_text()


@pytest.mark.gl
def test_every_call_does_something_without_a_window(
    session: octree_client.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("image.npy", np.arange(80 * 90, dtype="u2").reshape(80, 90))
    with octree_client.Viewer(session.dataset("cells"), size=(400, 300), visible=False) as viewer:
        _reset(viewer, session, "")
        viewer.export("image.zarr", level=0)
        assert (tmp_path / "image.zarr").is_dir()
        link = viewer.link()
        opened = set()
        for call, name in ALL_CALLS.items():
            if call in OF_THE_WINDOW or call == CALLS["close"]:
                continue
            _reset(viewer, session, call)
            names = {"octree_client": octree_client, "viewer": viewer, "layer": viewer.layers.active, "link": link}
            names["address"] = session.connection.address
            before = _state(viewer)
            came_to = _carry_out(call, names)
            assert came_to is not None or _state(viewer) != before, f"{name}: {call}"
            _assert_documented(call, names)
            opened.update(viewer.sessions)
        viewer.close()
        assert viewer.canvas.closed
        for each in opened - {session}:  # what was connected to is closed by who did
            each.close()


@pytest.mark.gl
@pytest.mark.qt
def test_every_call_about_the_window(
    make_window: Callable[..., Any], session: octree_client.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    window = make_window(session.dataset("cells"), size=(1000, 700))

    def state() -> tuple[Any, ...]:
        showing: Showing = window.showing
        return showing.states(), showing.theme.name, window.isFullScreen(), sorted(tmp_path.iterdir())

    for call, name in OF_THE_WINDOW.items():
        before = state()
        _carry_out(call, {"window": window})
        assert state() != before, f"{name}: {call}"
        _assert_documented(call, {"window": window})
        now = state()
        _carry_out(call, {"window": window})
        assert state() == now, f"{call}: said twice, it is the same"
    with pytest.raises(ValueError, match=r"'moon' cannot be turned; there are .*toggle_minimap"):
        window.turn("moon", True)


def _assert_documented(call: str, names: dict[str, Any]) -> None:
    """What a line names is public, and says what it is: itself, or among the attributes of its class."""
    for node in ast.walk(ast.parse(call)):
        if not isinstance(node, ast.Attribute) or any(isinstance(part, ast.Call) for part in ast.walk(node.value)):
            continue  # what a call returns is looked at where it has a name
        owner = eval(ast.unparse(node.value), dict(names))
        kind = owner if isinstance(owner, type(octree_client)) else type(owner)
        member = getattr(kind, node.attr, None)
        said = getattr(member, "__doc__", None) if callable(member) or isdatadescriptor(member) else None
        assert not node.attr.startswith("_"), call
        assert said or node.attr in (kind.__doc__ or ""), f"{call}: {kind.__name__}.{node.attr} says nothing of itself"
