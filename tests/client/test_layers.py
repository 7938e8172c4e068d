"""Several layers in one viewer, through the whole chain: pictures against numpy, wants, names, units, channels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.client.reference import clear_of, colours, inside, resample, voxel_positions

import octree_client
from octree_client.colormaps import UnknownColormap, colormap_table
from octree_client.viewer import BACKGROUND, Viewer
from octree_loader.demo.pyramid import write_pyramid

pytestmark = pytest.mark.gl

GROUND = np.rint(np.array(BACKGROUND) * 255)


@pytest.fixture(scope="module")
def voxels() -> dict[str, np.ndarray]:
    chance = np.random.default_rng(3)
    return {
        "ground": chance.integers(0, 256, (120, 160)).astype("u1"),
        "upper": chance.integers(0, 60000, (60, 50)).astype("u2"),
        "stack": chance.integers(0, 4000, (3, 2, 5, 70, 90)).astype("u2"),
    }


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, voxels: dict[str, np.ndarray]) -> Iterator[octree_client.Session]:
    folder = tmp_path_factory.mktemp("layers")
    for name in ("ground", "upper"):
        np.save(folder / f"{name}.npy", voxels[name])
    write_pyramid(folder / "stack.zarr", voxels["stack"], axes="tczyx", chunk=64, levels=1)
    tell(folder / "stack.zarr")
    sources: dict[str, Any] = {
        "ground": str(folder / "ground.npy"),
        "upper": {"source": str(folder / "upper.npy"), "scale": (2.0, 3.0), "translation": (-20.0, 10.0)},
        "stack": str(folder / "stack.zarr"),
    }
    settings = {"memory": {"arena_bytes": "64MiB"}, "octree": {"tile_size": 64}}
    with octree_client.open(datasets=sources, settings=settings) as session:
        yield session


def tell(path: Path) -> None:
    """Give the channels a name, a colour and a window, as microscopes do."""
    file = path / "zarr.json"
    said = json.loads(file.read_text())
    channel = {"active": True, "coefficient": 1, "family": "linear"}
    said["attributes"]["ome"]["omero"] = {
        "channels": [
            channel | {"label": "DAPI", "color": "0000FF", "window": {"start": 10, "end": 3000, "min": 0, "max": 4095}},
            channel | {"label": "GFP", "color": "00FF00", "window": {"start": 50, "end": 2000, "min": 0, "max": 4095}},
        ]
    }
    file.write_text(json.dumps(said))


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    with Viewer(size=(200, 150), visible=False) as viewer:
        yield viewer


def of_layer(viewer: Viewer, number: int, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB 0 .. 1 and alpha of one layer as numpy draws it, and which pixels are no voxel's border."""
    layer, camera = viewer.layers[number], viewer.camera
    level = layer.levels[0]
    table = colormap_table(layer.colormap)
    values = resample(lambda rows, columns: plane[rows, columns], level, camera, "nearest")
    rgba = colours(values, layer.contrast_limits, layer.gamma, table)
    rows, columns = (clear_of(p, 2e-3) for p in voxel_positions(level, camera))
    return rgba[..., :3] / 255, inside(level, camera)[..., None] * 1.0, rows[:, None] & columns[None, :]


def blended(below: np.ndarray, rgb: np.ndarray, there: np.ndarray, layer: Any, lowest: bool) -> np.ndarray:
    alpha = there * (1.0 if layer.blending == "opaque" else layer.opacity)
    if layer.blending == "additive":
        added = np.where(lowest & (there > 0), 0.0, below) + rgb * alpha
        return np.rint(np.clip(added, 0, 1) * 255) / 255
    if layer.blending == "minimum":
        white = 1 - alpha + rgb * alpha
        return np.where(there > 0, white if lowest else np.minimum(below, white), below)
    return np.rint((below * (1 - alpha) + rgb * alpha) * 255) / 255


