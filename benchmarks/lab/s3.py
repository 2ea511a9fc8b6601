"""The environment that selects an S3 server, as a user would set it."""

from __future__ import annotations

import pytest


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
