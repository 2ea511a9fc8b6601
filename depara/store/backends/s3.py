"""Files in an S3 bucket, request by request, so that each is retried by itself.

s3fs gives the client, its settings and its event loop. Its file operations are not used: reading
costs one request instead of two, a listing of a million objects is retried by page, and a
conditional write whose answer got lost is told from one that was refused.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from depara.retries import error_code
from depara.store.backends.backend import FileStat
from depara.store.backends.remote import RemoteBackend

_BATCH = 1000
"""Objects per request, of a listing and of a removal: S3's limit."""

_REFUSED = {"PreconditionFailed", "412", "NoSuchKey", "404"}
"""Answers to a conditional write whose condition does not hold; the last two: no such object."""

_UNKNOWN = {"NotImplemented", "InvalidArgument", "InvalidRequest", "MethodNotAllowed", "400", "501"}
"""Answers of servers that do not know conditional writes."""

_MARK = "depara-write"
"""Name of the metadata that tells one write from another of the same bytes."""


class S3Backend(RemoteBackend):
    """Files below ``s3://bucket/prefix``; a version is an ETag."""

    def replace(self, path: str, data: bytes | memoryview) -> None:
        self._call("write", path, "put_object", Body=bytes(data))

    def read(self, path: str) -> bytes:
        return self.read_versioned(path)[0]

    def read_versioned(self, path: str) -> tuple[bytes, str]:
        from fsspec.asyn import sync

        def get(fs: Any, _: str) -> tuple[bytes, str]:
            data, version = sync(fs.loop, _get, fs, *self._place(path))
            return data, version

        return self._persist("read", path, get)

    def entries(self, path: str) -> Iterator[tuple[str, int | None]]:
        prefix = self._prefix(path)
        for page in self._pages(path, Delimiter="/"):
            for folder in page.get("CommonPrefixes", []):
                yield str(folder["Prefix"]).removeprefix(prefix).rstrip("/"), None
            for entry in page.get("Contents", []):
                name = str(entry["Key"]).removeprefix(prefix)
                if name:  # empty: the mark that some programs make for a folder
                    yield name, int(entry["Size"])

    def walk(self, path: str) -> Iterator[tuple[str, FileStat]]:
        root = self._prefix("")
        for page in self._pages(path):
            for entry in page.get("Contents", []):
                key = str(entry["Key"])
                if not key.endswith("/"):
                    stat = FileStat(int(entry["Size"]), entry["LastModified"].timestamp())
                    yield key.removeprefix(root), stat

    def stat(self, path: str) -> FileStat:
        head = self._call("read", path, "head_object")
        return FileStat(int(head["ContentLength"]), head["LastModified"].timestamp())

    def remove(self, paths: Iterable[str]) -> None:
        remaining = iter(paths)
        while batch := list(islice(remaining, _BATCH)):
            try:
                self._remove_batch(batch)
            except Exception as error:
                if error_code(error) not in _UNKNOWN:
                    raise
                super().remove(batch)  # a server without removal in batches

    def _remove_batch(self, paths: list[str]) -> None:
        bucket, _ = self._place("")
        keys = [{"Key": self._place(path)[1]} for path in paths]

        def remove(fs: Any, _: str) -> None:
            order = {"Objects": keys, "Quiet": True}
            answer = fs.call_s3("delete_objects", Bucket=bucket, Delete=order)
            for error in answer.get("Errors", []):
                if error.get("Code") not in ("NoSuchKey", "404"):
                    raise _RemovalError(error)

        self._persist("remove", paths[0], remove)

    def _put_if_absent(self, path: str, data: bytes) -> bool:
        return self._put_if(path, data, IfNoneMatch="*")

    def _put_if_version(self, path: str, data: bytes, version: str) -> bool:
        return self._put_if(path, data, IfMatch=version)

    def _put_if(self, path: str, data: bytes, **condition: str) -> bool:
        mark = uuid.uuid4().hex
        try:
            self._call("write", path, "put_object", Body=data, Metadata={_MARK: mark}, **condition)
        except Exception as error:
            if error_code(error) not in _REFUSED:
                raise
        else:
            return True
        # The client, here and in aiohttp, repeats a request whose answer got lost: then it is
        # refused because of itself.
        try:
            head = self._call("read", path, "head_object")
        except FileNotFoundError:
            return False
        return bool(head.get("Metadata", {}).get(_MARK) == mark)

    def _try_create(self, path: str) -> bool:
        with _unknown_header() as outcome:
            self._put_if_absent(path, b"1")
            outcome.append(not self._put_if_absent(path, b"2"))
        return outcome == [True]

    def _try_swap(self, path: str) -> bool:
        with _unknown_header() as outcome:
            outcome.append(not self._put_if_version(path, b"3", '"' + "0" * 32 + '"'))
        return outcome == [True]

    def _call(self, operation: str, path: str, method: str, **arguments: Any) -> dict[str, Any]:
        bucket, key = self._place(path)

        def call(fs: Any, _: str) -> dict[str, Any]:
            return dict(fs.call_s3(method, Bucket=bucket, Key=key, **arguments))

        return self._persist(operation, path, call)

    def _pages(self, path: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        bucket, _ = self._place("")
        arguments |= {"Bucket": bucket, "Prefix": self._prefix(path)}
        while True:
            page = self._persist(
                "list", path, lambda fs, _: dict(fs.call_s3("list_objects_v2", **arguments))
            )
            yield page
            if not page.get("IsTruncated"):
                return
            arguments["ContinuationToken"] = page["NextContinuationToken"]

    def _place(self, path: str) -> tuple[str, str]:
        bucket, key, _ = self._filesystem.split_path(self.location(path))
        return bucket, key

    def _prefix(self, path: str) -> str:
        key = self._place(path)[1].strip("/")
        return f"{key}/" if key else ""


class _RemovalError(OSError):
    """One object's refusal in an answer about many, in the form of an answer about one."""

    def __init__(self, error: dict[str, str]) -> None:
        super().__init__(f"{error.get('Message', 'not removed')} ({error.get('Key')})")
        self.response = {"Error": error}


@contextlib.contextmanager
def _unknown_header() -> Iterator[list[bool]]:
    """Lets pass what a server says that does not know conditional writes."""
    try:
        yield []
    except Exception as error:
        if error_code(error) not in _UNKNOWN:
            raise


async def _get(filesystem: Any, bucket: str, key: str) -> tuple[bytes, str]:
    """Returns an object's bytes and ETag in one request, as long as the answer said."""
    answer = await filesystem._call_s3("get_object", Bucket=bucket, Key=key)
    try:
        data = bytes(await answer["Body"].read())
    finally:
        answer["Body"].close()
    if len(data) != answer.get("ContentLength", len(data)):
        raise ConnectionError(f"ends after {len(data)} of {answer['ContentLength']} bytes")
    return data, str(answer["ETag"])
