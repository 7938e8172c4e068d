"""What `octree-serve --check` finds in a configuration."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from pathlib import Path

import h5py
import numpy as np
import PIL.Image
import pytest
import tifffile
import zarr
from rich.console import Console

from octree_loader import check
from octree_loader.checking import (
    EXIT_ADDRESS,
    EXIT_DATASET,
    EXIT_MEMORY,
    AddressReport,
    DatasetReport,
    MemoryReport,
    ReadReport,
    Report,
    check_config,
    check_dataset,
)
from octree_loader.config import Config, load_config
from octree_loader.instance import InstanceLock
from octree_loader.sources.base import SourceSpec

#: Set by a test for the factory below.
_RELEASE = threading.Event()


class _Refusing:
    """An array that opens and cannot be read."""

    shape, dtype, chunks = (300, 300), np.dtype("u1"), (100, 100)

    def __getitem__(self, key: object) -> np.ndarray:
        raise OSError("the tape is at the bindery")


def refusing() -> _Refusing:
    return _Refusing()


def hanging() -> np.ndarray:
    _RELEASE.wait(20.0)
    return np.zeros((8, 8), np.uint8)


def _config(folder: Path, datasets: dict[str, object], **sections: dict[str, object]) -> Config:
    content = {
        "datasets": datasets,
        "memory": {"arena_bytes": "16MiB", "directory": "/dev/shm"},
        "serve": {"bind": [f"ipc://{folder}/d.sock"]},
        **sections,
    }
    (folder / "octree.json").write_text(json.dumps(content))
    return load_config(folder / "octree.json")


def test_a_good_configuration_would_serve_and_nothing_is_left_of_the_check(tmp_path: Path) -> None:
    group = zarr.create_array(
        str(tmp_path / "image.zarr"), shape=(3, 600, 700), chunks=(1, 100, 100), dtype="uint16", fill_value=7
    )
    group[1, 300:400, 500:600] = 1
    before = set(os.listdir("/dev/shm")), set(os.listdir(tmp_path))
    report = check_config(_config(tmp_path, {"image": "image.zarr", "empty": {"source": "image.zarr", "axes": "czy"}}))
    assert report.exit_code == 0
    found = report.datasets[0]
    assert (found.format, found.shape, found.dtype) == ("Zarr", (3, 600, 700), "uint16")
    assert found.nbytes == 3 * 600 * 700 * 2
    assert found.levels_stored == 1
    assert found.levels > 1
    assert [(read.level, read.index, read.stored) for read in found.reads] == [(0, (1, 1, 2), True)]
    assert report.addresses == (AddressReport(f"ipc://{tmp_path}/d.sock", "free"),)
    assert report.memory.asked == 16 << 20
    assert (set(os.listdir("/dev/shm")), set(os.listdir(tmp_path)) - {"octree.json"}) == before


def test_the_format_is_named(tmp_path: Path) -> None:
    pixels = np.zeros((64, 96), np.uint16)
    np.save(tmp_path / "a.npy", pixels)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=pixels, chunks=(32, 32))
    zarr.create_array(str(tmp_path / "a.zarr"), data=pixels, chunks=(32, 32))
    zarr.create_array(str(tmp_path / "b.zarr"), data=pixels, chunks=(32, 32), shards=(64, 96))
    PIL.Image.new("L", (20, 10)).save(tmp_path / "a.png")
    names = {
        "a.npy": "npy",
        "a.tif": "TIFF",
        "a.h5": "HDF5",
        "a.zarr": "Zarr",
        "b.zarr": "Zarr, sharded",
        "a.png": "picture",
    }
    found = {name: check_dataset(SourceSpec("x", str(tmp_path / name)), 256).format for name in names}
    assert found == names
    assert check_dataset(SourceSpec("x", f"{__name__}:refusing", {"delay_ms": 1}), 256).format == "array"


def test_every_dataset_is_looked_at_whatever_the_others_do(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.ones((300, 300)))
    np.save(tmp_path / "cut.npy", np.ones((300, 300)))
    os.truncate(tmp_path / "cut.npy", 4000)
    shutil.copytree(Path(__file__).parent, tmp_path / "folder", ignore=lambda *_: os.listdir(Path(__file__).parent))
    sources = {"good": "good.npy", "cut": "cut.npy", "no": "no.tiff", "folder": "folder", "bad": f"{__name__}:refusing"}
    report = check_config(_config(tmp_path, dict(sources)))
    assert {d.name: d.good for d in report.datasets} == {n: n == "good" for n in sources}
    assert report.exit_code == EXIT_DATASET
    refused = report.datasets[-1]
    assert not refused.error
    assert "at the bindery" in refused.reads[0].error


def test_a_dataset_that_hangs_is_given_up(tmp_path: Path) -> None:
    _RELEASE.clear()
    try:
        report = check_config(_config(tmp_path, {"slow": f"{__name__}:hanging"}), patience=0.2)
    finally:
        _RELEASE.set()
    assert report.exit_code == EXIT_DATASET
    assert "no answer within 0.2 s" in report.datasets[0].error


def test_addresses_are_tried(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, InstanceLock(f"ipc://{tmp_path}/d.sock"):
        port = taken.getsockname()[1]
        binds = [f"ipc://{tmp_path}/d.sock", f"tcp://127.0.0.1:{port}", "tcp://127.0.0.1:*", "tcp://192.0.2.1:9"]
        serve = {"bind": binds, "insecure": True, "health": f"127.0.0.1:{port}"}
        report = check_config(_config(tmp_path, {}, serve=serve))
    states = [(address.state, address.detail) for address in report.addresses]
    assert [state for state, _ in states] == ["ours", "taken", "free", "taken", "taken"]
    assert str(os.getpid()) in states[0][1]
    assert str(os.getpid()) in states[1][1]  # who has it is named
    assert report.exit_code == EXIT_ADDRESS


def test_too_little_memory_is_told_with_the_cure(tmp_path: Path) -> None:
    total = shutil.disk_usage("/dev/shm").total
    memory = {"arena_bytes": 4 * total, "directory": "/dev/shm"}
    report = check_config(_config(tmp_path, {}, memory=memory))
    assert report.exit_code == EXIT_MEMORY
    assert "shm-size" in report.memory.error


_MEMORY = MemoryReport("/dev/shm", 1, 2)
_TAKEN, _FREE = AddressReport("ipc:///x", "taken"), AddressReport("ipc:///y", "free")
_BAD = DatasetReport("bad", "/x", "does not exist")
_UNREADABLE = DatasetReport("half", "/x", reads=(ReadReport(0, (0,), 1.0, False, "checksum"),))


@pytest.mark.parametrize(
    ("report", "status"),
    [
        (Report(_MEMORY, (_FREE,)), 0),
        (Report(_MEMORY, (_FREE,), (_BAD,)), 66),
        (Report(_MEMORY, (_FREE,), (_UNREADABLE,)), 66),
        (Report(_MEMORY, (_FREE, _TAKEN), (_BAD,)), 69),
        (Report(MemoryReport("/dev/shm", 3, 2, error="no"), (_TAKEN,), (_BAD,)), 73),
    ],
)
def test_of_several_troubles_the_first_decides(report: Report, status: int) -> None:
    assert report.exit_code == status
    found = json.loads(check.to_json(report))
    assert found["exit_code"] == status
    assert [d["good"] for d in found["datasets"]] == [d.good for d in report.datasets]


def test_names_with_brackets_are_shown_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    good = check_dataset(SourceSpec("[red]x[/]", str(tmp_path / "a.npy")), 256)
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        check.show(Report(_MEMORY, (_FREE,), (good, DatasetReport("[b]", "/x", "[no] such thing"))), console)
    text = console.export_text()
    assert "[red]x[/]" in text
    assert "[b]: [no] such thing" in text
    assert "1 of 2 datasets open" in text