def compare(viewer: Viewer, planes: list[np.ndarray]) -> None:
    viewer.wait_until_final(20)
    expected = np.broadcast_to(GROUND / 255, (150, 200, 3))
    clear = np.ones((150, 200), bool)
    for number, plane in enumerate(planes):
        rgb, there, good = of_layer(viewer, number, plane)
        expected = blended(expected, rgb, there, viewer.layers[number], number == 0)
        clear &= good
    assert clear.mean() > 0.5
    error = np.abs(viewer.render()[..., :3] - expected * 255).max(-1)[clear]
    # What is below is rounded to eight bits before the next layer is mixed with it.
    assert error.max() <= 1.01 * len(planes)
    assert (error > 1.01).mean() < 1e-3


@pytest.mark.parametrize("upper", ["translucent", "additive", "minimum", "opaque"])
@pytest.mark.parametrize("lower", ["translucent", "additive", "minimum", "opaque"])
def test_two_layers_are_blended_as_numpy_blends(
    viewer: Viewer, session: octree_client.Session, voxels: dict[str, np.ndarray], lower: str, upper: str
) -> None:
    viewer.add(session.dataset("ground"), blending=lower, colormap="viridis", contrast_limits=(20, 230))
    viewer.add(session.dataset("upper"), blending=upper, colormap="#ff8000", contrast_limits=(100, 50000))
    for layer, opacity in zip(viewer.layers, (0.8, 0.6), strict=True):
        layer.interpolation, layer.opacity = "nearest", opacity
    viewer.set_view((50.13, 70.21), 0.913)
    compare(viewer, [voxels["ground"], voxels["upper"]])


def test_order_visibility_and_removal(
    viewer: Viewer, session: octree_client.Session, voxels: dict[str, np.ndarray]
) -> None:
    heard: list[Any] = []
    for name in ("inserted", "removed", "moved", "active"):
        getattr(viewer.layers.events, name).connect(lambda *said, name=name: heard.append((name, *said)))
    (ground,) = viewer.add(session.dataset("ground"), contrast_limits=(0, 255))
    (upper,) = viewer.add(session.dataset("upper"), contrast_limits=(0, 60000))
    for layer in viewer.layers:
        layer.interpolation, layer.opacity = "nearest", 0.7
    viewer.set_view((50.13, 70.21), 0.913)
    compare(viewer, [voxels["ground"], voxels["upper"]])
    viewer.layers.move(0, 1)
    assert [layer.name for layer in viewer.layers] == ["upper", "ground"]
    compare(viewer, [voxels["upper"], voxels["ground"]])
    requests = ground.pager.said.requests
    ground.visible = False
    assert viewer.layers.active is upper
    viewer.wait_until_final(20)
    assert (ground.pager.said.entries, ground.pieces, ground.status().cells) == ([], [], 0)
    assert ground.pager.said.requests <= requests + 1
    viewer.layers.remove("ground")
    compare(viewer, [voxels["upper"]])
    assert [said[0] for said in heard] == ["inserted", "active", "inserted", "active", "moved", "removed"]
    viewer.layers.clear()
    assert viewer.layers.active is None
    assert (viewer.render()[..., :3] == GROUND).all()


def test_each_layer_tells_what_was_changed(viewer: Viewer, session: octree_client.Session) -> None:
    (layer,) = viewer.add(session.dataset("ground"))
    (other,) = viewer.add(session.dataset("ground"))
    assert other.name == "ground [2]"
    viewer.wait_until_final(20)
    heard: list[Any] = []
    layer.events.connect(lambda name, value: heard.append((name, value)))
    layer.gamma, layer.opacity, layer.colormap, layer.name = 2.0, 0.5, "#123456", "ground [2]"
    assert layer.name == "ground [2] [2]"
    layer.gamma = 2
    layer.contrast_limits = (1, 2)
    assert heard == [
        ("gamma", 2.0),
        ("opacity", 0.5),
        ("colormap", "#123456"),
        ("name", "ground [2] [2]"),
        ("contrast_limits", (1.0, 2.0)),
        ("auto_contrast", False),
    ]
    for name, value in (("gamma", 0), ("opacity", 2), ("blending", "darker"), ("contrast_limits", (0, np.nan))):
        with pytest.raises(ValueError, match="not"):
            setattr(layer, name, value)
    with pytest.raises(UnknownColormap, match="no-such-map"):
        layer.colormap = "no-such-map"
    with pytest.raises(KeyError, match="there are 'ground \\[2\\] \\[2\\]', 'ground \\[2\\]'"):
        viewer.layers["nobody"]
    assert layer.full_range() == (0.0, 255.0)
    counts, edges = layer.histogram()
    assert counts.sum() > 1000
    assert len(edges) == len(counts) + 1
    layer.auto_quantiles = (0.25, 0.75)
    layer.contrast_limits = None
    low, high = layer.contrast_limits
    assert 40 < low < 120 < high < 210


