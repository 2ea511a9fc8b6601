"""A local S3 for the tests of remote sources, and an in-memory file system."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import boto3
import fsspec
import pytest
import s3fs
from moto.server import ThreadedMotoServer

BUCKET = "probes"


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def put_s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Returns a function that stores bytes under a key of a bucket and gives the s3:// URI."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket=BUCKET)

    def put(key: str, content: bytes) -> str:
        client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    yield put
    for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    client.delete_bucket(Bucket=BUCKET)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def put_memory() -> Iterator[Callable[[str, bytes], str]]:
    """Returns a function that stores bytes in memory and gives the memory:// URI."""
    filesystem = fsspec.filesystem("memory")

    def put(path: str, content: bytes) -> str:
        filesystem.pipe_file(f"/{path}", content)
        return f"memory://{path}"

    yield put
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
