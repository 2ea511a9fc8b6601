"""Whole scans in this process, without Ray: for tests that are not about distribution."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import yaml

from cluster.launcher import InlineLauncher
from cluster.progress import PlainReporter
from cluster.scan import ScanSummary, run_scan
from cluster.worker import Worker
from depara.config import parse_scan
from depara.store.storage import Storage


def scan_inline(
    output: str, photos: Path, models: list[dict[str, Any]], **sections: Any
) -> ScanSummary:
    """Runs a scan with one worker in this process and returns its summary."""
    tree = {
        "output": output,
        "probes": {"source": str(photos), "count": 12},
        "canvas": {"side": 32},
        "compute": {"memory": "256MiB", "unit_probes": 7},
        "defaults": {"layers": ["block?", "code"]},
        "models": models,
        **sections,
    }
    file = parse_scan(yaml.safe_dump(tree))
    launcher = InlineLauncher(lambda: Worker(output, 1, 0))
    return run_scan(file, launcher, Storage(output), PlainReporter(io.StringIO()))


def tiny(name: str, seed: int, **fields: Any) -> dict[str, Any]:
    """One model of the test zoo with random weights."""
    source = "python:tests.jobs.zoo:Tiny"
    return {"id": name, "source": source, "weights": f"random:{seed}", **fields}