def test_channels_are_layers_in_their_colours_and_can_be_merged(
    viewer: Viewer, session: octree_client.Session, voxels: dict[str, np.ndarray]
) -> None:
    layers = viewer.add(session.dataset("stack"))
    assert [layer.name for layer in layers] == ["stack · DAPI", "stack · GFP"]
    assert [layer.colormap for layer in layers] == ["#0000ff", "#00ff00"]
    assert [layer.contrast_limits for layer in layers] == [(10.0, 3000.0), (50.0, 2000.0)]
    assert viewer.dims.axes == ("t", "z", "y", "x")
    for layer in layers:
        layer.interpolation = "nearest"
    viewer.dims.set_index("t", 2)
    viewer.dims.set_index("z", 4)
    viewer.set_view((35.1, 45.1), 0.5)
    compare(viewer, [voxels["stack"][2, 0, 4], voxels["stack"][2, 1, 4]])
    (merged,) = viewer.merge_channels(layers)
    assert viewer.dims.axes == ("t", "c", "z", "y", "x")
    viewer.dims.set_index("c", 1)
    merged.interpolation, merged.contrast_limits = "nearest", (0, 4000)
    compare(viewer, [voxels["stack"][2, 1, 4]])
    assert len(viewer.split_channels(merged)) == 2
    assert len(viewer.layers) == 2
    with pytest.raises(ValueError, match="has the channels 0 to 1, not 2"):
        viewer.add(session.dataset("stack"), channel=2)


@pytest.mark.parametrize("displayed", [("z", "x"), ("x", "y"), ("y", "z"), ("x", "t")])
def test_any_two_axes_are_displayed(
    viewer: Viewer, session: octree_client.Session, voxels: dict[str, np.ndarray], displayed: tuple[str, str]
) -> None:
    (layer,) = viewer.add(session.dataset("stack"), channel=1, contrast_limits=(0, 4000), colormap="gray")
    layer.interpolation = "nearest"
    viewer.set_view((20.0, 30.0), 0.5)
    viewer.dims.set_index("t", 1)
    viewer.dims.set_index("z", 3)
    viewer.dims.set_displayed(*displayed)
    # What was in the middle of the picture is there still.
    place = {"t": 1.0, "z": 3.0, "y": 20.0, "x": 30.0}
    assert viewer.camera.center == tuple(place[axis] for axis in displayed)
    assert viewer.dims.point == {axis: place[axis] for axis in viewer.dims.hidden}
    viewer.set_view((2.03, 30.06) if displayed[0] == "z" else None, 0.33)
    index = tuple(slice(None) if axis in displayed else int(place[axis]) for axis in "tzyx")
    plane = voxels["stack"][:, 1][index]
    if "tzyx".index(displayed[0]) > "tzyx".index(displayed[1]):
        plane = plane.T
    compare(viewer, [plane])


