"""Paths that clients name: what is opened always lies under the root, after every link has been followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from octree_loader.transport.rooted import resolve_below


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("rooted")
    (base / "secret").mkdir()
    (base / "secret" / "key").touch()
    (base / "root-not").mkdir()  # begins like the root
    root = base / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "image.zarr").mkdir()
    (root / "%2e%2e").mkdir()
    (root / "file:").mkdir()
    (root / "out").symlink_to(base / "secret")
    (root / "up").symlink_to("..")
    (root / "a" / "key").symlink_to("../../secret/key")
    (root / "loop").symlink_to("loop")
    (root / "in").symlink_to(root / "a")
    return root


def test_what_lies_under_the_root_is_found_by_one_name(root: Path) -> None:
    real = os.path.realpath(root)
    expected = ("a/image.zarr", f"{real}/a/image.zarr")
    for path in ("a/image.zarr", "./a//image.zarr/", "a/b/../image.zarr", "in/image.zarr", f"{real}/a/image.zarr"):
        assert resolve_below(str(root), path) == expected
    assert resolve_below(str(root), "%2e%2e") == ("%2e%2e", f"{real}/%2e%2e")


def test_a_root_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert resolve_below(str(tmp_path / "link"), "a/b") == resolve_below(str(root), "a/b")
    assert resolve_below(str(tmp_path / "nothing"), "a/b") is None


_PARTS = st.sampled_from(
    ["..", ".", "", "a", "b", "out", "up", "in", "loop", "key", "secret", "root", "root-not", "image.zarr", "%2e%2e",
     "~", "file:", "file://", "s3:", "http:", "module:factory", "\0", "::", "etc", "passwd", "\\..", "x" * 300]
)  # fmt: skip


@settings(deadline=None, max_examples=1500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_PARTS, max_size=9).map("/".join) | st.text(max_size=60), st.sampled_from(["", "/", "//", "file://"]))
@example("out/key", "")
@example("up/secret", "")
@example("../root-not", "")
@example("etc/passwd", "/")
def test_whatever_path_is_named_what_is_found_is_under_the_root(root: Path, path: str, prefix: str) -> None:
    found = resolve_below(str(root), prefix + path)
    if found is None:
        return
    name, real = found
    below = Path(os.path.realpath(root))
    assert Path(real).is_relative_to(below)
    assert Path(real) != below
    assert os.path.realpath(real) == real
    assert str(below / name) == real
    assert ".." not in Path(name).parts
