"""The commands as users type them: a process of its own, and a job submitted to a cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from benchmarks.lab.ports import free_port
from depara import open_scan
from tests.conftest import ROOT

pytestmark = pytest.mark.ray

MODELS = [
    {"id": name, "source": "python:tests.jobs.zoo:Tiny", "weights": f"random:{number}"}
    for number, name in enumerate(("first", "second"))
]


def write_scan(folder: Path, photos: Path) -> Path:
    tree = {
        "output": str(folder / "out"),
        "probes": {"source": str(photos), "count": 8},
        "canvas": {"side": 32},
        "compute": {"workers": 1, "memory": "256MiB"},
        "defaults": {"layers": ["block?", "code"]},
        "models": MODELS,
    }
    path = folder / "scan.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of the job server of a Ray head in a process of its own."""
    port, dashboard, agent = free_port(), free_port(), free_port()
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--head", "--block",
        f"--port={port}", f"--dashboard-port={dashboard}", "--include-dashboard=true",
        f"--dashboard-agent-listen-port={agent}",  # another Ray on this machine has the default one
        "--num-cpus=2", "--object-store-memory=100000000", "--disable-usage-stats",
    ]  # fmt: skip
    head = subprocess.Popen(
        command,
        cwd="/",
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        os.killpg(head.pid, signal.SIGKILL)  # SIGTERM takes it more than 20 s
        head.wait(10)


def test_the_module_runs_as_a_process_and_is_quiet_but_for_plain_lines(
    photos: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.scan", str(write_scan(tmp_path, photos))],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b[" not in done.stdout
    assert "best sources per target" in done.stdout
    assert "models: 2 new, 0 changed, 0 reused, 0 removed, 0 failed" in done.stdout
    assert "graphs: 6 computed, 0 reused; pairs: 12 computed, 0 reused" in done.stdout
    scan = open_scan(str(tmp_path / "out"))
    assert len(scan.table("similarity")) == 12
    report = tmp_path / "out" / "scans" / scan.scan_id / "report.html"
    assert done.stdout.splitlines()[-1] == f"report: {report}"
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_submitted_job_writes_the_same_tables(cluster: str, photos: Path, tmp_path: Path) -> None:
    from ray.job_submission import JobStatus, JobSubmissionClient

    path = write_scan(tmp_path, photos)
    job = None
    deadline_s = time.monotonic() + 90
    while job is None:  # the server is up before it takes jobs
        try:
            client = JobSubmissionClient(cluster)
            job = client.submit_job(
                entrypoint=f"{sys.executable} -m jobs.scan {path}",
                runtime_env={"working_dir": str(ROOT)},
            )
        except (ConnectionError, RuntimeError):
            assert time.monotonic() < deadline_s, "the head did not start"
            time.sleep(1)
    while not (status := client.get_job_status(job)).is_terminal():
        assert time.monotonic() < deadline_s + 120, client.get_job_logs(job)
        time.sleep(0.5)
    assert status == JobStatus.SUCCEEDED, client.get_job_logs(job)
    assert "results: " in client.get_job_logs(job)
    assert len(open_scan(str(tmp_path / "out")).table("similarity")) == 12