def test_units_line_up_to_the_voxel_centre(tmp_path: Path, viewer: Viewer) -> None:
    """The same place in nanometres and in micrometres, at half the voxel size."""
    coarse = np.zeros((32, 32), "u1")
    coarse[10, 20] = 255
    fine = np.zeros((64, 64), "u1")
    fine[20:22, 40:42] = 255
    write_pyramid(tmp_path / "micro.zarr", coarse, scale=0.5, chunk=32)
    write_pyramid(tmp_path / "nano.zarr", fine, scale=250.0, chunk=64, levels=1)
    file = tmp_path / "nano.zarr" / "zarr.json"
    said = json.loads(file.read_text())
    scale = said["attributes"]["ome"]["multiscales"][0]
    for axis in scale["axes"]:
        axis["unit"] = "nanometer"
    # The centre of fine voxel 0 lies a quarter of a coarse voxel before that of coarse voxel 0.
    scale["datasets"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [250.0, 250.0]},
        {"type": "translation", "translation": [-125.0, -125.0]},
    ]
    file.write_text(json.dumps(said))
    with octree_client.open(datasets={"micro": str(tmp_path / "micro.zarr"), "nano": str(tmp_path / "nano.zarr")}) as s:
        viewer.add(s.dataset("micro"), colormap="#ff0000", contrast_limits=(0, 255), blending="additive")
        viewer.add(s.dataset("nano"), colormap="#00ff00", contrast_limits=(0, 255), blending="additive")
        assert viewer.dims.units == {"y": "micrometer", "x": "micrometer"}
        for layer in viewer.layers:
            layer.interpolation = "nearest"
        viewer.set_view((5.0, 10.0), 0.0101)
        viewer.wait_until_final(20)
        picture = viewer.render()
        assert (picture[..., 0] > 128).sum() > 1000
        assert ((picture[..., 0] > 128) == (picture[..., 1] > 128)).all()
        assert viewer.layers[1].value_at(5.0, 10.0) == 255
        assert viewer.layers[1].value_at(4.7, 10.0) == 0
        viewer.layers.clear()


def test_a_layer_that_is_not_there_at_the_position_is_not_drawn(viewer: Viewer, session: octree_client.Session) -> None:
    (ground,) = viewer.add(session.dataset("ground"))
    viewer.add(session.dataset("stack"), channel=0)
    viewer.wait_until_final(20)
    assert ground.status().cells > 0
    viewer.dims.set_displayed("z", "x")
    viewer.wait_until_final(20)
    assert ground.status().cells == 0  # it has no z
    assert viewer.layers[1].status().cells > 0
    viewer.dims.swap()
    viewer.dims.set_displayed("y", "x")
    viewer.wait_until_final(20)
    assert ground.status().cells > 0


# --- video memory -----------------------------------------------------------------------------------------------------


def test_going_back_asks_for_nothing_and_is_final_at_once(viewer: Viewer, session: octree_client.Session) -> None:
    (layer,) = viewer.add(session.dataset("stack"), channel=0)
    places = [((20.0, 20.0), 0.2), ((50.0, 70.0), 0.2), ((35.0, 45.0), 1.0)]

    def settled() -> bool:
        """Final, and all that may come into view is in VRAM, too."""
        return viewer.is_final() and not layer.pager.said.entries

    def go(place: tuple[tuple[float, float], float], index: int) -> None:
        viewer.dims.set_index("z", index)
        viewer.set_view(*place)

    for index in (0, 3):
        for place in places:
            go(place, index)
            assert viewer._driver.wait(settled, 20)
    requests, uploads = layer.pager.said.requests, viewer.statistics()["chunks"]
    for index in (0, 3):
        for place in places:
            go(place, index)
            viewer.render()
            assert viewer.status().is_final
            assert viewer.status().provisional == 0
    viewer.wait(0.2)
    assert layer.pager.said.requests == requests
    assert viewer.statistics()["chunks"] == uploads


def test_what_may_come_into_view_is_uploaded_without_drawing(viewer: Viewer, session: octree_client.Session) -> None:
    (layer,) = viewer.add(session.dataset("stack"), channel=0, contrast_limits=(0, 4000))
    viewer.dims.set_index("z", 2)
    viewer.set_view((20.0, 20.0), 0.2)
    viewer.wait_until_final(20)
    frames = viewer.frame_statistics.count
    assert viewer._driver.wait(lambda: not layer.pager.said.entries, 20)
    assert viewer.loaded("z")[1:4].tolist() == [1.0, 1.0, 1.0]
    assert viewer.frame_statistics.count == frames
    between = list(viewer.frame_statistics.between)
    assert sum(one.uploads for one in between) > 0
    viewer.dims.set_index("z", 3)
    viewer.render()
    assert viewer.status().is_final


