"""The value under the cursor is the file's, whether its slot in the arena is still its own or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import octree_client
from octree_client.canvas import Canvas
from octree_client.kept_voxels import KeptVoxels
from octree_client.probing import _from_arena
from octree_client.texture import AtlasTexture, texture_kind
from octree_client.viewer import Viewer
from octree_loader.demo.pyramid import write_pyramid

DTYPES = ("?", "u1", "i1", "u2", ">u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", ">f4", "f8", "c8", "c16")
LABELS = ("u1", "i2", ">u4", "i4", "u8")
COLOURS = ("u1", "u2", "f4")


def voxels_of(dtype: str, shape: tuple[int, ...] = (70, 90)) -> np.ndarray:
    """All that the dtype can be, so that what is rounded is found out."""
    kind, chance = np.dtype(dtype), np.random.default_rng(4)
    if kind.kind == "b":
        return chance.random(shape) < 0.5
    if kind.kind == "c":
        return (chance.normal(size=shape) + 1j * chance.normal(size=shape)).astype(kind)
    if kind.kind == "f":
        return (chance.normal(size=shape) * 1000).astype(kind)
    info = np.iinfo(kind)
    whole = chance.integers(info.min, info.max, shape, kind.newbyteorder("="), endpoint=True).astype(kind)
    whole.reshape(-1)[:2] = info.min, info.max
    return whole


@pytest.mark.gl
def test_every_chunk_in_view_has_its_values_when_the_arena_holds_others(tmp_path: Path) -> None:
    arrays = {f"plain{n}": voxels_of(dtype) for n, dtype in enumerate(DTYPES)}
    arrays |= {f"label{n}": voxels_of(dtype) for n, dtype in enumerate(LABELS)}
    arrays |= {f"colour{n}": np.abs(voxels_of(dtype, (70, 90, 3))) for n, dtype in enumerate(COLOURS)}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.save(tmp_path / "filler.npy", np.arange(2048 * 2048, dtype="u2").reshape(2048, 2048))
    sources: dict[str, Any] = {name: str(tmp_path / f"{name}.npy") for name in ("filler", *arrays)}
    for n in range(len(COLOURS)):
        sources[f"colour{n}"] = {"source": sources[f"colour{n}"], "axes": "yxc", "rgb": True}
    chosen = {"memory": {"arena_bytes": "5MiB"}, "octree": {"tile_size": 64}}
    with (
        octree_client.open(datasets=sources, settings=chosen) as session,
        Viewer(size=(200, 150), visible=False) as viewer,
    ):
        for name in arrays:
            kind = {"plain": "image", "label": "labels", "colour": "rgb"}[name.rstrip("0123456789")]
            viewer.add(session.dataset(name), name=name, kind=kind)
        viewer.set_view((34.5, 44.5), 0.6)
        viewer.wait_until_final(60)
        with Viewer(session.dataset("filler"), size=(600, 600), visible=False) as other:
            other.layers[0].level_lock = 0
            other.set_view((1023.5, 1023.5), 3.5)
            other.wait_until_final(60)
        chance = np.random.default_rng(5)
        places = [(0, 0), (69, 89), (63, 64), *(tuple(chance.integers(0, (70, 90))) for _ in range(4))]
        for layer in viewer.layers:
            array = arrays[layer.name]
            for row, column in places:
                y, x = (layer.levels[0].voxel_to_world(a, v + 0.4) for a, v in enumerate((int(row), int(column))))
                found = layer.chunk_at(y, x)
                assert found is not None
                assert found[0].chunk[0] == 0
                assert _from_arena(layer.pager, found[0], (0, 0)) is None, "its slot was given away"
                value = array[row, column]
                expected = tuple(value.tolist()) if value.ndim else value.item()
                assert layer.value_at(y, x) == expected, (layer.name, array.dtype)


@pytest.mark.gl
def test_of_a_coarser_level_it_is_that_levels_value(tmp_path: Path) -> None:
    array = np.random.default_rng(6).integers(0, 60000, (256, 256)).astype("u2")
    write_pyramid(tmp_path / "image.zarr", array, chunk=64, levels=3)
    with (
        octree_client.open(tmp_path / "image.zarr", settings={"octree": {"tile_size": 64}}) as session,
        Viewer(session.dataset(), size=(200, 150), visible=False) as viewer,
    ):
        (layer,) = viewer.layers
        layer.level_lock = 2
        viewer.wait_until_final(30)
        in_arena = layer.value_at(100.0, 77.0)
        layer.pager.heard.forget_slots()
        assert layer.value_at(100.0, 77.0) == in_arena == int(session.dataset().levels[2][25, 19])
        found = layer.chunk_at(100.0, 77.0)
        assert found is not None
        assert found[0].chunk[0] == 2
        layer.visible = False
        assert layer.value_at(100.0, 77.0) is None


@pytest.mark.gl
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_texel_is_the_value_where_a_kind_says_so(canvas: Canvas, dtype: str) -> None:
    kind = texture_kind(dtype)
    assert kind.is_exact == (np.dtype(dtype).itemsize <= 2 or dtype[-2:] == "f4")
    if not kind.is_exact:
        return
    atlas = AtlasTexture((32, 40), kind, (2, 3))
    array = voxels_of(dtype, (32, 40))
    if kind.is_float and np.dtype(dtype).kind == "f":
        array[3, :3] = np.nan, np.inf, -np.inf
    atlas.upload(4, array)

    def send() -> None:
        canvas._vispy.context.glir.associate(atlas.texture.glir)

    canvas.between_frames(send)
    for voxel in ((0, 0), (31, 39), (3, 0), (3, 1), (3, 2), (17, 5)):
        value = kind.value_of(canvas.between_frames(lambda voxel=voxel: atlas.read(4, voxel)))
        np.testing.assert_equal(value, array[voxel].item())
        assert type(value) is type(array[voxel].item())
    canvas.render()  # complains if reading has left an error behind
    atlas.close()


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 12)), max_size=40), st.frozensets(st.integers(0, 9)))
def test_kept_voxels_stay_within_their_budget_and_those_in_view_longest(
    puts: list[tuple[int, int]], seen: frozenset[int]
) -> None:
    kept = KeptVoxels(30)
    last: dict[int, int] = {}
    for number, size in puts:
        room_without = sum(last[n] for n in last if n in seen and n != number) + size
        kept.put((0,), (0, 0, number), np.full(size, number, "u1"), lambda _, chunk: chunk[2] in seen)
        before = last
        last = {n: s for n, s in (before | {number: size}).items() if kept.get((0,), (0, 0, n)) is not None}
        kept.validate()
        assert number in last
        if room_without <= 30:
            assert all(n in last for n in before if n in seen)
    for number, size in last.items():
        plane = kept.get((0,), (0, 0, number))
        assert plane is not None
        assert plane.tolist() == [number] * size
