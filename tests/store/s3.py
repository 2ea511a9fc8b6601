"""A mock S3 server for a module's tests, and the environment that selects it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.lab.s3 import make_bucket, select_endpoint

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
