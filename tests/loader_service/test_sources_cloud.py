"""``s3://`` and ``gs://``: an S3 server on loopback, and who asks it with which credentials."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from tests.http_server import HttpServer

from octree_loader.demo.pyramid import write_pyramid
from octree_loader.sources import cloud, open_source
from octree_loader.sources.base import Piece, Source, SourceError, SourceSpec

_IMAGE = np.random.default_rng(1).integers(0, 4000, (300, 410), dtype=np.uint16)

_BOX = ((64, 192), (100, 300))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own credentials: neither in the environment nor in the home folder."""
    import os

    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bucket's content: a pyramid, and an array in shards."""
    place = tmp_path_factory.mktemp("cloud") / "bucket"
    write_pyramid(place / "a b" / "pyramid+1.zarr", _IMAGE, chunk=64, axes="yx")
    array = zarr.create_array(
        place / "shards.zarr", shape=_IMAGE.shape, dtype=_IMAGE.dtype, chunks=(32, 32), shards=(128, 128)
    )
    array[:] = _IMAGE
    old = zarr.create_array(
        place / "old.zarr", shape=_IMAGE.shape, dtype=_IMAGE.dtype, chunks=(64, 64), zarr_format=2, order="F"
    )
    old[:] = _IMAGE
    return place


@pytest.fixture(scope="module")
def s3(s3_server: str, fill_bucket: Callable[..., None], folder: Path) -> str:
    """The address of an S3 server that has the bucket."""
    fill_bucket("bucket", folder)
    client = boto3.client(
        "s3", endpoint_url=s3_server, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    client.put_object(Bucket="bucket", Key="private.zarr/zarr.json", Body=b"{}")
    client.close()
    return s3_server


@pytest.fixture
def plain(folder: Path) -> Iterator[HttpServer]:
    """A web server with the same files at the same addresses, which tells what it was asked."""
    with HttpServer(folder.parent) as running:
        yield running


def open_url(url: str, **options: Any) -> Source:
    return open_source(SourceSpec("image", url, options))


def read_box(source: Source, box: tuple[tuple[int, int], ...] = _BOX, level: int = 0) -> NDArray[Any] | None:
    out = np.full([high - low for low, high in box], 7, source.dtype)
    return out if source.read(level, [Piece(box, out)])[0] else None


_EXPECTED = _IMAGE[64:192, 100:300]


# --- S3 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["a b/pyramid+1.zarr", "shards.zarr", "shards.zarr/", "old.zarr"])
def test_s3_comes_voxel_for_voxel(s3: str, path: str) -> None:
    source = open_url(f"s3://bucket/{path}", endpoint=s3, anonymous=True)
    np.testing.assert_array_equal(read_box(source), _EXPECTED)


def test_the_endpoint_and_the_keys_come_from_the_environment(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    np.testing.assert_array_equal(read_box(open_url("s3://bucket/shards.zarr")), _EXPECTED)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://bucket/nothing.zarr", "no dataset at s3://bucket/nothing.zarr"),
        ("s3://nobody/image.zarr", "no dataset"),
        ("s3://bucket/private.zarr", "may not be read: .*403"),
    ],
)
def test_s3_has_no_such_thing(s3: str, url: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_url(url, endpoint=s3)


def test_a_group_in_s3_names_the_arrays_in_it(s3: str, tmp_path: Path) -> None:
    client = boto3.client(
        "s3", endpoint_url=s3, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    zarr.create_group(tmp_path / "g.zarr")
    client.put_object(
        Bucket="bucket", Key="g/zarr.json", Body=(tmp_path / "g.zarr" / "zarr.json").read_bytes(), ACL="public-read"
    )
    array = zarr.create_array(tmp_path / "g.zarr" / "inside", shape=(8, 8), dtype="u1")
    assert array is not None
    inside = (tmp_path / "g.zarr" / "inside" / "zarr.json").read_bytes()
    client.put_object(Bucket="bucket", Key="g/inside/zarr.json", Body=inside, ACL="public-read")
    client.close()
    with pytest.raises(SourceError, match="g/inside"):
        open_url("s3://bucket/g", endpoint=s3)


def signed_by(server: HttpServer) -> set[str]:
    """Key ids that the requests so far were signed with; "" for those that were not."""
    return {
        request.authorization.partition("Credential=")[2].partition("/")[0] for request in server.behaviour.requests
    }


def write_files(home: Path) -> None:
    folder = home / ".aws"
    folder.mkdir(parents=True)
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = KEYDEFAULT\naws_secret_access_key = QQsecretQQ\n"
        "[other]\naws_access_key_id = KEYOTHER\naws_secret_access_key = QQsecretQQ\n"
    )
    (folder / "config").write_text("[default]\nregion = eu-west-2\n[profile other]\nregion = ap-south-1\n")


def test_without_credentials_requests_are_not_signed(plain: HttpServer) -> None:
    np.testing.assert_array_equal(read_box(open_url("s3://bucket/shards.zarr", endpoint=plain.url)), _EXPECTED)
    assert signed_by(plain) == {""}


def test_keys_of_the_environment_sign(plain: HttpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_files(tmp_path / "home")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEYENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "QQsecretQQ")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    np.testing.assert_array_equal(read_box(open_url("s3://bucket/shards.zarr", endpoint=plain.url)), _EXPECTED)
    assert signed_by(plain) == {"KEYENV"}
    assert "/eu-north-1/" in plain.behaviour.requests[0].authorization


def test_keys_of_the_files_sign_by_profile(plain: HttpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_files(tmp_path / "home")
    for profile, options, key, region in (
        (None, {}, "KEYDEFAULT", "eu-west-2"),
        (None, {"profile": "other"}, "KEYOTHER", "ap-south-1"),
        ("other", {}, "KEYOTHER", "ap-south-1"),
        ("other", {"region": "us-west-1"}, "KEYOTHER", "us-west-1"),
        ("other", {"anonymous": True}, "", None),
    ):
        with monkeypatch.context() as patch:
            if profile is not None:
                patch.setenv("AWS_PROFILE", profile)
            plain.behaviour.requests.clear()
            source = open_url("s3://bucket/shards.zarr", endpoint=plain.url, **options)
            np.testing.assert_array_equal(read_box(source), _EXPECTED)
        assert signed_by(plain) == {key}
        if region is not None:
            assert f"/{region}/" in plain.behaviour.requests[0].authorization


def test_a_profile_has_its_endpoint(plain: HttpServer, tmp_path: Path) -> None:
    write_files(tmp_path / "home")
    with (tmp_path / "home" / ".aws" / "config").open("a") as file:
        file.write(f"[profile near]\nregion = x\nendpoint_url = {plain.url}\naws_access_key_id = KEYNEAR\n")
        file.write("aws_secret_access_key = QQsecretQQ\n")
    np.testing.assert_array_equal(read_box(open_url("s3://bucket/shards.zarr", profile="near")), _EXPECTED)
    assert signed_by(plain) == {"KEYNEAR"}


def test_who_may_not_list_is_told_403_of_what_is_missing(plain: HttpServer) -> None:
    source = open_url("s3://bucket/shards.zarr", endpoint=plain.url)
    plain.behaviour.fail("/c/0/", "denied")
    assert read_box(source, ((0, 32), (0, 32))) is None
    np.testing.assert_array_equal(read_box(source, ((128, 160), (0, 32))), _IMAGE[128:160, :32])
    # Also while it is opened: what S3 would say of .zattrs and the like.
    plain.behaviour.fault = lambda path: None if path.endswith("zarr.json") or "/c/" in path else "denied"
    np.testing.assert_array_equal(read_box(open_url("s3://bucket/shards.zarr", endpoint=plain.url)), _EXPECTED)
    # Where nothing at all may be read, that is the reason, not a missing file.
    plain.behaviour.fail("", "denied")
    with pytest.raises(SourceError, match=r"may not be read: .*403.*AccessDenied"):
        open_url("s3://bucket/shards.zarr", endpoint=plain.url)


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("s3://bucket/a", {"anonymous": "yes"}, "it is true or false"),
        ("s3://bucket/a", {"endpoint": "localhost:9000"}, "give http://"),
        ("s3://bucket/a", {"region": ""}, "give a text"),
        ("s3://bucket/a", {"secret": "QQsecretQQ"}, "does not take the option secret"),
        ("s3://bucket/a", {"profile": "nobody"}, "configuration of AWS"),
        ("s3://bucket/a", {"anonymous": False, "endpoint": "http://127.0.0.1:1"}, "no credentials of AWS"),
        ("http://127.0.0.1:1/a", {"region": "x"}, "options region are for s3"),
    ],
)
def test_options_that_are_wrong(url: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        open_url(url, **options)
    assert "QQsecretQQ" not in str(caught.value)


def test_wrong_keys_are_told_without_them(plain: HttpServer, tmp_path: Path) -> None:
    write_files(tmp_path / "home")
    source = open_url("s3://bucket/shards.zarr", endpoint=plain.url)
    for fault in (400, 401, 403, 500, "reset"):
        plain.behaviour.fail("", fault)
        for attempt in (lambda: open_url("s3://bucket/shards.zarr", endpoint=plain.url), lambda: read_box(source)):
            try:
                attempt()
            except SourceError as error:
                assert "QQsecretQQ" not in str(error)  # noqa: PT017 - 403 of a chunk is no error
                assert "KEYDEFAULT" not in str(error)  # noqa: PT017


# --- Google --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["a b/pyramid+1.zarr", "shards.zarr", "old.zarr"])
def test_gs_comes_voxel_for_voxel(plain: HttpServer, path: str) -> None:
    source = open_url(f"gs://bucket/{path}", endpoint=plain.url)
    np.testing.assert_array_equal(read_box(source), _EXPECTED)
    assert {request.authorization for request in plain.behaviour.requests} == {""}


def test_the_emulator_of_gs_is_found(plain: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", plain.url.removeprefix("http://"))
    np.testing.assert_array_equal(read_box(open_url("gs://bucket/shards.zarr")), _EXPECTED)


def test_credentials_of_google_that_cannot_be_used_are_told(
    plain: HttpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps({"type": "service_account", "private_key": "QQsecretQQ"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    with pytest.raises(SourceError, match="GOOGLE_APPLICATION_CREDENTIALS") as caught:
        open_url("gs://bucket/shards.zarr", endpoint=plain.url)
    assert "QQsecretQQ" not in str(caught.value)


def test_the_region_of_a_bucket_is_asked_for_when_nobody_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def region(bucket: str) -> str:
        asked.append(bucket)
        return "eu-central-1"

    monkeypatch.setattr(cloud, "_bucket_region", region)
    location = cloud.RemoteLocation("s3", "bucket", "a", "", "s3://bucket/a")
    assert cloud.open_client(location, cloud.Access(anonymous=True)).config["region"] == "eu-central-1"
    assert asked == ["bucket"]
    assert cloud.open_client(location, cloud.Access(anonymous=True, region="us-west-1")).config["region"] == "us-west-1"
    assert asked == ["bucket"]
