"""`depara top`: what a scan under way says of itself, read by another process."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.pool.progress import Reporter
from depara.cli import app
from depara.store.running import ScanLease, claim_scan
from depara.store.storage import Storage


class Clock:
    """A clock that is moved by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def lease(tmp_path: Path) -> Iterator[ScanLease]:
    held = claim_scan(Storage(str(tmp_path)), "night", "abc", "2026-01-31T02:00:00+00:00")
    yield held
    held.release()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["top", *arguments])
    return result.exit_code, result.output


def at_work(lease: ScanLease) -> Reporter:
    """A reporter in its second phase, 20 s and 4 of 10 units into it, one failed."""
    clock = Clock()
    reporter = Reporter(clock)
    lease.progress = reporter.snapshot
    reporter.phase("models", 3, "models")
    reporter.step(3)
    clock.now_s += 5
    reporter.phase("graphs", 10, "units")
    clock.now_s += 20
    reporter.step(4, "resnet50")
    reporter.fail("vit: out of memory")
    return reporter


def test_a_scan_under_way_is_shown_by_phase(tmp_path: Path, lease: ScanLease) -> None:
    at_work(lease)
    lease.beat()
    lease.publish_plan(["a", "b"], "set")
    code, text = run(str(tmp_path), "--json")
    assert code == 0
    [found] = json.loads(text)
    assert found["phases"] == [
        {"phase": "models", "done": 3, "total": 3, "what": "models", "seconds": 5.0},
        {"phase": "graphs", "done": 4, "total": 10, "what": "units", "seconds": 20.0},
    ]
    assert (found["rate"], found["left_s"], found["failures"]) == (0.2, 30.0, 1)
    assert (found["state"], found["detail"], found["graphs"]) == ("running", "resnet50", 2)
    assert (found["host"], found["scan_id"]) == (socket.gethostname(), "night")
    assert found["silent_s"] < 60
    code, text = run(str(tmp_path), "--once")
    assert code == 0
    assert "graphs" in text
    assert "0.200" in text
    assert re.search(r"2 graphs planned: running; as of \d+ s ago", " ".join(text.split()))


def test_a_scan_that_has_said_nothing_yet_is_starting(tmp_path: Path, lease: ScanLease) -> None:
    code, text = run(str(tmp_path))
    assert code == 0
    assert "starting" in text
    assert json.loads(run(str(tmp_path), "--json")[1])[0]["phases"] == []


def test_an_interrupted_scan_says_why_and_how_far_it_was(tmp_path: Path, lease: ScanLease) -> None:
    at_work(lease)
    lease.interrupt("the disk is full")
    [found] = json.loads(run(str(tmp_path), "--json")[1])
    assert found["state"] == "interrupted: the disk is full"
    assert found["phases"][-1]["done"] == 4


def test_a_dead_scan_is_told(tmp_path: Path, lease: ScanLease) -> None:
    owner = json.loads((tmp_path / "running/night/owner.json").read_text())
    owner["process_start"] = "0"
    (tmp_path / "running/night/owner.json").write_text(json.dumps(owner))
    [found] = json.loads(run(str(tmp_path), "--json")[1])
    assert found["state"].startswith("dead: ")


def test_without_a_scan_it_says_so(tmp_path: Path, lease: ScanLease) -> None:
    code, text = run(str(tmp_path), "--scan", "other")
    assert (code, "no scan 'other' runs" in text) == (1, True)
    lease.release()
    code, text = run(str(tmp_path))
    assert (code, "no scan runs" in text) == (1, True)