def test_zooming_out_with_finer_data_in_vram_is_never_blank_nor_coarser(session: octree_client.Session) -> None:
    with Viewer(session.dataset("ground"), size=(100, 80), visible=False) as viewer:
        (layer,) = viewer.layers
        layer.interpolation = "nearest"
        viewer.set_view((40.0, 60.0), 0.5)
        viewer.wait_until_final(20)
        for row in (20.0, 60.0, 100.0):
            for column in (30.0, 80.0, 130.0):
                viewer.set_view((row, column), 0.5)
                viewer.wait_until_final(20)
        assert layer.level == 0
        viewer.sessions[0].connection.want(layer.pager.wanting._inbox, [])  # nothing new comes from now on
        layer.pager.wanting.connection = layer.pager.said._connection = _Silent(layer.pager.connection)  # type: ignore[assignment]
        for pixel_size in (0.7, 1.0, 1.4, 2.0, 2.8):
            viewer.set_view((60.0, 80.0), pixel_size)
            viewer.render()
            assert viewer.status().empty == 0
            assert all(piece.chunk[0] <= (layer.level or 0) for piece in layer.pieces), pixel_size


class _Silent:
    """A connection that says nothing more."""

    def __init__(self, connection: Any) -> None:
        self.settings, self.arena = connection.settings, connection.arena

    def want(self, *_: Any) -> None:
        """Nobody hears it."""

    def close_view(self, *_: Any) -> None:
        """Nobody cares."""


def test_the_budget_is_shared_and_what_was_drawn_stays(
    viewer: Viewer, session: octree_client.Session, voxels: dict[str, np.ndarray]
) -> None:
    layers = [viewer.add(session.dataset("stack"), channel=channel, colormap="gray")[0] for channel in (0, 1)]
    for layer in layers:
        layer.interpolation, layer.contrast_limits = "nearest", (0, 4000)
    viewer.dims.set_index("t", 0)
    viewer.dims.set_index("z", 0)
    viewer.set_view((35.1, 45.2), 0.45)
    planes = [voxels["stack"][0, 0, 0], voxels["stack"][0, 1, 0]]
    compare(viewer, planes)
    tile_bytes = 64 * 64 * 2
    whole = viewer.statistics()["vram_bytes"]
    for budget in (40 * tile_bytes, 24 * tile_bytes, 60 * tile_bytes):
        viewer.vram_bytes = budget
        viewer.render()
        assert viewer.status().is_final, "what was drawn was copied"
        compare(viewer, planes)
        assert viewer.statistics()["vram_bytes"] <= budget
        for layer in layers:
            layer.pager.atlas.tiles.validate()
    viewer.layers.remove(layers[0])
    assert viewer.statistics()["vram_bytes"] <= whole
    compare(viewer, planes[1:])
    assert layers[1].pager.atlas.nbytes > 30 * tile_bytes


def test_scrolling_inside_a_chunk_loads_nothing(tmp_path: Path, viewer: Viewer) -> None:
    """Storage chunks of 8 planes: XY, XZ and YZ come from the same loads."""
    voxels = np.random.default_rng(0).integers(0, 4000, (16, 96, 96)).astype("u2")
    path = write_pyramid(tmp_path / "deep.zarr", voxels, axes="zyx", chunk=(8, 48, 48), levels=1)
    with octree_client.open(path) as session:
        (layer,) = viewer.add(session.dataset())
        layer.interpolation, layer.contrast_limits = "nearest", (0, 4000)
        viewer.set_view((47.1, 47.2), 0.8)
        viewer.dims.set_index("z", 0)
        compare(viewer, [voxels[0]])
        viewer.wait(0.3)
        loaded = session.status().datasets[0].chunks
        requests = layer.pager.said.requests
        for index in range(6):  # two further, the next chunk is prefetched
            viewer.dims.set_index("z", index)
            viewer.render()
            assert viewer.status().is_final, "it was in its slot already"
            compare(viewer, [voxels[index]])
        assert session.status().datasets[0].chunks == loaded
        viewer.dims.set_index("z", 12)
        compare(viewer, [voxels[12]])
        loaded = session.status().datasets[0].chunks
        viewer.dims.set_displayed("z", "x")
        viewer.set_view((7.6, 47.2), 0.8)
        compare(viewer, [voxels[:, 47]])
        viewer.dims.set_displayed("z", "y")
        compare(viewer, [voxels[:, :, 47]])
        assert session.status().datasets[0].chunks == loaded, "the same chunks"
        assert layer.pager.said.requests > requests
        viewer.layers.clear()


