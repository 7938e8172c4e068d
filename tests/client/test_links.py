"""Links: they come back as they went, and can name data only."""

from __future__ import annotations

import json
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octree_client.links import PREFIX, BadLink, LayerLink, ViewLink, is_link, read_link, write_link

finite = st.floats(-1e12, 1e12)
names = st.text(max_size=20)
paths = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=40).map(
    lambda text: "/data/" + text
)
layers = st.builds(
    LayerLink,
    source=paths,
    dataset=names,
    channel=st.none() | st.integers(0, 100),
    name=names,
    visible=st.booleans(),
    opacity=st.floats(0, 1),
    blending=names,
    contrast=st.none() | st.tuples(st.floats(-1e9, 0.0), st.floats(1.0, 1e9)),
    gamma=st.floats(0.1, 5.0),
    colormap=names,
)
views = st.builds(
    ViewLink,
    layers=st.lists(layers, min_size=1, max_size=4).map(tuple),
    center=st.none() | st.tuples(finite, finite),
    pixel_size=st.none() | st.floats(1e-6, 1e6),
    displayed=st.none() | st.tuples(names, names),
    point=st.dictionaries(names, finite, max_size=4),
)


@given(views)
def test_a_view_comes_back_as_it_went(view: ViewLink) -> None:
    text = write_link(view)
    assert is_link(text)
    assert text.isprintable()
    assert " " not in text
    assert read_link(f"  {text}\n") == view


def link(**layer: object) -> str:
    return PREFIX + quote(json.dumps({"layers": [layer]}))


@pytest.mark.parametrize(
    "source",
    ["/data/a.zarr", "/data/ü und 'x'.tif", "https://host/a.zarr", "http://host:8080/a", "s3://bucket/key", "gs://b/k"],
)
def test_data_may_be_named(source: str) -> None:
    assert read_link(link(source=source)).layers[0].source == source


@pytest.mark.parametrize(
    "source",
    [
        "os:system",
        "my_module:factory",
        "relative/path.zarr",
        "../up.zarr",
        "~/home.zarr",
        "file:///etc/passwd",
        "python://x",
        "s3:bucket",
        "https://host/a::file:///b",
        "/a\nb",
        "/a\x00b",
        "",
    ],
)
def test_what_may_run_code_or_is_not_absolute_is_refused(source: str) -> None:
    with pytest.raises(BadLink):
        read_link(link(source=source))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ({"address": "ipc:///run/x.sock"}, "which dataset"),
        ({"address": "http://x", "dataset": "a"}, "ipc://"),
        ({"address": "ipc:///x", "source": "/a", "dataset": "a"}, "path, a URL, or"),
        ({"source": "/a", "inside": "../b"}, "beside"),
        ({"source": "/a", "options": {"scale": "wide"}}, "scale"),
        ({"source": "/a", "opacity": 7}, "opacity"),
        ({"source": "/a", "gamma": 0}, "gamma"),
        ({"source": "/a", "channel": "one"}, "channel"),
        ({"source": "/" + "a" * 5000}, "4096"),
    ],
)
def test_nonsense_is_refused_with_its_reason(layer: dict[str, object], reason: str) -> None:
    with pytest.raises(BadLink, match=reason):
        read_link(link(**layer))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "octree://",
        "https://x",
        PREFIX,
        PREFIX + "{}",
        PREFIX + "%ff%fe",
        PREFIX + "[" * 20000,
        PREFIX + "x" * 70000,
    ],
)
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(BadLink):
        read_link(text)


@given(st.text(max_size=200))
def test_any_text_is_a_link_or_refused(text: str) -> None:
    try:
        read_link(PREFIX + text)
    except BadLink:
        return
    raise AssertionError("this cannot be a link")  # no text without {"layers": ...} is


def test_numbers_must_be_finite() -> None:
    with pytest.raises(BadLink):
        read_link(PREFIX + '{"layers":[{"source":"/a"}],"center":[1e999,0]}')


def test_a_newer_viewers_link_is_read_as_far_as_it_is_known() -> None:
    text = PREFIX + quote(json.dumps({"layers": [{"source": "/a", "sparkle": 3}], "mood": "blue"}))
    assert read_link(text) == ViewLink((LayerLink(source="/a"),))


def test_a_view_that_could_not_be_read_is_not_written() -> None:
    with pytest.raises(BadLink):
        write_link(ViewLink((LayerLink(source="module:factory"),)))
    assert msgspec.json.encode(LayerLink(source="/a")) == b'{"source":"/a"}'
