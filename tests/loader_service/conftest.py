"""Shared by the tests of the loader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from octree_loader.sources import cloud


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are tried again soon: nobody waits for servers that are on loopback, and told to fail."""
    monkeypatch.setattr(cloud, "PAUSE_SECONDS", 0.001)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server. One for all tests: to start it takes seconds."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def fill_bucket(s3_server: str) -> Callable[..., None]:
    """Makes a bucket with the files below a folder, which anybody may read, and list if need be."""

    def fill(bucket: str, folder: Path, listed: bool = False) -> None:
        client = boto3.client(
            "s3", endpoint_url=s3_server, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y"
        )
        client.create_bucket(Bucket=bucket, ACL="public-read" if listed else "private")
        for file in folder.rglob("*"):
            if file.is_file():
                key = file.relative_to(folder).as_posix()
                client.put_object(Bucket=bucket, Key=key, Body=file.read_bytes(), ACL="public-read")
        client.close()

    return fill
