"""Where images lie: absolute, with names, and out of configurations as the daemon reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.locations import Origin, absolute, free_name, is_factory, name_of, origin_of, origins_in, with_names
from octree_loader.config import load_config


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("/data/embryo.ome.zarr", "embryo"),
        ("/data/image-0.4", "image-0.4"),
        ("https://host/slide.svs", "slide"),
        ("package.module:make", "make"),
        ("/data/day 2/", "day 2"),
        ("/", "image"),
    ],
)
def test_what_a_source_is_called(location: str, name: str) -> None:
    assert name_of(location) == name


@given(st.lists(st.sampled_from(["/a/x.tif", "/b/x.zarr", "/c/y.npy", "/d/x-2.tif", "https://h/x.zarr"]), max_size=8))
def test_each_source_has_a_name_of_its_own(sources: list[str]) -> None:
    named = with_names(sources)
    assert list(named.values()) == sources
    assert len(named) == len(sources)


@given(st.sets(st.sampled_from(["a", "a-2", "a-3", "a-2-2"])))
def test_a_free_name_is_free(taken: set[str]) -> None:
    assert free_name("a", taken) not in taken


def test_paths_are_named_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("a.zarr") == str(tmp_path / "a.zarr")
    assert absolute("~/a.zarr") == str(Path.home() / "a.zarr")
    assert absolute("s3://bucket/a") == "s3://bucket/a"
    assert absolute("module:make") == "module:make"
    assert is_factory("a.b:c.d")
    assert not is_factory("/a:b")
    assert origin_of({"source": "a.npy", "axes": "yx"}) == Origin(str(tmp_path / "a.npy"), {"axes": "yx"})


def test_configurations_say_where_their_datasets_are_as_the_daemon_reads_them(tmp_path: Path) -> None:
    """JSON and what Python has for it; paths from the file's folder; a file may be called like a factory."""
    (tmp_path / "is:file").write_text("")
    text = """{  # as Python writes it
        "datasets": {"a": "a.zarr", "b": {"source": "../b.npy", "axes": "yx"}, "c": "module:make", "d": "is:file",
                     "e": "https://host/e.zarr", "f": "~/f.tif",},
        "octree": {"tile_size": 128, "log_path": None},
    }"""
    for name, content in (("octree.py", text), ("octree.json", '{"datasets": {"a": "/x/a.zarr"}}')):
        (tmp_path / name).write_text(content)
        found = origins_in(tmp_path / name)
        served = load_config(tmp_path / name, [], []).datasets
        assert {key: (each.location, dict(each.options)) for key, each in found.items()} == {
            key: (each.source, each.options) for key, each in served.items()
        }
    assert len(found) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"datasets": 3}', '{"datasets": {"a": {}}}', "(" * 5000, "\x00"])
def test_of_a_configuration_that_is_none_nothing_is_known(tmp_path: Path, text: str) -> None:
    (tmp_path / "octree.json").write_text(text)
    assert origins_in(tmp_path / "octree.json") == {}
    assert origins_in(tmp_path / "nothing.json") == {}