# --- playing ----------------------------------------------------------------------------------------------------------


def test_a_play_shows_every_time_point_and_prefetches_the_next(
    viewer: Viewer, session: octree_client.Session, voxels: dict[str, np.ndarray]
) -> None:
    (layer,) = viewer.add(session.dataset("stack"), channel=0, contrast_limits=(0, 4000))
    layer.interpolation = "nearest"
    viewer.dims.set_index("z", 2)
    viewer.dims.set_index("t", 0)
    viewer.set_view((35.1, 45.1), 0.5)
    viewer.wait_until_final(20)
    heard: list[tuple[str, float]] = []
    viewer.dims.events.point_changed.connect(lambda axis, world: heard.append((axis, world)))
    with pytest.raises(ValueError, match="y cannot be played"):
        viewer.play("y")
    viewer.play("t", fps=20, mode="once")
    assert viewer.playing is not None
    assert viewer._driver.wait(lambda: viewer.playing is None, 20)
    assert [said for said in heard if said[0] == "t"] == [("t", 1.0), ("t", 2.0)]
    compare(viewer, [voxels["stack"][2, 0, 2]])
    # What was played, and the neighbours on the other side, could be shown at once.
    assert viewer._driver.wait(lambda: viewer.loaded("t").min() == 1.0, 20)
    places = viewer.loaded("z")
    assert places.shape == (5,)
    assert places[2] == 1.0
    assert places[0] == 0.0
    viewer.play("t", fps=50, mode="loop")
    assert viewer._driver.wait(lambda: len(heard) > 8, 20)
    viewer.stop_playing()
    assert viewer.playing is None
    count = len(heard)
    viewer.wait(0.1)
    assert len(heard) == count


# --- fading -----------------------------------------------------------------------------------------------------------


def test_new_pieces_fade_in_and_end_exactly(session: octree_client.Session, voxels: dict[str, np.ndarray]) -> None:
    with Viewer(session.dataset("ground"), size=(200, 150), visible=False) as viewer:
        (layer,) = viewer.layers
        layer.interpolation, layer.contrast_limits = "nearest", (0, 255)
        viewer.set_view((60.1, 80.2), 2.0)
        viewer.wait_until_final(20)
        viewer.fade_ms = 1500.0
        viewer.set_view((60.1, 80.2), 0.45)
        # Faded, each pixel lies between what stood in for it and what it will be.
        standing = viewer.render()[..., :3].astype(int)
        assert viewer._driver.wait(lambda: layer.frame.fading, 20)
        between = viewer.render()[..., :3].astype(int)
        assert layer.frame.fading
        assert not viewer.is_final()
        compare(viewer, [voxels["ground"]])
        assert not layer.frame.fading
        final = viewer.render()[..., :3].astype(int)
        low, high = np.minimum(standing, final), np.maximum(standing, final)
        assert ((between >= low - 2) & (between <= high + 2)).mean() > 0.99
        with pytest.raises(ValueError, match="a fade takes"):
            viewer.fade_ms = -1.0


# --- slow layers ------------------------------------------------------------------------------------------------------


