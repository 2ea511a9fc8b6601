"""Whole scans on a real S3 server, undisturbed and through faults; and no key ever left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks.lab.faults import KINDS, FaultProxy
from benchmarks.lab.weed import Weed
from depara.maintenance import verify_output
from depara.store.storage import Storage
from tests.conftest import ROOT
from tests.jobs.inline import QUICK, scan_inline, tiny
from tests.jobs.tables import assert_equal, tables
from tests.store.weed import weed  # noqa: F401, a fixture

MODELS = [tiny("a", 0), tiny("b", 1), tiny("c", 2)]


@pytest.fixture(scope="module")
def calm(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """The tables of an undisturbed scan in a local folder."""
    folder = tmp_path_factory.mktemp("calm")
    scan_inline(str(folder), photos, MODELS, labels=True)
    return tables(str(folder))


def test_nights_on_an_s3_server_are_those_on_a_local_folder(
    weed: Weed,  # noqa: F811
    photos: Path,
    calm: dict[str, pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weed.select("nights", monkeypatch)
    output = "s3://nights/out"
    scan_inline(output, photos, MODELS[:2], labels=True)
    second = scan_inline(output, photos, MODELS, labels=True)
    assert (second.num_reused_graphs, second.num_reused_pairs) == (6, 12)
    assert_equal(tables(output), calm)
    third = scan_inline(output, photos, MODELS, labels=True)
    assert third.num_reused_pairs == third.num_pairs
    assert_equal(tables(output), calm)
    assert not verify_output(Storage(output)).problems
    assert Storage(output).walk("running") == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_through_faults_gives_the_same_tables(
    weed: Weed,  # noqa: F811
    photos: Path,
    calm: dict[str, pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setenv("FSSPEC_S3", '{"config_kwargs": {"read_timeout": 0.5}}')
    bucket = f"faults-{kind.replace('_', '-')}"
    with FaultProxy(weed.endpoint, rate=0.05, kinds=(kind,), seed=1, hold_s=0.8) as proxy:
        weed.select(bucket, monkeypatch, endpoint=proxy.endpoint)
        output = f"s3://{bucket}/out"
        scan_inline(output, photos, MODELS, labels=True)
        assert proxy.counts.faults[kind] >= 3, proxy.counts
        assert_equal(tables(output), calm)
    weed.select(bucket, monkeypatch)
    assert not verify_output(Storage(output)).problems


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder for all that Ray writes; short, because it holds sockets."""
    folder = tempfile.mkdtemp(prefix="dr-")
    yield Path(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.ray
def test_credentials_are_in_nothing_that_a_failing_scan_writes(
    weed: Weed,  # noqa: F811
    photos: Path,
    tmp_path: Path,
    ray_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weed.select("secrets", monkeypatch)
    output = "s3://secrets/out"
    models = [
        *MODELS[:2],
        tiny("raises", 0, source="python:tests.jobs.zoo:RaisesLater"),
        tiny("no-weights", 0) | {"weights": "s3://secrets/none.pth"},
        tiny("no-bucket", 0) | {"weights": "s3://no-such-bucket/none.pth"},
    ]
    tree = {
        "output": output,
        "probes": {"source": str(photos), "count": 12},
        "canvas": {"side": 32},
        "defaults": {"layers": ["block?", "code"]},
        "compute": {"workers": 1},
        "models": models,
        "uncertainty": QUICK,
    }
    scan_file = tmp_path / "scan.yaml"
    scan_file.write_text(yaml.safe_dump(tree))
    printed = [run(scan_file, ray_folder, weed.secret_key, code=3)]
    # The keys of somebody else: everything is refused, in every way that users will meet.
    other_secret = weed.secret_key[::-1]
    printed.append(run(scan_file, ray_folder, other_secret, code=2))
    for secret in (weed.secret_key, other_secret):
        assert all(secret not in text for text in printed)
        searched = 0
        for path in ray_folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                searched += 1
                assert secret.encode() not in path.read_bytes(), path
        assert searched > 10, "Ray's logs are there"
        storage = Storage(output)
        written = storage.walk("")
        assert len(written) > 20
        for path in written:
            assert secret.encode() not in storage.read(path), path
    assert weed.access_key not in "".join(printed)


def run(scan_file: Path, ray_folder: Path, secret: str, code: int) -> str:
    """Runs the command as a user would; returns all that it printed."""
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": secret, "RAY_TMPDIR": str(ray_folder)}
    done = subprocess.run(
        [sys.executable, "-m", "jobs.scan", str(scan_file), "--verbose"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr
