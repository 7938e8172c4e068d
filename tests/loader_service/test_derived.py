"""Made levels: equal to numpy's, step by step; kept, used again, and made anew where that is right."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from octree_loader.catalog import plan_spec
from octree_loader.downsample import downsample
from octree_loader.level_cache import CacheRoot, LevelCache
from octree_loader.planning import DatasetPlan
from octree_loader.sources import derived, open_source
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec
from octree_loader.sources.derived import DerivedSource, Unfinished, derive_source


class Counting:
    """A source that counts what is read of it, and fails where it is told to."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.voxels = 0
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def read(self, level: int, pieces: Sequence[Piece]) -> list[bool]:
        if self.fails:
            raise SourceError("chunk 3/4 is corrupt")
        self.voxels += sum(out.size for _, out in pieces)
        return self.source.read(level, pieces)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[CacheRoot]:
    root = CacheRoot(str(tmp_path / "cache"), 1 << 30)
    yield root
    root.close()


def _open(spec: SourceSpec, root: CacheRoot | None, tile: int = 64) -> tuple[DatasetPlan, Source, Counting]:
    plan = plan_spec(0, spec, tile, root)
    counting = Counting(open_source(spec))
    return plan, derive_source(counting, plan.dataset, plan.making), counting  # type: ignore[arg-type]


def _whole(plan: DatasetPlan, source: Source, level: int) -> NDArray[Any]:
    """A level, put together from its chunks; what is missing is the fill value."""
    described = plan.dataset.levels[level]
    result = np.full(described.shape, plan.dataset.fill_value, source.dtype)
    for index in np.ndindex(described.grid()):
        box = described.chunk_extent(index)
        out = np.empty([high - low for low, high in box], source.dtype)
        if source.read(level, [Piece(box, out)])[0]:
            result[tuple(slice(*edge) for edge in box)] = out
    return result


def _check(plan: DatasetPlan, source: Source, voxels: NDArray[Any], rule: str = "mean", order: int = 1) -> None:
    assert plan.making is not None
    expected = [voxels]
    for level in plan.making.averaged(len(plan.levels)):
        ratio = np.divide(plan.dataset.levels[level].scale, plan.dataset.levels[level - 1].scale)
        axes = [a for a, r in enumerate(ratio) if r == 2]
        expected.append(downsample(expected[-1], axes, rule))  # type: ignore[arg-type]
    assert len(expected) > 1
    for level in range(1, len(expected))[::order]:
        np.testing.assert_array_equal(_whole(plan, source, level), expected[level])


@pytest.mark.parametrize("order", [1, -1], ids=["finest first", "coarsest first"])
@pytest.mark.parametrize("shape", [(517, 300), (64, 1001), (2, 3, 131, 400), (40, 150, 170)])
@pytest.mark.parametrize("kind", ["npy", "zarr", "no cache"])
def test_made_levels_equal_numpys(
    tmp_path: Path, root: CacheRoot, kind: str, shape: tuple[int, ...], order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "AT_ONCE_BYTES", 64 << 10)
    monkeypatch.setattr(derived, "AT_ONCE_CACHED_BYTES", 64 << 10)
    voxels = np.random.default_rng(1).integers(0, 60_000, shape, dtype=np.uint16)
    axes = {2: "yx", 3: "zyx", 4: "tcyx"}[len(shape)]
    path = tmp_path / ("a.zarr" if kind == "zarr" else "a.npy")
    if kind == "zarr":
        chunks = (*(1,) * (len(shape) - 2), 50, 70)
        zarr.create_array(str(path), shape=shape, dtype="u2", chunks=chunks)[...] = voxels
    else:
        np.save(path, voxels)
    spec = SourceSpec("a", str(path), {"axes": axes, "scale": [2.0] * (len(shape) - 2) + [1.0, 1.0]})
    plan, source, _ = _open(spec, None if kind == "no cache" else root)
    _check(plan, source, voxels, order=order)


def test_labels_and_masks_follow_their_rules(tmp_path: Path) -> None:
    voxels = np.random.default_rng(3).integers(0, 4, (300, 200), dtype=np.uint8)
    np.save(tmp_path / "mask.npy", voxels == 3)
    plan, source, _ = _open(SourceSpec("mask", str(tmp_path / "mask.npy")), None)
    _check(plan, source, voxels == 3, "any")
    np.save(tmp_path / "a.npy", voxels)
    plan, source, _ = _open(SourceSpec("a", str(tmp_path / "a.npy")), None)
    as_labels = msgspec.structs.replace(plan.dataset, kind="labels")
    assert plan.making is not None
    labels = DerivedSource(open_source(SourceSpec("a", str(tmp_path / "a.npy"))), as_labels, plan.making, None)
    _check(plan, labels, voxels, "mode")


