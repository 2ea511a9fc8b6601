"""A mock S3 server for a module's tests, and the environment that selects it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

SECRET = "test-secret-key"


@contextmanager
def mock_s3() -> Iterator[str]:
    """Gives the endpoint of a fresh moto server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def select_s3(endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points the environment at the server and makes a bucket there."""
    select_endpoint(endpoint, "test", SECRET, monkeypatch)
    make_bucket(bucket)


def select_endpoint(
    endpoint: str, access_key: str, secret_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Points the environment at an S3 server, as a user would."""
    variables = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def make_bucket(bucket: str) -> None:
    """Makes a bucket on the server that the environment names, unless it is there."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    filesystem = s3fs.S3FileSystem()
    if not filesystem.exists(bucket):
        filesystem.mkdir(bucket)
