"""docs/policies: the roles may do what the code does on S3, and nothing that it never does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.client import AioBaseClient

from depara import list_scans, open_scan
from depara.maintenance import collect, plan_collection, verify_output
from depara.store.running import claim_scan
from depara.store.storage import Storage
from tests.conftest import ROOT
from tests.jobs.inline import scan_inline, tiny
from tests.maintenance.outputs import graph_of, keys_of, upload
from tests.store.s3 import mock_s3, select_s3

POLICIES = ROOT / "docs" / "policies"
ROLES = ("scan", "reader", "maintenance")
ACTIONS = {
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
}

Need = tuple[str, str, str | None]
"""An action, the resource that it is done to, and the prefix of a listing."""


def statements(role: str, bucket: str, prefix: str) -> list[dict[str, Any]]:
    text = (POLICIES / f"{role}.json").read_text()
    text = text.replace("INPUT_BUCKET/INPUT_PREFIX", "other/input").replace("INPUT_BUCKET", "other")
    policy = json.loads(text.replace("BUCKET", bucket).replace("PREFIX", prefix))
    return list(policy["Statement"])


def texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def allows(statement: dict[str, Any], need: Need) -> list[str]:
    """The resources of a statement by which it allows something."""
    action, resource, prefix = need
    if action not in texts(statement["Action"]):
        return []
    wanted = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix")
    if wanted and not any(fnmatchcase(prefix or "", pattern) for pattern in texts(wanted)):
        return []
    return [pattern for pattern in texts(statement["Resource"]) if fnmatchcase(resource, pattern)]


class Recorder:
    """What all S3 requests of this process need, but for those of others that a test plays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.needs: set[Need] = set()
        self._is_other = False
        call = AioBaseClient._make_api_call

        async def record(client: Any, operation: str, params: dict[str, Any]) -> Any:
            if not self._is_other:
                self._note(ACTIONS[operation], params)
            return await call(client, operation, params)

        monkeypatch.setattr(AioBaseClient, "_make_api_call", record)

    @contextmanager
    def others(self) -> Iterator[None]:
        """Leaves out what is done meanwhile."""
        self._is_other = True
        yield
        self._is_other = False

    def _note(self, action: str, params: dict[str, Any]) -> None:
        bucket = f"arn:aws:s3:::{params['Bucket']}"
        if action == "s3:ListBucket":
            self.needs.add((action, bucket, params.get("Prefix")))
        keys = [params["Key"]] if "Key" in params else []
        keys += [entry["Key"] for entry in params.get("Delete", {}).get("Objects", [])]
        self.needs.update((action, f"{bucket}/{key}", None) for key in keys)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with mock_s3() as endpoint:
        yield endpoint


def spoil(storage: Storage, path: str) -> None:
    data = bytearray(storage.read(path))
    data[len(data) // 2] ^= 1
    storage.replace(path, bytes(data))


def scan_twice(storage: Storage, photos: Path, recorder: Recorder) -> None:
    """A scan, and one that finds leftovers of itself, and canvases and a graph damaged."""
    models = [tiny("a", 0), tiny("b", 1)]
    scan_inline(storage.root, photos, models, scan_id="one")
    with recorder.others():
        spoil(storage, next(path for path in storage.walk("canvases") if "/sets/" not in path))
        spoil(storage, next(path for path in storage.walk("graphs") if "/edges" in path))
        storage.create("scans/two/models.parquet", b"of a scan that was killed")
    scan_inline(storage.root, photos, [*models, tiny("c", 2)], scan_id="two")


def read(storage: Storage) -> None:
    """What people do who want to know something."""
    assert len(list_scans(storage.root)) == 3
    assert not open_scan(storage.root).table("models").empty
    assert verify_output(storage).is_sound


def look_after(storage: Storage, sound: Path, recorder: Recorder) -> None:
    """A collection, one that a scan comes in between, and a verification that discards."""
    probe_set = json.loads(storage.read("scans/one/manifest.json"))["probe_set"]

    class Raced(Storage):
        def remove(self, paths: Iterable[str]) -> None:
            paths = list(paths)
            super().remove(paths)
            with recorder.others():
                if paths and paths[0].endswith("graph.json"):
                    lease = claim_scan(storage, "night", "0" * 32, "2026-01-01")
                    lease.publish_plan(keys_of(sound, "one"), "p")
                elif paths and paths[0].startswith("canvases/sets"):
                    storage.remove(["running/night/plan.json", "running/night/owner.json"])
                    lease = claim_scan(storage, "late", "0" * 32, "2026-01-01")
                    lease.publish_plan(keys_of(sound, "one"), probe_set)
                elif paths and paths[0].endswith("manifest.json"):
                    storage.replace("latest.json", b'{"scan_id": "one", "sequence": 3}')

    assert collect(storage, plan_collection(storage, keep_scans=2, grace_s=0)).deleted
    plan = plan_collection(storage, keep_scans=1, grace_s=0, scans=True)
    assert collect(Raced(storage.root), plan).spared
    with recorder.others():
        folder = graph_of(sound, "three", "c").relative_to(sound).as_posix()
        spoil(storage, f"{folder}/edges.parquet")
        storage.remove(["running/late/plan.json", "running/late/owner.json"])
    assert verify_output(storage, discard=True).discarded


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_its_work_does_and_no_more(
    role: str, s3_endpoint: str, sound: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"role-{role}"
    select_s3(s3_endpoint, bucket, monkeypatch)
    storage = Storage(f"s3://{bucket}/some/where")
    if role != "scan":
        upload(sound, storage)
    recorder = Recorder(monkeypatch)
    if role == "scan":
        scan_twice(storage, photos, recorder)
    elif role == "reader":
        read(storage)
    else:
        look_after(storage, sound, recorder)
    mine = statements(role, bucket, "some/where")
    denied = {need for need in recorder.needs if not any(allows(s, need) for s in mine)}
    assert recorder.needs
    assert not denied
    for statement in mine:
        used = {resource for need in recorder.needs for resource in allows(statement, need)}
        unused = set(texts(statement["Resource"])) - used
        assert "ProbesAndWeights" in statement["Sid"] or not unused, statement["Sid"]


def test_nobody_may_reach_beyond_the_output() -> None:
    for role in ROLES:
        for statement in statements(role, "mine", "some/where"):
            assert statement["Effect"] == "Allow"
            for resource in texts(statement["Resource"]):
                is_input = "ProbesAndWeights" in statement["Sid"]
                if texts(statement["Action"]) == ["s3:ListBucket"]:
                    assert statement["Condition"]["StringLike"]["s3:prefix"]
                elif is_input:
                    assert texts(statement["Action"]) == ["s3:GetObject"]
                else:
                    assert resource.startswith("arn:aws:s3:::mine/some/where/")


def test_the_documents_name_every_policy() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    assert {path.stem for path in POLICIES.iterdir()} == set(ROLES)
    assert all(f"(policies/{role}.json)" in text for role in ROLES)