def test_what_was_made_is_read_from_the_cache(tmp_path: Path, root: CacheRoot) -> None:
    voxels = np.random.default_rng(1).integers(0, 60_000, (600, 700), dtype=np.uint16)
    np.save(tmp_path / "a.npy", voxels)
    spec = SourceSpec("a", str(tmp_path / "a.npy"))
    plan, source, first = _open(spec, root)
    _check(plan, source, voxels)
    # Coarser levels were made of finer ones: level 0 was read once.
    assert first.voxels == voxels.size
    again = CacheRoot(root.directory, 1 << 30)  # another daemon
    try:
        plan, source, second = _open(spec, again)
        _check(plan, source, voxels)
        assert second.voxels == 0
    finally:
        again.close()
    # It is a normal OME-Zarr.
    image = zarr.open_group(f"{plan.making.cache}/image", mode="r")  # type: ignore[union-attr]
    np.testing.assert_array_equal(image["1"][...], downsample(voxels, (0, 1)))
    assert image.attrs["ome"]["multiscales"][0]["datasets"][0]["path"] == "1"


def test_a_chunk_high_up_leaves_everything_below_it_in_the_cache(tmp_path: Path, root: CacheRoot) -> None:
    voxels = np.random.default_rng(1).integers(0, 60_000, (512, 512), dtype=np.uint16)
    np.save(tmp_path / "a.npy", voxels)
    plan, source, counting = _open(SourceSpec("a", str(tmp_path / "a.npy")), root)
    assert plan.making is not None
    top = plan.making.averaged(len(plan.levels)).stop - 1
    _whole(plan, source, top)
    assert counting.voxels == voxels.size
    _check(plan, source, voxels)
    assert counting.voxels == voxels.size


def test_a_changed_file_gets_new_levels(tmp_path: Path, root: CacheRoot) -> None:
    path = tmp_path / "a.npy"
    for seed in (1, 2):
        voxels = np.random.default_rng(seed).integers(0, 60_000, (300, 300), dtype=np.uint16)
        np.save(path, voxels)
        os.utime(path, ns=(seed, seed))  # as long, and of the same inode: only the time tells
        plan, source, _ = _open(SourceSpec("a", str(path)), root)
        _check(plan, source, voxels)


def test_a_changed_zarr_gets_new_levels(tmp_path: Path, root: CacheRoot) -> None:
    path = str(tmp_path / "a.zarr")
    array = zarr.create_array(path, shape=(300, 300), dtype="u2", chunks=(100, 100))
    for seed in (1, 2):
        voxels = np.random.default_rng(seed).integers(0, 60_000, (300, 300), dtype=np.uint16)
        array[...] = voxels
        plan, source, _ = _open(SourceSpec("a", path), root)
        _check(plan, source, voxels)


def test_missing_is_missing_on_every_level_and_is_remembered(tmp_path: Path, root: CacheRoot) -> None:
    path = str(tmp_path / "a.zarr")
    array = zarr.create_array(path, shape=(512, 512), dtype="u2", chunks=(64, 64), fill_value=7)
    array[:64, :64] = 1000
    plan, source, counting = _open(SourceSpec("a", path), root)
    level = plan.dataset.levels[1]
    for _ in range(2):
        there = [
            source.read(1, [Piece(level.chunk_extent(i), np.empty((64, 64), np.uint16))])[0]
            for i in np.ndindex(level.grid())
        ]
        assert there == [True] + [False] * 15
        read = counting.voxels
    _check(plan, source, np.asarray(array[...]))
    assert counting.voxels == read == 512 * 512


def test_an_unreadable_child_is_named(tmp_path: Path, root: CacheRoot) -> None:
    np.save(tmp_path / "a.npy", np.zeros((300, 300), np.uint16))
    plan, source, counting = _open(SourceSpec("a", str(tmp_path / "a.npy")), root)
    counting.fails = True
    with pytest.raises(SourceError, match="level 1 cannot be made of level 0: chunk 3/4 is corrupt"):
        _whole(plan, source, 1)
    counting.fails = False
    _check(plan, source, np.zeros((300, 300), np.uint16))


def test_a_damaged_cache_is_made_anew(tmp_path: Path, root: CacheRoot) -> None:
    voxels = np.random.default_rng(1).integers(0, 60_000, (300, 300), dtype=np.uint16)
    np.save(tmp_path / "a.npy", voxels)
    plan, source, _ = _open(SourceSpec("a", str(tmp_path / "a.npy")), root)
    _check(plan, source, voxels)
    assert plan.making is not None
    for file in Path(plan.making.cache, "image", "1", "c").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:20])
    _check(plan, source, voxels)


def test_a_full_disk_stops_nothing(tmp_path: Path, root: CacheRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = np.random.default_rng(1).integers(0, 60_000, (300, 300), dtype=np.uint16)
    np.save(tmp_path / "a.npy", voxels)
    plan, source, _ = _open(SourceSpec("a", str(tmp_path / "a.npy")), root)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    _check(plan, source, voxels)


def test_an_unwritable_folder_stops_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((300, 300), np.uint16))
    (tmp_path / "file").write_text("")
    plan, source, _ = _open(SourceSpec("a", str(tmp_path / "a.npy")), CacheRoot(str(tmp_path / "file"), 1 << 30))
    assert plan.making is not None
    assert plan.making.cache == ""
    _check(plan, source, np.zeros((300, 300), np.uint16))


