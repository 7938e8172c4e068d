"""Plates, wells, series, labels and channels of OME-Zarr; datasets inside of datasets."""

from __future__ import annotations

import queue
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from octree_loader.catalog import Catalog
from octree_loader.planning import DatasetPlan
from octree_loader.sources import open_source
from octree_loader.sources.base import Piece, SourceError, SourceSpec
from octree_loader.sources.inside import specs_inside
from octree_protocol.geometry import Channel

CHANNELS = [
    {"label": "DAPI", "color": "0000FF", "window": {"start": 10, "end": 900, "min": 0, "max": 65535}},
    {"label": "GFP", "color": "#00ff00", "window": {"start": 5, "end": 1}},
]


def write_image(
    group: Any, value: int, version: str = "0.5", axes: str = "cyx", shape: tuple[int, ...] = (2, 40, 30), **more: Any
) -> None:
    """An image of two levels; all voxels of the finer one are `value`, of the coarser one more."""
    kinds = {"c": "channel", "t": "time"}
    image = {
        "axes": [{"name": name, "type": kinds.get(name, "space")} for name in axes],
        "datasets": [
            {
                "path": str(n),
                "coordinateTransformations": [{"type": "scale", "scale": [1.0] * (len(axes) - 2) + [2**n] * 2}],
            }
            for n in range(2)
        ],
    }
    said = {"multiscales": [image], **more}
    group.attrs.update({"ome": {"version": version, **said}} if version == "0.5" else said)
    for number in range(2):
        small = tuple(n if i < len(axes) - 2 else -(-n // 2**number) for i, n in enumerate(shape))
        made = group.create_array(str(number), shape=small, chunks=(1,) * (len(axes) - 2) + (16, 16), dtype="u2")
        made[...] = value + number


def write_plate(path: Path, version: str) -> None:
    form = 3 if version == "0.5" else 2
    root = zarr.create_group(str(path), zarr_format=form)
    wells = [{"path": name, "rowIndex": 0, "columnIndex": 0} for name in ("A/1", "B/2")]
    plate = {"plate": {"wells": wells, "rows": [{"name": "A"}], "columns": [{"name": "1"}]}}
    root.attrs.update({"ome": {"version": version, **plate}} if version == "0.5" else plate)
    for number, well in enumerate(("A/1", "B/2")):
        group = root.create_group(well)
        said = {"well": {"images": [{"path": "0"}, {"path": "1"}]}}
        group.attrs.update({"ome": {"version": version, **said}} if version == "0.5" else said)
        for field in range(2):
            write_image(group.create_group(str(field)), 100 * number + 10 * field + 1, version)


def open_at(location: Path | str) -> Any:
    return open_source(SourceSpec("image", str(location)))


def first_voxel(source: Any) -> int:
    out = np.zeros((1,) * len(source.levels[0].shape), source.dtype)
    assert source.read(0, [Piece(((0, 1),) * out.ndim, out)]) == [True]
    return int(out.flat[0])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_plate_holds_its_fields(tmp_path: Path, version: str, zipped: bool) -> None:
    path = tmp_path / "plate.zarr"
    write_plate(path, version)
    if zipped:
        path = Path(shutil.make_archive(str(path), "zip", path))
    inside = specs_inside(SourceSpec("plate", str(path)))
    assert [spec.name for spec in inside] == ["plate/A/1/0", "plate/A/1/1", "plate/B/2/0", "plate/B/2/1"]
    assert [first_voxel(open_source(spec)) for spec in inside] == [1, 11, 101, 111]
    assert first_voxel(open_at(f"{path}/B/2")) == 101  # a well is its first field
    assert open_at(path).levels[0].shape == (2, 40, 30)  # a plate, too
    with pytest.raises(SourceError):
        open_at(f"{path}/C/3/0")


def test_a_converted_file_holds_its_series(tmp_path: Path) -> None:
    path = tmp_path / "converted.zarr"
    root = zarr.create_group(str(path), zarr_format=2, attributes={"bioformats2raw.layout": 3})
    for number in range(11):
        write_image(root.create_group(str(number)), 10 + number, "0.4")
    inside = specs_inside(SourceSpec("file", str(path)))
    assert [spec.name for spec in inside] == [f"file/{n}" for n in range(11)]
    assert first_voxel(open_source(inside[10])) == 20
    assert first_voxel(open_at(path)) == 10
    root.create_group("OME").attrs["series"] = ["3", "1"]
    assert [spec.name for spec in specs_inside(SourceSpec("file", str(path)))] == ["file/3", "file/1"]
    assert first_voxel(open_at(path)) == 13


def test_labels_are_labels_and_channels_have_names(tmp_path: Path) -> None:
    path = tmp_path / "cells.zarr"
    root = zarr.create_group(str(path), zarr_format=3)
    write_image(root, 3, omero={"channels": CHANNELS})
    labels = root.create_group("labels")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    write_image(
        labels.create_group("nuclei"), 7, axes="yx", shape=(40, 30), **{"image-label": {"source": {"image": "../../"}}}
    )
    image = open_at(path)
    assert image.kind == "intensity"
    assert image.channels == (Channel("DAPI", "#0000ff", (10.0, 900.0)), Channel("GFP", "#00ff00", None))
    (inside,) = specs_inside(SourceSpec("cells", str(path), {"axes": "cyx", "delay_ms": 1}))
    assert inside.name == "cells/labels/nuclei"
    assert dict(inside.options) == {"delay_ms": 1}
    nuclei: Any = open_source(inside)
    assert nuclei.kind == "labels"
    assert nuclei.levels[0].shape == (40, 30)
    assert open_at(path / "labels").kind == "labels"


@pytest.mark.parametrize(
    "omero",
    [
        None,
        7,
        {"channels": 3},
        {"channels": [None, {"label": 5, "color": "red", "window": {"start": "x"}}]},
        {"channels": []},
    ],
)
def test_channels_that_make_no_sense_are_not_said(tmp_path: Path, omero: Any) -> None:
    root = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=3)
    write_image(root, 3, omero=omero)
    channels = open_at(tmp_path / "a.zarr").channels
    assert channels == () or channels == (Channel(), Channel("5"))


def test_plates_that_lead_outside_are_refused(tmp_path: Path) -> None:
    secret = zarr.create_group(str(tmp_path / "secret"), zarr_format=2)
    write_image(secret, 1, "0.4")
    for path in ("../secret", "/etc", "A\\..\\..", "x" * 5000):
        place = tmp_path / "plate.zarr"
        shutil.rmtree(place, ignore_errors=True)
        zarr.create_group(str(place), zarr_format=2, attributes={"plate": {"wells": [{"path": path}]}})
        with pytest.raises(SourceError, match="downwards only"):
            open_at(place)
        with pytest.raises(SourceError, match="downwards only"):
            specs_inside(SourceSpec("plate", str(place)))
    for said in ({"wells": 3}, {}, {"wells": [7]}):
        shutil.rmtree(place)
        zarr.create_group(str(place), zarr_format=2, attributes={"plate": said})
        with pytest.raises(SourceError, match=r"cannot be understood|nothing to show"):
            open_at(place)


def test_coordinate_systems_and_sequences_of_0_6(tmp_path: Path) -> None:
    root = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=3)
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    steps = [{"type": "scale", "scale": [2.0, 3.0]}, {"type": "translation", "translation": [5.0, 7.0]}]
    image = {
        "coordinateSystems": [{"name": "physical", "axes": axes}],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "sequence", "transformations": steps}]}],
    }
    root.attrs["ome"] = {"version": "0.6", "multiscales": [image]}
    root.create_array("0", shape=(40, 30), chunks=(16, 16), dtype="u1")[...] = 1
    source = open_at(tmp_path / "a.zarr")
    assert [axis.unit for axis in source.axes] == ["micrometer"] * 2
    assert source.levels[0].scale == (2.0, 3.0)
    assert source.levels[0].translation == (5.0, 7.0)
    image["datasets"][0]["coordinateTransformations"] = [{"type": "rotation", "rotation": [1, 0, 0, 1]}]
    root.attrs["ome"] = {"version": "0.6", "multiscales": [image]}
    with pytest.raises(SourceError, match="rotation"):
        open_at(tmp_path / "a.zarr")


