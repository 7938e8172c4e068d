"""OME-TIFFs whose image lies in several files, written by tifffile: all of it, what lacks, and what is not read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.http_server import HttpServer
from tests.loader_service.reading import open_at, read_level, voxels

from octree_loader.sources.base import Piece, SourceError, describe


def write_in_files(folder: Path, data: np.ndarray[Any, Any], names: Sequence[str]) -> Path:
    """An OME-TIFF as microscopes write it: a file for each first index, each with the XML of all; returns the first."""
    whole = folder / "whole.ome.tif"
    tifffile.imwrite(whole, data, metadata={"axes": "TZYX", "PhysicalSizeX": 0.5}, photometric="minisblack")
    with tifffile.TiffFile(whole) as file:
        xml = file.ome_metadata
    whole.unlink()
    assert xml is not None
    ids = [f"urn:uuid:{number:08}-1111-1111-1111-111111111111" for number in range(len(names))]
    parts = "".join(
        f'<TiffData IFD="0" FirstT="{t}" PlaneCount="{data.shape[1]}"><UUID FileName="{name}">{uuid}</UUID></TiffData>'
        for t, (name, uuid) in enumerate(zip(names, ids, strict=True))
    )
    start, end = xml.index("<TiffData"), xml.index("</Pixels>")
    for name, uuid, planes in zip(names, ids, data, strict=True):
        said = re.sub(r'UUID="[^"]*"', f'UUID="{uuid}"', xml[:start], count=1) + parts + xml[end:]
        tifffile.imwrite(folder / name, planes, tile=(16, 16), description=said.encode(), metadata=None)
    return folder / names[0]


def test_an_image_in_several_files(tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    data = voxels((3, 2, 40, 50))
    names = ["t0.ome.tif", "t1.ome.tif", "later/t2.ome.tif"]
    path = write_in_files(tmp_path, data, names)
    source = open_at(str(path))
    assert source.levels[0].shape == data.shape
    np.testing.assert_array_equal(read_level(source), data)
    np.testing.assert_array_equal(read_level(source), tifffile.imread(path))
    assert describe(source).warning == ""
    # The image is another one when one of its files is.
    before = describe(source).identity
    os.utime(tmp_path / names[1], (1, 1))
    assert describe(open_at(str(path))).identity not in ("", before)
    # Whatever it is called now, it is the file that it was.
    path.rename(tmp_path / "renamed.ome.tif")
    np.testing.assert_array_equal(read_level(open_at(str(tmp_path / "renamed.ome.tif"))), data)


def test_a_file_of_an_image_that_is_not_there_is_told_and_its_planes_are_missing(tmp_path: Path) -> None:
    data = voxels((3, 2, 40, 50))
    path = write_in_files(tmp_path, data, ["t0.ome.tif", "t1.ome.tif", "t2.ome.tif"])
    (tmp_path / "t1.ome.tif").unlink()
    source = open_at(str(path))
    assert re.search(r"one of 3 files.*1 are not beside it \(t1\.ome\.tif\)", describe(source).warning)
    out = np.zeros((1, 2, 40, 50), data.dtype)
    box = ((0, 2), (0, 40), (0, 50))
    assert source.read(0, [Piece(((1, 2), *box), out)]) == [False]
    assert source.read(0, [Piece(((2, 3), *box), out)]) == [True]
    np.testing.assert_array_equal(out[0], data[2])


def test_of_an_image_in_several_files_far_away_one_is_shown_and_that_is_told(tmp_path: Path) -> None:
    data = voxels((3, 2, 40, 50))
    write_in_files(tmp_path, data, ["t0.ome.tif", "t1.ome.tif", "t2.ome.tif"])
    with HttpServer(tmp_path) as server:
        source = open_at(f"{server.url}/t0.ome.tif")
        np.testing.assert_array_equal(read_level(source), data[0])
        assert server.behaviour.paths().count("/t1.ome.tif") == 0
    assert re.search(r"t0\.ome\.tif is one of 3 files.*only what is in this one is shown", describe(source).warning)


@pytest.mark.parametrize("name", ["../t1.ome.tif", "link.ome.tif", "/dev/zero", "pipe.ome.tif"])
def test_a_file_that_may_not_be_read_is_not_even_opened(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    data = voxels((2, 2, 40, 50))
    path = write_in_files(inside, data, ["t0.ome.tif", "t1.ome.tif"])
    (inside / "t1.ome.tif").rename(tmp_path / "t1.ome.tif")
    (inside / "link.ome.tif").symlink_to(tmp_path / "t1.ome.tif")
    os.mkfifo(inside / "pipe.ome.tif")  # to open it waits for ever
    said = tifffile.tiffcomment(path).replace('FileName="t1.ome.tif"', f'FileName="{name}"')
    tifffile.tiffcomment(path, said.encode())
    with pytest.raises(SourceError, match=r"only files beside it are read|which is no file"):
        open_at(str(path))
