"""Whole scans in this process, without Ray: for tests that are not about distribution."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import yaml

from cluster.pool.launcher import InlineLauncher
from cluster.pool.progress import PlainReporter
from cluster.pool.stopping import StopSignal
from cluster.pool.worker import Worker
from cluster.record.manifest import ScanSummary
from cluster.scan import run_scan
from depara.config import ScanFile, parse_scan
from depara.store.storage import Storage

QUICK = {"resamples": 100, "time_share": 1e-6}
"""The least that is drawn, hence the same number however long the scan has taken."""


def scan_inline(
    output: str,
    photos: Path,
    models: list[dict[str, Any]],
    *,
    fresh: bool = False,
    notes: list[str] | None = None,
    stop: StopSignal | None = None,
    labels: bool = False,
    **sections: Any,
) -> ScanSummary:
    """Runs a scan with one worker in this process and returns its summary.

    Notes are printed to `notes`. With `labels` there are scores with labels, as is the product's
    default: a fifth of the time of a scan as small as these.
    """
    tree = {
        "output": output,
        "probes": {"source": str(photos), "count": 12},
        "canvas": {"side": 32},
        "compute": {"memory": "256MiB", "unit_probes": 7},
        "defaults": {"layers": ["block?", "code"]},
        "models": models,
        "uncertainty": QUICK,
        **sections,
    }
    tree["similarity"] = {"label_scores": labels, **tree.get("similarity", {})}
    return run_inline(parse_scan(yaml.safe_dump(tree)), fresh=fresh, notes=notes, stop=stop)


def run_inline(
    file: ScanFile,
    *,
    fresh: bool = False,
    notes: list[str] | None = None,
    stop: StopSignal | None = None,
) -> ScanSummary:
    """Runs a scan with one worker in this process, see `scan_inline`."""
    output = file.config.output
    launcher = InlineLauncher(lambda: Worker(output, 1, 0))
    stream = io.StringIO()
    try:
        return run_scan(
            file, launcher, Storage(output), PlainReporter(stream), stop=stop, fresh=fresh
        )
    finally:
        if notes is not None:
            notes.extend(stream.getvalue().splitlines())


def tiny(name: str, seed: int, **fields: Any) -> dict[str, Any]:
    """One model of the test zoo with random weights."""
    source = "python:tests.jobs.zoo:Tiny"
    return {"id": name, "source": source, "weights": f"random:{seed}", **fields}