# --- the catalogue --------------------------------------------------------------------------------------------------


class Desk:
    """A catalogue, and the daemon's thread that it calls."""

    def __init__(self, *specs: SourceSpec) -> None:
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self.catalog = Catalog(specs, 256, self.calls.put)

    def open(self, name: str) -> tuple[DatasetPlan | None, str]:
        answers: list[tuple[DatasetPlan | None, str]] = []
        self.catalog.open(name, lambda plan, reason: answers.append((plan, reason)))
        while not answers:
            self.calls.get(timeout=10)()
        return answers[0]

    def settle(self, name: str) -> None:
        """Wait until what lies inside of a dataset is known."""
        while self.catalog.entries[name].looked_inside is not True:
            self.calls.get(timeout=10)()


def test_a_field_can_be_asked_for_before_its_plate_was_opened(tmp_path: Path) -> None:
    write_plate(tmp_path / "plate.zarr", "0.5")
    desk = Desk(SourceSpec("plate", str(tmp_path / "plate.zarr")))
    assert desk.catalog.names() == ("plate",)
    plan, reason = desk.open("plate/B/2/1")
    assert plan is not None, reason
    assert plan.dataset.name == "plate/B/2/1"
    assert len(desk.catalog.names()) == 5
    assert len({entry.number for entry in desk.catalog.entries.values()}) == 5
    plan, reason = desk.open("plate/Z/9")
    assert plan is None
    assert "no dataset named 'plate/Z/9'" in reason


def test_opening_a_plate_names_its_fields(tmp_path: Path) -> None:
    write_plate(tmp_path / "plate.zarr", "0.4")
    desk = Desk(SourceSpec("plate", str(tmp_path / "plate.zarr")))
    plan, reason = desk.open("plate")
    assert plan is not None, reason
    desk.settle("plate")
    assert desk.catalog.names() == ("plate", "plate/A/1/0", "plate/A/1/1", "plate/B/2/0", "plate/B/2/1")


def test_what_cannot_be_looked_into_has_nothing_inside(tmp_path: Path) -> None:
    zarr.create_group(str(tmp_path / "plate.zarr"), zarr_format=2, attributes={"plate": {"wells": [{"path": "../x"}]}})
    desk = Desk(SourceSpec("plate", str(tmp_path / "plate.zarr")))
    plan, reason = desk.open("plate/A")
    assert plan is None
    assert "no dataset named" in reason
