"""URLs taken apart, and told without what is secret in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octree_loader.sources.base import SourceError
from octree_loader.sources.locations import is_remote, parse_remote, shown_location

_WORD = st.text("abcXYZ019-_", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://host/a/b.zarr", "https://host/a/b.zarr"),
        ("https://me:secret@host:81/a?sig=secret&x=1#y", "https://host:81/a?..."),
        ("s3://bucket/a", "s3://bucket/a"),
        ("/home/me/a?b@c.zarr", "/home/me/a?b@c.zarr"),
        ("module:factory", "module:factory"),
    ],
)
def test_what_is_shown(location: str, shown: str) -> None:
    assert shown_location(location) == shown


@settings(deadline=None, max_examples=200)
@given(user=_WORD, secret=_WORD.map(lambda word: f"QQ{word}QQ"), host=_WORD, path=_WORD)
def test_no_secret_is_shown(user: str, secret: str, host: str, path: str) -> None:
    for location in (f"https://{user}:{secret}@{host}/{path}", f"https://{host}/{path}?token={secret}"):
        assert secret not in shown_location(location)
        told = []
        try:
            told.append(parse_remote(location).shown)
        except SourceError as error:
            told.append(str(error))
        assert secret not in told[0]


def test_parts() -> None:
    assert parse_remote("s3://bucket/a/b/")[:3] == ("s3", "bucket", "a/b")
    assert parse_remote("gs://bucket")[:3] == ("gs", "bucket", "")
    location = parse_remote("HTTP://host:80/a b/c.zarr/?key=1")
    assert (location.scheme, location.url) == ("http", "http://host:80/a%20b/c.zarr?key=1")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http:///a", "names no machine"),
        ("http://host:port/a", "no URL"),
        ("https://host/a/../b", r"'\.\.' in its path"),
        ("https://host/a/%2e%2e/b", r"'\.\.' in its path"),
        ("s3://", "for a bucket"),
        ("s3://key:QQsecretQQ@bucket/a", "credentials come from the environment"),
        ("s3://bucket/a?versionId=1", "credentials come from the environment"),
        ("http://host/\x00a", "control characters"),
        ("http://host/" + "a" * 5000, "more than 4096"),
    ],
)
def test_what_is_no_location(location: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        parse_remote(location)
    assert "QQsecretQQ" not in str(caught.value)


def test_what_is_remote() -> None:
    assert all(is_remote(f"{scheme}://a/b") for scheme in ("http", "https", "s3", "gs", "S3"))
    assert not any(is_remote(location) for location in ("file:///a", "/a", "a.b:c", "s3:/a", "ftp://a/b", "xs3://a"))