def test_work_that_takes_long_is_done_in_slices(
    tmp_path: Path, root: CacheRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "AT_ONCE_CACHED_BYTES", 1)
    voxels = np.random.default_rng(1).integers(0, 60_000, (512, 512), dtype=np.uint16)
    np.save(tmp_path / "a.npy", voxels)
    plan = plan_spec(0, SourceSpec("a", str(tmp_path / "a.npy")), 64, root)
    assert plan.making is not None
    kept = plan.making.kept(len(plan.levels))
    moments = iter(range(10**6))
    source = DerivedSource(
        open_source(SourceSpec("a", str(tmp_path / "a.npy"))),
        plan.dataset,
        plan.making,
        LevelCache(plan.making.cache, plan.dataset, kept),
        clock=lambda: float(next(moments)),  # every look at it takes a second
    )
    top = kept[-1]
    box = plan.dataset.levels[top].chunk_extent((0, 0))
    out = np.empty([high - low for low, high in box], np.uint16)
    put_off = 0
    for _ in range(1000):
        try:
            assert source.read(top, [Piece(box, out)]) == [True]
            break
        except Unfinished:
            put_off += 1
    assert 3 < put_off < 1000
    expected = voxels
    for _ in range(top):
        expected = downsample(expected, (0, 1))
    np.testing.assert_array_equal(out, expected[: out.shape[0], : out.shape[1]])


def test_the_sampled_level_shows_voxels_of_the_image(tmp_path: Path, root: CacheRoot) -> None:
    y, x = np.mgrid[:1000, :1010].astype(np.uint16)
    np.save(tmp_path / "a.npy", y * 60 + x // 20)
    plan, source, counting = _open(SourceSpec("a", str(tmp_path / "a.npy")), root)
    assert plan.making is not None
    assert plan.making.sampled
    top = len(plan.levels) - 1
    got = _whole(plan, source, top)
    assert counting.voxels == 0
    factor = int(plan.dataset.levels[top].scale[0])
    places = [
        np.minimum(np.arange(n) * factor + factor // 2, m - 1) for n, m in zip(got.shape, (1000, 1010), strict=True)
    ]
    np.testing.assert_array_equal(got, (y * 60 + x // 20)[np.ix_(*places)])


@pytest.mark.parametrize("option", ["zero-only", "stored", "made", "all"])
def test_the_option_levels(tmp_path: Path, option: str) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    for n, edge in enumerate((512, 256)):
        group.create_array(str(n), shape=(edge, edge), dtype="u1", chunks=(64, 64))
    datasets = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [2.0**n] * 2}]} for n in range(2)
    ]
    axes = [{"name": name, "type": "space"} for name in "yx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    spec = SourceSpec("a", str(tmp_path / "a.zarr"), {"levels": option})
    if option == "all":
        with pytest.raises(SourceError, match="say made, stored or zero-only"):
            plan_spec(0, spec, 64)
        return
    plan = plan_spec(0, spec, 64)
    assert len(plan.levels) == {"zero-only": 1, "stored": 2, "made": 4}[option]
    open_source(spec)


@pytest.mark.parametrize(
    ("dtype", "option", "kind"),
    [
        ("u1", None, "intensity"), ("u2", None, "intensity"), ("i8", None, "intensity"), ("f4", None, "intensity"),
        ("u4", None, "labels"), ("u8", None, "labels"), ("bool", None, "mask"), ("u2", "labels", "labels"),
        ("u1", "mask", "mask"), ("u4", "intensity", "intensity"),
    ],
)  # fmt: skip
def test_what_voxels_are_decides_how_levels_are_made(tmp_path: Path, dtype: str, option: str | None, kind: str) -> None:
    voxels = np.random.default_rng(4).choice([0, 0, 7, 200], (256, 256)).astype(dtype)
    zarr.create_array(str(tmp_path / "a"), shape=voxels.shape, dtype=voxels.dtype, chunks=(64, 64))[...] = voxels
    spec = SourceSpec("a", str(tmp_path / "a"), {} if option is None else {"kind": option})
    plan, source, _ = _open(spec, None)
    assert plan.dataset.kind == kind
    rule: Any = {"intensity": "mean", "labels": "mode", "mask": "any"}[kind]
    np.testing.assert_array_equal(_whole(plan, source, 1), downsample(voxels, (0, 1), rule))


def test_a_kind_that_is_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((64, 64), np.uint8))
    with pytest.raises(SourceError, match="say intensity, labels or mask"):
        open_source(SourceSpec("a", str(tmp_path / "a.npy"), {"kind": "picture"}))