def test_a_slow_layer_holds_no_other_one_back(
    tmp_path: Path, viewer: Viewer, session: octree_client.Session, voxels: dict[str, np.ndarray]
) -> None:
    """Each from a daemon of its own, so that no worker is busy with the other's loads."""
    path = write_pyramid(tmp_path / "ground.zarr", voxels["ground"], chunk=64, levels=1)
    with octree_client.open(path, delay_ms=1000, settings={"octree": {"tile_size": 64}}) as far:
        (slow,) = viewer.add(far.dataset())
        (fast,) = viewer.add(session.dataset("ground"))
        seen = []
        viewer.on_frame.append(lambda: seen.append((fast.loading, slow.loading)))
        viewer.set_view((60.0, 80.0), 1.0)
        viewer.wait_until_final(30)
        assert ("done", "loading") in seen, "the fast one was there while the slow one was still being read"
        assert ("loading", "done") not in seen
        assert (fast.loading, slow.loading) == ("done", "done")
        assert set(viewer.sessions) == {session, far}
        viewer.layers.clear()


def test_nor_does_it_where_one_daemon_reads_both(tmp_path: Path, viewer: Viewer, voxels: dict[str, np.ndarray]) -> None:
    """The slow one's chunks wait for workers of their own; it has more of them than there are workers to begin with."""
    for name in ("slow", "fast"):
        write_pyramid(tmp_path / f"{name}.zarr", voxels["ground"], chunk=64, levels=1)
    sources = {
        "slow": {"source": str(tmp_path / "slow.zarr"), "delay_ms": 2000},
        "fast": str(tmp_path / "fast.zarr"),
    }
    with octree_client.open(datasets=sources, settings={"octree": {"tile_size": 64}}) as both:
        (slow,) = viewer.add(both.dataset("slow"))
        (fast,) = viewer.add(both.dataset("fast"))
        seen = []
        viewer.on_frame.append(lambda: seen.append((fast.loading, slow.loading)))
        viewer.set_view((60.0, 80.0), 1.0)
        viewer.wait_until_final(30)
        assert ("done", "loading") in seen, "the fast one was there while the slow one was still being read"
        assert ("loading", "done") not in seen
        viewer.layers.clear()


def test_numbers_are_labels_and_an_image_again_in_their_place(viewer: Viewer, session: octree_client.Session) -> None:
    viewer.add(session.dataset("stack"), channel="split")
    viewer.dims.set_displayed("z", "x")
    viewer.dims.set_index("t", 2)
    viewer.set_view((3.0, 40.0), 0.25)
    layer = viewer.layers[1]
    layer.look = replace(layer.look, opacity=0.5, contrast_limits=(7.0, 900.0), auto_contrast=False, seed=3)
    before = layer.look, viewer.camera, viewer.dims.displayed, viewer.dims.point
    viewer.wait_until_final(20)
    picture = viewer.render()
    labels = viewer.show_as(layer, "labels")
    assert [each.kind for each in viewer.layers] == ["image", "labels"]
    assert (labels.name, labels.channel, viewer.layers.active) == (layer.name, 1, labels)
    viewer.wait_until_final(20)
    assert (viewer.render() != picture).any()
    again = viewer.show_as(labels.name, "image")
    assert viewer.show_as(again, "image") is again
    assert (again.look, viewer.camera, viewer.dims.displayed, viewer.dims.point) == before
    viewer.wait_until_final(20)
    assert (viewer.render() == picture).all()
    viewer.layers.remove(viewer.layers[0])
    viewer.show_as(again, "labels")  # without it there is nothing, and so no place
    assert (viewer.camera, viewer.dims.displayed, viewer.dims.point) == before[1:]


def test_fractions_and_colours_are_no_labels(viewer: Viewer) -> None:
    chance = np.random.default_rng(0)
    (layer,) = viewer.open(chance.random((40, 50)).astype("f4"))
    with pytest.raises(ValueError, match="labels are whole numbers"):
        viewer.show_as(layer, "labels")
    (layer,) = viewer.open(chance.integers(0, 255, (40, 50, 3)).astype("u1"), rgb=True, axes="yxc")
    with pytest.raises(ValueError, match="made of colours"):
        viewer.show_as(layer, "labels")
    assert [each.kind for each in viewer.layers] == ["image", "rgb"]
