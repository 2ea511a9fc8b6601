"""Remote files over a real S3 protocol: what is told, and at how many requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from depara.config import ModelConfig, ProbesConfig
from depara.fingerprints import model_fingerprints, probes_fingerprint
from depara.fingerprints.files import file_identities, told_identity
from depara.types import ProbeRef
from tests.store.s3 import mock_s3, select_s3


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with mock_s3() as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_endpoint: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A filesystem with a fresh bucket of the test's name."""
    import s3fs

    bucket = request.node.name.partition("[")[0].replace("_", "-")[:60]
    select_s3(s3_endpoint, bucket, monkeypatch)
    filesystem = s3fs.S3FileSystem(use_listings_cache=False)
    filesystem.bucket = bucket
    return filesystem


@pytest.fixture
def requests(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each operation was asked of the server."""
    counts: Counter[str] = Counter()
    real = type(s3)._call_s3

    async def call(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        counts[method] += 1
        return await real(self, method, *args, **kwargs)

    monkeypatch.setattr(type(s3), "_call_s3", call)
    return counts


def put(s3: Any, name: str, data: bytes) -> str:
    s3.pipe_file(f"{s3.bucket}/{name}", data)
    return f"s3://{s3.bucket}/{name}"


def fingerprints(uris: list[str]) -> list[str | None]:
    models = [
        ModelConfig(id=f"m{number}", source="torchvision:resnet18", weights=uri)
        for number, uri in enumerate(uris)
    ]
    return list(model_fingerprints(models, canvas_side=32, features="flatten").values())


def test_a_prefix_of_weights_costs_one_listing(s3: Any, requests: Counter[str]) -> None:
    uris = [put(s3, f"zoo/{number:02d}.pth", b"w") for number in range(50)]
    uris += [put(s3, f"other/{number}.pth", b"w") for number in range(2)]
    uris += [put(s3, "alone/net.pth", b"w")]
    requests.clear()
    before = fingerprints(uris)
    assert requests == {"list_objects_v2": 2, "head_object": 1}
    assert None not in before
    assert fingerprints(uris) == before

    put(s3, "zoo/07.pth", b"v")  # as long as before
    put(s3, "zoo/unrelated.txt", b"text")
    after = fingerprints(uris)
    assert [i for i, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1] == [
        7
    ]


def test_one_file_is_the_same_as_one_of_many(s3: Any) -> None:
    uris = [put(s3, f"zoo/{name}.pth", name.encode()) for name in "ab"]
    assert file_identities(uris[:1])[uris[0]] == file_identities(uris)[uris[0]]
    top = [put(s3, f"{name}.pth", name.encode()) for name in "ab"]
    assert None not in file_identities(top).values()


def test_the_words_of_other_storages_are_understood() -> None:
    tag = {"name": "a", "type": "file", "size": 3, "etag": '"0x8D"', "last_modified": "today"}
    assert told_identity(tag) == (3, "etag 0x8D")  # quoted in one kind of answer, bare in others
    assert told_identity({**tag, "etag": "0x8D"}) == (3, "etag 0x8D")
    assert told_identity({**tag, "etag": ""}) == (3, "last_modified today")
    assert told_identity({"name": "a", "type": "file", "size": 3, "mtime": 1.5}) == (3, "mtime 1.5")
    assert told_identity({"name": "a", "type": "directory", "size": 3, "mtime": 1.5}) is None
    assert told_identity({"name": "a", "type": "file", "size": 3}) is None


def test_what_is_missing_or_refused_is_not_told(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    good = put(s3, "zoo/a.pth", b"w")
    put(s3, "folder.pth/inside", b"w")
    missing = [
        f"s3://{s3.bucket}/zoo/b.pth",
        f"s3://{s3.bucket}/nowhere/b.pth",
        f"s3://{s3.bucket}/nowhere/c.pth",
        f"s3://{s3.bucket}/folder.pth",
        "s3://no-such-bucket-here/b.pth",
        "s3://no-such-bucket-here/c.pth",
    ]
    told = file_identities([good, *missing])
    assert [uri for uri, identity in told.items() if identity is not None] == [good]
    assert [found is None for found in fingerprints([good, *missing])] == [False] + 6 * [True]

    async def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(s3), "_call_s3", refuse)
    assert fingerprints([good, *missing]) == 7 * [None]


def test_a_passing_fault_is_tried_again(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = put(s3, "a.pth", b"w")
    before = fingerprints([uri])
    real, calls = type(s3)._call_s3, []

    async def fail_once(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(method)
        if len(calls) == 1:
            raise ConnectionResetError("connection reset by peer")
        return await real(self, method, *args, **kwargs)

    monkeypatch.setattr(type(s3), "_call_s3", fail_once)
    assert fingerprints([uri]) == before != [None]
    assert calls == ["head_object", "head_object"]


def test_a_storage_that_tells_no_time_is_not_told() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/told-nothing/a.pth", b"w")
    try:
        assert file_identities(["memory://told-nothing/a.pth"]) == {
            "memory://told-nothing/a.pth": None
        }
    finally:
        memory.rm("/told-nothing", recursive=True)


def test_probes_of_a_prefix_cost_one_listing(s3: Any, requests: Counter[str]) -> None:
    uris = [
        put(s3, f"photos/class-{number // 2:02d}/{number % 2}.jpg", b"%02d" % number)
        for number in range(40)
    ]
    refs = [ProbeRef(uri, "label") for uri in uris]
    folder = ProbesConfig(source=[f"s3://{s3.bucket}/photos/"])
    requests.clear()
    before = probes_fingerprint(refs, folder, 32)
    assert requests == {"list_objects_v2": 1}
    assert before is not None
    listed = ProbesConfig(source="list.txt")  # names the same images
    assert probes_fingerprint(refs, listed, 32) == before
    assert requests == {"list_objects_v2": 1 + 20}
    put(s3, "photos/class-03/1.jpg", b"77")
    assert probes_fingerprint(refs, folder, 32) not in (before, None)
    s3.rm(uris[5].removeprefix("s3://"))
    assert probes_fingerprint(refs, folder, 32) is None


def test_rows_of_a_remote_table_are_its_file(s3: Any, requests: Counter[str]) -> None:
    uri = put(s3, "p.parquet", b"one")
    refs = [ProbeRef(f"{uri}#{row}", None, "image") for row in range(10)]
    config = ProbesConfig(source=uri)
    requests.clear()
    before = probes_fingerprint(refs, config, 32)
    assert requests == {"head_object": 1}
    put(s3, "p.parquet", b"two")
    assert probes_fingerprint(refs, config, 32) not in (before, None)
