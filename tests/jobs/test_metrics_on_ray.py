"""What a monitoring system reads of a scan, from the metrics port of a real Ray."""

from __future__ import annotations

import re
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from cluster.pool.metrics import METRICS
from cluster.pool.phases import PHASES
from depara import open_scan
from tests.jobs.test_scan_on_ray import model, run, scan_file

pytestmark = pytest.mark.ray

HAND_ON_S = 11.0
"""Ray hands metrics on every 10 s."""
WAIT_S = 60.0
RARE = {"depara_retries", "depara_requeued", "depara_workers_lost"}
"""Exported when they first happen."""


def exported() -> tuple[Counter[str], dict[str, set[str]]]:
    """The sums of all series by name, and the labels of each name."""
    import ray

    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    sums: Counter[str] = Counter()
    labels: dict[str, set[str]] = {}
    for name, told, value in re.findall(r"^(ray_depara_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        sums[name] += float(value)  # type: ignore[assignment]
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', told))
        for phase in re.findall(r'[{,]phase="(\w+)"', told):
            sums[f"{name}/{phase}"] += float(value)  # type: ignore[assignment]
    return sums, labels


def test_a_scan_exports_the_metrics_of_the_table(
    local_ray: None, photos: Path, tmp_path: Path
) -> None:
    time.sleep(HAND_ON_S)  # what scans before this one have told in this process
    before, _ = exported()
    models = [model("first"), model("broken", layers=["block9"])]
    result = run(scan_file(tmp_path, photos, models))
    assert result.exit_code == 3, result.output
    manifest = open_scan(str(tmp_path / "out")).manifest
    expected = {name for one in METRICS if one.name not in RARE for name in one.exported}
    deadline_s = time.monotonic() + WAIT_S
    while True:
        after, labels = exported()
        graphs = after["ray_depara_graphs_total"] - before["ray_depara_graphs_total"]
        is_told = graphs > 0 and not after["ray_depara_scan_running"]
        if (is_told and expected <= after.keys()) or time.monotonic() > deadline_s:
            break
        time.sleep(1)
    assert expected <= after.keys()
    after.subtract(before)
    assert after["ray_depara_graphs_total"] == len(open_scan(str(tmp_path / "out")).table("layers"))
    assert after["ray_depara_failures_total"] == 1
    units = manifest["work"]["units_done"]
    assert after["ray_depara_unit_seconds_count"] == units
    for phase in PHASES:
        told_s = after[f"ray_depara_phase_seconds_total/{phase}"]
        assert told_s == pytest.approx(manifest["phases"][phase], abs=1.0)
    assert after["ray_depara_moved_bytes_total"] >= sum(manifest["bytes"]["workers"].values())
    for one in METRICS:
        for name in set(one.exported) & labels.keys():
            assert {*one.labels, "SessionName", "WorkerId", "NodeAddress"} <= labels[name]
